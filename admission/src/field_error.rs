//! Errors that name fields, merged and rendered as knative's `FieldError`.

use std::collections::{BTreeMap, BTreeSet};

/// Whether a field error denies or only warns.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Level {
    /// Denies.
    Error,
    /// Is shown and admits.
    Warning,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Key {
    message: String,
    details: String,
    level: Level,
}

/// Any number of field errors. Those that differ only in their paths are one error.
#[derive(Clone, Debug, Default)]
pub(crate) struct FieldErrors {
    // Sorted by message, details and level, which is the order of rendering.
    leaves: BTreeMap<Key, BTreeSet<String>>,
}

impl FieldErrors {
    /// Adds an error.
    pub(crate) fn push(&mut self, level: Level, message: String, paths: &[&str], details: &str) {
        let key = Key {
            message,
            details: details.to_owned(),
            level,
        };
        let known = self.leaves.entry(key).or_default();
        known.extend(paths.iter().map(|path| (*path).to_owned()));
    }

    /// A field that must be given is not.
    pub(crate) fn missing(&mut self, paths: &[&str]) {
        self.push(Level::Error, "missing field(s)".to_owned(), paths, "");
    }

    /// None of several fields is given.
    pub(crate) fn neither(&mut self, paths: &[&str]) {
        self.push(
            Level::Error,
            "expected exactly one, got neither".to_owned(),
            paths,
            "",
        );
    }

    /// More than one of several fields is given.
    pub(crate) fn both(&mut self, paths: &[&str]) {
        self.push(
            Level::Error,
            "expected exactly one, got both".to_owned(),
            paths,
            "",
        );
    }

    /// A value that is not allowed.
    pub(crate) fn invalid(&mut self, value: &str, path: &str, details: &str) {
        self.push(
            Level::Error,
            format!("invalid value: {value}"),
            &[path],
            details,
        );
    }

    /// A field that is not allowed here.
    pub(crate) fn disallowed(&mut self, path: &str) {
        self.push(
            Level::Error,
            "must not set the field(s)".to_owned(),
            &[path],
            "",
        );
    }

    /// Whether there is none.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// Adds all of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        for (key, paths) in other.leaves {
            self.leaves.entry(key).or_default().extend(paths);
        }
    }

    /// The text of the errors that deny; `None` without any.
    #[must_use]
    pub(crate) fn denial(&self) -> Option<String> {
        let texts: Vec<String> = self.rendered(Level::Error).collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    /// The warnings, each line on its own as the admission reply carries them.
    #[must_use]
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.rendered(Level::Warning)
            .flat_map(|text| text.split('\n').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    fn rendered(&self, level: Level) -> impl Iterator<Item = String> {
        self.leaves
            .iter()
            .filter(move |(key, _)| key.level == level)
            .map(|(key, paths)| {
                let paths = paths
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                let mut text = format!("{}: {paths}", key.message);
                if !key.details.is_empty() {
                    text.push('\n');
                    text.push_str(&key.details);
                }
                text
            })
    }
}

#[cfg(test)]
mod tests {
    use super::{FieldErrors, Level};

    #[test]
    fn errors_that_differ_in_paths_only_are_merged_and_sorted() {
        let mut errors = FieldErrors::default();
        errors.missing(&["spec.b"]);
        errors.invalid("x", "spec.mode", "unsupported mode");
        errors.missing(&["spec.a", "spec.b"]);
        assert_eq!(
            errors.denial().as_deref(),
            Some("invalid value: x: spec.mode\nunsupported mode\nmissing field(s): spec.a, spec.b")
        );
    }

    #[test]
    fn warnings_are_split_into_lines_and_deny_nothing() {
        let mut errors = FieldErrors::default();
        errors.push(
            Level::Warning,
            "failed policy: p".to_owned(),
            &["spec"],
            "why",
        );
        assert_eq!(errors.denial(), None);
        assert_eq!(errors.warnings(), ["failed policy: p: spec", "why"]);
    }

    #[test]
    fn an_error_without_a_path_keeps_the_colon() {
        let mut errors = FieldErrors::default();
        errors.push(Level::Error, "disallowed".to_owned(), &[], "");
        assert_eq!(errors.denial().as_deref(), Some("disallowed: "));
    }
}
