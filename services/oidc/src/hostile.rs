//! Tokens that every verifier must refuse, handed out on the admin door for tests of verifiers.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::SigningKey;
use serde_json::{Map, Value, json};

use crate::{Error, jwt::TokenKey};

/// What is wrong with a token. An expired one or one for another audience needs no flaw: `lifetime` and
/// `audience` of any token request give it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    /// A genuine token with one bit of its signature turned.
    BadSignature,
    /// Signed by a key that this issuer does not publish, under the published key's id.
    OtherKey,
    /// Genuine, but the header names a key that does not exist.
    UnknownKid,
    /// `alg` is `none`, and there is no signature.
    Unsigned,
    /// The header says HS256, over a genuine RS256 signature.
    WrongAlgorithm,
}

impl Flaw {
    const ALL: [Self; 5] = [
        Self::BadSignature,
        Self::OtherKey,
        Self::UnknownKid,
        Self::Unsigned,
        Self::WrongAlgorithm,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::BadSignature => "bad-signature",
            Self::OtherKey => "other-key",
            Self::UnknownKid => "unknown-kid",
            Self::Unsigned => "unsigned",
            Self::WrongAlgorithm => "wrong-algorithm",
        }
    }

    pub(crate) fn from_name(name: &str) -> Result<Self, Error> {
        let problem = "must be bad-signature, other-key, unknown-kid, unsigned or wrong-algorithm";
        Self::ALL
            .into_iter()
            .find(|flaw| flaw.name() == name)
            .ok_or(Error::Parameter {
                name: "flaw",
                problem,
            })
    }

    /// The compact serialization of `claims` with this flaw.
    pub(crate) fn sign(
        self,
        claims: &Map<String, Value>,
        key: &TokenKey,
        other: &SigningKey,
    ) -> anyhow::Result<String> {
        let algorithm = match self {
            Self::Unsigned => "none",
            Self::WrongAlgorithm => "HS256",
            Self::BadSignature | Self::OtherKey | Self::UnknownKid => "RS256",
        };
        let kid = if self == Self::UnknownKid {
            "no-such-key"
        } else {
            key.kid()
        };
        let header = json!({ "alg": algorithm, "kid": kid, "typ": "JWT" }).to_string();
        let payload = serde_json::to_vec(claims)?;
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload)
        );
        let mut signature = match self {
            Self::Unsigned => Vec::new(),
            Self::OtherKey => other.sign(signed.as_bytes())?,
            Self::BadSignature | Self::UnknownKid | Self::WrongAlgorithm => {
                key.signature(signed.as_bytes())?
            }
        };
        if self == Self::BadSignature
            && let Some(byte) = signature.last_mut()
        {
            *byte ^= 1;
        }
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
