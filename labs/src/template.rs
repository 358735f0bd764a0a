//! Texts with `${name}` in them, filled in with what a lab is called and where it is.

use std::collections::BTreeMap;

/// A name that nobody set.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
#[error("${{{name}}} means nothing here; known are {known}")]
pub struct UnknownName {
    name: String,
    known: String,
}

/// What the names in a text stand for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// The names that every text may use, as they are in a lab with its default addresses.
    #[must_use]
    pub fn of_default_lab() -> Self {
        let mut values = Self::default();
        for (name, value) in [
            ("registry", "localhost:5000"),
            ("fulcio", "http://localhost:5555"),
            ("rekor", "http://localhost:3000"),
            ("oidc", "http://localhost:8080"),
            ("issuer", "http://localhost:8080/github-actions"),
            ("webhook", "https://localhost:8443"),
            ("dir", "siglab-lab"),
            ("policies", "siglab-lab/policies"),
        ] {
            values.set(name, value);
        }
        values
    }

    /// Says what `name` stands for.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// `text` with every `${name}` replaced. A `$` that no `{` follows stays.
    ///
    /// # Errors
    /// The first name that was not set.
    pub fn fill(&self, text: &str) -> Result<String, UnknownName> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                break;
            };
            let value = self.0.get(name).ok_or_else(|| UnknownName {
                name: name.to_owned(),
                known: self.0.keys().cloned().collect::<Vec<_>>().join(", "),
            })?;
            filled.push_str(before);
            filled.push_str(value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use super::Values;

    #[test]
    fn names_are_replaced_and_unknown_ones_are_named() {
        let values = Values::of_default_lab();
        let filled = values.fill("cosign sign ${registry}/app@$DIGEST");
        assert_eq!(
            filled.as_deref(),
            Ok("cosign sign localhost:5000/app@$DIGEST")
        );
        assert_eq!(values.fill("costs ${").as_deref(), Ok("costs ${"));
        let error = values.fill("${registri}").expect_err("nobody set it");
        let text = error.to_string();
        assert!(text.starts_with("${registri} means nothing here"), "{text}");
    }
}
