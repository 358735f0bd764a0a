//! Client keys and requests of every kind, made by OpenSSL.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::lab::{Answer, Lab, openssl, write};

const NAME: &str = "a@example.com";
const SIGNATURE: &str = "The signature supplied in the request could not be verified";
const INSECURE: &str = "The public key supplied in the request is insecure";
const KEY: &str = "The public key supplied in the request could not be parsed";
const CSR: &str = "The certificate signing request could not be parsed";

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// A directory with `key.pem` of this kind.
fn key(genpkey: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut arguments = vec!["genpkey", "-out", "key.pem"];
    arguments.extend(genpkey);
    openssl(dir.path(), &arguments);
    write(dir.path(), "name", NAME);
    dir
}

fn public(dir: &TempDir) -> String {
    text(openssl(dir.path(), &["pkey", "-in", "key.pem", "-pubout"]))
}

/// A signature over the name.
fn proof(dir: &TempDir, hash: &str) -> Vec<u8> {
    if hash.is_empty() {
        let sign = [
            "pkeyutl", "-sign", "-inkey", "key.pem", "-rawin", "-in", "name",
        ];
        return openssl(dir.path(), &sign);
    }
    openssl(dir.path(), &["dgst", hash, "-sign", "key.pem", "name"])
}

fn request(content: &str, proof: &[u8]) -> Value {
    json!({"publicKeyRequest": {
        "publicKey": {"content": content}, "proofOfPossession": STANDARD.encode(proof),
    }})
}

async fn send(lab: &Lab, body: &Value) -> Answer {
    lab.v2(&lab.issuer.email_token(NAME), body).await
}

const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
const P521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
const ED25519: &[&str] = &["-algorithm", "ED25519"];
const RSA2048: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const RSA3072: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"];

#[tokio::test]
async fn every_permitted_key_is_certified_with_its_own_hash() {
    let lab = Lab::start().await;
    for (kind, hash, wrong) in [
        (P256, "-sha256", "-sha384"),
        (P384, "-sha384", "-sha256"),
        (P521, "-sha512", "-sha256"),
        (RSA2048, "-sha256", "-sha512"),
        (RSA3072, "-sha256", "-sha384"),
        (ED25519, "", ""),
    ] {
        let dir = key(kind);
        let leaf = send(&lab, &request(&public(&dir), &proof(&dir, hash)))
            .await
            .chain()
            .remove(0);
        let der = openssl(
            dir.path(),
            &["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"],
        );
        assert_eq!(leaf.spki_der(), der, "{kind:?}");
        if !wrong.is_empty() {
            let answer = send(&lab, &request(&public(&dir), &proof(&dir, wrong))).await;
            answer.refused(400, 3, SIGNATURE);
        }
    }
}

#[tokio::test]
async fn raw_ecdsa_signatures_are_taken_and_pss_is_not() {
    let lab = Lab::start().await;
    let dir = key(P384);
    let der = proof(&dir, "-sha384");
    let r_length = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_length], &der[6 + r_length..]);
    let mut raw = Vec::new();
    for part in [r, s] {
        let part = &part[part.len().saturating_sub(48)..];
        raw.extend(std::iter::repeat_n(0, 48 - part.len()));
        raw.extend(part);
    }
    assert_eq!(send(&lab, &request(&public(&dir), &raw)).await.status, 200);

    let dir = key(RSA2048);
    let pss = openssl(
        dir.path(),
        &[
            "dgst",
            "-sha256",
            "-sigopt",
            "rsa_padding_mode:pss",
            "-sign",
            "key.pem",
            "name",
        ],
    );
    send(&lab, &request(&public(&dir), &pss))
        .await
        .refused(400, 3, SIGNATURE);
    send(&lab, &request(&public(&dir), &[]))
        .await
        .refused(400, 3, SIGNATURE);
}

#[tokio::test]
async fn pkcs1_and_der_keys_are_read() {
    let lab = Lab::start().await;
    let dir = key(RSA2048);
    let pkcs1 = text(openssl(
        dir.path(),
        &["rsa", "-in", "key.pem", "-RSAPublicKey_out"],
    ));
    assert!(pkcs1.starts_with("-----BEGIN RSA PUBLIC KEY-----"));
    assert_eq!(
        send(&lab, &request(&pkcs1, &proof(&dir, "-sha256")))
            .await
            .status,
        200
    );

    // DER fits v1, whose key is bytes.
    let der = openssl(
        dir.path(),
        &["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"],
    );
    let body = json!({
        "publicKey": {"content": STANDARD.encode(der)},
        "signedEmailAddress": STANDARD.encode(proof(&dir, "-sha256")),
    });
    let token = lab.issuer.email_token(NAME);
    assert_eq!(
        lab.post("/api/v1/signingCert", &token, body.to_string())
            .await
            .status,
        201
    );
}

