//! Where trust comes from: a TUF repository, verified.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use admission::Config;
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use crypto::SigningKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tuf_metadata::{FileMeta, Key, RoleKeys, RoleType, Root, Snapshot, TargetFile, Targets};

use crate::instance::{Log, SUBJECT, now};
use crate::support::{Webhook, policy};
use crate::world::{World, key, lesson};

/// Content by name.
type Files = BTreeMap<String, Vec<u8>>;

/// A repository over HTTP whose one key signs for all roles.
struct Repository {
    key: SigningKey,
    url: String,
    files: Arc<Mutex<Files>>,
}

impl Repository {
    async fn start() -> Self {
        let files: Arc<Mutex<Files>> = Arc::default();
        let served = Arc::clone(&files);
        let router = Router::new().fallback(move |uri: Uri| async move {
            let name = uri.path().trim_start_matches('/').to_owned();
            let file = served.lock().expect("unpoisoned").get(&name).cloned();
            file.map_or_else(
                || StatusCode::NOT_FOUND.into_response(),
                |file| file.into_response(),
            )
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            key: key(),
            url,
            files,
        }
    }

    /// Writes version `version` with this trusted root, valid for a day.
    fn publish(&self, version: u64, trusted_root: &[u8]) {
        let expires = now() + SignedDuration::from_hours(24);
        let files = repository(&self.key, version, trusted_root, expires);
        *self.files.lock().expect("unpoisoned") = files;
    }

    fn root(&self) -> String {
        let files = self.files.lock().expect("unpoisoned");
        base64::engine::general_purpose::STANDARD.encode(&files["1.root.json"])
    }

    /// A webhook that trusts by the TrustRoot of this repository.
    async fn webhook(&self, world: &World) -> Webhook {
        let root = trust_root(&json!({"remote": {"root": self.root(), "mirror": self.url}}));
        webhook(world, root).await
    }
}

/// All files of a repository.
fn repository(
    signing: &SigningKey,
    version: u64,
    trusted_root: &[u8],
    expires: Timestamp,
) -> Files {
    let public = Key::ecdsa_p256(signing.public_key());
    let keys = || RoleKeys {
        keyids: vec![public.id()],
        threshold: 1,
    };
    let roles = [
        RoleType::Root,
        RoleType::Timestamp,
        RoleType::Snapshot,
        RoleType::Targets,
    ];
    let root = Root {
        consistent_snapshot: true,
        keys: [(public.id(), public.clone())].into(),
        roles: roles.into_iter().map(|role| (role, keys())).collect(),
        version: 1,
        expires,
    };
    let target = TargetFile::of(trusted_root, None);
    let digest = target.hashes.sha256.clone().expect("a digest");
    let targets = Targets {
        targets: [("trusted_root.json".to_owned(), target)].into(),
        version,
        expires,
    };
    let sign_targets = tuf_metadata::sign(&targets, &[signing]).expect("signs");
    let listed = FileMeta::of(version, &sign_targets);
    let snapshot = Snapshot {
        meta: [("targets.json".to_owned(), listed)].into(),
        version,
        expires,
    };
    let sign_snapshot = tuf_metadata::sign(&snapshot, &[signing]).expect("signs");
    let listed = FileMeta::of(version, &sign_snapshot);
    let timestamp = tuf_metadata::Timestamp {
        meta: [("snapshot.json".to_owned(), listed)].into(),
        version,
        expires,
    };
    [
        (
            "1.root.json".to_owned(),
            tuf_metadata::sign(&root, &[signing]).expect("signs"),
        ),
        (
            "timestamp.json".to_owned(),
            tuf_metadata::sign(&timestamp, &[signing]).expect("signs"),
        ),
        (format!("{version}.snapshot.json"), sign_snapshot),
        (format!("{version}.targets.json"), sign_targets),
        (
            format!("targets/{digest}.trusted_root.json"),
            trusted_root.to_vec(),
        ),
    ]
    .into()
}

fn trust_root(spec: &Value) -> Value {
    json!({
        "apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot",
        "metadata": {"name": "own"}, "spec": spec,
    })
}

async fn webhook(world: &World, root: Value) -> Webhook {
    let mut authority = lesson();
    authority[0]["keyless"]["trustRootRef"] = json!("own");
    authority[0]["ctlog"] = json!({"trustRootRef": "own"});
    let spec = json!({"images": [{"glob": "**"}], "authorities": authority});
    // Nothing is remembered, so that every decision needs the trusted root.
    let config = Config {
        cache_secs: 0,
        ..world.config()
    };
    Webhook::open(&[root, policy("p", &spec)], config).await
}

async fn signed() -> (World, String) {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let json = world.instance.trusted_root().to_json();
    (world, json)
}

#[tokio::test]
async fn a_remote_trust_root_is_followed_and_never_backwards() {
    let (world, json) = signed().await;
    let repository = Repository::start().await;
    repository.publish(2, json.as_bytes());
    let webhook = repository.webhook(&world).await;
    assert_eq!(webhook.validate_pod(&world.image()).await, "");
    // An older version with other keys does not come into use, and the last one stays for a while.
    let other = crate::instance::Instance::new().trusted_root().to_json();
    repository.publish(1, other.as_bytes());
    webhook.context.clock.advance(11);
    assert_eq!(webhook.validate_pod(&world.image()).await, "");
    webhook.context.clock.advance(3600);
    let message = webhook.validate_pod(&world.image()).await;
    assert!(
        message.contains("constructing checkOpts for fleet-org-actions: "),
        "{message}"
    );
    repository.publish(3, other.as_bytes());
    let message = webhook.validate_pod(&world.image()).await;
    assert!(message.contains("no matching signatures"), "{message}");
}

#[tokio::test]
async fn a_repository_that_does_not_verify_is_not_trusted() {
    let (world, json) = signed().await;
    let change = async |change: &dyn Fn(&mut Files)| {
        let repository = Repository::start().await;
        repository.publish(1, json.as_bytes());
        let webhook = repository.webhook(&world).await;
        change(&mut repository.files.lock().expect("unpoisoned"));
        webhook.validate_pod(&world.image()).await
    };
    assert_eq!(change(&|_| {}).await, "");
    let denied = "constructing checkOpts for fleet-org-actions: ";
    let message = change(&|files| {
        let target = files
            .keys()
            .find(|name| name.starts_with("targets/"))
            .cloned();
        files
            .get_mut(&target.expect("a target"))
            .expect("a file")
            .push(b' ');
    });
    assert!(message.await.contains(denied));
    let message = change(&|files| files.clear());
    assert!(message.await.contains("timestamp.json is missing"));
    let replaced: &dyn Fn(&mut Files) = &|files| {
        let late = now() + SignedDuration::from_hours(1);
        *files = repository(&key(), 1, json.as_bytes(), late);
    };
    assert!(change(replaced).await.contains(denied));
}

#[tokio::test]
async fn an_expired_repository_is_not_trusted() {
    let (world, json) = signed().await;
    let repository = Repository::start().await;
    repository.publish(1, json.as_bytes());
    let webhook = repository.webhook(&world).await;
    webhook.context.clock.advance(25 * 3600);
    let message = webhook.validate_pod(&world.image()).await;
    assert!(message.contains("expired"), "{message}");
}

#[tokio::test]
async fn a_repository_in_the_object_needs_no_network() {
    let (world, json) = signed().await;
    let signing = key();
    let expires = now() + SignedDuration::from_hours(24);
    let files = repository(&signing, 1, json.as_bytes(), expires);
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::default(),
    ));
    for (name, bytes) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        let path = format!("repository/{name}");
        archive
            .append_data(&mut header, path, bytes.as_slice())
            .expect("written");
    }
    let packed = archive
        .into_inner()
        .and_then(|gzip| gzip.finish())
        .expect("packed");
    let b64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let root = trust_root(&json!({"repository": {
        "root": b64(&files["1.root.json"]), "mirrorFS": b64(&packed), "targets": "targets",
    }}));
    assert_eq!(
        webhook(&world, root)
            .await
            .validate_pod(&world.image())
            .await,
        ""
    );
}

#[tokio::test]
async fn the_labs_repository_is_pinned_on_first_use() {
    let (world, json) = signed().await;
    let repository = Repository::start().await;
    repository.publish(1, json.as_bytes());
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let config = Config {
        cache_secs: 0,
        ..Config::default()
    };
    let objects = [policy("p", &spec)];
    let webhook = Webhook::open_with(&objects, config, |context| {
        let url = repository.url.parse().expect("a URL");
        context.urls = context.urls.clone().with("tuf", "http", url);
    });
    let webhook = webhook.await.expect("opens");
    assert_eq!(webhook.validate_pod(&world.image()).await, "");
    // Another repository in its place, with another root, is not the lab's.
    let impostor = Repository {
        key: key(),
        url: String::new(),
        files: Arc::default(),
    };
    impostor.publish(2, json.as_bytes());
    *repository.files.lock().expect("unpoisoned") =
        impostor.files.lock().expect("unpoisoned").clone();
    webhook.context.clock.advance(3700);
    let message = webhook.validate_pod(&world.image()).await;
    assert!(message.contains("trust repository"), "{message}");
}
