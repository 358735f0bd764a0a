//! Settings of both logs.

use anyhow::ensure;
use entry::{
    Kind,
    v2::{Algorithms, KeyDetails},
};
use serde::{Deserialize, Serialize};

/// Settings of `[rekor]`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The log of API version 1.
    pub v1: V1Config,
    /// The log of API version 2.
    pub v2: V2Config,
}

impl Config {
    /// Refuses values with which nothing could be served.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (name, bytes) in [
            ("v1", self.v1.max_request_body_size),
            ("v2", self.v2.max_request_body_size),
        ] {
            ensure!(
                bytes > 0,
                "rekor.{name}.max_request_body_size is 0, no body would fit"
            );
        }
        Ok(())
    }
}

/// Settings of `[rekor.v1]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct V1Config {
    /// Operations that are served; the others answer 501.
    pub enabled_api_endpoints: Vec<Operation>,
    /// Kinds that may be logged.
    pub enabled_entry_types: Vec<EntryType>,
    /// Keys and hashes that a hashedrekord may be signed with.
    pub client_signing_algorithms: Vec<Algorithm>,
    /// Longest request body in bytes; the default is the public log's.
    pub max_request_body_size: usize,
    /// Whether payloads of intoto entries are kept and served.
    pub enable_attestation_storage: bool,
    /// Longest payload that is kept, in bytes.
    pub max_attestation_size: usize,
}

impl Default for V1Config {
    fn default() -> Self {
        Self {
            enabled_api_endpoints: Operation::ALL.to_vec(),
            enabled_entry_types: EntryType::ALL.to_vec(),
            client_signing_algorithms: Algorithm::ALL.to_vec(),
            max_request_body_size: 32_792_576,
            enable_attestation_storage: true,
            max_attestation_size: 100 << 10,
        }
    }
}

/// Settings of `[rekor.v2]`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct V2Config {
    /// Kind of the log's key when it is made. A log keeps the key it was made with.
    pub key: LogKey,
    /// Whether checkpoint, tiles and entry bundles are served; if not they answer 501, as upstream's
    /// write server does.
    pub serve_reads: bool,
    /// Whether the log is frozen: writes answer 405, reads go on.
    pub read_only: bool,
    /// Whether DSSE requests are taken, as upstream did up to v2.2.
    pub accept_dsse: bool,
    /// Keys and hashes that an entry may be signed with.
    pub client_signing_algorithms: Vec<Algorithm>,
    /// Longest request body in bytes.
    pub max_request_body_size: usize,
}

impl Default for V2Config {
    fn default() -> Self {
        Self {
            key: LogKey::Ed25519,
            serve_reads: true,
            read_only: false,
            accept_dsse: true,
            client_signing_algorithms: Algorithm::ALL.to_vec(),
            max_request_body_size: 4 << 20,
        }
    }
}

/// Kind of a log's key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKey {
    /// ECDSA P-256.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

/// A kind of entry of Rekor v1.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryType {
    /// A DSSE envelope, by its hashes.
    Dsse,
    /// A signature over a digest.
    HashedRekord,
    /// An attestation, whose payload may be kept.
    Intoto,
    /// A signature over an artefact.
    Rekord,
}

impl EntryType {
    const ALL: [Self; 4] = [Self::Dsse, Self::HashedRekord, Self::Intoto, Self::Rekord];

    /// The kind of an entry; those of Rekor v2 have the same names.
    pub(crate) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::DsseV001 | Kind::DsseV002 => Self::Dsse,
            Kind::HashedRekordV001 | Kind::HashedRekordV002 => Self::HashedRekord,
            Kind::IntotoV001 | Kind::IntotoV002 => Self::Intoto,
            Kind::RekordV001 => Self::Rekord,
        }
    }
}

/// An operation of Rekor v1, by upstream's name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// POST `/api/v1/log/entries`.
    CreateLogEntry,
    /// GET `/api/v1/log/entries?logIndex=`.
    GetLogEntryByIndex,
    /// GET `/api/v1/log/entries/{entryUUID}`.
    #[serde(rename = "getLogEntryByUUID")]
    GetLogEntryByUuid,
    /// GET `/api/v1/log`.
    GetLogInfo,
    /// GET `/api/v1/log/proof`.
    GetLogProof,
    /// GET `/api/v1/log/publicKey`.
    GetPublicKey,
    /// POST `/api/v1/index/retrieve`.
    SearchIndex,
    /// POST `/api/v1/log/entries/retrieve`.
    SearchLogQuery,
}

impl Operation {
    const ALL: [Self; 8] = [
        Self::CreateLogEntry,
        Self::GetLogEntryByIndex,
        Self::GetLogEntryByUuid,
        Self::GetLogInfo,
        Self::GetLogProof,
        Self::GetPublicKey,
        Self::SearchIndex,
        Self::SearchLogQuery,
    ];

    /// The name in the 501 message.
    pub(crate) const fn described(self) -> &'static str {
        match self {
            Self::CreateLogEntry => "Create Entry",
            Self::GetLogEntryByIndex => "Get Log Entry by Index",
            Self::GetLogEntryByUuid => "Get Log Entry by UUID",
            Self::GetLogInfo => "Get Log Info",
            Self::GetLogProof => "Get Log Proof",
            Self::GetPublicKey => "Get Public Key",
            Self::SearchIndex => "Search Index",
            Self::SearchLogQuery => "Search Log Query",
        }
    }
}

/// A key and hash, by the names of upstream's `--client-signing-algorithms`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Algorithm {
    /// ECDSA P-256 with SHA-256.
    #[serde(rename = "ecdsa-sha2-256-nistp256")]
    EcdsaP256,
    /// ECDSA P-384 with SHA-384.
    #[serde(rename = "ecdsa-sha2-384-nistp384")]
    EcdsaP384,
    /// ECDSA P-521 with SHA-512.
    #[serde(rename = "ecdsa-sha2-512-nistp521")]
    EcdsaP521,
    /// Ed25519ph.
    #[serde(rename = "ed25519-ph")]
    Ed25519Ph,
    /// RSA 2048, PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-sign-pkcs1-2048-sha256")]
    Rsa2048,
    /// RSA 3072, PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-sign-pkcs1-3072-sha256")]
    Rsa3072,
    /// RSA 4096, PKCS#1 v1.5 with SHA-256.
    #[serde(rename = "rsa-sign-pkcs1-4096-sha256")]
    Rsa4096,
}

impl Algorithm {
    const ALL: [Self; 7] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::Ed25519Ph,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
    ];

    const fn key_details(self) -> KeyDetails {
        match self {
            Self::EcdsaP256 => KeyDetails::EcdsaP256Sha256,
            Self::EcdsaP384 => KeyDetails::EcdsaP384Sha384,
            Self::EcdsaP521 => KeyDetails::EcdsaP521Sha512,
            Self::Ed25519Ph => KeyDetails::Ed25519Ph,
            Self::Rsa2048 => KeyDetails::Rsa2048Sha256,
            Self::Rsa3072 => KeyDetails::Rsa3072Sha256,
            Self::Rsa4096 => KeyDetails::Rsa4096Sha256,
        }
    }
}

/// The set that `libs/entry` asks.
pub(crate) fn algorithms(list: &[Algorithm]) -> Algorithms {
    Algorithms::new(
        list.iter()
            .map(|algorithm| algorithm.key_details())
            .collect(),
    )
}
