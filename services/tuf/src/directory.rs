//! The trust directory: the files that `siglab trust` writes for clients without TUF. Pure.

use std::{collections::BTreeMap, fmt::Write as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bundle::{
    CertificateAuthority, ClientTrustConfig, SigningConfig, TransparencyLog, TrustedRoot,
};

use crate::{
    repository::{Broken, Repository},
    trust::{Previous, SIGNING_CONFIG_V1, SIGNING_CONFIG_V2},
};

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
    files.insert("trust-root.yaml", trust_root_yaml(&trusted_root));
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

const TRUST_ROOT_HEAD: &str = "apiVersion: policy.sigstore.dev/v1alpha1\nkind: TrustRoot\n\
                               metadata:\n  name: siglab\nspec:\n";

/// A TrustRoot of the form `sigstoreKeys`: it needs no network.
fn trust_root_yaml(root: &TrustedRoot) -> String {
    let mut yaml = format!("{TRUST_ROOT_HEAD}  sigstoreKeys:\n");
    authorities(
        &mut yaml,
        "certificateAuthorities",
        &root.certificate_authorities,
    );
    logs(&mut yaml, "tLogs", &root.tlogs);
    logs(&mut yaml, "ctLogs", &root.ctlogs);
    authorities(
        &mut yaml,
        "timestampAuthorities",
        &root.timestamp_authorities,
    );
    yaml
}

/// A TrustRoot of the form `remote`: the controller follows the TUF repository.
fn remote_yaml(root: &str, mirror: &str) -> String {
    let root = STANDARD.encode(root);
    format!(
        "{TRUST_ROOT_HEAD}  remote:\n    mirror: {}\n    root: {root}\n    targets: targets\n    \
         trustedRootTarget: trusted_root.json\n",
        quoted(mirror)
    )
}

fn authorities(yaml: &mut String, list: &str, authorities: &[CertificateAuthority]) {
    if authorities.is_empty() {
        return;
    }
    let _ = writeln!(yaml, "    {list}:");
    for authority in authorities {
        let _ = write!(
            yaml,
            "      - subject:\n          organization: {}\n          commonName: {}\n        \
             uri: {}\n        certChain: {}\n",
            quoted(&authority.subject.organization),
            quoted(&authority.subject.common_name),
            quoted(&authority.uri),
            STANDARD.encode(chain(authority)),
        );
    }
}

fn logs(yaml: &mut String, list: &str, logs: &[TransparencyLog]) {
    if logs.is_empty() {
        return;
    }
    let _ = writeln!(yaml, "    {list}:");
    for log in logs {
        let key = crypto::to_pem("PUBLIC KEY", &log.public_key.raw_bytes);
        let _ = write!(
            yaml,
            "      - baseURL: {}\n        hashAlgorithm: sha-256\n        publicKey: {}\n",
            quoted(&log.base_url),
            STANDARD.encode(key),
        );
    }
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
