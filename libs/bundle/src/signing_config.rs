//! `dev.sigstore.trustroot.v1.SigningConfig` and `ClientTrustConfig`: which services a signer calls.

use serde::{Deserialize, Serialize};

use crate::encoding::{from_json, list, text};
use crate::{Error, ServiceSelector, TrustedRoot, ValidityPeriod};

/// One instance of a service.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Service {
    /// Where it is: the root of Fulcio, Rekor and the issuer, the whole path of a timestamp authority.
    #[serde(deserialize_with = "text", default)]
    pub url: String,
    /// Version of its API as protobuf-specs counts (Fulcio's `/api/v2` is 1).
    #[serde(alias = "major_api_version", default)]
    pub major_api_version: u32,
    /// When it may be used.
    #[serde(alias = "valid_for", default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<ValidityPeriod>,
    /// Who runs it; clients take at most one service of an operator.
    #[serde(deserialize_with = "text", default)]
    pub operator: String,
}

/// How many services of a list are used.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfiguration {
    /// Which.
    #[serde(default)]
    pub selector: ServiceSelector,
    /// How many, for [`ServiceSelector::Exact`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub count: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Which services a signer calls.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SigningConfig {
    /// [`Self::MEDIA_TYPE`].
    #[serde(alias = "media_type", deserialize_with = "text", default)]
    pub media_type: String,
    /// Certificate authorities.
    #[serde(alias = "ca_urls", deserialize_with = "list", default)]
    pub ca_urls: Vec<Service>,
    /// Issuers of identity tokens.
    #[serde(alias = "oidc_urls", deserialize_with = "list", default)]
    pub oidc_urls: Vec<Service>,
    /// Transparency logs.
    #[serde(alias = "rekor_tlog_urls", deserialize_with = "list", default)]
    pub rekor_tlog_urls: Vec<Service>,
    /// How many of them; absent when there is none, because readers refuse an empty object.
    #[serde(
        alias = "rekor_tlog_config",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub rekor_tlog_config: Option<ServiceConfiguration>,
    /// Timestamp authorities.
    #[serde(alias = "tsa_urls", deserialize_with = "list", default)]
    pub tsa_urls: Vec<Service>,
    /// How many of them; absent when there is none.
    #[serde(alias = "tsa_config", default, skip_serializing_if = "Option::is_none")]
    pub tsa_config: Option<ServiceConfiguration>,
}

impl SigningConfig {
    /// The only media type that clients take.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
    /// Largest document that is read, in bytes.
    pub const BYTES_MAX: usize = 1 << 20;

    /// Reads a signing config.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Json`], [`Error::MediaType`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let config: Self = from_json("signing config", json, Self::BYTES_MAX)?;
        if config.media_type == Self::MEDIA_TYPE {
            Ok(config)
        } else {
            Err(Error::MediaType {
                got: config.media_type,
            })
        }
    }

    /// Indented JSON with a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("the model has string keys only");
        json.push('\n');
        json
    }
}

impl Default for SigningConfig {
    fn default() -> Self {
        Self {
            media_type: Self::MEDIA_TYPE.to_owned(),
            ca_urls: Vec::new(),
            oidc_urls: Vec::new(),
            rekor_tlog_urls: Vec::new(),
            rekor_tlog_config: None,
            tsa_urls: Vec::new(),
            tsa_config: None,
        }
    }
}

/// Trusted root and signing config in one file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientTrustConfig {
    /// [`Self::MEDIA_TYPE`].
    #[serde(alias = "media_type", deserialize_with = "text", default)]
    pub media_type: String,
    /// What is trusted.
    #[serde(alias = "trusted_root")]
    pub trusted_root: TrustedRoot,
    /// What is called.
    #[serde(alias = "signing_config")]
    pub signing_config: SigningConfig,
}

impl ClientTrustConfig {
    /// The only media type that clients take.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json";
    /// Largest document that is read, in bytes.
    pub const BYTES_MAX: usize = 5 << 20;

    /// Joins the two.
    #[must_use]
    pub fn new(trusted_root: TrustedRoot, signing_config: SigningConfig) -> Self {
        Self {
            media_type: Self::MEDIA_TYPE.to_owned(),
            trusted_root,
            signing_config,
        }
    }

    /// Reads a client trust config.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Json`], [`Error::MediaType`].
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let config: Self = from_json("client trust config", json, Self::BYTES_MAX)?;
        if config.media_type == Self::MEDIA_TYPE {
            Ok(config)
        } else {
            Err(Error::MediaType {
                got: config.media_type,
            })
        }
    }

    /// Indented JSON with a final newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string_pretty(self).expect("the model has string keys only");
        json.push('\n');
        json
    }
}
