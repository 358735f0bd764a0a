//! The log through its router: RFC 6962 as upstream's log speaks it.

mod refusals;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{HashAlgorithm, KeyKind, PublicKey, SigningKey};
use ctlog::{Config, Service};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use merkle::Hash;
use refusals::BAD_REQUESTS;
use runtime::{Context, Service as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;
use x509::{
    AuthorityBuilder, Certificate, EndEntityBuilder, FulcioExtensions, LeafTemplate, Name,
    ObjectIdentifier, San, Sct, SignedEntry, oid,
};

const NOW: &str = "2026-01-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().expect("a timestamp")
}

/// An authority with an intermediate, as Fulcio's.
struct Authority {
    root: Certificate,
    issuer: Certificate,
    key: SigningKey,
}

impl Authority {
    fn new() -> Self {
        let after = "2027-01-01T00:00:00Z".parse().expect("a timestamp");
        let name = |common_name: &str| Name {
            organization: "LAB-0badcafe NOT FOR PRODUCTION".to_owned(),
            common_name: common_name.to_owned(),
        };
        let root_key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let root = AuthorityBuilder::new(name("root"), now(), after);
        let root = root.self_signed(&root_key).expect("signs");
        let issuer = AuthorityBuilder::new(name("issuer"), now(), after)
            .issued_by(&root, &root_key, key.public_key())
            .expect("signs");
        Self { root, issuer, key }
    }

    fn template(&self) -> LeafTemplate {
        let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let san = San::Email("alice@example.com".to_owned());
        LeafTemplate::new(
            key.public_key().clone(),
            san,
            FulcioExtensions::default(),
            now(),
        )
        .expect("a template")
    }

    fn precertificate(&self) -> Certificate {
        let precertificate = self.template().sign_precertificate(&self.issuer, &self.key);
        precertificate.expect("signs").certificate().clone()
    }

    fn leaf(&self) -> Certificate {
        self.template()
            .sign(&self.issuer, &self.key)
            .expect("signs")
    }

    fn chain(&self, leaf: &Certificate) -> Value {
        chain(&[leaf, &self.issuer, &self.root])
    }

    /// A certificate with other usages than a leaf of Fulcio's.
    fn other(&self, usages: &[ObjectIdentifier]) -> Certificate {
        let name = Name {
            organization: "lab".to_owned(),
            common_name: "other".to_owned(),
        };
        let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let after = "2027-01-01T00:00:00Z".parse().expect("a timestamp");
        EndEntityBuilder::new(name, now(), after)
            .ext_key_usage(usages, false)
            .issued_by(&self.issuer, &self.key, key.public_key())
            .expect("signs")
    }
}

fn chain(certificates: &[&Certificate]) -> Value {
    let chain: Vec<String> = certificates
        .iter()
        .map(|c| STANDARD.encode(c.der()))
        .collect();
    json!({ "chain": chain })
}

struct Lab {
    temp: TempDir,
    authority: Authority,
    context: Context,
    service: Arc<Service>,
}

