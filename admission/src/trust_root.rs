//! TrustRoot: the trust that a policy names by `trustRootRef`; its model, validation and inlining.

use std::io::Read as _;

use base64::Engine as _;
use bundle::{
    CertificateAuthority, DistinguishedName, HashAlgorithm, KeyDetails, LogId, PublicKey,
    TransparencyLog, TrustedRoot, ValidityPeriod,
};
use crypto::PublicKeyKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::field_error::FieldErrors;
use crate::policy::Document;

/// Largest decompressed repository, in bytes.
const REPOSITORY_MAX: u64 = 16 << 20;

pub(crate) type TrustRoot = Document<Spec>;

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote: Option<Remote>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) repository: Option<Repository>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sigstore_keys: Option<SigstoreKeys>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remote {
    #[serde(default)]
    pub(crate) root: Option<String>,
    #[serde(default)]
    pub(crate) mirror: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) targets: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) trusted_root_target: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repository {
    #[serde(default)]
    pub(crate) root: Option<String>,
    #[serde(rename = "mirrorFS", default)]
    pub(crate) mirror_fs: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) targets: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) trusted_root_target: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SigstoreKeys {
    #[serde(default)]
    pub(crate) certificate_authorities: Option<Vec<Authority>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) t_logs: Option<Vec<Log>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ct_logs: Option<Vec<Log>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp_authorities: Option<Vec<Authority>>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authority {
    #[serde(default)]
    pub(crate) subject: Subject,
    #[serde(default)]
    pub(crate) uri: String,
    #[serde(default)]
    pub(crate) cert_chain: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Subject {
    #[serde(default)]
    pub(crate) organization: String,
    #[serde(default)]
    pub(crate) common_name: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    #[serde(rename = "baseURL", default)]
    pub(crate) base_url: String,
    #[serde(default)]
    pub(crate) hash_algorithm: String,
    #[serde(default)]
    pub(crate) public_key: Option<String>,
}

/// Everything that is wrong with a TrustRoot.
pub(crate) fn validate(spec: &Spec) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let paths = ["spec.remote", "spec.repository", "spec.sigstoreKeys"];
    match (&spec.remote, &spec.repository, &spec.sigstore_keys) {
        (None, None, None) => errors.neither(&paths),
        (Some(remote), None, None) => validate_remote(&mut errors, remote),
        (None, Some(repository), None) => validate_repository(&mut errors, repository),
        (None, None, Some(keys)) => validate_keys(&mut errors, keys),
        _ => errors.both(&paths),
    }
    errors
}

fn validate_remote(errors: &mut FieldErrors, remote: &Remote) {
    if remote.mirror.as_deref().unwrap_or_default().is_empty() {
        errors.missing(&["spec.remote.mirror"]);
    }
    validate_root(errors, remote.root.as_deref(), "spec.remote.root");
}

fn validate_root(errors: &mut FieldErrors, root: Option<&str>, path: &str) {
    let root = decode(root);
    if root.is_empty() {
        errors.missing(&[path]);
        return;
    }
    match serde_json::from_slice::<Value>(&root) {
        Err(error) => errors.invalid("failed to unmarshal", path, &error.to_string()),
        Ok(root) if root.get("signatures").is_none() => {
            errors.invalid("missing signatures in root.json", path, "no signatures");
        }
        Ok(_) => {}
    }
}

fn validate_repository(errors: &mut FieldErrors, repository: &Repository) {
    validate_root(errors, repository.root.as_deref(), "spec.repository.root");
    if repository.targets.is_empty() {
        errors.missing(&["spec.repository.targets"]);
    }
    let archive = decode(repository.mirror_fs.as_deref());
    if archive.is_empty() {
        errors.missing(&["spec.repository.repository"]);
        return;
    }
    if !errors.is_empty() {
        return;
    }
    if let Err(error) = unpack(&archive) {
        errors.invalid(
            "failed to construct a TUF client",
            "spec.repository.mirrorFS",
            &error,
        );
    }
}

