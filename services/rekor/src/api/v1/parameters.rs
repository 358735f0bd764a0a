//! Query parameters, checked as upstream's framework checks them.

use entry::v1::{Rule, RuleKind};
use url::form_urlencoded;

use crate::Error;

/// The query string of a request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn new(text: &str) -> Self {
        Self(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    fn get(&self, name: &str) -> Option<&str> {
        let value = self
            .0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// An integer that is at least `minimum`.
    pub(super) fn integer(&self, name: &str, minimum: i64) -> Result<Option<u64>, Error> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let rule = |kind| {
            Error::Rule(Rule {
                name: name.to_owned(),
                place: "query",
                kind,
            })
        };
        let number: i64 = text
            .parse()
            .map_err(|_| rule(RuleKind::Type("int64", text.to_owned())))?;
        if number < minimum {
            return Err(rule(RuleKind::Minimum(minimum)));
        }
        Ok(u64::try_from(number).ok())
    }

    pub(super) fn required(name: &str) -> Error {
        let name = name.to_owned();
        Error::Rule(Rule {
            name,
            place: "query",
            kind: RuleKind::Required,
        })
    }

    /// The decimal tree id.
    pub(super) fn tree_id(&self) -> Result<Option<&str>, Error> {
        match self.get("treeID") {
            Some(text) if !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                let kind = RuleKind::Pattern("^[0-9]+$");
                Err(Error::Rule(Rule {
                    name: "treeID".to_owned(),
                    place: "query",
                    kind,
                }))
            }
            other => Ok(other),
        }
    }

    /// The query string again, sorted by name and without the key that clients may send along; with its
    /// question mark, or empty.
    pub(super) fn without_api_key(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().filter(|(key, _)| key != "apiKey").collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if pairs.is_empty() {
            return String::new();
        }
        let encoded = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(pairs)
            .finish();
        format!("?{encoded}")
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn the_api_key_is_dropped_and_the_rest_kept() {
        let query = Query::new("b=2&apiKey=secret&a=x%20y&b=1");
        assert_eq!(query.without_api_key(), "?a=x+y&b=2&b=1");
        assert_eq!(Query::new("apiKey=secret").without_api_key(), "");
        assert_eq!(Query::new("").without_api_key(), "");
    }
}
