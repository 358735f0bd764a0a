//! The repository through its router, followed by the client workflow of `tuf-metadata`.

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract,
    http::{Request, Response, StatusCode},
    routing::get,
};
use bundle::{SigningConfig, TrustedRoot};
use crypto::{KeyKind, SigningKey};
use http_body_util::BodyExt as _;
use runtime::{
    CertificateAuthority, Context, Service as _, ServiceRole, ServiceUrl, TransparencyLog, Trust,
};
use tower::ServiceExt as _;
use tuf::{Config, Service};
use tuf_metadata::{TrustedMetadata, Updater};

const DAY: i64 = 86_400;

fn time(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

fn log(url: &str, kind: KeyKind, key_details: &str) -> TransparencyLog {
    let key = SigningKey::generate(kind).unwrap();
    TransparencyLog {
        base_url: url.to_owned(),
        public_key: key.public_key().spki_der().to_vec(),
        key_details: key_details.to_owned(),
        log_id: key.public_key().key_id().to_vec(),
        valid_from: time("2025-12-31T23:55:00.5Z"),
    }
}

fn authority(uri: &str, chain: &[&[u8]]) -> CertificateAuthority {
    CertificateAuthority {
        uri: uri.to_owned(),
        organization: "LAB".to_owned(),
        common_name: "lab root".to_owned(),
        chain: chain.iter().map(|der| der.to_vec()).collect(),
        valid_from: time("2025-12-31T23:55:00Z"),
    }
}

fn trust() -> Trust {
    let p256 = "PKIX_ECDSA_P256_SHA_256";
    let service = |role, url: &str, major_api_version| ServiceUrl {
        role,
        url: url.to_owned(),
        major_api_version,
        valid_from: time("2025-12-31T23:55:00Z"),
    };
    Trust {
        tlogs: vec![
            log("http://localhost:3000", KeyKind::EcdsaP256, p256),
            log("http://localhost:3003", KeyKind::Ed25519, "PKIX_ED25519"),
        ],
        ctlogs: vec![log("http://localhost:6962", KeyKind::EcdsaP256, p256)],
        certificate_authorities: vec![authority("http://localhost:5555", &[b"issuer", b"root"])],
        timestamp_authorities: vec![authority(
            "http://localhost:3004",
            &[b"leaf", b"i", b"root"],
        )],
        services: vec![
            service(
                ServiceRole::CertificateAuthority,
                "http://localhost:5555",
                1,
            ),
            service(ServiceRole::OidcProvider, "http://localhost:8080", 1),
            service(ServiceRole::TransparencyLog, "http://localhost:3003", 2),
            service(ServiceRole::TransparencyLog, "http://localhost:3000", 1),
            service(
                ServiceRole::TimestampAuthority,
                "http://localhost:3004/api/v1/timestamp",
                1,
            ),
        ],
    }
}

/// A service without its background work, so that only the test publishes.
async fn open(dir: &Path) -> anyhow::Result<(Arc<Service>, Context)> {
    let context = Context::for_test("tuf", dir);
    let service = Service::open(Config::default(), context.clone()).await?;
    context.tasks.stop().await;
    Ok((service, context))
}

async fn send(service: &Arc<Service>, method: &str, path: &str) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    service
        .clone()
        .router("http")
        .oneshot(request)
        .await
        .unwrap()
}