/// The files of a gzipped tar below `repository/`, that prefix removed.
///
/// # Errors
/// Why the archive cannot be read.
pub(crate) fn unpack(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let failed = |reason: &str| format!("failed to uncompress: {reason}");
    if archive.len() < 10 {
        return Err(failed("unexpected EOF"));
    }
    let decoder = flate2::read::GzDecoder::new(archive);
    if decoder.header().is_none() {
        return Err(failed("gzip: invalid header"));
    }
    let mut tar = tar::Archive::new(decoder.take(REPOSITORY_MAX));
    let mut files = Vec::new();
    for entry in tar.entries().map_err(|error| failed(&error.to_string()))? {
        let mut entry = entry.map_err(|error| failed(&error.to_string()))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(|error| failed(&error.to_string()))?;
        let path = path.to_string_lossy().trim_start_matches("./").to_owned();
        let Some(name) = path.strip_prefix("repository/") else {
            continue;
        };
        let name = name.to_owned();
        let mut bytes = Vec::new();
        entry
            .read_to_end(&mut bytes)
            .map_err(|error| failed(&error.to_string()))?;
        files.push((name, bytes));
    }
    Ok(files)
}

// Divergence: all lists are checked; upstream keeps only the findings of the last list.
fn validate_keys(errors: &mut FieldErrors, keys: &SigstoreKeys) {
    let authorities = keys.certificate_authorities.as_deref().unwrap_or_default();
    let timestamps = keys.timestamp_authorities.as_deref().unwrap_or_default();
    if authorities.is_empty() && timestamps.is_empty() {
        errors.neither(&[
            "spec.sigstoreKeys.certificateAuthority",
            "spec.sigstoreKeys.timestampAuthorities",
        ]);
    }
    for (index, authority) in authorities.iter().enumerate() {
        let path = format!("spec.sigstoreKeys.certificateAuthority[{index}]");
        validate_authority(errors, authority, &path);
    }
    for (index, authority) in timestamps.iter().enumerate() {
        let path = format!("spec.sigstoreKeys.timestampAuthorities[{index}]");
        validate_authority(errors, authority, &path);
        let chain = decode(authority.cert_chain.as_deref());
        if chain.is_empty() {
            continue;
        }
        let chain_path = format!("{path}.certChain");
        match certificates(&chain) {
            Err(error) => {
                errors.invalid("error splitting the certificates", &chain_path, &error);
            }
            Ok(chain) => {
                let leaves = chain
                    .iter()
                    .filter(|certificate| !certificate.is_ca().unwrap_or(false))
                    .count();
                if leaves > 1 {
                    errors.invalid(
                        "certificate chain must contain at most one TSA certificate",
                        &chain_path,
                        "",
                    );
                }
            }
        }
    }
    let logs = [("tLogs", &keys.t_logs), ("ctLogs", &keys.ct_logs)];
    for (field, logs) in logs {
        for (index, log) in logs.as_deref().unwrap_or_default().iter().enumerate() {
            let path = format!("spec.sigstoreKeys.{field}[{index}]");
            for (field, missing) in [
                ("baseURL", log.base_url.is_empty()),
                ("hashAlgorithm", log.hash_algorithm.is_empty()),
                ("publicKey", decode(log.public_key.as_deref()).is_empty()),
            ] {
                if missing {
                    errors.missing(&[&format!("{path}.{field}")]);
                }
            }
        }
    }
}

fn validate_authority(errors: &mut FieldErrors, authority: &Authority, path: &str) {
    for (field, missing) in [
        (
            "subject.organization",
            authority.subject.organization.is_empty(),
        ),
        (
            "subject.commonName",
            authority.subject.common_name.is_empty(),
        ),
        ("uri", authority.uri.is_empty()),
        (
            "certchain",
            decode(authority.cert_chain.as_deref()).is_empty(),
        ),
    ] {
        if missing {
            errors.missing(&[&format!("{path}.{field}")]);
        }
    }
}

