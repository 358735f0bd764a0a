//! Rules of upstream's schema, with the numbers and words that its framework has for breaking them.

use std::fmt;

use super::{Object, member, text};

/// The semantic version pattern of the `apiVersion` member, as messages quote it.
const SEMVER: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$";

/// A rule that a request breaks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    /// The member or parameter, dotted.
    pub name: String,
    /// `body`, `query` or `path`.
    pub place: &'static str,
    /// What is wrong with it.
    pub kind: RuleKind,
}

/// What can be wrong with a member.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RuleKind {
    /// More items than this.
    MaxItems(usize),
    /// Longer than so many characters.
    MaxLength(usize),
    /// Less than this.
    Minimum(i64),
    /// Fewer items than this.
    MinItems(usize),
    /// Shorter than so many characters.
    MinLength(usize),
    /// None of these.
    OneOf(&'static [&'static str]),
    /// Does not match this pattern.
    Pattern(&'static str),
    /// Absent.
    Required,
    /// Is no such type; the value found.
    Type(&'static str, String),
}

impl Rule {
    /// A rule on a member of the body.
    #[must_use]
    pub fn body(name: &str, kind: RuleKind) -> Self {
        Self {
            name: name.to_owned(),
            place: "body",
            kind,
        }
    }

    /// A member of the body that is absent.
    #[must_use]
    pub fn required(name: &str) -> Self {
        Self::body(name, RuleKind::Required)
    }

    pub(crate) fn semver(name: &str) -> Self {
        Self::body(name, RuleKind::Pattern(SEMVER))
    }

    /// The number in the error body: 6xx.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self.kind {
            RuleKind::Type(..) => 601,
            RuleKind::Required => 602,
            RuleKind::MaxLength(_) => 603,
            RuleKind::MinLength(_) => 604,
            RuleKind::Pattern(_) => 605,
            RuleKind::OneOf(_) => 606,
            RuleKind::Minimum(_) => 609,
            RuleKind::MaxItems(_) => 611,
            RuleKind::MinItems(_) => 612,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, place, kind } = self;
        write!(f, "{name} in {place} ")?;
        match kind {
            RuleKind::MaxItems(max) => write!(f, "should have at most {max} items"),
            RuleKind::MaxLength(max) => write!(f, "should be at most {max} chars long"),
            RuleKind::Minimum(min) => write!(f, "should be greater than or equal to {min}"),
            RuleKind::MinItems(min) => write!(f, "should have at least {min} items"),
            RuleKind::MinLength(min) => write!(f, "should be at least {min} chars long"),
            RuleKind::OneOf(values) => write!(f, "should be one of [{}]", values.join(" ")),
            RuleKind::Pattern(pattern) => write!(f, "should match '{pattern}'"),
            RuleKind::Required => f.write_str("is required"),
            RuleKind::Type(want, found) => write!(f, "must be of type {want}: {found:?}"),
        }
    }
}

/// The text of several broken rules together.
#[must_use]
pub fn failure_list(rules: &[Rule]) -> String {
    let mut out = "validation failure list:".to_owned();
    for rule in rules {
        out.push('\n');
        out.push_str(&rule.to_string());
    }
    out
}

/// A digest by name as a member of a spec. `name` is the dotted name that upstream prints.
pub(super) fn check_hash(
    hash: &Object,
    name: &str,
    algorithms: &'static [&'static str],
) -> Result<(), Rule> {
    let algorithm = format!("{name}.algorithm");
    match text(hash, "algorithm") {
        None => return Err(Rule::required(&algorithm)),
        Some(given) if !algorithms.contains(&given) => {
            return Err(Rule::body(&algorithm, RuleKind::OneOf(algorithms)));
        }
        Some(_) => {}
    }
    match text(hash, "value") {
        None => Err(Rule::required(&format!("{name}.value"))),
        Some(_) => Ok(()),
    }
}

/// [`check_hash`] on a member that may be absent.
pub(super) fn check_optional_hash(
    object: &Object,
    key: &str,
    name: &str,
    algorithms: &'static [&'static str],
) -> Result<(), Rule> {
    member(object, key).map_or(Ok(()), |hash| check_hash(hash, name, algorithms))
}

/// Whether `text` is a semantic version, <https://semver.org> §2, 9 and 10.
pub(super) fn is_semver(text: &str) -> bool {
    let (text, build) = text
        .split_once('+')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let (core, pre) = text
        .split_once('-')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(number)
        && pre.is_none_or(|pre| {
            pre.split('.')
                .all(|part| word(part) && (!all_digits(part) || number(part)))
        })
        && build.is_none_or(|build| build.split('.').all(word))
}

#[cfg(test)]
mod tests {
    use super::is_semver;

    #[test]
    fn versions_are_semantic() {
        for version in ["0.0.1", "10.20.30", "1.0.0-alpha.1", "1.0.0-0a+01"] {
            assert!(is_semver(version), "{version}");
        }
        for version in [
            "1", "01.0.0", "1.0", "1.0.0-", "1.0.0-01", "1.0.0+", "v1.0.0", "",
        ] {
            assert!(!is_semver(version), "{version}");
        }
    }
}