async fn fetch(service: &Arc<Service>, path: &str) -> (StatusCode, Vec<u8>) {
    let response = send(service, "GET", path).await;
    let status = response.status();
    (
        status,
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
}

async fn file(service: &Arc<Service>, path: &str) -> Vec<u8> {
    let (status, body) = fetch(service, path).await;
    assert_eq!(status, StatusCode::OK, "{path}");
    body
}

/// What a client does that starts from `root`.
async fn update(service: &Arc<Service>, root: &[u8], now: jiff::Timestamp) -> TrustedMetadata {
    let mut updater = Updater::new(root).unwrap();
    loop {
        let next = format!("/{}.root.json", updater.root().version + 1);
        match fetch(service, &next).await {
            (StatusCode::OK, file) => updater.update_root(&file).unwrap(),
            (status, _) => {
                assert_eq!(status, StatusCode::NOT_FOUND);
                break;
            }
        }
    }
    updater
        .update_timestamp(&file(service, "/timestamp.json").await)
        .unwrap();
    let version = updater.snapshot_meta().unwrap().version;
    updater
        .update_snapshot(&file(service, &format!("/{version}.snapshot.json")).await)
        .unwrap();
    let version = updater.targets_meta().unwrap().version;
    updater
        .update_targets(&file(service, &format!("/{version}.targets.json")).await)
        .unwrap();
    updater.finish(now).unwrap()
}

async fn target(service: &Arc<Service>, trusted: &TrustedMetadata, name: &str) -> Vec<u8> {
    let path = trusted.target_file_name(name).unwrap();
    let bytes = file(service, &format!("/targets/{path}")).await;
    trusted.verify_target(name, &bytes).unwrap();
    bytes
}

async fn trusted_root(service: &Arc<Service>, now: jiff::Timestamp) -> TrustedRoot {
    let root = file(service, "/1.root.json").await;
    let trusted = update(service, &root, now).await;
    TrustedRoot::from_json(&target(service, &trusted, "trusted_root.json").await).unwrap()
}

#[tokio::test]
async fn an_unpublished_repository_answers_503() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    for path in ["/1.root.json", "/timestamp.json", "/"] {
        let (status, _) = fetch(&service, path).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(service.readiness().is_err());
}

#[tokio::test]
async fn a_client_finds_the_trusted_root() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    assert!(service.publish(&trust()).unwrap());
    let root = trusted_root(&service, context.clock.now()).await;
    assert_eq!(root.tlogs.len(), 2);
    assert_eq!(root.ctlogs.len(), 1);
    assert_eq!(
        root.certificate_authorities[0].cert_chain,
        [&b"issuer"[..], b"root"]
    );
    assert_eq!(
        root.timestamp_authorities[0].cert_chain,
        [&b"leaf"[..], b"i", b"root"]
    );
    let start = root.tlogs[0].public_key.valid_for.as_ref().unwrap().start;
    assert_eq!(start, Some(time("2025-12-31T23:55:00Z")), "whole seconds");
    assert_eq!(
        file(&service, "/root.json").await,
        file(&service, "/1.root.json").await
    );
}

#[tokio::test]
async fn signing_configs_are_complete_for_the_strictest_client() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    service.publish(&trust()).unwrap();
    let root = file(&service, "/root.json").await;
    let trusted = update(&service, &root, context.clock.now()).await;
    for (name, versions) in [
        ("signing_config.v0.2.json", &[2, 1][..]),
        ("signing_config_rekor_v1.v0.2.json", &[1]),
        ("signing_config_rekor_v2.v0.2.json", &[2]),
    ] {
        let json = target(&service, &trusted, name).await;
        let config = SigningConfig::from_json(&json).unwrap();
        let found: Vec<_> = config
            .rekor_tlog_urls
            .iter()
            .map(|s| s.major_api_version)
            .collect();
        assert_eq!(found, versions, "{name}");
        let text = String::from_utf8(json).unwrap();
        assert_eq!(text.matches("\"selector\": \"ANY\"").count(), 2, "{text}");
        let lists = [
            config.ca_urls,
            config.oidc_urls,
            config.rekor_tlog_urls,
            config.tsa_urls,
        ];
        for service in lists.iter().flatten() {
            assert_eq!(service.operator, "siglab");
            assert!(service.valid_for.as_ref().unwrap().start.is_some());
        }
    }
}