#[tokio::test]
async fn weak_keys_are_told_from_unreadable_ones() {
    let lab = Lab::start().await;
    let weak: [&[&str]; 5] = [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2056"],
        &[
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-pkeyopt",
            "rsa_keygen_pubexp:3",
        ],
        &[
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:secp224r1",
        ],
        &["-algorithm", "X25519"],
    ];
    for kind in weak {
        let answer = send(&lab, &request(&public(&key(kind)), b"x")).await;
        answer.refused(400, 3, INSECURE);
    }
    let unreadable: [&[&str]; 2] = [
        &[
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:secp256k1",
        ],
        &["-algorithm", "ED448"],
    ];
    for kind in unreadable {
        send(&lab, &request(&public(&key(kind)), b"x"))
            .await
            .refused(400, 3, KEY);
    }
    for content in [
        "",
        "nonsense",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        send(&lab, &request(content, b"x"))
            .await
            .refused(400, 3, KEY);
    }
    let pem = public(&key(P256));
    let with_header = pem.replace("KEY-----\n", "KEY-----\nA: b\n\n");
    for content in [pem.replace('\n', ""), format!("  {pem}"), with_header] {
        send(&lab, &request(&content, b"x"))
            .await
            .refused(400, 3, KEY);
    }
    let certificate = lab.get("/api/v1/rootCert").await.body;
    send(&lab, &request(&certificate, b"x"))
        .await
        .refused(400, 3, KEY);
}

fn csr(dir: &TempDir, arguments: &[&str]) -> String {
    let mut all = vec!["req", "-new", "-key", "key.pem"];
    all.extend(arguments);
    text(openssl(dir.path(), &all))
}

fn csr_request(pem: &[u8]) -> Value {
    json!({"certificateSigningRequest": STANDARD.encode(pem)})
}

#[tokio::test]
async fn requests_of_every_permitted_kind_are_certified() {
    let lab = Lab::start().await;
    for (kind, hash) in [
        (P256, "-sha256"),
        (P384, "-sha384"),
        (P521, "-sha512"),
        (RSA2048, "-sha256"),
        (ED25519, "-sha256"),
    ] {
        let dir = key(kind);
        let ask = [
            "-subj",
            "/CN=ignored",
            hash,
            "-addext",
            "basicConstraints=critical,CA:TRUE",
        ];
        let pem = csr(&dir, &ask);
        let leaf = send(&lab, &csr_request(pem.as_bytes()))
            .await
            .chain()
            .remove(0);
        assert!(!leaf.is_ca().unwrap() && leaf.subject_text().is_empty());
        let renamed = pem.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
        assert_eq!(
            send(&lab, &csr_request(renamed.as_bytes())).await.status,
            200
        );
    }
    // sigstore-python's form, over v1 too.
    let pem = csr(&key(P256), &["-subj", "/"]);
    let token = lab.issuer.email_token(NAME);
    let answer = lab
        .post(
            "/api/v1/signingCert",
            &token,
            csr_request(pem.as_bytes()).to_string(),
        )
        .await;
    assert_eq!(answer.status, 201);
}

#[tokio::test]
async fn bad_requests_are_told_apart() {
    let lab = Lab::start().await;
    let dir = key(P256);
    let pem = csr(&dir, &["-subj", "/"]);
    let der = openssl(
        dir.path(),
        &[
            "req", "-new", "-key", "key.pem", "-subj", "/", "-outform", "DER",
        ],
    );
    send(&lab, &csr_request(&der)).await.refused(400, 3, CSR);
    send(&lab, &csr_request(b"nonsense"))
        .await
        .refused(400, 3, CSR);
    send(&lab, &csr_request(public(&dir).as_bytes()))
        .await
        .refused(400, 3, CSR);

    let (_, mut forged) = crypto::from_pem(&pem).unwrap();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let forged = crypto::to_pem("CERTIFICATE REQUEST", &forged);
    send(&lab, &csr_request(forged.as_bytes()))
        .await
        .refused(400, 3, SIGNATURE);

    let sha384 = csr(&dir, &["-subj", "/", "-sha384"]);
    send(&lab, &csr_request(sha384.as_bytes())).await.refused(
        400,
        3,
        "signing algorithm not permitted: *ecdsa.PublicKey, SHA-384",
    );
    let rsa = csr(&key(RSA2048), &["-subj", "/", "-sha512"]);
    send(&lab, &csr_request(rsa.as_bytes())).await.refused(
        400,
        3,
        "signing algorithm not permitted: *rsa.PublicKey, SHA-512",
    );
    let pss = csr(
        &key(RSA2048),
        &["-subj", "/", "-sigopt", "rsa_padding_mode:pss"],
    );
    send(&lab, &csr_request(pss.as_bytes()))
        .await
        .refused(400, 3, SIGNATURE);
    for (kind, name) in [(RSA2048, "SHA1-RSA"), (P256, "ECDSA-SHA1")] {
        let sha1 = csr(&key(kind), &["-subj", "/", "-sha1"]);
        let message = format!("unrecognized signature algorithm: {name}");
        send(&lab, &csr_request(sha1.as_bytes()))
            .await
            .refused(400, 3, &message);
    }
    let weak = csr(
        &key(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
        &["-subj", "/"],
    );
    send(&lab, &csr_request(weak.as_bytes()))
        .await
        .refused(400, 3, INSECURE);
}

#[tokio::test]
async fn the_allow_list_is_a_setting() {
    let lab = Lab::with(|_, _| fulcio::Config {
        client_signing_algorithms: vec!["ed25519".to_owned()],
        ..fulcio::Config::default()
    })
    .await;
    let dir = key(P256);
    send(&lab, &request(&public(&dir), &proof(&dir, "-sha256")))
        .await
        .refused(
            400,
            3,
            "signing algorithm not permitted: *ecdsa.PublicKey, SHA-256",
        );
    let dir = key(ED25519);
    assert_eq!(
        send(&lab, &request(&public(&dir), &proof(&dir, "")))
            .await
            .status,
        200
    );
}
