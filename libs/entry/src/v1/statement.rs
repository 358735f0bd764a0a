//! Digests in an in-toto statement, for the search index. Nothing else of the statement is kept: a
//! predicate may be a bill of materials of many megabytes.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The payload type of an in-toto statement.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Digests of one list that are added to the index. Upstream has no limit.
const DIGESTS_MAX: usize = 4096;

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(default)]
    subject: Option<Digests>,
    #[serde(borrow, default)]
    predicate: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Predicate {
    #[serde(default)]
    materials: Option<Digests>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    digest: Option<BTreeMap<String, String>>,
}

/// `algorithm:digest` of each thing in a list.
#[derive(Default)]
struct Digests(Vec<String>);

impl<'de> Deserialize<'de> for Digests {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(DigestsVisitor)
    }
}

struct DigestsVisitor;

impl<'de> Visitor<'de> for DigestsVisitor {
    type Value = Digests;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of things with digests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Digests, A::Error> {
        let mut out = Vec::new();
        while out.len() < DIGESTS_MAX {
            let Some(resource) = list.next_element::<Resource>()? else {
                return Ok(Digests(out));
            };
            let digests = resource.digest.unwrap_or_default();
            out.extend(
                digests
                    .iter()
                    .map(|(algorithm, digest)| format!("{algorithm}:{digest}")),
            );
        }
        out.truncate(DIGESTS_MAX);
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Digests(out))
    }
}

/// `algorithm:digest` of every subject, and of every material of a SLSA v0.2 predicate. Empty when the
/// payload is not a statement; without materials when the predicate is of another kind.
pub(super) fn digests(payload: &[u8]) -> Vec<String> {
    let Ok(statement) = serde_json::from_slice::<Statement<'_>>(payload) else {
        return Vec::new();
    };
    let mut out = statement.subject.unwrap_or_default().0;
    let predicate = statement
        .predicate
        .map(|raw| serde_json::from_str::<Predicate>(raw.get()));
    if let Some(Ok(Predicate {
        materials: Some(materials),
    })) = predicate
    {
        out.extend(materials.0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::digests;

    #[test]
    fn subjects_and_materials_are_found_beside_anything_else() {
        let long = "{\"x\":[0,1]},".repeat(200_000);
        let statement = format!(
            "{{\"subject\":[{{\"digest\":{{\"sha256\":\"aa\",\"sha1\":\"bb\"}}}},{{\"name\":\"n\"}}],\
             \"predicate\":{{\"packages\":[{long}0],\"materials\":[{{\"digest\":{{\"sha1\":\"cc\"}}}}]}}}}"
        );
        assert_eq!(
            digests(statement.as_bytes()),
            ["sha1:bb", "sha256:aa", "sha1:cc"]
        );
    }

    #[test]
    fn what_is_no_statement_has_no_digests() {
        for text in [
            "",
            "[]",
            "3",
            "{\"subject\":3}",
            "{\"subject\":[{\"digest\":{\"a\":1}}]}",
        ] {
            assert_eq!(digests(text.as_bytes()), Vec::<String>::new(), "{text}");
        }
        let other = "{\"subject\":[{\"digest\":{\"a\":\"b\"}}],\"predicate\":\"text\"}";
        assert_eq!(digests(other.as_bytes()), ["a:b"]);
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let list = "{\"digest\":{\"a\":\"b\"}},".repeat(5000);
        let statement = format!("{{\"subject\":[{list}{{}}]}}");
        assert_eq!(digests(statement.as_bytes()).len(), 4096);
    }
}