#[tokio::test]
async fn older_clients_find_single_files_by_usage() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    service.publish(&trust()).unwrap();
    let root = file(&service, "/root.json").await;
    let trusted = update(&service, &root, context.clock.now()).await;
    for (name, usage) in [
        ("fulcio.crt.pem", "Fulcio"),
        ("fulcio_intermediate_v1.crt.pem", "Fulcio"),
        ("rekor.pub", "Rekor"),
        ("ctfe.pub", "CTFE"),
        ("tsa_leaf.crt.pem", "TSA"),
        ("tsa_intermediate_0.crt.pem", "TSA"),
        ("tsa_root.crt.pem", "TSA"),
    ] {
        assert!(
            target(&service, &trusted, name)
                .await
                .starts_with(b"-----BEGIN "),
            "{name}"
        );
        let custom = trusted.target(name).unwrap().custom.as_ref().unwrap();
        assert_eq!(custom["sigstore"]["usage"], usage);
        assert_eq!(custom["sigstore"]["status"], "Active");
    }
}

#[tokio::test]
async fn targets_are_listed_with_sha256_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    service.publish(&trust()).unwrap();
    let root = file(&service, "/root.json").await;
    let trusted = update(&service, &root, context.clock.now()).await;
    for target in trusted.targets.targets.values() {
        assert!(target.hashes.sha256.is_some() && target.hashes.other.is_empty());
    }
}

#[tokio::test]
async fn only_a_change_makes_a_version() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    let mut trust = trust();
    assert!(service.publish(&trust).unwrap());
    context.clock.advance(60);
    assert!(!service.publish(&trust).unwrap());
    for version in 2..=3 {
        trust.certificate_authorities[0].chain[0] = vec![version];
        assert!(service.publish(&trust).unwrap());
    }
    let root = file(&service, "/1.root.json").await;
    let trusted = update(&service, &root, context.clock.now()).await;
    assert_eq!(
        (
            trusted.root.version,
            trusted.targets.version,
            trusted.timestamp.version
        ),
        (1, 3, 3)
    );
    file(&service, "/2.targets.json").await;
    assert_eq!(
        fetch(&service, "/1.targets.json").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_restart_changes_nothing_and_starts_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    let mut trust = trust();
    service.publish(&trust).unwrap();
    let before = file(&service, "/timestamp.json").await;
    let root = file(&service, "/root.json").await;
    drop(service);
    let (service, _) = open(dir.path()).await.unwrap();
    assert_eq!(file(&service, "/timestamp.json").await, before);
    for log in &mut trust.tlogs {
        log.valid_from = time("2026-01-01T00:00:00Z");
    }
    for url in &mut trust.services {
        url.valid_from = time("2026-01-01T00:00:00Z");
    }
    assert!(!service.publish(&trust).unwrap());
    assert_eq!(file(&service, "/timestamp.json").await, before);
    assert_eq!(file(&service, "/root.json").await, root);
}

#[tokio::test]
async fn a_key_that_left_stays_with_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    let mut trust = trust();
    service.publish(&trust).unwrap();
    let old = trust.ctlogs[0].log_id.clone();
    trust.ctlogs = vec![log(
        "http://localhost:6962",
        KeyKind::EcdsaP256,
        "PKIX_ECDSA_P256_SHA_256",
    )];
    assert!(service.publish(&trust).unwrap());
    context.clock.advance(3600);
    assert!(!service.publish(&trust).unwrap());
    let root = trusted_root(&service, context.clock.now()).await;
    assert_eq!(root.ctlogs.len(), 2);
    assert_eq!(
        root.ctlogs[0].public_key.valid_for.as_ref().unwrap().end,
        None
    );
    assert_eq!(root.ctlogs[1].log_id.key_id, old);
    let end = root.ctlogs[1].public_key.valid_for.as_ref().unwrap().end;
    assert_eq!(end, Some(time("2026-01-01T00:00:00Z")));
}

