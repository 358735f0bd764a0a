//! Rekor v2 over HTTP and gRPC.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Request},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{KeyKind, SigningKey};
use rekor::{Config, LogKey, V2Config};
use runtime::Service as _;
use serde_json::{Value, json};

use crate::lab::{Answer, Lab, v2_request, vectors};

const ENTRIES: &str = "/api/v2/log/entries";

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).unwrap()
}

async fn with(v2: V2Config) -> Lab {
    Lab::with(Config {
        v2,
        ..Config::default()
    })
    .await
}

fn assert_status(answer: &Answer, http: u16, code: u16, message: &str) {
    assert_eq!(answer.status, http, "{}", answer.text());
    assert_eq!(
        answer.json(),
        json!({ "code": code, "message": message, "details": [] })
    );
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn hash(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

/// Checks proof and checkpoint of an answer against the log's trust.
fn verify(answer: &Value, lab: &Lab) {
    let trust = lab.service.trust();
    let log = &trust.tlogs[1];
    assert_eq!(bytes(&answer["logId"]["keyId"]), log.log_id);
    let proof = &answer["inclusionProof"];
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let hashes: Vec<[u8; 32]> = proof["hashes"]
        .as_array()
        .unwrap()
        .iter()
        .map(hash)
        .collect();
    let leaf = merkle::leaf_hash(&bytes(&answer["canonicalizedBody"]));
    let root = hash(&proof["rootHash"]);
    let size = number(&proof["treeSize"]);
    merkle::verify_inclusion(number(&proof["logIndex"]), size, &leaf, &hashes, &root).unwrap();
    let text = proof["checkpoint"]["envelope"].as_str().unwrap();
    let note = note::SignedNote::parse(text.as_bytes()).unwrap();
    let key = crypto::PublicKey::from_spki_der(&log.public_key).unwrap();
    let verifier = note::Verifier::new("localhost", note::Scheme::Note, key).unwrap();
    note.verify(&[&verifier]).unwrap();
    let checkpoint = note::Checkpoint::parse(&note.text).unwrap();
    assert_eq!(checkpoint.origin, "localhost");
    assert_eq!((checkpoint.tree_size, checkpoint.root_hash), (size, root));
}

#[tokio::test]
async fn captured_requests_get_the_captured_answers() {
    let lab = Lab::start().await;
    let vectors = vectors();
    for case in vectors["rekor_v2_ed25519"]["cases"].as_array().unwrap() {
        let answer = lab.post("v2", ENTRIES, &case["request"].to_string()).await;
        assert_eq!(answer.status, 201);
        let answer = answer.json();
        verify(&answer, &lab);
        let mut expected = case["response"].clone();
        for (path, ours) in [
            ("/logId", "/logId"),
            ("/inclusionProof/checkpoint", "/inclusionProof/checkpoint"),
        ] {
            *expected.pointer_mut(path).unwrap() = answer.pointer(ours).unwrap().clone();
        }
        // The capture has entries between its cases.
        for member in ["logIndex", "inclusionProof"] {
            expected[member] = answer[member].clone();
        }
        assert_eq!(answer, expected);
    }
    let dsse = &vectors["rekor_v2_2_1_dsse_ecdsa_log_key"];
    let answer = lab
        .post("v2", ENTRIES, &dsse["request"].to_string())
        .await
        .json();
    verify(&answer, &lab);
    assert_eq!(
        answer["canonicalizedBody"],
        dsse["response"]["canonicalizedBody"]
    );
    assert_eq!(answer["kindVersion"], dsse["response"]["kindVersion"]);
}

#[tokio::test]
async fn an_answer_has_no_v1_parts_and_integers_as_text() {
    let lab = Lab::start().await;
    let answer = lab
        .post("v2", ENTRIES, &v2_request(&key(), b"a").to_string())
        .await;
    assert_eq!(answer.status, 201);
    let answer = answer.json();
    assert_eq!(answer["integratedTime"], "0");
    assert_eq!(answer["inclusionPromise"], Value::Null);
    assert!(answer.as_object().unwrap().contains_key("inclusionPromise"));
    assert_eq!(answer["logIndex"], "0");
    assert_eq!(answer["inclusionProof"]["treeSize"], "1");
    assert_eq!(answer["inclusionProof"]["hashes"], json!([]));
    assert_eq!(bytes(&answer["logId"]["keyId"]).len(), 32);
}

#[tokio::test]
async fn v2_duplicates_get_409_and_their_index() {
    let lab = Lab::start().await;
    let key = key();
    lab.post("v2", ENTRIES, &v2_request(&key, b"other").to_string())
        .await;
    let request = v2_request(&key, b"a").to_string();
    lab.post("v2", ENTRIES, &request).await;
    let lab = lab.restart(|_| {}).await;
    let answer = lab.post("v2", ENTRIES, &request).await;
    let message = "an equivalent entry already exists in the transparency log with index 1";
    assert_status(&answer, 409, 6, message);
    assert_eq!(answer.header("x-log-index"), Some("1"));
    assert_eq!(answer.header("location"), None);
}

#[tokio::test]
async fn invalid_requests_are_refused_in_upstreams_words() {
    let lab = Lab::start().await;
    let request = v2_request(&key(), b"a");
    let mut unsigned = request.clone();
    unsigned["hashedRekordRequestV002"]["signature"]["content"] = "AAAA".into();
    let either = "invalid type, must be either hashedrekord or dsse";
    let cases = [
        (unsigned.to_string(), "invalid hashedrekord request"),
        (
            json!({ "hashedRekordRequestV002": {} }).to_string(),
            "invalid hashedrekord request",
        ),
        (
            json!({ "dsseRequestV002": {} }).to_string(),
            "invalid dsse request",
        ),
        ("{}".to_owned(), either),
        (String::new(), either),
        (
            json!({ "kind": "x" }).to_string(),
            "proto: (line 1:2): unknown field \"kind\"",
        ),
        (
            "[]".to_owned(),
            "proto: syntax error (line 1:1): unexpected token [",
        ),
        ("{".to_owned(), "unexpected EOF"),
    ];
    for (body, message) in cases {
        assert_status(&lab.post("v2", ENTRIES, &body).await, 400, 3, message);
    }
    let mut more = request;
    more["hashedRekordRequestV002"]["more"] = 1.into();
    let answer = lab.post("v2", ENTRIES, &more.to_string()).await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("unknown field"));
}

#[tokio::test]
async fn the_media_type_is_not_looked_at_but_the_length_is() {
    let lab = with(V2Config {
        max_request_body_size: 1000,
        ..V2Config::default()
    })
    .await;
    let request = Request::post(ENTRIES)
        .header("content-type", "text/plain")
        .body(Body::from(v2_request(&key(), b"a").to_string()))
        .unwrap();
    assert_eq!(lab.send("v2", request).await.status, 201);
    let answer = lab.post("v2", ENTRIES, &" ".repeat(1001)).await;
    assert_status(&answer, 400, 3, "http: request body too large");
}

#[tokio::test]
async fn v2_refuses_dsse_by_setting() {
    let lab = with(V2Config {
        accept_dsse: false,
        ..V2Config::default()
    })
    .await;
    let message = "invalid type, must be hashedrekord";
    let dsse = vectors()["rekor_v2_2_1_dsse_ecdsa_log_key"]["request"].to_string();
    for body in [dsse.as_str(), "{}"] {
        assert_status(&lab.post("v2", ENTRIES, body).await, 400, 3, message);
    }
}

#[tokio::test]
async fn v2_answers_501_on_reads_by_setting() {
    let lab = with(V2Config {
        serve_reads: false,
        ..V2Config::default()
    })
    .await;
    for (path, method) in [
        ("/api/v2/checkpoint", "GetCheckpoint"),
        ("/api/v2/tile/0/000.p/1", "GetTile"),
        ("/api/v2/tile/entries/000.p/1", "GetEntryBundle"),
    ] {
        let message = format!("method {method} not implemented");
        assert_status(&lab.get("v2", path).await, 501, 12, &message);
    }
    assert_eq!(lab.get("v2", "/healthz").await.status, 200);
}

#[tokio::test]
async fn a_frozen_log_refuses_writes_and_serves_reads() {
    let lab = with(V2Config {
        read_only: true,
        ..V2Config::default()
    })
    .await;
    let answer = lab
        .post("v2", ENTRIES, &v2_request(&key(), b"a").to_string())
        .await;
    assert_eq!(answer.status, 405);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(
        answer.text(),
        "This log has been frozen, please switch to the latest log.\n"
    );
    assert_eq!(lab.get("v2", "/api/v2/checkpoint").await.status, 200);
}

#[tokio::test]
async fn paths_and_methods_are_those_of_the_gateway() {
    let lab = Lab::start().await;
    assert_eq!(
        lab.get("v2", "/healthz").await.json(),
        json!({ "status": "SERVING" })
    );
    for path in [
        "/",
        "/api/v2/log",
        "/api/v2/log/entries/0",
        "/api/v1/log",
        "/ping",
    ] {
        assert_status(&lab.get("v2", path).await, 404, 5, "Not Found");
    }
    for (method, path) in [(Method::GET, ENTRIES), (Method::POST, "/api/v2/checkpoint")] {
        assert_status(
            &lab.method("v2", method, path).await,
            501,
            12,
            "Method Not Allowed",
        );
    }
}

#[tokio::test]
async fn checkpoint_tiles_and_bundles_are_those_of_tlog_tiles() {
    let lab = Lab::start().await;
    let key = key();
    let mut bodies = Vec::new();
    for number in 0..5_u8 {
        let answer = lab
            .post("v2", ENTRIES, &v2_request(&key, &[number]).to_string())
            .await;
        bodies.push(bytes(&answer.json()["canonicalizedBody"]));
    }
    let checkpoint = lab.get("v2", "/api/v2/checkpoint").await;
    assert_eq!(
        checkpoint.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    assert!(checkpoint.text().starts_with("localhost\n5\n"));

    let tile = lab.get("v2", "/api/v2/tile/0/000.p/5").await;
    assert_eq!(
        tile.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(
        tile.header("cache-control"),
        Some("max-age=604800,immutable")
    );
    let leaves: Vec<u8> = bodies
        .iter()
        .flat_map(|body| merkle::leaf_hash(body))
        .collect();
    assert_eq!(tile.body, leaves);
    let earlier = lab.get("v2", "/api/v2/tile/0/000.p/3").await;
    assert_eq!(earlier.body, leaves[..96]);

    let bundle = lab.get("v2", "/api/v2/tile/entries/000.p/5").await;
    let expected: Vec<u8> = bodies
        .iter()
        .flat_map(|body| {
            [
                &u16::try_from(body.len()).unwrap().to_be_bytes(),
                body.as_slice(),
            ]
            .concat()
        })
        .collect();
    assert_eq!(bundle.body, expected);

    for path in [
        "0/000",
        "0/000.p/6",
        "0/000.p/0",
        "0/000.p/256",
        "1/000.p/1",
        "0/0",
        "64/000",
        "entries/001",
    ] {
        assert_eq!(
            lab.get("v2", &format!("/api/v2/tile/{path}")).await.status,
            404,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_empty_log_has_a_checkpoint() {
    let lab = Lab::start().await;
    let text = lab.get("v2", "/api/v2/checkpoint").await.text();
    let empty = "localhost\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— localhost ";
    assert!(text.starts_with(empty), "{text}");
}

#[tokio::test]
async fn an_ecdsa_log_has_the_key_digest_as_id() {
    let lab = with(V2Config {
        key: LogKey::Ecdsa,
        ..V2Config::default()
    })
    .await;
    let answer = lab
        .post("v2", ENTRIES, &v2_request(&key(), b"a").to_string())
        .await
        .json();
    verify(&answer, &lab);
    let trust = lab.service.trust();
    assert_eq!(trust.tlogs[1].key_details, "PKIX_ECDSA_P256_SHA_256");
    assert_eq!(
        trust.tlogs[1].log_id,
        crypto::sha256(&trust.tlogs[1].public_key)
    );
    assert_ne!(
        trust.tlogs[0].log_id, trust.tlogs[1].log_id,
        "the two logs share no key"
    );
}

/// One length-prefixed message to a gRPC method, without a client: the wire is four lines of protobuf.
async fn grpc(lab: &Lab, path: &str, message: &[u8]) -> Answer {
    let mut body = vec![0];
    body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend_from_slice(message);
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::from(body))
        .unwrap();
    lab.send("v2", request).await
}

async fn call(lab: &Lab, method: &str, message: &[u8]) -> Answer {
    grpc(
        lab,
        &format!("/dev.sigstore.rekor.v2.Rekor/{method}"),
        message,
    )
    .await
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length > 127 {
        out.push(u8::try_from(length & 127).unwrap() | 128);
        length >>= 7;
    }
    out.push(u8::try_from(length).unwrap());
    out.extend_from_slice(content);
    out
}

fn grpc_request(key: &SigningKey, message: &[u8]) -> Vec<u8> {
    let public_key = field(1, key.public_key().spki_der());
    let verifier = [field(1, &public_key), vec![3 << 3, 5]].concat();
    let signature = [field(1, &key.sign(message).unwrap()), field(2, &verifier)].concat();
    let request = [field(1, &crypto::sha256(message)), field(2, &signature)].concat();
    field(1, &request)
}

#[tokio::test]
async fn grpc_logs_the_same_entries() {
    let lab = Lab::start().await;
    let key = key();
    let request = grpc_request(&key, b"a");
    let answer = call(&lab, "CreateEntry", &request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-http-code"), Some("201"));
    let log_id = lab.service.trust().tlogs[1].log_id.clone();
    assert!(
        answer
            .body
            .windows(34)
            .any(|window| window == field(1, &log_id))
    );
    let again = call(&lab, "CreateEntry", &request).await;
    assert_eq!(again.header("grpc-status"), Some("6"));
    assert_eq!(again.header("x-log-index"), Some("0"));
    let refused = call(&lab, "CreateEntry", &[]).await;
    assert_eq!(refused.header("grpc-status"), Some("3"));
    let checkpoint = call(&lab, "GetCheckpoint", &[]).await;
    assert!(checkpoint.text().contains("localhost\n1\n"));
    let tile = call(&lab, "GetTile", &field(2, b"000.p/1")).await;
    assert!(tile.text().contains("application/octet-stream"));
}

#[tokio::test]
async fn a_frozen_log_says_so_over_grpc() {
    let lab = with(V2Config {
        read_only: true,
        ..V2Config::default()
    })
    .await;
    let answer = call(&lab, "CreateEntry", &grpc_request(&key(), b"a")).await;
    assert_eq!(answer.header("grpc-status"), Some("12"));
    assert_eq!(answer.header("x-http-code"), Some("405"));
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let lab = Lab::start().await;
    let name = field(1, b"dev.sigstore.rekor.v2.Rekor");
    let answer = grpc(&lab, "/grpc.health.v1.Health/Check", &name).await;
    assert_eq!(answer.body[5..7], [8, 1], "SERVING");
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let answer = grpc(&lab, &path, &field(7, b"")).await;
        assert!(
            answer.text().contains("dev.sigstore.rekor.v2.Rekor"),
            "{version}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_identical_requests_is_created() {
    let lab = Arc::new(Lab::start().await);
    let request = Arc::new(v2_request(&key(), b"a").to_string());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (lab, request) = (Arc::clone(&lab), Arc::clone(&request));
        tasks.spawn(async move { lab.post("v2", ENTRIES, &request).await.status.as_u16() });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409, 409, 409]);
}
