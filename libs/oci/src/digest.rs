//! Content digests, distribution-spec "Digests": sha256 and sha512, lower-case hexadecimal.

use std::fmt;
use std::str::FromStr;

use crypto::{HashAlgorithm, Hasher};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::DigestError;

/// A supported digest algorithm.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Algorithm {
    /// `sha256`
    Sha256,
    /// `sha512`
    Sha512,
}

impl Algorithm {
    /// Every supported algorithm.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Digits in the encoded part: 64 or 128.
    #[must_use]
    pub const fn hex_chars(self) -> usize {
        self.hash().digest_bytes() * 2
    }

    /// The spelling in digests and file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.hash().name()
    }

    const fn hash(self) -> HashAlgorithm {
        match self {
            Self::Sha256 => HashAlgorithm::Sha256,
            Self::Sha512 => HashAlgorithm::Sha512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| DigestError::UnsupportedAlgorithm {
                algorithm: name.to_owned(),
            })
    }
}

/// A digest. Its text is safe as a file name: an algorithm of [`Algorithm`] and lower-case
/// hexadecimal of exactly that algorithm's length.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// Digest of `bytes`.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        Self::from_raw(algorithm, &algorithm.hash().digest(bytes))
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The encoded part.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Whether `bytes` have this digest.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        Self::of(self.algorithm, bytes) == *self
    }

    /// From an algorithm and the encoded part, as file names keep them.
    ///
    /// # Errors
    /// [`DigestError::Encoding`] if `hex` is not lower-case hexadecimal of the right length.
    pub fn from_parts(algorithm: Algorithm, hex: &str) -> Result<Self, DigestError> {
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() == algorithm.hex_chars() && hex.bytes().all(lower_hex) {
            Ok(Self {
                algorithm,
                hex: hex.into(),
            })
        } else {
            Err(DigestError::Encoding { algorithm })
        }
    }

    fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Self {
        Self {
            algorithm,
            hex: hex::encode(raw).into(),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Grammar)?;
        let separator = |byte: u8| matches!(byte, b'+' | b'.' | b'_' | b'-');
        let algorithm_is_well_formed = algorithm
            .split(|c: char| c.is_ascii() && separator(c as u8))
            .all(|part| {
                !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'))
            });
        let encoded_is_well_formed = !encoded.is_empty()
            && encoded
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'=' | b'_' | b'-'));
        if !algorithm_is_well_formed || !encoded_is_well_formed {
            return Err(DigestError::Grammar);
        }
        Self::from_parts(algorithm.parse()?, encoded)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A digest over bytes that arrive in pieces. Cloning keeps the state so far.
#[derive(Clone, Debug)]
pub struct DigestHasher {
    algorithm: Algorithm,
    hasher: Hasher,
}

impl DigestHasher {
    /// Of nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            hasher: Hasher::new(algorithm.hash()),
        }
    }

    /// The algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Adds `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Digest {
        Digest::from_raw(self.algorithm, &self.hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_JSON: &str =
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn empty_json_has_the_digest_of_the_image_spec() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"{}").to_string(), EMPTY_JSON);
        assert!(EMPTY_JSON.parse::<Digest>().unwrap().matches(b"{}"));
    }

    #[test]
    fn streamed_digest_equals_the_whole_one() {
        for algorithm in Algorithm::ALL {
            let mut hasher = DigestHasher::new(algorithm);
            hasher.update(b"{");
            let kept = hasher.clone();
            hasher.update(b"}");
            assert_eq!(hasher.finish(), Digest::of(algorithm, b"{}"));
            assert_eq!(kept.finish(), Digest::of(algorithm, b"{"));
        }
    }

    #[test]
    fn malformed_digests_are_told_from_unsupported_ones() {
        let malformed = [
            "",
            "sha256",
            "sha256:",
            ":ab",
            "SHA256:ab",
            "sha-:ab",
            "sha256:a/b",
            "a:b:c",
        ];
        for text in malformed {
            assert_eq!(text.parse::<Digest>(), Err(DigestError::Grammar), "{text}");
        }
        for text in [
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "sha384:00",
            "multihash+base58:QmRZ",
        ] {
            let error = text.parse::<Digest>().unwrap_err();
            assert!(
                matches!(error, DigestError::UnsupportedAlgorithm { .. }),
                "{text}: {error}"
            );
        }
        let upper = EMPTY_JSON.to_uppercase().replace("SHA256", "sha256");
        for text in ["sha256:baddigeststring", upper.as_str(), &EMPTY_JSON[..70]] {
            let error = text.parse::<Digest>().unwrap_err();
            assert!(
                matches!(error, DigestError::Encoding { .. }),
                "{text}: {error}"
            );
        }
    }
}
