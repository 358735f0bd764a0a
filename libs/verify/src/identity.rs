//! Who must have signed: issuer and subject, exact or by expression, and where two strings part.

use std::fmt;

use crate::regexp::{GoRegexp, RegexpError};

/// One half of an identity.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// The whole string.
    Exact(String),
    /// A Go expression that matches somewhere.
    Regexp(GoRegexp),
}

impl Pattern {
    /// From the two fields of a policy, of which the exact one wins when both are given.
    ///
    /// # Errors
    /// [`RegexpError`].
    pub fn new(exact: Option<&str>, regexp: Option<&str>) -> Result<Option<Self>, RegexpError> {
        match (
            exact.filter(|text| !text.is_empty()),
            regexp.filter(|text| !text.is_empty()),
        ) {
            (Some(text), _) => Ok(Some(Self::Exact(text.to_owned()))),
            (None, Some(expression)) => Ok(Some(Self::Regexp(GoRegexp::new(expression)?))),
            (None, None) => Ok(None),
        }
    }

    /// Whether `text` is meant.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == text,
            Self::Regexp(regexp) => regexp.is_match(text),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Regexp(regexp) => write!(f, "/{}/", regexp.as_str()),
        }
    }
}

/// An accepted signer. Both halves must match.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Issuer of the identity token.
    pub issuer: Pattern,
    /// Subject of the certificate.
    pub subject: Pattern,
}

/// Two strings that should have been the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// What was asked for.
    pub expected: String,
    /// What was found.
    pub observed: String,
    /// Bytes that both begin with, on a character boundary.
    pub common: usize,
}

impl Difference {
    /// Compares.
    #[must_use]
    pub fn new(expected: &str, observed: &str) -> Self {
        let common = expected
            .char_indices()
            .zip(observed.chars())
            .find(|((_, a), b)| a != b)
            .map_or_else(|| expected.len().min(observed.len()), |((at, _), _)| at);
        Self {
            expected: expected.to_owned(),
            observed: observed.to_owned(),
            common,
        }
    }

    /// Both on one line, with `⟪` where they part.
    #[must_use]
    pub fn on_one_line(&self) -> String {
        let cut = |text: &str| format!("{}⟪{}⟫", &text[..self.common], &text[self.common..]);
        format!(
            "expected {} observed {}",
            cut(&self.expected),
            cut(&self.observed)
        )
    }
}

impl fmt::Display for Difference {
    /// Three lines: expected, observed, and a mark under the first character that differs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = self.expected[..self.common].chars().count();
        writeln!(f, "expected {}", self.expected)?;
        writeln!(f, "observed {}", self.observed)?;
        write!(f, "         {:column$}^ they part here", "")
    }
}

#[cfg(test)]
mod tests {
    use super::Difference;

    #[test]
    fn a_difference_marks_where_the_strings_part() {
        let difference = Difference::new("r.yml@refs/heads/main", "r.yml@refs/tags/v1.2.0");
        assert_eq!(
            difference.to_string(),
            "expected r.yml@refs/heads/main\n\
             observed r.yml@refs/tags/v1.2.0\n         \
             \x20          ^ they part here"
        );
        assert_eq!(
            difference.on_one_line(),
            "expected r.yml@refs/⟪heads/main⟫ observed r.yml@refs/⟪tags/v1.2.0⟫"
        );
    }

    #[test]
    fn a_prefix_parts_at_its_end() {
        assert_eq!(Difference::new("aé", "aéb").common, 3);
        assert_eq!(Difference::new("", "x").common, 0);
    }
}
