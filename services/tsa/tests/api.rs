//! The authority through its router: answers, refusals, restarts, and a clock that misbehaves.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use axum::{
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::HashAlgorithm;
use http_body_util::BodyExt as _;
use runtime::{Context, Service as _, ServiceRole};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tsp::{MessageImprint, TimestampRequest, TimestampToken};
use x509::{Certificate, ObjectIdentifier, oid, tlv};

const MESSAGE: &[u8] = b"a signature's bytes";
const QUERY: &str = "application/timestamp-query";
const JSON: &str = "application/json";

async fn open(context: &Context) -> Arc<tsa::Service> {
    tsa::Service::open(tsa::Config::default(), context.clone())
        .await
        .unwrap()
}

async fn refusal(context: &Context) -> String {
    let error = tsa::Service::open(tsa::Config::default(), context.clone())
        .await
        .unwrap_err();
    format!("{error:#}")
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn token(&self) -> TimestampToken {
        assert_eq!(
            self.status,
            StatusCode::OK,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        TimestampToken::from_der(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn send(service: &Arc<tsa::Service>, request: Request<Body>) -> Answer {
    let response = service
        .clone()
        .router("http")
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

async fn post(service: &Arc<tsa::Service>, content_type: &str, body: impl Into<Body>) -> Answer {
    let request = Request::post("/api/v1/timestamp").header("content-type", content_type);
    send(service, request.body(body.into()).unwrap()).await
}

async fn get(service: &Arc<tsa::Service>, path: &str) -> Answer {
    send(service, Request::get(path).body(Body::empty()).unwrap()).await
}

async fn chain(service: &Arc<tsa::Service>) -> Vec<Certificate> {
    let answer = get(service, "/api/v1/timestamp/certchain").await;
    Certificate::chain_from_pem(std::str::from_utf8(&answer.body).unwrap()).unwrap()
}

fn query(hash: HashAlgorithm) -> TimestampRequest {
    TimestampRequest::new(MessageImprint::of(hash, MESSAGE))
}

fn der() -> Vec<u8> {
    query(HashAlgorithm::Sha256).to_der()
}

#[tokio::test]
async fn every_hash_is_stamped_with_and_without_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    let service = open(&context).await;
    let chain = chain(&service).await;
    for hash in [
        HashAlgorithm::Sha256,
        HashAlgorithm::Sha384,
        HashAlgorithm::Sha512,
    ] {
        for certificates in [false, true] {
            let nonce = Some(vec![0x00, 0x9a, 0x01]);
            let request = TimestampRequest {
                certificates,
                nonce,
                ..query(hash)
            };
            let token = post(&service, QUERY, request.to_der()).await.token();
            assert_eq!(token.verify(MESSAGE, &chain[0]), Ok(context.clock.now()));
            assert_eq!(token.info().nonce, request.nonce);
            let carried = token.certificates().iter().map(Certificate::der);
            let expected = certificates.then(|| chain[0].der());
            assert!(carried.eq(expected), "certificates: {certificates}");
        }
    }
}

#[tokio::test]
async fn the_request_of_sigstore_js_is_stamped() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    let leaf = &chain(&service).await[0];
    let digest = STANDARD.encode(crypto::sha256(MESSAGE));
    let body = json!({ "artifactHash": digest, "hashAlgorithm": "sha256" }).to_string();
    let token = post(&service, JSON, body).await.token();
    token.verify(MESSAGE, leaf).unwrap();
    assert_eq!(token.info().nonce, None);
    let body = json!({
        "artifactHash": digest, "hashAlgorithm": "SHA256", "nonce": 300, "certificates": true,
        "tsaPolicyOID": "1.3.6.1.4.1.57264.2",
    });
    let token = post(
        &service,
        "application/json; charset=utf-8",
        body.to_string(),
    )
    .await
    .token();
    assert_eq!(token.info().nonce.as_deref(), Some(&[0x01, 0x2c][..]));
    assert_eq!(token.certificates().len(), 1);
}

#[tokio::test]
async fn answers_have_upstreams_headers() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    let answer = post(&service, QUERY, der()).await;
    assert_eq!(answer.header("content-type"), "application/timestamp-reply");
    assert_eq!(
        answer.header("cache-control"),
        "no-cache, no-store, no-transform, must-revalidate, private, max-age=0"
    );
    assert_eq!(answer.header("expires"), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(answer.header("pragma"), "no-cache");
    assert_eq!(answer.header("x-accel-expires"), "0");
    let answer = get(&service, "/api/v1/timestamp/certchain").await;
    assert_eq!(
        answer.header("content-type"),
        "application/pem-certificate-chain"
    );
    assert_eq!(answer.header("cache-control"), "max-age=86400, immutable");
    assert!(answer.body.ends_with(b"-----END CERTIFICATE-----\n"));
    let answer = get(&service, "/ping").await;
    assert_eq!(
        (answer.header("content-type"), answer.body.as_slice()),
        ("text/plain", &b"."[..])
    );
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    let preflight = Request::options("/api/v1/timestamp")
        .header("origin", "http://page.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let answer = send(&service, preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-methods"), "POST");
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "content-type"
    );
    let request = Request::get("/ping").header("origin", "http://page.example");
    let answer = send(&service, request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

/// Name, content type, body, `code` and `message`.
type Refusal = (&'static str, &'static str, Vec<u8>, u16, &'static str);

/// A request whose imprint has this algorithm and so many bytes of digest.
fn imprint_of(oid: &str, digest_bytes: usize) -> Vec<u8> {
    let oid = tlv::write_oid(ObjectIdentifier::new_unwrap(oid));
    let algorithm = tlv::write_all(tlv::SEQUENCE, &[&oid, &[5, 0]]);
    let digest = tlv::write(tlv::OCTET_STRING, &vec![1; digest_bytes]);
    let imprint = tlv::write_all(tlv::SEQUENCE, &[&algorithm, &digest]);
    tlv::write_all(tlv::SEQUENCE, &[&[tlv::INTEGER, 1, 1], &imprint])
}

fn refused_der() -> Vec<Refusal> {
    let with = |extra: &[u8]| tlv::write_all(tlv::SEQUENCE, &[&der()[2..], extra]);
    let policy = tlv::write_oid(ObjectIdentifier::new_unwrap("1.2.3.4"));
    let extension = [0xa0, 0x0a, 0x30, 8, 6, 3, 0x2a, 3, 4, 4, 1, 0];
    let both = [&policy, extension.as_slice()].concat();
    vec![
        ("sha-1", QUERY, imprint_of("1.3.14.3.2.26", 20), 400, WEAK),
        (
            "sha-224",
            QUERY,
            imprint_of("2.16.840.1.101.3.4.2.4", 28),
            400,
            UNREADABLE,
        ),
        (
            "digest length",
            QUERY,
            imprint_of("2.16.840.1.101.3.4.2.1", 31),
            400,
            LENGTH,
        ),
        ("junk", QUERY, b"junk".to_vec(), 400, UNREADABLE),
        (
            "trailing bytes",
            QUERY,
            [der(), vec![0]].concat(),
            400,
            UNREADABLE,
        ),
        (
            "too long",
            QUERY,
            vec![0x30; 1024 * 1024 + 1],
            400,
            UNREADABLE,
        ),
        ("policy", QUERY, with(&policy), 400, POLICY),
        ("extension", QUERY, with(&extension), 400, EXTENSION),
        ("policy first", QUERY, with(&both), 400, POLICY),
        ("empty", QUERY, Vec::new(), 602, EMPTY),
        ("empty text", "text/plain", Vec::new(), 602, EMPTY),
        (
            "media type",
            "text/plain; charset=utf-8",
            der(),
            415,
            MEDIA_TYPE,
        ),
    ]
}

fn refused_json() -> Vec<Refusal> {
    let hash = STANDARD.encode(crypto::sha256(MESSAGE));
    let fields = [
        ("sha-1", json!({ "hashAlgorithm": "sha1" }), WEAK),
        (
            "md5",
            json!({ "artifactHash": hash, "hashAlgorithm": "md5" }),
            UNREADABLE,
        ),
        (
            "base64",
            json!({ "artifactHash": "!", "hashAlgorithm": "sha256" }),
            UNREADABLE,
        ),
        (
            "nonce",
            json!({ "nonce": "1", "hashAlgorithm": "sha256" }),
            UNREADABLE,
        ),
        (
            "policy syntax",
            json!({ "hashAlgorithm": "sha256", "tsaPolicyOID": "1.x" }),
            SYNTAX,
        ),
        (
            "policy",
            json!({ "artifactHash": hash, "hashAlgorithm": "sha256", "tsaPolicyOID": "1.2" }),
            POLICY,
        ),
    ];
    let mut refused: Vec<Refusal> = fields
        .into_iter()
        .map(|(name, body, message)| (name, JSON, body.to_string().into_bytes(), 400, message))
        .collect();
    refused.push(("bad json", JSON, b"{".to_vec(), 400, UNREADABLE));
    refused.push((
        "long json",
        JSON,
        vec![b' '; 1025],
        400,
        "timestamp request is too large",
    ));
    refused
}

const UNREADABLE: &str = "Error generating timestamp response";
const EMPTY: &str = "request in body is required";
const MEDIA_TYPE: &str = "unsupported media type \"text/plain\", only [application/json \
                          application/timestamp-query] are allowed";
const SYNTAX: &str = "OID should be comprised of at most 128 components";
const WEAK: &str = "Weak hash algorithm in timestamp request";
const LENGTH: &str = "Message digest has incorrect length for specified algorithm";
const POLICY: &str = "unaccepted policy: requested TSA policy is not supported by the TSA";
const EXTENSION: &str = "unaccepted extension: requested extensions are not supported by the TSA";

#[tokio::test]
async fn refusals_have_upstreams_bodies() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    for (name, content_type, body, code, message) in refused_der().into_iter().chain(refused_json())
    {
        let answer = post(&service, content_type, body).await;
        let status = if code == 602 { 422 } else { code };
        assert_eq!(answer.status.as_u16(), status, "{name}");
        assert_eq!(
            answer.json(),
            json!({ "code": code, "message": message }),
            "{name}"
        );
        let label = if code == 400 {
            "application/timestamp-reply"
        } else {
            "application/json"
        };
        assert_eq!(answer.header("content-type"), label, "{name}");
    }
}

#[tokio::test]
async fn a_client_that_takes_no_timestamps_gets_an_empty_500() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    let request = |accept: &str| {
        Request::post("/api/v1/timestamp")
            .header("content-type", QUERY)
            .header("accept", accept)
            .body(Body::from(der()))
            .unwrap()
    };
    let answer = send(&service, request("application/json")).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (500, 0));
    for accept in [
        "*/*",
        "application/*",
        "text/html, application/timestamp-reply;q=0.1",
    ] {
        assert_eq!(
            send(&service, request(accept)).await.status,
            StatusCode::OK,
            "{accept}"
        );
    }
}

#[tokio::test]
async fn methods_that_are_not_allowed_are_405() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    let answer = get(&service, "/api/v1/timestamp").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(answer.header("allow"), "POST");
    let message = "method GET is not allowed, but [POST] are";
    assert_eq!(answer.json(), json!({ "code": 405, "message": message }));
    let request = Request::post("/api/v1/timestamp/certchain")
        .body(Body::empty())
        .unwrap();
    let answer = send(&service, request).await;
    let message = "method POST is not allowed, but [GET] are";
    assert_eq!(answer.json(), json!({ "code": 405, "message": message }));
}

