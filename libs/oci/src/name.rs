//! Repository names, tags and the references of requests, distribution-spec "Pulling manifests".

use std::fmt;
use std::str::FromStr;

use crate::{Digest, DigestError, NameError};

const REPOSITORY_CHARS_MAX: usize = 255;
const TAG_CHARS_MAX: usize = 128;

/// A repository name: path components of lower-case letters, digits and inner separators.
///
/// It is safe as a relative path: no component is empty, starts with a dot or an underscore, or
/// holds a slash.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RepositoryName(Box<str>);

impl RepositoryName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > REPOSITORY_CHARS_MAX {
            return Err(NameError::RepositoryTooLong { length: text.len() });
        }
        if text.split('/').all(component_is_well_formed) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::RepositoryGrammar)
        }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn component_is_well_formed(component: &str) -> bool {
    let alphanumeric = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    let bytes = component.as_bytes();
    let ends_well = |end: Option<&u8>| end.is_some_and(alphanumeric);
    ends_well(bytes.first())
        && ends_well(bytes.last())
        && component
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'))
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. It is safe as a file name.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let well_formed = text.len() <= TAG_CHARS_MAX
            && text.bytes().next().is_some_and(word)
            && text
                .bytes()
                .all(|byte| word(byte) || matches!(byte, b'.' | b'-'));
        if well_formed {
            Ok(Self(text.into()))
        } else {
            Err(NameError::TagGrammar)
        }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What names a manifest inside a repository.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Reference {
    /// By digest.
    Digest(Digest),
    /// By tag.
    Tag(Tag),
}

/// Why a reference cannot be read: with a colon it was meant as a digest, without one as a tag.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ReferenceError {
    /// It has a colon, and is no usable digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It has no colon, and is no tag.
    #[error(transparent)]
    Tag(#[from] NameError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            Ok(Self::Tag(text.parse()?))
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(digest) => digest.fmt(f),
            Self::Tag(tag) => f.write_str(tag.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_grammar_is_that_of_the_specification() {
        for name in [
            "a",
            "a/b",
            "a--b",
            "a__b",
            "a.b_c-d",
            "manifests/blobs/uploads",
            "0",
        ] {
            assert!(name.parse::<RepositoryName>().is_ok(), "{name}");
        }
        let refused = [
            "", "A", "-a", "a-", "a..b", "a_-b", "a.-b", "a___b", "a//b", "/a", "a/", "..",
            "a/../b", "_blobs", "a/_tags", ".a", "a b", "a%2fb", "é", "a/é/b", "a:b", "a\0b",
        ];
        for name in refused {
            assert_eq!(
                name.parse::<RepositoryName>(),
                Err(NameError::RepositoryGrammar),
                "{name}"
            );
        }
        assert!("a".repeat(255).parse::<RepositoryName>().is_ok());
        assert!("a".repeat(256).parse::<RepositoryName>().is_err());
    }

    #[test]
    fn tag_grammar_is_that_of_the_specification() {
        for tag in ["latest", "_x", "v1.2-rc_3", "A", &"t".repeat(128)] {
            assert!(tag.parse::<Tag>().is_ok(), "{tag}");
        }
        for tag in [
            "",
            ".",
            "..",
            "-bad",
            ".hidden",
            "a/b",
            "a b",
            "ä",
            &"t".repeat(129),
        ] {
            assert!(tag.parse::<Tag>().is_err(), "{tag}");
        }
    }

    #[test]
    fn a_colon_makes_a_reference_a_digest() {
        assert!(matches!("latest".parse(), Ok(Reference::Tag(_))));
        let bad = "sha256:baddigeststring".parse::<Reference>();
        assert!(matches!(bad, Err(ReferenceError::Digest(_))));
        assert!(matches!(
            "-x".parse::<Reference>(),
            Err(ReferenceError::Tag(_))
        ));
    }
}
