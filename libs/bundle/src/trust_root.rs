//! A trusted root as the object of a Kubernetes cluster: policy-controller's TrustRoot in YAML, of the form
//! `sigstoreKeys`, which needs no network.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{CertificateAuthority, TransparencyLog, TrustedRoot};

impl TrustedRoot {
    /// A `policy.sigstore.dev/v1alpha1` TrustRoot of that name. It says nothing of validity periods, which
    /// the form does not have.
    #[must_use]
    pub fn to_trust_root_yaml(&self, name: &str) -> String {
        let mut yaml = format!("{}  sigstoreKeys:\n", trust_root_head(name));
        authorities(
            &mut yaml,
            "certificateAuthorities",
            &self.certificate_authorities,
        );
        logs(&mut yaml, "tLogs", &self.tlogs);
        logs(&mut yaml, "ctLogs", &self.ctlogs);
        authorities(
            &mut yaml,
            "timestampAuthorities",
            &self.timestamp_authorities,
        );
        yaml
    }
}

/// How a TrustRoot of that name begins, up to what is below `spec`.
#[must_use]
pub fn trust_root_head(name: &str) -> String {
    format!(
        "apiVersion: policy.sigstore.dev/v1alpha1\nkind: TrustRoot\nmetadata:\n  name: {name}\nspec:\n"
    )
}

fn authorities(yaml: &mut String, list: &str, authorities: &[CertificateAuthority]) {
    if authorities.is_empty() {
        return;
    }
    let _ = writeln!(yaml, "    {list}:");
    for authority in authorities {
        let chain: String = authority
            .cert_chain
            .iter()
            .map(|der| pem("CERTIFICATE", der))
            .collect();
        let _ = write!(
            yaml,
            "      - subject:\n          organization: {}\n          commonName: {}\n        \
             uri: {}\n        certChain: {}\n",
            quoted(&authority.subject.organization),
            quoted(&authority.subject.common_name),
            quoted(&authority.uri),
            STANDARD.encode(chain),
        );
    }
}

fn logs(yaml: &mut String, list: &str, logs: &[TransparencyLog]) {
    if logs.is_empty() {
        return;
    }
    let _ = writeln!(yaml, "    {list}:");
    for log in logs {
        let key = pem("PUBLIC KEY", &log.public_key.raw_bytes);
        let _ = write!(
            yaml,
            "      - baseURL: {}\n        hashAlgorithm: sha-256\n        publicKey: {}\n",
            quoted(&log.base_url),
            STANDARD.encode(key),
        );
    }
}

/// RFC 7468, in lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, others) = rest.split_at(rest.len().min(64));
        let _ = writeln!(text, "{line}");
        rest = others;
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}

/// A JSON string is a YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_written_in_lines_of_64() {
        let text = pem("PUBLIC KEY", &[0; 60]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "-----BEGIN PUBLIC KEY-----");
        assert_eq!((lines[1].len(), lines[2].len()), (64, 16));
        assert_eq!(lines[3..], ["-----END PUBLIC KEY-----"]);
        assert_eq!(pem("X", &[]), "-----BEGIN X-----\n-----END X-----\n");
    }

    #[test]
    fn the_public_instance_becomes_a_trust_root() {
        let root = include_bytes!("../tests/vectors/public-good.json");
        let root = TrustedRoot::from_json(root).unwrap();
        let yaml = root.to_trust_root_yaml("public");
        let head = "apiVersion: policy.sigstore.dev/v1alpha1\nkind: TrustRoot\nmetadata:\n  name: public\n";
        assert!(yaml.starts_with(head));
        let count = |text: &str| yaml.matches(text).count();
        assert_eq!(
            count("hashAlgorithm: sha-256"),
            root.tlogs.len() + root.ctlogs.len()
        );
        let authorities = root.certificate_authorities.len() + root.timestamp_authorities.len();
        assert_eq!(count("certChain: "), authorities);
        assert!(yaml.contains("baseURL: \"https://rekor.sigstore.dev\""));
    }
}