#[tokio::test]
async fn paths_that_do_not_exist_are_404() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    for path in ["/nope", "/", "/api/v1", "/swagger.json"] {
        let answer = get(&service, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        let message = format!("path {path} was not found");
        assert_eq!(answer.json(), json!({ "code": 404, "message": message }));
    }
}

#[tokio::test]
async fn broken_media_type_parameters_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    let answer = post(&service, "application/timestamp-query;;;=", der()).await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn chain_and_serials_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    let mut serials = std::collections::BTreeSet::new();
    let mut pems = Vec::new();
    for _ in 0..3 {
        let service = open(&context).await;
        pems.push(get(&service, "/api/v1/timestamp/certchain").await.body);
        for _ in 0..20 {
            serials.insert(
                post(&service, QUERY, der())
                    .await
                    .token()
                    .info()
                    .serial
                    .clone(),
            );
        }
    }
    assert_eq!(serials.len(), 60);
    assert!(
        serials
            .iter()
            .all(|serial| serial.len() >= 18 && serial[0] < 0x80)
    );
    assert_eq!(pems[0], pems[1]);
    assert_eq!(pems[1], pems[2]);
}

#[tokio::test]
async fn the_chain_is_named_and_marked_as_a_labs() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    let chain = chain(&open(&context).await).await;
    assert_eq!(chain.len(), 3);
    for (certificate, role) in chain.iter().zip(["TSA ", "TSA Intermediate ", "TSA Root "]) {
        let organization = certificate.subject_organization().unwrap();
        assert_eq!(organization, "LAB-0badcafe NOT FOR PRODUCTION");
        let name = certificate.subject_common_name().unwrap();
        let number = name.strip_prefix(role).unwrap();
        assert!(
            number.len() == 8 && number.bytes().all(|b| b.is_ascii_hexdigit()),
            "{name}"
        );
        assert!(certificate.extension(oid::LAB_MARKER).is_some());
        assert_eq!(certificate_days(certificate), 90);
        assert!(certificate.not_before() < context.clock.now());
    }
    let (leaf, intermediate) = (&chain[0], &chain[1]);
    assert_eq!(leaf.ext_key_usage().unwrap(), [oid::EKU_TIME_STAMPING]);
    assert!(
        leaf.extensions()
            .iter()
            .any(|e| e.oid == oid::EXT_KEY_USAGE && e.critical)
    );
    assert_eq!(
        intermediate.ext_key_usage().unwrap(),
        [oid::EKU_TIME_STAMPING]
    );
    let at = context.clock.now();
    x509::verify_chain(leaf, &chain[1..2], &chain[2..], at, oid::EKU_TIME_STAMPING).unwrap();
}