/// The trusted root that listed keys stand for.
///
/// # Errors
/// Which part cannot be used.
pub(crate) fn inline(keys: &SigstoreKeys) -> Result<TrustedRoot, String> {
    let list = |authorities: &Option<Vec<Authority>>| {
        authorities
            .iter()
            .flatten()
            .map(inline_authority)
            .collect::<Result<Vec<_>, _>>()
    };
    let logs = |logs: &Option<Vec<Log>>, tiled| {
        logs.iter()
            .flatten()
            .map(|log| inline_log(log, tiled))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(TrustedRoot {
        certificate_authorities: list(&keys.certificate_authorities)?,
        timestamp_authorities: list(&keys.timestamp_authorities)?,
        tlogs: logs(&keys.t_logs, true)?,
        ctlogs: logs(&keys.ct_logs, false)?,
        ..TrustedRoot::default()
    })
}

fn inline_authority(authority: &Authority) -> Result<CertificateAuthority, String> {
    let chain = certificates(&decode(authority.cert_chain.as_deref()))?;
    Ok(CertificateAuthority {
        subject: DistinguishedName {
            organization: authority.subject.organization.clone(),
            common_name: authority.subject.common_name.clone(),
        },
        uri: authority.uri.clone(),
        cert_chain: chain
            .iter()
            .map(|certificate| certificate.der().to_vec())
            .collect(),
        valid_for: Some(ValidityPeriod::since(Timestamp::UNIX_EPOCH)),
        operator: String::new(),
    })
}

/// `tiled`: an Ed25519 log is a v2 log, whose id is its note key hash (C2SP signed-note).
fn inline_log(log: &Log, tiled: bool) -> Result<TransparencyLog, String> {
    let pem = decode(log.public_key.as_deref());
    let pem = std::str::from_utf8(&pem).map_err(|_| "a log's public key is not PEM".to_owned())?;
    let key = crypto::PublicKey::from_pem(pem).map_err(|error| error.to_string())?;
    let key_details = match key.kind() {
        PublicKeyKind::P256 => KeyDetails::EcdsaP256Sha256,
        PublicKeyKind::P384 => KeyDetails::EcdsaP384Sha384,
        PublicKeyKind::P521 => KeyDetails::EcdsaP521Sha512,
        PublicKeyKind::Ed25519 => KeyDetails::Ed25519,
        PublicKeyKind::Rsa { bits: 4096 } => KeyDetails::RsaPkcs1v15_4096Sha256,
        PublicKeyKind::Rsa { bits: 3072 } => KeyDetails::RsaPkcs1v15_3072Sha256,
        PublicKeyKind::Rsa { .. } => KeyDetails::RsaPkcs1v15_2048Sha256,
    };
    let key_id = if tiled && key.kind() == PublicKeyKind::Ed25519 {
        let url = url::Url::parse(&log.base_url).map_err(|error| error.to_string())?;
        let origin = url.host_str().unwrap_or_default();
        crypto::sha256(&[origin.as_bytes(), b"\n\x01", key.raw_bytes()].concat())
    } else {
        key.key_id()
    };
    Ok(TransparencyLog {
        base_url: log.base_url.clone(),
        hash_algorithm: match log.hash_algorithm.as_str() {
            "sha-256" | "sha256" => HashAlgorithm::Sha2_256,
            "sha-384" | "sha384" => HashAlgorithm::Sha2_384,
            "sha-512" | "sha512" => HashAlgorithm::Sha2_512,
            _ => HashAlgorithm::Unspecified,
        },
        public_key: PublicKey {
            raw_bytes: key.spki_der().to_vec(),
            key_details,
            valid_for: Some(ValidityPeriod::since(Timestamp::UNIX_EPOCH)),
        },
        log_id: LogId {
            key_id: key_id.to_vec(),
        },
        checkpoint_key_id: None,
        operator: String::new(),
    })
}

fn certificates(pem: &[u8]) -> Result<Vec<x509::Certificate>, String> {
    let broken = || "error during PEM decoding".to_owned();
    let text = std::str::from_utf8(pem).map_err(|_| broken())?;
    let blocks = crypto::from_pem_chain(text).map_err(|_| broken())?;
    if blocks.is_empty() {
        return Err(broken());
    }
    blocks
        .iter()
        .map(|(_, der)| x509::Certificate::from_der(der).map_err(|error| error.to_string()))
        .collect()
}

/// Base64 of a `[]byte` field; broken base64 reads as nothing, and nothing is refused as missing.
pub(crate) fn decode(text: Option<&str>) -> Vec<u8> {
    text.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok())
        .unwrap_or_default()
}
