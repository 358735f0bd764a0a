//! Settings: the defaults give a working lab.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Settings of the certificate authority. Keys are read with `-` for `_` too.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the issuing key and its chain come from.
    pub ca: CaKind,
    /// Days that a generated authority is valid.
    #[serde(alias = "ca-validity-days")]
    pub ca_validity_days: u16,
    /// `ca = "file"`: PEM chain, issuer first, root last.
    #[serde(alias = "file-ca-cert")]
    pub file_ca_cert: Option<PathBuf>,
    /// `ca = "file"`: the issuer's key, PEM PKCS#8, encrypted or not.
    #[serde(alias = "file-ca-key")]
    pub file_ca_key: Option<PathBuf>,
    /// `ca = "file"`: password of the key.
    #[serde(alias = "file-ca-key-password")]
    pub file_ca_key_password: Option<String>,
    /// Issuers in upstream's configuration format, JSON or YAML. Without it the lab's own issuer is
    /// trusted and no other.
    #[serde(alias = "issuers-file")]
    pub issuers_file: Option<PathBuf>,
    /// Base URL of the CT log; the lab's own when not set; an empty text turns CT off.
    #[serde(alias = "ct-log-url")]
    pub ct_log_url: Option<String>,
    /// PEM public key of the CT log: SCTs that it did not sign are refused.
    #[serde(alias = "ct-log-public-key")]
    pub ct_log_public_key: Option<PathBuf>,
    /// Keys and hashes that may be certified, by their protobuf-specs names.
    #[serde(alias = "client-signing-algorithms")]
    pub client_signing_algorithms: Vec<String>,
    /// Whether the log says why a token was refused. Clients never learn it.
    #[serde(alias = "log-token-rejections")]
    pub log_token_rejections: bool,
    /// Issuers of the public world, exactly as tokens name them, that this lab may play. Without
    /// `issuers_file` they are trusted at once; their keys are the lab's own issuer's.
    #[serde(alias = "impersonate-issuers")]
    pub impersonate_issuers: Vec<String>,
    /// Whether the marker is critical in a certificate that names such an issuer. Verifiers that do not
    /// know the marker refuse it then.
    #[serde(alias = "impersonation-marker-critical")]
    pub impersonation_marker_critical: bool,
    /// Domains that a generated authority is limited to by name constraints: e-mail domains and hosts
    /// of URIs. Empty for no limit.
    #[serde(alias = "permit-identities")]
    pub permit_identities: Vec<String>,
}

/// Kinds of certificate authority.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaKind {
    /// A self-signed root in memory that issues directly; gone with the process.
    Ephemeral,
    /// Files of the operator.
    File,
    /// A root and an intermediate made at the first start and kept.
    Generated,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ca: CaKind::Generated,
            ca_validity_days: 90,
            file_ca_cert: None,
            file_ca_key: None,
            file_ca_key_password: None,
            issuers_file: None,
            ct_log_url: None,
            ct_log_public_key: None,
            client_signing_algorithms: [
                "ecdsa-sha2-256-nistp256",
                "ecdsa-sha2-384-nistp384",
                "ecdsa-sha2-512-nistp521",
                "rsa-sign-pkcs1-2048-sha256",
                "rsa-sign-pkcs1-3072-sha256",
                "rsa-sign-pkcs1-4096-sha256",
                "ed25519",
            ]
            .map(str::to_owned)
            .to_vec(),
            log_token_rejections: false,
            impersonate_issuers: Vec::new(),
            impersonation_marker_critical: true,
            permit_identities: Vec::new(),
        }
    }
}
