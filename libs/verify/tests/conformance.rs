//! The conformance suite's bundles verify or fail as the suite says.

use std::path::{Path, PathBuf};

use bundle::{Bundle, Content, TrustedRoot};
use verify::{Artifact, Identity, Pattern, Report, Requirements, Signer, Statement, Trust};

const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn read(dir: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(dir.join(name)).ok()
}

/// Verifies one directory of the suite.
fn verify_case(dir: &Path, report: &mut Report) -> Result<(), String> {
    let bundle = std::fs::read(dir.join("bundle.sigstore.json")).map_err(text)?;
    let bundle = Bundle::from_json(&bundle).map_err(chain)?;
    let root = match std::fs::read(dir.join("trusted_root.json")) {
        Ok(own) => own,
        Err(_) => std::fs::read(vectors().join("public_good_trusted_root.json")).map_err(text)?,
    };
    let trust = Trust::new(&TrustedRoot::from_json(&root).map_err(chain)?).map_err(text)?;
    let artifact = std::fs::read(dir.join("artifact"))
        .or_else(|_| std::fs::read(vectors().join("bundle-verify/a.txt")))
        .map_err(text)?;
    let trimmed = |name: &str, default: &str| {
        Pattern::Exact(read(dir, name).map_or_else(|| default.to_owned(), |t| t.trim().to_owned()))
    };
    let identities = [Identity {
        issuer: trimmed("issuer", ISSUER),
        subject: trimmed("identity", IDENTITY),
    }];
    let key = match read(dir, "key.pub") {
        Some(pem) => Some(crypto::PublicKey::from_pem(&pem).map_err(text)?),
        None => None,
    };
    let requirements = Requirements {
        signer: match &key {
            Some(key) => Signer::Key {
                key,
                hash: key.kind().default_hash(),
            },
            None => Signer::Keyless {
                identities: &identities,
                authority_url: None,
            },
        },
        sct: true,
        log: true,
        timestamp: false,
    };
    let message = Artifact::Message(&artifact);
    verify::verify_bundle(&bundle, message, &requirements, &trust, report).map_err(text)?;
    if let Content::DsseEnvelope(envelope) = &bundle.content {
        let digest = format!("sha256:{}", hex::encode(crypto::sha256(&artifact)));
        let statement = Statement::read(envelope).map_err(text)?;
        statement.about(&digest).map_err(text)?;
    }
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn chain(error: impl std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(vectors().join("bundle-verify"))
        .expect("the vectors are here")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

#[test]
fn the_suite_is_whole() {
    assert_eq!(cases().len(), 70);
}

#[test]
fn bundles_verify_or_fail_as_the_suite_says() {
    let mut wrong = Vec::new();
    for dir in cases() {
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name")
            .to_owned();
        let mut report = Report::default();
        let result = verify_case(&dir, &mut report);
        println!("{name}: {result:?}");
        if result.is_ok() == name.ends_with("_fail") {
            wrong.push(format!("{name}: {result:?} {report:#?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_refusal_is_explained() {
    for dir in cases() {
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name")
            .to_owned();
        let mut report = Report::default();
        if let Err(error) = verify_case(&dir, &mut report) {
            assert!(!error.is_empty(), "{name}");
            // What is refused while reading has no steps; every later refusal has its step.
            if !report.steps.is_empty() && !error.starts_with("invalid or missing digest") {
                assert!(report.failure().is_some(), "{name}: {error}: {report:#?}");
            }
        }
    }
}
