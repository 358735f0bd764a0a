//! What is built here, judged by OpenSSL: its parser, its chain verification, its requests.

use std::{
    path::Path,
    process::{Command, Output},
};

use crypto::{KeyKind, SigningKey};
use jiff::{SignedDuration, Timestamp};
use x509::{
    AuthorityBuilder, Certificate, CertificateRequest, EndEntityBuilder, FulcioExtensions,
    FulcioField, LeafTemplate, Name, San, Sct, oid,
};

fn openssl(dir: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("openssl is installed")
}

fn stdout(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(common_name: &str) -> Name {
    let organization = "LAB-00000000 NOT FOR PRODUCTION".to_owned();
    Name {
        organization,
        common_name: common_name.to_owned(),
    }
}

struct Authority {
    root: Certificate,
    intermediate: Certificate,
    key: SigningKey,
}

fn authority(kind: KeyKind) -> Authority {
    let (start, end) = (at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
    let root_key = SigningKey::generate(kind).unwrap();
    let root = AuthorityBuilder::new(name("fulcio root"), start, end)
        .marker("lab 00000000")
        .self_signed(&root_key)
        .unwrap();
    let key = SigningKey::generate(kind).unwrap();
    let intermediate = AuthorityBuilder::new(name("fulcio"), start, end)
        .path_length(0)
        .ext_key_usage(&[oid::EKU_CODE_SIGNING])
        .marker("lab 00000000")
        .issued_by(&root, &root_key, key.public_key())
        .unwrap();
    Authority {
        root,
        intermediate,
        key,
    }
}

fn template() -> LeafTemplate {
    let mut fulcio = FulcioExtensions::new();
    for field in FulcioField::ALL {
        fulcio.set(*field, format!("value of {}", field.number()));
    }
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let san = San::Email("alice@example.com".to_owned());
    LeafTemplate::new(
        key.public_key().clone(),
        san,
        fulcio,
        at("2026-02-01T10:00:00.9Z"),
    )
    .unwrap()
    .marker("lab 00000000", false)
}

fn sct() -> Sct {
    Sct {
        log_id: [7; 32],
        timestamp_ms: 1_769_940_000_123,
        extensions: Vec::new(),
        hash_algorithm: 4,
        signature_algorithm: 3,
        signature: vec![0x30, 6, 2, 1, 1, 2, 1, 1],
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    std::io::Write::write_all(
        &mut std::fs::File::create(dir.join(name)).unwrap(),
        text.as_bytes(),
    )
    .unwrap();
}

#[test]
fn openssl_verifies_the_chain_of_every_key_kind() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let authority = authority(kind);
        let leaf = template()
            .sign(&authority.intermediate, &authority.key)
            .unwrap();
        write(dir.path(), "root.pem", &authority.root.to_pem());
        write(
            dir.path(),
            "intermediate.pem",
            &authority.intermediate.to_pem(),
        );
        write(dir.path(), "leaf.pem", &leaf.to_pem());
        let time = at("2026-02-01T10:05:00Z").as_second().to_string();
        let arguments = ["verify", "-x509_strict", "-attime", &time];
        let files = [
            "-CAfile",
            "root.pem",
            "-untrusted",
            "intermediate.pem",
            "leaf.pem",
        ];
        let output = openssl(dir.path(), &[arguments.as_slice(), &files].concat());
        assert_eq!(stdout(&output), "leaf.pem: OK\n", "{kind:?}");
    }
}

#[test]
fn openssl_reads_the_leaf_profile_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(KeyKind::EcdsaP256);
    let precertificate = template()
        .sign_precertificate(&authority.intermediate, &authority.key)
        .unwrap();
    let leaf = precertificate.embed(&[sct()], &authority.key).unwrap();
    write(dir.path(), "leaf.pem", &leaf.to_pem());
    let text = stdout(&openssl(
        dir.path(),
        &["x509", "-in", "leaf.pem", "-noout", "-text"],
    ));
    for want in [
        "Version: 3 (0x2)",
        "Not Before: Feb  1 10:00:00 2026 GMT",
        "Not After : Feb  1 10:10:00 2026 GMT",
        "Subject: \n",
        "X509v3 Key Usage: critical\n                Digital Signature\n",
        "X509v3 Extended Key Usage: \n                Code Signing\n",
        "X509v3 Subject Alternative Name: critical\n                email:alice@example.com\n",
        "1.3.6.1.4.1.57264.1.1: \n                value of 1\n",
        "Log ID    : 07:07:07",
    ] {
        assert!(text.contains(want), "{want:?} is not in {text}");
    }
    assert!(!text.contains("Basic Constraints") && !text.contains("Subject Key Identifier"));
    let order: Vec<String> = leaf
        .extensions()
        .iter()
        .map(|e| e.oid.to_string())
        .collect();
    let mut want = vec!["2.5.29.15", "2.5.29.37", "2.5.29.35", "2.5.29.17"]
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    want.extend(
        (1..=6)
            .chain(8..=24)
            .map(|n| format!("1.3.6.1.4.1.57264.1.{n}")),
    );
    want.push(oid::LAB_MARKER.to_string());
    want.push(oid::SCT_LIST.to_string());
    assert_eq!(order, want);
    let critical: Vec<bool> = leaf.extensions().iter().map(|e| e.critical).collect();
    assert!(critical[0] && critical[3]);
    assert_eq!(critical.iter().filter(|c| **c).count(), 2);
}