#[tokio::test]
async fn metadata_is_signed_again_before_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    let trust = trust();
    service.publish(&trust).unwrap();
    let root = file(&service, "/root.json").await;
    context.clock.advance(89 * DAY);
    assert!(!service.publish(&trust).unwrap());
    context.clock.advance(2 * DAY);
    assert!(service.publish(&trust).unwrap());
    let trusted = update(&service, &root, context.clock.now()).await;
    assert_eq!((trusted.root.version, trusted.timestamp.version), (1, 2));
    context.clock.advance(1800 * DAY);
    assert!(service.publish(&trust).unwrap());
    let trusted = update(&service, &root, context.clock.now()).await;
    assert_eq!((trusted.root.version, trusted.timestamp.version), (2, 3));
}

#[tokio::test]
async fn metadata_is_signed_again_while_a_peer_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    assert!(!service.renew().unwrap(), "there is nothing to sign yet");
    service.publish(&trust()).unwrap();
    assert!(!service.renew().unwrap());
    let before = trusted_root(&service, context.clock.now()).await;
    context.clock.advance(91 * DAY);
    assert!(service.renew().unwrap());
    assert_eq!(trusted_root(&service, context.clock.now()).await, before);
}

#[tokio::test]
async fn a_new_online_key_makes_a_root_that_clients_follow() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    let trust = trust();
    service.publish(&trust).unwrap();
    let root = file(&service, "/root.json").await;
    drop(service);
    fs::remove_file(dir.path().join("keys/timestamp.pem")).unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    assert!(service.publish(&trust).unwrap());
    let trusted = update(&service, &root, context.clock.now()).await;
    assert_eq!((trusted.root.version, trusted.timestamp.version), (2, 2));
    assert!(!service.publish(&trust).unwrap());
}

#[tokio::test]
async fn a_crash_after_a_new_root_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    let trust = trust();
    service.publish(&trust).unwrap();
    let root = file(&service, "/root.json").await;
    let old = dir.path().join("repository/timestamp.json");
    let timestamp = fs::read(&old).unwrap();
    drop(service);
    fs::remove_file(dir.path().join("keys/timestamp.pem")).unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    service.publish(&trust).unwrap();
    drop(service);
    // As if the power had gone before the timestamp was replaced.
    runtime::files::replace(&old, &timestamp).unwrap();
    let (service, context) = open(dir.path()).await.unwrap();
    assert!(service.publish(&trust).unwrap());
    assert_eq!(
        update(&service, &root, context.clock.now())
            .await
            .root
            .version,
        2
    );
}

#[tokio::test]
async fn another_root_key_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    service.publish(&trust()).unwrap();
    drop(service);
    fs::remove_file(dir.path().join("keys/root.pem")).unwrap();
    let error = format!("{:#}", open(dir.path()).await.unwrap_err());
    assert!(
        error.contains("keys/root.pem cannot be used: the root key is not the one"),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_repository_stops_the_start() {
    for name in [
        "1.root.json",
        "timestamp.json",
        "1.snapshot.json",
        "1.targets.json",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (service, _) = open(dir.path()).await.unwrap();
        service.publish(&trust()).unwrap();
        drop(service);
        let path = dir.path().join("repository").join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() / 2);
        runtime::files::replace(&path, &bytes).unwrap();
        let error = format!("{:#}", open(dir.path()).await.unwrap_err());
        assert!(error.contains("repository is damaged"), "{name}: {error}");
    }
}

#[tokio::test]
async fn trust_that_no_client_could_use_is_refused_and_the_version_before_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    let good = trust();
    service.publish(&good).unwrap();
    let before = file(&service, "/timestamp.json").await;
    let mut unknown = good.clone();
    unknown.tlogs[0].key_details = "MD5".to_owned();
    let mut chainless = good.clone();
    chainless.timestamp_authorities[0].chain.clear();
    let mut without = good.clone();
    without
        .services
        .retain(|service| service.role != ServiceRole::TimestampAuthority);
    for trust in [unknown, chainless, without, Trust::default()] {
        service.publish(&trust).unwrap_err();
    }
    assert_eq!(file(&service, "/timestamp.json").await, before);
}

