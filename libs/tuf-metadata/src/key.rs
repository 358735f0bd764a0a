//! Keys as root metadata lists them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::canonical_json;

/// Hex SHA-256 of a key's canonical JSON. Metadata of others may name keys otherwise; ids are compared
/// and never recomputed.
pub type KeyId = String;

/// A public key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Key {
    /// `ecdsa`, `ed25519` or another that this crate does not verify.
    pub keytype: String,
    /// `ecdsa-sha2-nistp256`, `ed25519`, …
    pub scheme: String,
    /// The key itself.
    pub keyval: KeyValue,
    /// Members that the specification does not name; they are part of what is signed.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The `keyval` object.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeyValue {
    /// PEM for `ecdsa`, hex for `ed25519`.
    pub public: String,
    /// Members that the specification does not name.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Key {
    /// A key of type `ecdsa`, scheme `ecdsa-sha2-nistp256` (P-256), in PEM.
    #[must_use]
    pub fn ecdsa_p256(key: &crypto::PublicKey) -> Self {
        Self {
            keytype: "ecdsa".to_owned(),
            scheme: "ecdsa-sha2-nistp256".to_owned(),
            keyval: KeyValue {
                public: key.to_pem(),
                other: Map::new(),
            },
            other: BTreeMap::new(),
        }
    }

    /// Hex SHA-256 over the canonical JSON of the members that the specification names.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let value = json!({
            "keytype": self.keytype,
            "keyval": {"public": self.keyval.public},
            "scheme": self.scheme,
        });
        let bytes = canonical_json(&value).expect("only strings inside");
        hex::encode(crypto::sha256(&bytes))
    }

    /// Whether `signature` is this key's over `message`. A key of an unknown type or scheme verifies
    /// nothing.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = match (self.keytype.as_str(), self.scheme.as_str()) {
            ("ecdsa" | "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
                crypto::PublicKey::from_pem(&self.keyval.public)
                    .ok()
                    .filter(|key| key.kind() == crypto::PublicKeyKind::P256)
            }
            ("ed25519", "ed25519") => hex::decode(&self.keyval.public)
                .ok()
                .and_then(|raw| crypto::PublicKey::from_ed25519(&raw).ok()),
            _ => None,
        };
        let hash = crypto::HashAlgorithm::Sha256;
        key.is_some_and(|key| key.verify(hash, message, signature).is_ok())
    }
}