fn certificate_days(certificate: &Certificate) -> i64 {
    (certificate.not_after().as_second() - certificate.not_before().as_second()) / 86_400
}

#[tokio::test]
async fn the_trusted_root_learns_the_chain_leaf_first() {
    let dir = tempfile::tempdir().unwrap();
    let service = open(&Context::for_test("tsa", dir.path())).await;
    let chain = chain(&service).await;
    let trust = service.trust();
    let authority = &trust.timestamp_authorities[0];
    assert!(
        authority
            .chain
            .iter()
            .eq(chain.iter().map(Certificate::der))
    );
    assert_eq!(authority.uri, "http://localhost:3004/api/v1/timestamp");
    assert_eq!(
        Some(&authority.common_name),
        chain[2].subject_common_name().as_ref()
    );
    assert_eq!(authority.valid_from, chain[0].not_before());
    assert_eq!(trust.services[0].role, ServiceRole::TimestampAuthority);
    assert_eq!(
        trust.services[0].url,
        "http://localhost:3004/api/v1/timestamp"
    );
    assert_eq!(trust.services[0].major_api_version, 1);
}

#[tokio::test]
async fn a_clock_behind_the_last_timestamp_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    let service = open(&context).await;
    context.clock.advance(60);
    assert_eq!(post(&service, QUERY, der()).await.status, StatusCode::OK);
    context.clock.advance(-1);
    let message = "the clock is behind the last timestamp issued";
    for service in [service, open(&context).await] {
        let answer = post(&service, QUERY, der()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json(), json!({ "code": 503, "message": message }));
        assert_eq!(service.readiness(), Err(message.to_owned()));
    }
    context.clock.advance(1);
    assert_eq!(
        post(&open(&context).await, QUERY, der()).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_clock_outside_the_certificates_validity_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    let service = open(&context).await;
    for seconds in [-3600, 3600 + 91 * 86_400] {
        context.clock.advance(seconds);
        let answer = post(&service, QUERY, der()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(service.readiness().is_err());
    }
}

#[tokio::test]
async fn nothing_is_stamped_after_a_time_could_not_be_stored() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    let service = open(&context).await;
    let blocker = dir.path().join("last-issued");
    std::fs::create_dir(&blocker).unwrap();
    let answer = post(&service, QUERY, der()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    std::fs::remove_dir(&blocker).unwrap();
    // What the disk holds is unknown until a restart has read it.
    let answer = post(&service, QUERY, der()).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(service.readiness().is_err());
    assert_eq!(
        post(&open(&context).await, QUERY, der()).await.status,
        StatusCode::OK
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "a damaged file need not be durable"
)]
fn overwrite(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn a_key_that_cannot_be_trusted_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    open(&context).await;
    let key = dir.path().join("keys/leaf.pem");
    let (pem, other) = (
        std::fs::read(&key).unwrap(),
        dir.path().join("keys/root.pem"),
    );
    assert_eq!(
        std::fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal(&context).await.contains("mode 0644"));
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    overwrite(&key, &pem[..pem.len() / 2]);
    assert!(refusal(&context).await.contains("leaf.pem"));
    overwrite(&key, &std::fs::read(other).unwrap());
    assert!(
        refusal(&context)
            .await
            .contains("the key is not the leaf's")
    );
    std::fs::remove_file(&key).unwrap();
    assert!(refusal(&context).await.contains("is there but its key"));
    overwrite(&key, &pem);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    open(&context).await;
}

#[tokio::test]
async fn a_damaged_chain_or_time_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    open(&context).await;
    let chain = dir.path().join("chain.pem");
    let pem = std::fs::read_to_string(&chain).unwrap();
    let end = pem.find("-----END").unwrap();
    overwrite(&chain, &pem.as_bytes()[..end]);
    assert!(refusal(&context).await.contains("chain.pem cannot be read"));
    let leaf = &pem[..end + "-----END CERTIFICATE-----\n".len()];
    overwrite(&chain, leaf.as_bytes());
    assert!(
        refusal(&context)
            .await
            .contains("at least two certificates")
    );
    overwrite(&chain, pem.as_bytes());
    overwrite(&dir.path().join("last-issued"), b"yesterday");
    assert!(
        refusal(&context)
            .await
            .contains("last-issued is not a timestamp")
    );
}