impl Lab {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let temp = TempDir::new().expect("a temporary directory");
        let authority = Authority::new();
        let path = temp.path().join("root.pem");
        runtime::files::replace(&path, authority.root.to_pem().as_bytes()).expect("written");
        let mut config = Config {
            accepted_roots: vec![path],
            trust_fulcio: false,
            ..Config::default()
        };
        adjust(&mut config);
        let context = Context::for_test("ctlog", &temp.path().join("ctlog"));
        let service = Service::open(config, context.clone()).await.expect("opens");
        Self {
            temp,
            authority,
            context,
            service,
        }
    }

    /// The same directory, opened again.
    async fn restarted(self) -> Self {
        let Self {
            temp,
            authority,
            context,
            service,
        } = self;
        drop(service);
        let config = Config {
            accepted_roots: vec![temp.path().join("root.pem")],
            trust_fulcio: false,
            ..Config::default()
        };
        let service = Service::open(config, context.clone()).await;
        Self {
            temp,
            authority,
            context,
            service: service.expect("opens again"),
        }
    }

    fn router(&self) -> Router {
        Arc::clone(&self.service).router("http")
    }

    async fn call(&self, request: Request<Body>) -> Response {
        self.router()
            .oneshot(request)
            .await
            .expect("a router always answers")
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        read(
            self.call(Request::get(path).body(Body::empty()).expect("a request"))
                .await,
        )
        .await
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, String) {
        let request = Request::post(path)
            .body(Body::from(body.to_string()))
            .expect("a request");
        read(self.call(request).await).await
    }

    async fn add(&self, path: &str, body: &Value) -> Value {
        let (status, body) = self.post(path, body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    fn key(&self) -> PublicKey {
        let trust = self.service.trust();
        PublicKey::from_spki_der(&trust.ctlogs[0].public_key).expect("a key")
    }

    /// The signed tree head, after its signature was checked.
    async fn sth(&self) -> (u64, Hash, u64) {
        let sth = self.json("/ct/v1/get-sth").await;
        let size = sth["tree_size"].as_u64().expect("a number");
        let time = sth["timestamp"].as_u64().expect("a number");
        let root: Hash = bytes(&sth["sha256_root_hash"])
            .try_into()
            .expect("32 bytes");
        let signed = bytes(&sth["tree_head_signature"]);
        assert_eq!(signed[..2], [4, 3], "SHA-256 and ECDSA");
        // TreeHeadSignature, RFC 6962 §3.5.
        let message = [
            &[0, 1],
            time.to_be_bytes().as_slice(),
            &size.to_be_bytes(),
            &root,
        ]
        .concat();
        self.key()
            .verify(HashAlgorithm::Sha256, &message, &signed[4..])
            .expect("signed");
        (size, root, time)
    }
}

async fn read(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    (status, String::from_utf8(body.to_vec()).expect("text"))
}

fn bytes(value: &Value) -> Vec<u8> {
    STANDARD
        .decode(value.as_str().expect("text"))
        .expect("base64")
}

fn hashes(value: &Value) -> Vec<Hash> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|hash| bytes(hash).try_into().expect("32 bytes"))
        .collect()
}

fn sct_of(answer: &Value) -> Sct {
    assert_eq!(answer["sct_version"], 0);
    assert_eq!(answer["extensions"], "");
    let signed = bytes(&answer["signature"]);
    assert_eq!(
        usize::from(u16::from_be_bytes([signed[2], signed[3]])),
        signed.len() - 4
    );
    Sct {
        log_id: bytes(&answer["id"]).try_into().expect("32 bytes"),
        timestamp_ms: answer["timestamp"].as_u64().expect("a number"),
        extensions: Vec::new(),
        hash_algorithm: signed[0],
        signature_algorithm: signed[1],
        signature: signed[4..].to_vec(),
    }
}

#[tokio::test]
async fn a_precertificate_gets_a_promise_that_holds_for_the_final_certificate() {
    let lab = Lab::new().await;
    let authority = &lab.authority;
    let precertificate = authority
        .template()
        .sign_precertificate(&authority.issuer, &authority.key)
        .expect("signs");
    let body = authority.chain(precertificate.certificate());
    let sct = sct_of(&lab.add("/ct/v1/add-pre-chain", &body).await);
    assert_eq!(sct.log_id, lab.key().key_id());
    assert_eq!(sct.timestamp_ms, now().as_millisecond() as u64);
    let last = precertificate.embed(&[sct], &authority.key).expect("signs");
    let embedded = last.scts().expect("a list");
    embedded[0]
        .verify_embedded(&lab.key(), &last, &authority.issuer)
        .expect("holds");
}

#[tokio::test]
async fn a_certificate_is_promised_as_it_is() {
    let lab = Lab::new().await;
    let leaf = lab.authority.leaf();
    let sct = sct_of(
        &lab.add("/ct/v1/add-chain", &lab.authority.chain(&leaf))
            .await,
    );
    let entry = SignedEntry::X509 {
        certificate: leaf.der(),
    };
    sct.verify(&lab.key(), entry).expect("holds");
}

