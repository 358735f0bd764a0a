//! A pair of logs in a temporary directory, and requests to it without a socket.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{HashAlgorithm, KeyKind, SigningKey};
use http_body_util::BodyExt as _;
use rekor::{Config, Service};
use runtime::{Context, Service as _};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The service over a directory that goes with it.
pub(crate) struct Lab {
    pub(crate) service: Arc<Service>,
    pub(crate) context: Context,
    pub(crate) dir: tempfile::TempDir,
    config: Config,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The one entry of a Rekor v1 answer, with its id.
    pub(crate) fn entry(&self) -> (String, Value) {
        let Value::Object(map) = self.json() else {
            panic!("{self:?}")
        };
        assert_eq!(map.len(), 1);
        map.into_iter().next().unwrap()
    }

    pub(crate) fn assert_problem(&self, status: u16, code: u16, message: &str) {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(self.json(), json!({ "code": code, "message": message }));
    }
}

impl Lab {
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::for_test("rekor", &dir.path().join("rekor"));
        let service = Service::open(config.clone(), context.clone())
            .await
            .unwrap();
        Self {
            service,
            context,
            dir,
            config,
        }
    }

    /// Closes the service, lets `change` do something to its directory, and opens it again.
    pub(crate) async fn restart(self, change: impl FnOnce(&Context)) -> Self {
        let Self {
            service,
            context,
            dir,
            config,
        } = self;
        context.tasks.stop().await;
        drop(service);
        change(&context);
        let context = Context::for_test("rekor", &dir.path().join("rekor"));
        let service = Service::open(config.clone(), context.clone())
            .await
            .unwrap();
        Self {
            service,
            context,
            dir,
            config,
        }
    }

    pub(crate) async fn send(&self, listener: &'static str, request: Request<Body>) -> Answer {
        let router = Arc::clone(&self.service).router(listener);
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, listener: &'static str, path: &str) -> Answer {
        self.method(listener, Method::GET, path).await
    }

    pub(crate) async fn method(
        &self,
        listener: &'static str,
        method: Method,
        path: &str,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        self.send(listener, request).await
    }

    pub(crate) async fn post(&self, listener: &'static str, path: &str, body: &str) -> Answer {
        let request = Request::post(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.send(listener, request).await
    }

    /// Posts a proposed entry to Rekor v1.
    pub(crate) async fn create(&self, proposal: &Value) -> Answer {
        self.post("v1", "/api/v1/log/entries", &proposal.to_string())
            .await
    }

    /// Logs `count` different hashedrekords in v1.
    pub(crate) async fn fill(&self, count: u32) {
        let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        for number in 0..count {
            let answer = self
                .create(&hashedrekord(&key, &number.to_be_bytes()))
                .await;
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
    }
}

/// The captured exchanges of upstream's servers.
pub(crate) fn vectors() -> Value {
    serde_json::from_str(include_str!("../vectors/rekor-vectors.json")).unwrap()
}

/// Captured proposals of Rekor v1 by name.
pub(crate) fn proposals() -> BTreeMap<String, Value> {
    let vectors = vectors();
    let cases = vectors["rekor_v1"]["cases"].as_array().unwrap();
    let named = |case: &Value| {
        (
            case["name"].as_str().unwrap().to_owned(),
            case["request"].clone(),
        )
    };
    cases.iter().map(named).collect()
}

/// A hashedrekord of Rekor v1 over `message`.
pub(crate) fn hashedrekord(key: &SigningKey, message: &[u8]) -> Value {
    let digest = hex::encode(crypto::sha256(message));
    let signature = STANDARD.encode(key.sign(message).unwrap());
    let pem = STANDARD.encode(key.public_key().to_pem());
    json!({
        "kind": "hashedrekord",
        "apiVersion": "0.0.1",
        "spec": {
            "signature": { "content": signature, "publicKey": { "content": pem } },
            "data": { "hash": { "algorithm": "sha256", "value": digest } },
        },
    })
}

/// A dsse entry of Rekor v1.
pub(crate) fn dsse(key: &SigningKey, payload: &[u8], encode: fn(&[u8]) -> String) -> Value {
    let payload_type = "application/vnd.in-toto+json";
    let signature = key.sign(&entry::pae(payload_type, payload)).unwrap();
    let envelope = json!({
        "payloadType": payload_type,
        "payload": encode(payload),
        "signatures": [{ "sig": encode(&signature) }],
    });
    let pem = STANDARD.encode(key.public_key().to_pem());
    json!({
        "kind": "dsse",
        "apiVersion": "0.0.1",
        "spec": { "proposedContent": { "envelope": envelope.to_string(), "verifiers": [pem] } },
    })
}

/// A hashedrekord request of Rekor v2.
pub(crate) fn v2_request(key: &SigningKey, message: &[u8]) -> Value {
    json!({ "hashedRekordRequestV002": {
        "digest": STANDARD.encode(crypto::sha256(message)),
        "signature": {
            "content": STANDARD.encode(key.sign(message).unwrap()),
            "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "publicKey": { "rawBytes": STANDARD.encode(key.public_key().spki_der()) },
            },
        },
    } })
}