#[tokio::test]
async fn a_public_instances_name_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    open(&context).await;
    let key = |role: &str| {
        runtime::keys::load(&runtime::keys::path(dir.path(), role))
            .unwrap()
            .unwrap()
    };
    let name = |common_name: &str| x509::Name {
        organization: "sigstore.dev".to_owned(),
        common_name: common_name.to_owned(),
    };
    let (start, end) = (
        context.clock.backdated(),
        "2026-02-01T00:00:00Z".parse().unwrap(),
    );
    let root = x509::AuthorityBuilder::new(name("sigstore-tsa-selfsigned"), start, end)
        .self_signed(&key("root"))
        .unwrap();
    let leaf = x509::EndEntityBuilder::new(name("sigstore-tsa"), start, end)
        .ext_key_usage(&[oid::EKU_TIME_STAMPING], true)
        .issued_by(&root, &key("root"), key("leaf").public_key())
        .unwrap();
    let pem = [leaf.to_pem(), root.to_pem()].concat();
    overwrite(&dir.path().join("chain.pem"), pem.as_bytes());
    assert!(
        refusal(&context)
            .await
            .contains("is a name of a public Sigstore instance")
    );
}

#[tokio::test]
async fn settings_that_cannot_be_used_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("tsa", dir.path());
    let config = tsa::Config {
        default_policy_oid: "policy".to_owned(),
        ..Default::default()
    };
    let error = tsa::Service::open(config, context.clone())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("tsa.default_policy_oid"));
    let config = tsa::Config {
        ca_validity_days: 0,
        ..Default::default()
    };
    let error = tsa::Service::open(config, context).await.unwrap_err();
    assert!(error.to_string().contains("tsa.ca_validity_days"));
}