#[test]
fn precertificate_and_final_certificate_have_one_body() {
    let authority = authority(KeyKind::EcdsaP384);
    let precertificate = template()
        .sign_precertificate(&authority.intermediate, &authority.key)
        .unwrap();
    let poison = precertificate
        .certificate()
        .extensions()
        .last()
        .unwrap()
        .clone();
    assert!(poison.critical && poison.oid == oid::CT_POISON && poison.value == [5, 0]);
    let leaf = precertificate.embed(&[sct()], &authority.key).unwrap();
    assert_ne!(leaf.tbs(), precertificate.certificate().tbs());
    assert_eq!(
        leaf.precertificate_tbs(),
        precertificate.certificate().precertificate_tbs()
    );
    assert_eq!(leaf.scts().unwrap(), [sct()]);
    let plain = template()
        .sign(&authority.intermediate, &authority.key)
        .unwrap();
    assert_eq!(plain.precertificate_tbs(), plain.tbs());
}

#[test]
fn all_fields_read_back_in_their_encoding() {
    let authority = authority(KeyKind::EcdsaP256);
    let leaf = template()
        .sign(&authority.intermediate, &authority.key)
        .unwrap();
    let fulcio = leaf.fulcio_extensions().unwrap();
    for field in FulcioField::ALL {
        let want = format!("value of {}", field.number());
        assert_eq!(fulcio.get(*field), Some(want.as_str()));
        let value = leaf.extension(field.oid()).unwrap();
        let header = usize::from(field.number() > 7) * 2;
        assert_eq!(&value[header..], want.as_bytes());
    }
    assert_eq!(leaf.fulcio_issuer().unwrap().as_deref(), Some("value of 8"));
    assert_eq!(
        leaf.authority_key_id().unwrap(),
        authority.intermediate.subject_key_id().unwrap()
    );
    assert_eq!(
        leaf.not_after() - leaf.not_before(),
        SignedDuration::from_mins(10)
    );
}

#[test]
fn openssl_accepts_a_timestamping_end_entity() {
    let dir = tempfile::tempdir().unwrap();
    let authority = authority(KeyKind::EcdsaP256);
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let (start, end) = (at("2026-01-01T00:00:00Z"), at("2049-12-31T23:59:59Z"));
    let root = AuthorityBuilder::new(name("tsa root"), start, at("2050-01-01T00:00:00Z"))
        .self_signed(&authority.key)
        .unwrap();
    let tsa = EndEntityBuilder::new(name("tsa"), start, end)
        .ext_key_usage(&[oid::EKU_TIME_STAMPING], true)
        .sans(&[San::Dns("localhost".to_owned())])
        .marker("lab 00000000")
        .issued_by(&root, &authority.key, key.public_key())
        .unwrap();
    write(dir.path(), "root.pem", &root.to_pem());
    write(dir.path(), "tsa.pem", &tsa.to_pem());
    let time = at("2026-02-01T10:05:00Z").as_second().to_string();
    let arguments = [
        "verify",
        "-x509_strict",
        "-attime",
        &time,
        "-purpose",
        "timestampsign",
    ];
    let rest = ["-CAfile", "root.pem", "tsa.pem"];
    let output = openssl(
        dir.path(),
        &[arguments.as_slice(), rest.as_slice()].concat(),
    );
    assert_eq!(stdout(&output), "tsa.pem: OK\n");
}

#[test]
fn requests_of_openssl_are_read_and_verified() {
    let dir = tempfile::tempdir().unwrap();
    let keys: [&[&str]; 5] = [
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &[
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
            "-sha384",
        ],
        &[
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-521",
            "-sha512",
        ],
        &["-newkey", "rsa:2048"],
        &["-newkey", "ed25519"],
    ];
    for key in keys {
        let mut arguments = vec!["req", "-new", "-nodes", "-keyout", "key.pem", "-subj", "/"];
        arguments.extend(key);
        arguments.extend(["-addext", "basicConstraints=CA:TRUE"]);
        let pem = stdout(&openssl(dir.path(), &arguments));
        let request = CertificateRequest::from_pem(&pem).unwrap();
        request.verify().unwrap();
        assert!(request.requests_extensions());
        assert_eq!(request.subject_der(), [0x30, 0]);
        let (_, mut der) = crypto::from_pem(&pem).unwrap();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(
            CertificateRequest::from_der(&der)
                .unwrap()
                .verify()
                .is_err()
        );
    }
}