#[tokio::test]
async fn a_promised_entry_is_in_the_published_tree() {
    let lab = Lab::new().await;
    let (size, root, _) = lab.sth().await;
    assert_eq!((size, root), (0, merkle::EMPTY_ROOT));
    for number in 1..=5 {
        let precertificate = lab.authority.precertificate();
        let body = lab.authority.chain(&precertificate);
        let sct = sct_of(&lab.add("/ct/v1/add-pre-chain", &body).await);
        let (size, root, time) = lab.sth().await;
        assert_eq!(size, number);
        assert!(time >= sct.timestamp_ms);

        // The leaf as a monitor computes it from certificate and promise, RFC 6962 §3.4.
        let tbs = precertificate.precertificate_tbs();
        let leaf = [
            &[0, 0],
            sct.timestamp_ms.to_be_bytes().as_slice(),
            &[0, 1],
            &crypto::sha256(lab.authority.issuer.spki_der()),
            &(tbs.len() as u32).to_be_bytes()[1..],
            &tbs,
            &[0, 0],
        ]
        .concat();
        let hash = merkle::leaf_hash(&leaf);
        let encoded: String =
            url::form_urlencoded::byte_serialize(STANDARD.encode(hash).as_bytes()).collect();
        let path = format!("/ct/v1/get-proof-by-hash?hash={encoded}&tree_size={size}");
        let proof = lab.json(&path).await;
        let index = proof["leaf_index"].as_u64().expect("a number");
        let path = hashes(&proof["audit_path"]);
        merkle::verify_inclusion(index, size, &hash, &path, &root).expect("included");

        let path = format!("/ct/v1/get-entry-and-proof?leaf_index={index}&tree_size={size}");
        let both = lab.json(&path).await;
        assert_eq!(bytes(&both["leaf_input"]), leaf);
        assert_eq!(both["audit_path"], proof["audit_path"]);
    }
}

#[tokio::test]
async fn the_same_certificate_gets_the_promise_of_its_first_time() {
    let lab = Lab::new().await;
    let body = lab.authority.chain(&lab.authority.precertificate());
    let first = sct_of(&lab.add("/ct/v1/add-pre-chain", &body).await);
    lab.context.clock.advance(3600);
    let again = sct_of(&lab.add("/ct/v1/add-pre-chain", &body).await);
    assert_eq!(again.timestamp_ms, first.timestamp_ms);
    assert_eq!(lab.sth().await.0, 1);
}