#[tokio::test]
async fn settings_change_status_policy_and_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let config = tsa::Config {
        accepted_policy_oids: vec!["1.2.3".to_owned()],
        include_chain_in_response: true,
        use_http_201: true,
        ..Default::default()
    };
    let context = Context::for_test("tsa", dir.path());
    let service = tsa::Service::open(config, context).await.unwrap();
    let request = TimestampRequest {
        policy: Some(ObjectIdentifier::new_unwrap("1.2.3")),
        certificates: true,
        ..query(HashAlgorithm::Sha256)
    };
    let answer = post(&service, QUERY, request.to_der()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let token = TimestampToken::from_der(&answer.body).unwrap();
    assert_eq!(token.info().policy.to_string(), "1.2.3");
    assert_eq!(token.certificates().len(), 3);
    token.verify(MESSAGE, &chain(&service).await[0]).unwrap();
}

#[tokio::test]
async fn an_own_chain_signs() {
    let (dir, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = open(&Context::for_test("tsa", own.path())).await;
    let context = Context::for_test("tsa", dir.path());
    let config = tsa::Config {
        certificate_chain_path: Some(own.path().join("chain.pem")),
        file_signer_key_path: Some(own.path().join("keys/leaf.pem")),
        ..tsa::Config::default()
    };
    let service = tsa::Service::open(config.clone(), context.clone())
        .await
        .unwrap();
    let leaf = &chain(&made).await[0];
    post(&service, QUERY, der())
        .await
        .token()
        .verify(MESSAGE, leaf)
        .unwrap();
    assert!(!dir.path().join("chain.pem").exists());
    for config in [
        tsa::Config {
            file_signer_key_path: None,
            ..config.clone()
        },
        tsa::Config {
            file_signer_key_path: Some(own.path().join("keys/root.pem")),
            ..config.clone()
        },
        tsa::Config {
            certificate_chain_path: Some("nowhere.pem".into()),
            ..config
        },
    ] {
        assert!(tsa::Service::open(config, context.clone()).await.is_err());
    }
}
