//! The trust directory: the files that `siglab trust` writes for clients without TUF. Pure.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bundle::{
    CertificateAuthority, ClientTrustConfig, SigningConfig, TrustedRoot, trust_root_head,
};

use crate::{
    repository::{Broken, Repository},
    trust::{Previous, SIGNING_CONFIG_V1, SIGNING_CONFIG_V2},
};

/// Name of the TrustRoot objects.
const TRUST_ROOT: &str = "siglab";

/// File names and contents.
pub(crate) fn files(
    repository: &Repository,
    mirror: &str,
) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let Previous {
        trusted_root,
        signing_config,
    } = repository.documents()?;
    let mut files = BTreeMap::new();
    let root = String::from_utf8(repository.root_json().to_vec())?;
    let digest = hex::encode(crypto::sha256(root.as_bytes()));
    files.insert("root.json.sha256", format!("{digest}  root.json\n"));
    for (file, target) in [
        ("signing_config_rekor_v1.json", SIGNING_CONFIG_V1),
        ("signing_config_rekor_v2.json", SIGNING_CONFIG_V2),
    ] {
        if let Some(bytes) = repository.target(target) {
            files.insert(file, String::from_utf8(bytes.to_vec())?);
        }
    }
    for (file, target) in [("rekor.pub", "rekor.pub"), ("ctlog.pub", "ctfe.pub")] {
        let bytes = repository.target(target);
        let bytes = bytes.ok_or_else(|| Broken::Missing {
            path: target.to_owned(),
        })?;
        files.insert(file, String::from_utf8(bytes.to_vec())?);
    }
    files.insert(
        "fulcio-chain.pem",
        chains(&trusted_root.certificate_authorities),
    );
    files.insert("tsa-chain.pem", chains(&trusted_root.timestamp_authorities));
    files.insert(
        "trust-root.yaml",
        trusted_root.to_trust_root_yaml(TRUST_ROOT),
    );
    files.insert("trust-root-remote.yaml", remote_yaml(&root, mirror));
    files.insert(
        "trust_config.json",
        trust_config(&trusted_root, &signing_config),
    );
    files.insert("trusted_root.json", trusted_root.to_json());
    files.insert("signing_config.json", signing_config.to_json());
    files.insert("root.json", root);
    Ok(files)
}

fn trust_config(trusted_root: &TrustedRoot, signing_config: &SigningConfig) -> String {
    ClientTrustConfig::new(trusted_root.clone(), signing_config.clone()).to_json()
}

fn chain(authority: &CertificateAuthority) -> String {
    authority
        .cert_chain
        .iter()
        .map(|der| crypto::to_pem("CERTIFICATE", der))
        .collect()
}

fn chains(authorities: &[CertificateAuthority]) -> String {
    authorities.iter().map(chain).collect()
}

/// A TrustRoot of the form `remote`: the controller follows the TUF repository.
fn remote_yaml(root: &str, mirror: &str) -> String {
    let root = STANDARD.encode(root);
    let head = trust_root_head(TRUST_ROOT);
    format!(
        "{head}  remote:\n    mirror: {}\n    root: {root}\n    targets: targets\n    \
         trustedRootTarget: trusted_root.json\n",
        quoted(mirror)
    )
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
