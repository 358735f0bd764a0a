//! Rekor v1 and v2 and the CT log: spec/rekor.md §1.3 and §2.4, RFC 6962.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{KeyKind, SigningKey};
use serde_json::{Value, json};

use super::{bad, check, post};
use crate::scene::{Scene, sha256_hex};

const JSON: &str = "application/json";

/// A hashedrekord entry that is right.
fn entry(key: &SigningKey) -> Value {
    let signature = STANDARD.encode(key.sign(b"hello\n").unwrap());
    let public = STANDARD.encode(key.public_key().to_pem());
    json!({
        "kind": "hashedrekord", "apiVersion": "0.0.1",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": sha256_hex(b"hello\n")}},
            "signature": {"content": signature, "publicKey": {"content": public}},
        },
    })
}

fn changed(entry: &Value, pointer: &str, value: Value) -> String {
    let mut entry = entry.clone();
    *entry.pointer_mut(pointer).expect("a member") = value;
    entry.to_string()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of requests")]
fn rekor_v1_refuses_bad_entries_and_stores_nothing() {
    let scene = Scene::new();
    let base = scene.siglab.url("rekor", "v1");
    let url = format!("{base}/api/v1/log/entries");
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let right = entry(&key);
    let other = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let foreign = json!(STANDARD.encode(other.public_key().to_pem()));
    let content = "/spec/signature/content";
    let to = (&*url, JSON);
    let send = |what: &str, body: String, answer| post(&scene, what, to, body, answer);
    let text = right.to_string();
    check(
        &scene,
        &[
            post(
                &scene,
                "text",
                (&url, "text/plain"),
                &text,
                (415, "unsupported media type"),
            ),
            send(
                "empty",
                String::new(),
                (422, "proposedEntry in body is required"),
            ),
            send(
                "no kind",
                "{}".to_owned(),
                (422, "kind in body is required"),
            ),
            send(
                "unknown kind",
                "{\"kind\":\"foo\"}".to_owned(),
                (422, "invalid kind value"),
            ),
            send(
                "truncated",
                text[..text.len() - 4].to_owned(),
                (400, "unexpected EOF"),
            ),
            send("array", "[]".to_owned(), (400, "cannot unmarshal array")),
            send(
                "no version",
                changed(&right, "/apiVersion", json!("0.0.9")),
                (400, "0.0.9"),
            ),
            send(
                "wrong key",
                changed(&right, "/spec/signature/publicKey/content", foreign),
                (400, "error processing entry"),
            ),
            send(
                "no signature",
                changed(&right, content, json!("AAAA")),
                (400, "error processing entry"),
            ),
            send(
                "no base64",
                changed(&right, content, json!("!!")),
                (400, ""),
            ),
            send(
                "another digest",
                changed(&right, "/spec/data/hash/value", json!(sha256_hex(b"x"))),
                (400, "error processing entry"),
            ),
            send(
                "digest that is none",
                changed(&right, "/spec/data/hash/value", json!("zz")),
                (400, ""),
            ),
            send(
                "oversize",
                "x".repeat(40 << 20),
                (413, "Request Entity Too Large"),
            ),
            bad(
                "PUT",
                &["--request", "PUT", &url],
                405,
                "method PUT is not allowed",
            ),
            bad(
                "index that is none",
                &[&format!("{url}?logIndex=abc")],
                422,
                "must be of type int64",
            ),
            bad(
                "index below 0",
                &[&format!("{url}?logIndex=-1")],
                422,
                "greater than or equal to 0",
            ),
            bad("index beyond", &[&format!("{url}?logIndex=99")], 404, ""),
            bad("no uuid", &[&format!("{url}/zz")], 422, "should match"),
            bad(
                "proof without sizes",
                &[&format!("{base}/api/v1/log/proof")],
                422,
                "lastSize in query is required",
            ),
            bad(
                "proof beyond",
                &[&format!("{base}/api/v1/log/proof?firstSize=1&lastSize=99")],
                400,
                "currently observable",
            ),
            bad(
                "unknown path",
                &[&format!("{base}/api/v1/nothing")],
                404,
                "",
            ),
            bad("admin path", &[&format!("{base}/readyz")], 404, ""),
        ],
    );
    assert_eq!(scene.json(&format!("{base}/api/v1/log"))["treeSize"], 0);
    check(
        &scene,
        &[send("right", text.clone(), (201, "inclusionProof"))],
    );
    check(
        &scene,
        &[send(
            "again",
            text,
            (409, "an equivalent entry already exists"),
        )],
    );
    assert_eq!(scene.json(&format!("{base}/api/v1/log"))["treeSize"], 1);
}

#[test]
fn rekor_v2_refuses_bad_entries_and_stores_nothing() {
    let scene = Scene::new();
    let base = scene.siglab.url("rekor", "v2");
    let url = format!("{base}/api/v2/log/entries");
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let digest = STANDARD.encode(crypto::sha256(b"hello\n"));
    let signature = STANDARD.encode(key.sign(b"hello\n").unwrap());
    let public = STANDARD.encode(key.public_key().spki_der());
    let right = json!({"hashedRekordRequestV002": {
        "digest": digest,
        "signature": {"content": signature, "verifier": {
            "publicKey": {"rawBytes": public}, "keyDetails": "PKIX_ECDSA_P256_SHA_256",
        }},
    }});
    let invalid = (400, "invalid hashedrekord request");
    let at = |path: &str| format!("/hashedRekordRequestV002{path}");
    let to = (&*url, JSON);
    let send = |what: &str, body: String, answer| post(&scene, what, to, body, answer);
    let text = right.to_string();
    check(
        &scene,
        &[
            send(
                "signature of another",
                changed(&right, &at("/digest"), json!(STANDARD.encode([0; 32]))),
                invalid,
            ),
            send(
                "short digest",
                changed(&right, &at("/digest"), json!("AAAA")),
                invalid,
            ),
            send(
                "no key",
                changed(
                    &right,
                    &at("/signature/verifier/publicKey/rawBytes"),
                    json!("AAAA"),
                ),
                invalid,
            ),
            send("v1 body", entry(&key).to_string(), (400, "unknown field")),
            send("array", "[]".to_owned(), (400, "")),
            send("truncated", text[..text.len() - 3].to_owned(), (400, "")),
            send("empty object", "{}".to_owned(), (400, "invalid type")),
            send(
                "no base64",
                changed(&right, &at("/digest"), json!("!!")),
                (400, ""),
            ),
        ],
    );
    let checkpoint = String::from_utf8(scene.get(&format!("{base}/api/v2/checkpoint"))).unwrap();
    assert_eq!(checkpoint.lines().nth(1), Some("0"), "{checkpoint}");
    check(
        &scene,
        &[send("right", text.clone(), (201, "inclusionProof"))],
    );
    check(
        &scene,
        &[send(
            "again",
            text,
            (409, "an equivalent entry already exists"),
        )],
    );
    let checkpoint = String::from_utf8(scene.get(&format!("{base}/api/v2/checkpoint"))).unwrap();
    assert_eq!(checkpoint.lines().nth(1), Some("1"), "{checkpoint}");
}

#[test]
fn the_ct_log_refuses_bad_chains_and_stores_nothing() {
    let scene = Scene::new();
    let base = format!("{}/ct/v1", scene.siglab.url("ctlog", "http"));
    let add = format!("{base}/add-pre-chain");
    let chain = format!("{base}/add-chain");
    let key = [
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-subj", "/CN=x",
    ];
    let key = [&key[..], &["-outform", "DER", "-out", "x.der"]].concat();
    let _ = scene.run("openssl", &key).succeeds();
    let foreign = json!({"chain": [STANDARD.encode(scene.home.read("x.der"))]}).to_string();
    let size = || scene.json(&format!("{base}/get-sth"))["tree_size"].clone();
    let before = size();
    check(
        &scene,
        &[
            post(&scene, "no JSON", (&add, JSON), "x", (400, "")),
            post(
                &scene,
                "empty chain",
                (&add, JSON),
                "{\"chain\":[]}",
                (400, ""),
            ),
            post(
                &scene,
                "no base64",
                (&add, JSON),
                "{\"chain\":[\"!!\"]}",
                (400, ""),
            ),
            post(
                &scene,
                "no DER",
                (&add, JSON),
                "{\"chain\":[\"AAAA\"]}",
                (400, ""),
            ),
            post(&scene, "foreign root", (&chain, JSON), &foreign, (400, "")),
            post(
                &scene,
                "certificate as precertificate",
                (&add, JSON),
                &foreign,
                (400, ""),
            ),
            bad("GET", &[&add], 405, ""),
            bad(
                "entries without range",
                &[&format!("{base}/get-entries")],
                400,
                "",
            ),
            bad(
                "entries backwards",
                &[&format!("{base}/get-entries?start=2&end=1")],
                400,
                "",
            ),
            bad("unknown path", &[&format!("{base}/nothing")], 404, ""),
        ],
    );
    assert_eq!(size(), before);
}
