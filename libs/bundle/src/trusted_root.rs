//! `dev.sigstore.trustroot.v1.TrustedRoot`: the keys and certificates that verification starts from.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::encoding::{bytes, from_json, list, text};
use crate::{Error, HashAlgorithm, KeyDetails, LogId};

/// When something was or is in use. Both ends are inclusive.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ValidityPeriod {
    /// Absent means that the document is broken, not that it was always valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Absent while in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

impl ValidityPeriod {
    /// In use since `start`.
    #[must_use]
    pub const fn since(start: Timestamp) -> Self {
        Self {
            start: Some(start),
            end: None,
        }
    }

    /// Whether `at` is inside. A period without a start contains nothing.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start.is_some_and(|start| start <= at) && self.end.is_none_or(|end| at <= end)
    }
}

/// A public key and when it signs.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublicKey {
    /// DER SubjectPublicKeyInfo; PKCS#1 for the deprecated key details.
    #[serde(with = "bytes", alias = "raw_bytes", default)]
    pub raw_bytes: Vec<u8>,
    /// Kind of key.
    #[serde(alias = "key_details", default)]
    pub key_details: KeyDetails,
    /// When it signs.
    #[serde(alias = "valid_for", default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<ValidityPeriod>,
}

/// A transparency log or a certificate transparency log.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransparencyLog {
    /// Where it is. For a v2 log the host is also the checkpoint's origin.
    #[serde(alias = "base_url", deserialize_with = "text", default)]
    pub base_url: String,
    /// Hash of its tree.
    #[serde(alias = "hash_algorithm", default)]
    pub hash_algorithm: HashAlgorithm,
    /// Its key.
    #[serde(alias = "public_key", default)]
    pub public_key: PublicKey,
    /// The id that entries and SCTs name. Compared, never recomputed.
    #[serde(alias = "log_id", default)]
    pub log_id: LogId,
    /// Id on the note's signature line, where it differs from the log id.
    #[serde(
        alias = "checkpoint_key_id",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub checkpoint_key_id: Option<LogId>,
    /// Who runs it.
    #[serde(
        deserialize_with = "text",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub operator: String,
}

/// Organization and common name of a certificate authority.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DistinguishedName {
    /// O.
    #[serde(deserialize_with = "text", default)]
    pub organization: String,
    /// CN.
    #[serde(alias = "common_name", deserialize_with = "text", default)]
    pub common_name: String,
}

/// A certificate authority or a timestamp authority.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CertificateAuthority {
    /// Subject of its root.
    #[serde(default)]
    pub subject: DistinguishedName,
    /// Where it is.
    #[serde(deserialize_with = "text", default)]
    pub uri: String,
    /// DER. For a CA: issuing certificate to root. For a timestamp authority: its leaf to root.
    #[serde(alias = "cert_chain", with = "chain", default)]
    pub cert_chain: Vec<Vec<u8>>,
    /// When it issues.
    #[serde(alias = "valid_for", default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<ValidityPeriod>,
    /// Who runs it.
    #[serde(
        deserialize_with = "text",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub operator: String,
}

/// All that a verifier trusts. The four lists are always written, even empty: some readers demand them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrustedRoot {
    /// [`Self::MEDIA_TYPE`].
    #[serde(alias = "media_type", deserialize_with = "text", default)]
    pub media_type: String,
    /// Transparency logs.
    #[serde(deserialize_with = "list", default)]
    pub tlogs: Vec<TransparencyLog>,
    /// Certificate authorities.
    #[serde(alias = "certificate_authorities", deserialize_with = "list", default)]
    pub certificate_authorities: Vec<CertificateAuthority>,
    /// Certificate transparency logs.
    #[serde(deserialize_with = "list", default)]
    pub ctlogs: Vec<TransparencyLog>,
    /// Timestamp authorities.
    #[serde(alias = "timestamp_authorities", deserialize_with = "list", default)]
    pub timestamp_authorities: Vec<CertificateAuthority>,
}

impl TrustedRoot {
    /// The only media type that clients take.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
    /// Largest document that is read, in bytes.
    pub const BYTES_MAX: usize = 4 << 20;

    /// Reads a trusted root.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Json`], [`Error::MediaType`], [`Error::LogValidityMissing`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let root: Self = from_json("trusted root", json, Self::BYTES_MAX)?;
        if root.media_type != Self::MEDIA_TYPE {
            return Err(Error::MediaType {
                got: root.media_type,
            });
        }
        let dated = |log: &TransparencyLog| {
            log.public_key
                .valid_for
                .as_ref()
                .is_some_and(|period| period.start.is_some())
        };
        if !root.tlogs.iter().chain(&root.ctlogs).all(dated) {
            return Err(Error::LogValidityMissing);
        }
        Ok(root)
    }

    /// Indented JSON with a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("the model has string keys only");
        json.push('\n');
        json
    }
}

impl Default for TrustedRoot {
    fn default() -> Self {
        Self {
            media_type: Self::MEDIA_TYPE.to_owned(),
            tlogs: Vec::new(),
            certificate_authorities: Vec::new(),
            ctlogs: Vec::new(),
            timestamp_authorities: Vec::new(),
        }
    }
}

/// `X509CertificateChain { certificates: [{ raw_bytes }] }` as a list of DER.
mod chain {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::encoding::{bytes, list};

    #[derive(Default, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        #[serde(deserialize_with = "list", default)]
        certificates: Vec<Certificate>,
    }

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Certificate {
        #[serde(with = "bytes", alias = "raw_bytes", default)]
        raw_bytes: Vec<u8>,
    }

    pub(super) fn serialize<S: Serializer>(
        chain: &[Vec<u8>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let certificates = chain
            .iter()
            .map(|der| Certificate {
                raw_bytes: der.clone(),
            })
            .collect();
        Wire { certificates }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let wire = Option::<Wire>::deserialize(deserializer)?.unwrap_or_default();
        Ok(wire
            .certificates
            .into_iter()
            .map(|certificate| certificate.raw_bytes)
            .collect())
    }
}