#[tokio::test]
async fn entries_carry_the_chain_with_its_root() {
    let lab = Lab::new().await;
    let precertificate = lab.authority.precertificate();
    lab.add(
        "/ct/v1/add-pre-chain",
        &lab.authority.chain(&precertificate),
    )
    .await;
    // The root may be left out of what is sent.
    let leaf = lab.authority.leaf();
    lab.add("/ct/v1/add-chain", &chain(&[&leaf, &lab.authority.issuer]))
        .await;

    let entries = lab.json("/ct/v1/get-entries?start=0&end=9").await;
    let entries = entries["entries"].as_array().expect("a list");
    assert_eq!(entries.len(), 2);
    let vector = |bytes: &[u8]| [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat();
    let above = [
        vector(lab.authority.issuer.der()),
        vector(lab.authority.root.der()),
    ]
    .concat();
    let precert_chain_entry = [vector(precertificate.der()), vector(&above)].concat();
    assert_eq!(bytes(&entries[0]["extra_data"]), precert_chain_entry);
    assert_eq!(bytes(&entries[1]["extra_data"]), vector(&above));
    let leaf_input = bytes(&entries[1]["leaf_input"]);
    assert_eq!(leaf_input[10..12], [0, 0], "entry type x509");
    assert_eq!(
        leaf_input[12..15],
        (leaf.der().len() as u32).to_be_bytes()[1..]
    );
    assert_eq!(&leaf_input[15..leaf_input.len() - 2], leaf.der());
    let one = lab.json("/ct/v1/get-entries?start=1&end=1").await;
    assert_eq!(one["entries"][0], entries[1]);
    let lab = lab.restarted().await;
    let again = lab.json("/ct/v1/get-entries?start=0&end=9").await;
    assert_eq!(again["entries"].as_array(), Some(entries));
}

#[tokio::test]
async fn tree_heads_are_consistent_over_time_and_restart() {
    let lab = Lab::new().await;
    let mut heads = Vec::new();
    for _ in 0..4 {
        lab.add(
            "/ct/v1/add-chain",
            &lab.authority.chain(&lab.authority.leaf()),
        )
        .await;
        heads.push(lab.sth().await);
    }
    assert!(
        heads.is_sorted_by(|a, b| a.2 < b.2),
        "each head is younger than the last"
    );
    let trust = lab.service.trust();
    let lab = lab.restarted().await;
    assert_eq!(lab.service.trust(), trust, "key and validity stay");
    lab.add(
        "/ct/v1/add-chain",
        &lab.authority.chain(&lab.authority.leaf()),
    )
    .await;
    let (size, root, time) = lab.sth().await;
    assert_eq!(size, 5);
    for (first, old, then) in heads {
        let path = format!("/ct/v1/get-sth-consistency?first={first}&second={size}");
        let proof = hashes(&lab.json(&path).await["consistency"]);
        merkle::verify_consistency(first, size, &old, &root, &proof).expect("consistent");
        assert!(then < time);
    }
    let nothing = lab
        .json("/ct/v1/get-sth-consistency?first=0&second=5")
        .await;
    assert_eq!(nothing["consistency"], json!([]));
}

/// A certificate that the next one did not sign, or that may not sign, in upstream's words.
const NO_PATH: &str = "chain failed to verify: no RFC compliant path to root found when trying to \
                       validate chain";

#[tokio::test]
async fn chains_that_upstream_refuses_are_refused_in_its_words() {
    let lab = Lab::new().await;
    let authority = &lab.authority;
    let stranger = Authority::new();
    let (leaf, precertificate) = (authority.leaf(), authority.precertificate());
    let forged = stranger
        .template()
        .sign(&authority.issuer, &stranger.key)
        .expect("signs");
    let server = authority.other(&[oid::EKU_SERVER_AUTH]);
    let refused = "failed to verify add-chain contents: ";
    let cases = [
        (
            "add-chain",
            authority.chain(&precertificate),
            "cert / precert mismatch: bool",
        ),
        (
            "add-pre-chain",
            authority.chain(&leaf),
            "cert / precert mismatch: bool",
        ),
        (
            "add-chain",
            stranger.chain(&stranger.leaf()),
            "chain failed to verify: x509: certificate signed by unknown authority",
        ),
        (
            "add-chain",
            chain(&[&leaf]),
            "chain failed to verify: x509: certificate signed by unknown authority",
        ),
        (
            "add-chain",
            chain(&[&leaf, &authority.root, &authority.issuer]),
            NO_PATH,
        ),
        ("add-chain", authority.chain(&forged), NO_PATH),
        (
            "add-chain",
            authority.chain(&server),
            "chain failed to verify: rejecting certificate without EKU in [3]",
        ),
        (
            "add-chain",
            json!({"chain": ["AAAA"]}),
            "chain failed to verify: malformed certificate",
        ),
    ];
    for (path, body, want) in cases {
        let (status, text) = lab.post(&format!("/ct/v1/{path}"), &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert_eq!(text, format!("Bad Request\n{refused}{want}\n"));
    }
    assert_eq!(lab.sth().await.0, 0, "nothing was logged");
}

#[tokio::test]
async fn issuers_that_are_remembered_vouch_for_nobody_else() {
    let lab = Lab::new().await;
    let (authority, stranger) = (&lab.authority, Authority::new());
    for _ in 0..2 {
        lab.add("/ct/v1/add-chain", &authority.chain(&authority.leaf()))
            .await;
    }
    let forged = stranger
        .template()
        .sign(&authority.issuer, &stranger.key)
        .expect("signs");
    for refused in [
        authority.chain(&forged),
        chain(&[&authority.leaf(), &authority.issuer, &stranger.root]),
        chain(&[&stranger.leaf(), &stranger.issuer, &authority.root]),
    ] {
        let (status, text) = lab.post("/ct/v1/add-chain", &refused).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
        assert!(text.contains(NO_PATH), "{text}");
    }
    assert_eq!(lab.sth().await.0, 2);
}

#[tokio::test]
async fn a_precertificate_signing_certificate_is_refused() {
    let lab = Lab::new().await;
    let signing = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.4");
    let after = "2027-01-01T00:00:00Z".parse().expect("a timestamp");
    let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
    let name = Name {
        organization: "lab".to_owned(),
        common_name: "pre".to_owned(),
    };
    let signer = AuthorityBuilder::new(name, now(), after)
        .ext_key_usage(&[signing])
        .issued_by(&lab.authority.issuer, &lab.authority.key, key.public_key())
        .expect("signs");
    let precertificate = lab.authority.template().sign_precertificate(&signer, &key);
    let precertificate = precertificate.expect("signs");
    let body = chain(&[
        precertificate.certificate(),
        &signer,
        &lab.authority.issuer,
        &lab.authority.root,
    ]);
    let (status, text) = lab.post("/ct/v1/add-pre-chain", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        text.contains("precertificate signing certificates are not supported"),
        "{text}"
    );
}

#[tokio::test]
async fn a_certificate_too_long_for_an_entry_is_refused() {
    let error = ctlog::Error::from(sequencer::AppendError::EntryTooLong { got: 70_000 });
    let response = axum::response::IntoResponse::into_response(error);
    let (status, text) = read(response).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        text.starts_with("Bad Request\nfailed to build MerkleTreeLeaf: "),
        "{text}"
    );
}

#[tokio::test]
async fn a_log_that_cannot_write_says_when_to_retry() {
    for (error, want) in [
        (
            sequencer::AppendError::QueueFull,
            StatusCode::TOO_MANY_REQUESTS,
        ),
        (
            sequencer::AppendError::NoSpace,
            StatusCode::SERVICE_UNAVAILABLE,
        ),
        (
            sequencer::AppendError::Stopped,
            StatusCode::SERVICE_UNAVAILABLE,
        ),
    ] {
        let response = axum::response::IntoResponse::into_response(ctlog::Error::from(error));
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.status(), want);
    }
}