#[tokio::test]
async fn nothing_but_the_repository_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    service.publish(&trust()).unwrap();
    let long = format!("/{}", "a".repeat(8000));
    for path in [
        "/",
        "/2.root.json",
        "/0.root.json",
        "/snapshot.json",
        "/targets/",
        "/targets/trusted_root.json",
        "/../keys/root.pem",
        "/%2e%2e/keys/root.pem",
        "/targets/../timestamp.json",
        "/trust-directory",
        &long,
    ] {
        let (status, body) = fetch(&service, path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(body, b"404 page not found\n");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let status = send(&service, method, "/timestamp.json").await.status();
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(
        send(&service, "HEAD", "/timestamp.json").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_trust_directory_has_what_clients_without_tuf_need() {
    let dir = tempfile::tempdir().unwrap();
    let (service, _) = open(dir.path()).await.unwrap();
    service.publish(&trust()).unwrap();
    let request = Request::builder()
        .uri("/trust-directory")
        .body(Body::empty())
        .unwrap();
    let response = service.clone().admin().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let files: std::collections::BTreeMap<String, String> = serde_json::from_slice(&body).unwrap();
    let config =
        bundle::ClientTrustConfig::from_json(files["trust_config.json"].as_bytes()).unwrap();
    assert_eq!(config.trusted_root.to_json(), files["trusted_root.json"]);
    assert_eq!(
        config.signing_config.to_json(),
        files["signing_config.json"]
    );
    let root = file(&service, "/root.json").await;
    assert_eq!(files["root.json"].as_bytes(), root);
    let digest = hex::encode(crypto::sha256(&root));
    assert_eq!(files["root.json.sha256"], format!("{digest}  root.json\n"));
    assert!(files["trust-root.yaml"].contains("commonName: \"lab root\""));
    assert!(files["trust-root-remote.yaml"].contains("mirror: \"http://localhost:8088\""));
    assert_eq!(
        files["tsa-chain.pem"].matches("BEGIN CERTIFICATE").count(),
        3
    );
    assert!(files["ctlog.pub"].starts_with("-----BEGIN PUBLIC KEY-----"));
}

#[tokio::test]
async fn trust_is_collected_from_the_admin_doors_of_the_peers() {
    let dir = tempfile::tempdir().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let door = format!("http://{}", listener.local_addr().unwrap());
    let mut context = Context::for_test("tuf", dir.path());
    for peer in ["ctlog", "fulcio", "oidc", "rekor", "tsa"] {
        context.urls = context.urls.with_admin(peer, door.parse().unwrap());
    }
    let service = Service::open(Config::default(), context.clone())
        .await
        .unwrap();
    let whole = trust();
    let answer = move |extract::Path(peer): extract::Path<String>| {
        let whole = whole.clone();
        async move {
            Json(if peer == "rekor" {
                whole
            } else {
                Trust::default()
            })
        }
    };
    let peers = Router::new().route("/trust/{peer}", get(answer));
    context
        .tasks
        .spawn(async move { axum::serve(listener, peers).await.unwrap() });
    let ready = async {
        while service.readiness().is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready)
        .await
        .unwrap();
    assert_eq!(
        trusted_root(&service, context.clock.now())
            .await
            .tlogs
            .len(),
        2
    );
    context.tasks.stop().await;
}

#[tokio::test]
async fn settings_that_cannot_work_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    for config in [
        Config {
            operator: String::new(),
            ..Config::default()
        },
        Config {
            validity_days: 0,
            ..Config::default()
        },
        Config {
            refresh_secs: 0,
            ..Config::default()
        },
    ] {
        Service::open(config, Context::for_test("tuf", dir.path()))
            .await
            .unwrap_err();
    }
}
