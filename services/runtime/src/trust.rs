//! What a service says of itself to the trust repository: keys, chains and URLs.
//!
//! Served by the admin door at `/trust/NAME`, collected by the TUF service, which turns it into
//! `trusted_root.json` and `signing_config.json`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that one service adds to the trusted root and the signing config.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trust {
    /// Rekor logs.
    pub tlogs: Vec<TransparencyLog>,
    /// Certificate transparency logs.
    pub ctlogs: Vec<TransparencyLog>,
    /// Certificate authorities: chains from the issuer to the root.
    pub certificate_authorities: Vec<CertificateAuthority>,
    /// Timestamp authorities: chains from the signing leaf to the root.
    pub timestamp_authorities: Vec<CertificateAuthority>,
    /// Where clients go to sign.
    pub services: Vec<ServiceUrl>,
}

/// A log's key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TransparencyLog {
    /// URL as clients see it.
    pub base_url: String,
    /// DER SubjectPublicKeyInfo.
    #[serde(with = "base64_bytes")]
    pub public_key: Vec<u8>,
    /// The protobuf-specs name, such as `PKIX_ECDSA_P256_SHA_256`.
    pub key_details: String,
    /// 32 bytes: SHA-256 of the key, or the C2SP key hash of an Ed25519 log.
    #[serde(with = "base64_bytes")]
    pub log_id: Vec<u8>,
    /// Start of the key's validity.
    pub valid_from: Timestamp,
}

/// A chain of certificates.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateAuthority {
    /// URL as clients see it.
    pub uri: String,
    /// Subject organization of the root.
    pub organization: String,
    /// Subject common name of the root.
    pub common_name: String,
    /// DER certificates, root last.
    #[serde(with = "base64_list")]
    pub chain: Vec<Vec<u8>>,
    /// Start of the chain's validity.
    pub valid_from: Timestamp,
}

/// One entry of the signing config.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceUrl {
    /// What the URL is for.
    pub role: ServiceRole,
    /// URL as clients see it.
    pub url: String,
    /// API version that clients select by.
    pub major_api_version: u32,
    /// Start of the service's validity.
    pub valid_from: Timestamp,
}

/// The four lists of a signing config.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceRole {
    /// `caUrls`.
    CertificateAuthority,
    /// `oidcUrls`.
    OidcProvider,
    /// `rekorTlogUrls`.
    TransparencyLog,
    /// `tsaUrls`.
    TimestampAuthority,
}

mod base64_bytes {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD
            .decode(String::deserialize(from)?)
            .map_err(D::Error::custom)
    }
}

mod base64_list {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(list: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        list.iter()
            .map(|bytes| STANDARD.encode(bytes))
            .collect::<Vec<_>>()
            .serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        Vec::<String>::deserialize(from)?
            .iter()
            .map(|text| STANDARD.decode(text).map_err(D::Error::custom))
            .collect()
    }
}