#[tokio::test]
async fn a_clock_behind_the_last_tree_head_promises_nothing() {
    let lab = Lab::new().await;
    lab.add(
        "/ct/v1/add-chain",
        &lab.authority.chain(&lab.authority.leaf()),
    )
    .await;
    lab.context.clock.advance(-3600);
    let body = lab.authority.chain(&lab.authority.leaf());
    let (status, text) = lab.post("/ct/v1/add-chain", &body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert_eq!(lab.sth().await.0, 1);
    assert!(lab.service.readiness().is_err());
    lab.context.clock.advance(3601);
    lab.add("/ct/v1/add-chain", &body).await;
    assert!(lab.service.readiness().is_ok());
}

#[tokio::test]
async fn bad_requests_are_answered_in_upstreams_form() {
    let lab = Lab::new().await;
    lab.add(
        "/ct/v1/add-chain",
        &lab.authority.chain(&lab.authority.leaf()),
    )
    .await;
    for (path, want, reason) in BAD_REQUESTS {
        let (status, text) = lab.get(&format!("/ct/v1/{path}")).await;
        let name = status.canonical_reason().expect("a known status");
        assert_eq!(
            (status.as_u16(), text),
            (want, format!("{name}\n{reason}\n")),
            "{path}"
        );
    }
    let (status, text) = lab.get("/ct/v1/nothing").await;
    assert_eq!(
        (status.as_u16(), text.as_str()),
        (404, "404 page not found\n")
    );

    let bodies = [
        ("{\"chain\":[]}", 400, "cert chain was empty"),
        ("{}", 400, "cert chain was empty"),
        ("not json", 400, "expected ident at line 1 column 2"),
        ("{\"chain\":[\"*\"]}", 400, "illegal base64 data"),
    ];
    for (body, want, reason) in bodies {
        let request = Request::post("/ct/v1/add-chain")
            .body(Body::from(body))
            .expect("a request");
        let (status, text) = read(lab.call(request).await).await;
        assert_eq!(status.as_u16(), want);
        let start = "Bad Request\nctlog: failed to parse add-chain body: ";
        assert!(text.starts_with(start) && text.contains(reason), "{text}");
    }
    let long = Body::from(vec![b'x'; 600 << 10]);
    let request = Request::post("/ct/v1/add-chain")
        .body(long)
        .expect("a request");
    let (status, text) = read(lab.call(request).await).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(
        text.starts_with("Request Entity Too Large\nctlog: certificate chain exceeds "),
        "{text}"
    );
}

#[tokio::test]
async fn answers_must_not_be_cached() {
    let lab = Lab::new().await;
    for path in [
        "get-sth",
        "get-roots",
        "get-sth-consistency?first=0&second=0",
    ] {
        let request = Request::get(format!("/ct/v1/{path}")).body(Body::empty());
        let response = lab.call(request.expect("a request")).await;
        assert_eq!(response.headers()["cache-control"], "no-store", "{path}");
        assert_eq!(response.headers()["content-type"], "application/json");
    }
}

/// A Fulcio that only hands out its chain.
async fn fulcio(chain: String) -> url::Url {
    let answer = move || async move { chain };
    let router = Router::new().route("/api/v1/rootCert", axum::routing::get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}").parse().expect("a URL")
}

#[tokio::test]
async fn the_root_of_fulcio_is_fetched_when_a_chain_needs_it_and_kept() {
    let authority = Authority::new();
    let pem = format!("{}{}", authority.issuer.to_pem(), authority.root.to_pem());
    let url = fulcio(pem).await;
    let lab = Lab::with(|config| {
        config.accepted_roots.clear();
        config.trust_fulcio = true;
        config.fulcio_url = Some(url);
    })
    .await;
    lab.add("/ct/v1/add-chain", &authority.chain(&authority.leaf()))
        .await;
    let roots = lab.json("/ct/v1/get-roots").await;
    assert_eq!(
        roots["certificates"],
        json!([STANDARD.encode(authority.root.der())])
    );

    let Lab {
        temp,
        context,
        service,
        ..
    } = lab;
    drop(service);
    let unreachable = "http://127.0.0.1:9".parse().expect("a URL");
    let config = Config {
        fulcio_url: Some(unreachable),
        ..Config::default()
    };
    let service = Service::open(config, context.clone())
        .await
        .expect("opens again");
    let lab = Lab {
        temp,
        authority,
        context,
        service,
    };
    lab.add(
        "/ct/v1/add-chain",
        &lab.authority.chain(&lab.authority.leaf()),
    )
    .await;
    let stranger = Authority::new();
    let (status, text) = lab
        .post("/ct/v1/add-chain", &stranger.chain(&stranger.leaf()))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        text.contains("certificate signed by unknown authority"),
        "{text}"
    );
}

#[tokio::test]
async fn a_second_service_on_the_same_directory_is_refused_in_one_line() {
    let lab = Lab::new().await;
    let error = Service::open(Config::default(), lab.context.clone())
        .await
        .expect_err("locked");
    let line = format!("{error:#}");
    assert!(
        line.starts_with("another process has ") && !line.contains('\n'),
        "{line}"
    );
}

#[tokio::test]
async fn another_key_over_the_same_log_is_refused_in_one_line() {
    let lab = Lab::new().await;
    let Lab {
        temp: _temp,
        context,
        service,
        ..
    } = lab;
    drop(service);
    std::fs::remove_file(context.dir.join("keys/ctlog.pem")).expect("the key is there");
    let error = Service::open(Config::default(), context)
        .await
        .expect_err("another key");
    let line = format!("{error:#}");
    assert!(
        line.contains("this log's origin is ") && !line.contains('\n'),
        "{line}"
    );
}