/// Verifies everything that an entry of Rekor v1 promises, by other code than wrote it: promise, proof,
/// checkpoint.
pub(crate) fn verify_v1(id: &str, entry: &Value, log_key: &crypto::PublicKey) {
    let body = STANDARD.decode(entry["body"].as_str().unwrap()).unwrap();
    let leaf_hash = entry::leaf_hash(&body);
    assert_eq!(id[16..], hex::encode(leaf_hash));
    assert_eq!(entry["logID"], hex::encode(log_key.key_id()));
    let set = entry::set_payload(
        &body,
        entry["integratedTime"].as_i64().unwrap(),
        entry["logID"].as_str().unwrap(),
        entry["logIndex"].as_u64().unwrap(),
    );
    let promise = entry["verification"]["signedEntryTimestamp"]
        .as_str()
        .unwrap();
    log_key
        .verify(
            HashAlgorithm::Sha256,
            &set,
            &STANDARD.decode(promise).unwrap(),
        )
        .unwrap();

    let proof = &entry["verification"]["inclusionProof"];
    let hash = |value: &Value| -> [u8; 32] {
        hex::decode(value.as_str().unwrap())
            .unwrap()
            .try_into()
            .unwrap()
    };
    let hashes: Vec<[u8; 32]> = proof["hashes"]
        .as_array()
        .unwrap()
        .iter()
        .map(hash)
        .collect();
    let root = hash(&proof["rootHash"]);
    let size = proof["treeSize"].as_u64().unwrap();
    merkle::verify_inclusion(
        proof["logIndex"].as_u64().unwrap(),
        size,
        &leaf_hash,
        &hashes,
        &root,
    )
    .unwrap();

    let text = proof["checkpoint"].as_str().unwrap();
    assert_eq!(text.matches("\n\n").count(), 1, "one blank line");
    let note = note::SignedNote::parse(text.as_bytes()).unwrap();
    assert_eq!(
        note.signatures.len(),
        1,
        "no second signature on a v1 checkpoint"
    );
    let verifier = note::Verifier::new("localhost", note::Scheme::Spki, log_key.clone()).unwrap();
    note.verify(&[&verifier]).unwrap();
    let checkpoint = note::Checkpoint::parse(&note.text).unwrap();
    assert_eq!((checkpoint.tree_size, checkpoint.root_hash), (size, root));
    let tree = i64::from_str_radix(&id[..16], 16).unwrap();
    assert_eq!(checkpoint.origin, format!("localhost - {tree}"));
}

/// The v1 log's key as clients fetch it.
pub(crate) async fn v1_key(lab: &Lab) -> crypto::PublicKey {
    let answer = lab.get("v1", "/api/v1/log/publicKey").await;
    crypto::PublicKey::from_pem(&answer.text()).unwrap()
}
