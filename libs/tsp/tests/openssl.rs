//! Responses made here, judged by `openssl ts -verify`, and responses of `openssl ts -reply`, judged here.

use std::{
    path::Path,
    process::{Command, Output},
};

use crypto::{KeyKind, SigningKey};
use jiff::Timestamp;
use tsp::{Authority, Stamp, TimestampRequest, TimestampToken};
use x509::{AuthorityBuilder, Certificate, EndEntityBuilder, Name, ObjectIdentifier, oid};

fn openssl(dir: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .output();
    let output = output.expect("openssl is installed");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "openssl {arguments:?}: {out}{err}");
    output
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file for openssl need not be durable"
)]
fn write(dir: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(dir.join(name), bytes).unwrap();
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    std::fs::read(dir.join(name)).unwrap()
}

fn name(common_name: &str) -> Name {
    Name {
        organization: "LAB".to_owned(),
        common_name: common_name.to_owned(),
    }
}

/// Leaf, intermediate, root and the leaf's key; valid for as long as openssl's own clock is sane.
fn chain() -> (Vec<Certificate>, SigningKey) {
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let (start, end) = (at("2020-01-01T00:00:00Z"), at("2049-01-01T00:00:00Z"));
    let generate = || SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let (root_key, intermediate_key, key) = (generate(), generate(), generate());
    let root = AuthorityBuilder::new(name("root"), start, end)
        .self_signed(&root_key)
        .unwrap();
    let intermediate = AuthorityBuilder::new(name("intermediate"), start, end)
        .ext_key_usage(&[oid::EKU_TIME_STAMPING])
        .issued_by(&root, &root_key, intermediate_key.public_key())
        .unwrap();
    let leaf = EndEntityBuilder::new(name("leaf"), start, end)
        .ext_key_usage(&[oid::EKU_TIME_STAMPING], true)
        .issued_by(&intermediate, &intermediate_key, key.public_key())
        .unwrap();
    (vec![leaf, intermediate, root], key)
}

fn write_chain(dir: &Path, chain: &[Certificate]) {
    write(dir, "leaf.pem", chain[0].to_pem().as_bytes());
    let untrusted = [chain[0].to_pem(), chain[1].to_pem()].concat();
    write(dir, "untrusted.pem", untrusted.as_bytes());
    write(dir, "root.pem", chain[2].to_pem().as_bytes());
    write(dir, "data", b"what is stamped");
}

#[test]
fn openssl_accepts_responses_of_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (chain, key) = chain();
    write_chain(dir, &chain);
    for hash in ["-sha256", "-sha384", "-sha512"] {
        for (options, others) in [
            (&[][..], &[][..]),
            (&["-cert"][..], &[][..]),
            (&["-cert", "-no_nonce"][..], &chain[1..]),
        ] {
            let query = ["ts", "-query", "-data", "data", hash, "-out", "query"];
            openssl(dir, &[&query, options].concat());
            let request = TimestampRequest::from_der(&read(dir, "query")).unwrap();
            assert_eq!(request.certificates, options.contains(&"-cert"));
            assert_eq!(request.nonce.is_none(), options.contains(&"-no_nonce"));
            let stamp = Stamp {
                policy: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2"),
                serial: [7; 20],
                gen_time: "2026-06-01T12:00:00Z".parse().unwrap(),
                accuracy_secs: 1,
            };
            let authority = Authority {
                key: &key,
                leaf: &chain[0],
                others,
            };
            write(
                dir,
                "response",
                &authority.respond(&request, &stamp).unwrap(),
            );
            openssl(
                dir,
                &[
                    "ts",
                    "-verify",
                    "-queryfile",
                    "query",
                    "-in",
                    "response",
                    "-CAfile",
                    "root.pem",
                    "-untrusted",
                    "untrusted.pem",
                ],
            );
        }
    }
}

#[test]
fn tokens_of_openssl_are_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (chain, key) = chain();
    write_chain(dir, &chain);
    write(dir, "key.pem", key.to_pkcs8_pem().as_bytes());
    write(dir, "serial", b"01\n");
    let settings = b"[tsa]\nserial = serial\nsigner_cert = leaf.pem\nsigner_key = key.pem\n\
        signer_digest = sha256\ndefault_policy = 1.2.3\ndigests = sha256\nordering = yes\n\
        accuracy = secs:1, millisecs:500\ntsa_name = yes\ness_cert_id_chain = no\n\
        ess_cert_id_alg = sha256\nclock_precision_digits = 3\n";
    write(dir, "tsa.cnf", settings);
    for option in ["-cert", "-no_nonce"] {
        openssl(
            dir,
            &[
                "ts", "-query", "-data", "data", "-sha256", option, "-out", "query",
            ],
        );
        openssl(
            dir,
            &[
                "ts",
                "-reply",
                "-config",
                "tsa.cnf",
                "-section",
                "tsa",
                "-queryfile",
                "query",
                "-out",
                "response",
            ],
        );
        let token = TimestampToken::from_der(&read(dir, "response")).unwrap();
        token.verify(b"what is stamped", &chain[0]).unwrap();
        assert!(token.info().ordering);
        assert_eq!(token.info().accuracy_secs, Some(1));
        assert_eq!(token.certificates().is_empty(), option != "-cert");
        assert!(token.verify(b"what is not", &chain[0]).is_err());
    }
}
