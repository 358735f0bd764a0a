//! A webhook in a temporary directory, and a small registry on loopback.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path as UrlPath, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use runtime::Service as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// An opened webhook.
pub(crate) struct Webhook {
    pub(crate) service: Arc<admission::Service>,
    pub(crate) context: runtime::Context,
    dir: tempfile::TempDir,
}

impl Webhook {
    /// With `objects` in its directory of policies.
    pub(crate) async fn open(objects: &[Value], config: admission::Config) -> Self {
        Self::try_open(objects, config)
            .await
            .expect("the webhook opens")
    }

    pub(crate) async fn try_open(
        objects: &[Value],
        config: admission::Config,
    ) -> anyhow::Result<Self> {
        Self::open_with(objects, config, |_| {}).await
    }

    /// With a context that `change` had its way with.
    pub(crate) async fn open_with(
        objects: &[Value],
        mut config: admission::Config,
        change: impl FnOnce(&mut runtime::Context),
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let policies = dir.path().join("objects");
        std::fs::create_dir(&policies)?;
        write_objects(&policies, objects);
        config.policies = Some(policies);
        let mut context = runtime::Context::for_test("admission", &dir.path().join("state"));
        change(&mut context);
        let service = admission::Service::open(config, context.clone()).await?;
        Ok(Self {
            service,
            context,
            dir,
        })
    }

    /// Where its objects are.
    pub(crate) fn policies(&self) -> std::path::PathBuf {
        self.dir.path().join("objects")
    }

    pub(crate) async fn post_text(
        &self,
        path: &str,
        content_type: &str,
        body: String,
    ) -> (StatusCode, String) {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body))
            .expect("a request");
        self.send(request).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let router = Arc::clone(&self.service).router("https");
        let response = router.oneshot(request).await.expect("the router answers");
        text(response).await
    }

    pub(crate) async fn admin(&self, path: &str) -> (StatusCode, String) {
        self.admin_send(Request::get(path).body(Body::empty()).expect("a request"))
            .await
    }

    pub(crate) async fn admin_send(&self, request: Request<Body>) -> (StatusCode, String) {
        let router = Arc::clone(&self.service).admin();
        text(router.oneshot(request).await.expect("the router answers")).await
    }

    /// The `response` of a review.
    pub(crate) async fn review(&self, path: &str, request: Value) -> Value {
        let review = json!({
            "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request,
        });
        let (status, body) = self
            .post_text(path, "application/json", review.to_string())
            .await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let reply: Value = serde_json::from_str(&body).expect("a reply is JSON");
        reply["response"].clone()
    }

    /// The message of a denial, or `""`.
    pub(crate) async fn validate_pod(&self, image: &str) -> String {
        let response = self.review("/validations", pod_request(image)).await;
        assert_eq!(
            response["allowed"] == false,
            response.get("status").is_some()
        );
        response["status"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

async fn text(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 24)
        .await
        .expect("a body");
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

pub(crate) fn write_objects(dir: &Path, objects: &[Value]) {
    for (index, object) in objects.iter().enumerate() {
        let mut file = std::fs::File::create(dir.join(format!("{index}.json"))).expect("a file");
        std::io::Write::write_all(&mut file, object.to_string().as_bytes()).expect("written");
    }
}

pub(crate) fn config_map(name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "cosign-system"}, "data": data,
    })
}

pub(crate) fn policy(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": name}, "spec": spec,
    })
}

pub(crate) fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "ns"},
        "spec": {"containers": [{"name": "c", "image": image}]},
    })
}

pub(crate) fn pod_request(image: &str) -> Value {
    json!({
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE", "namespace": "ns", "object": pod(image),
    })
}

pub(crate) fn decode_patch(patch: &str) -> Value {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(patch)
        .expect("base64");
    serde_json::from_slice(&bytes).expect("JSON")
}

pub(crate) fn encode_patch(patch: &Value) -> String {
    base64::engine::general_purpose::STANDARD.encode(patch.to_string())
}

/// An image manifest with one config.
pub(crate) fn image(config: &[u8]) -> Vec<u8> {
    json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest(config), "size": config.len(),
        },
        "layers": [],
    })
    .to_string()
    .into_bytes()
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    oci::Digest::of(oci::Algorithm::Sha256, bytes).to_string()
}

#[derive(Default)]
struct Content {
    /// By `repository@digest` and `repository:tag`.
    manifests: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
    /// By `repository@digest` of the subject; `None` when the registry has no referrers API.
    referrers: BTreeMap<String, Vec<Value>>,
    requests: Vec<String>,
}

/// A registry that serves what tests put into it.
pub(crate) struct Registry {
    address: String,
    content: Arc<Mutex<Content>>,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let content = Arc::new(Mutex::new(Content::default()));
        let router = Router::new()
            .route("/v2/{*path}", get(serve))
            .with_state(Arc::clone(&content));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, content }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Puts a manifest under its digest and `tag`; returns the digest.
    pub(crate) fn push(&self, repository: &str, tag: &str, manifest: &[u8]) -> String {
        let mut content = self.content.lock().expect("unpoisoned");
        let digest = digest(manifest);
        content
            .manifests
            .insert(format!("{repository}@{digest}"), manifest.to_vec());
        if !tag.is_empty() {
            content
                .manifests
                .insert(format!("{repository}:{tag}"), manifest.to_vec());
        }
        digest
    }

    pub(crate) fn push_blob(&self, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.content
            .lock()
            .expect("unpoisoned")
            .blobs
            .insert(digest.clone(), bytes.to_vec());
        json!({"mediaType": "application/octet-stream", "digest": digest, "size": bytes.len()})
    }

    /// Attaches a one-layer artifact to `subject`.
    pub(crate) fn attach(
        &self,
        repository: &str,
        subject: &str,
        artifact_type: &str,
        layer: &[u8],
    ) {
        let mut layer_descriptor = self.push_blob(layer);
        layer_descriptor["mediaType"] = json!(artifact_type);
        let config = self.push_blob(b"{}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": artifact_type, "config": config, "layers": [layer_descriptor],
            "subject": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": subject, "size": 1,
            },
        })
        .to_string()
        .into_bytes();
        let digest = self.push(repository, "", &manifest);
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
            "size": manifest.len(), "artifactType": artifact_type,
        });
        let mut content = self.content.lock().expect("unpoisoned");
        content
            .referrers
            .entry(format!("{repository}@{subject}"))
            .or_default()
            .push(descriptor);
    }

    /// Paths asked for so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.content.lock().expect("unpoisoned").requests.clone()
    }
}

async fn serve(
    State(content): State<Arc<Mutex<Content>>>,
    UrlPath(path): UrlPath<String>,
) -> Response {
    let mut content = content.lock().expect("unpoisoned");
    content.requests.push(path.clone());
    let not_found = (
        StatusCode::NOT_FOUND,
        json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
            .to_string(),
    );
    if let Some((repository, digest)) = path.split_once("/referrers/") {
        let manifests = content
            .referrers
            .get(&format!("{repository}@{digest}"))
            .cloned()
            .unwrap_or_default();
        let index = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        });
        let media_type = "application/vnd.oci.image.index.v1+json";
        return ([(header::CONTENT_TYPE, media_type)], index.to_string()).into_response();
    }
    if let Some((_, digest)) = path.split_once("/blobs/") {
        return match content.blobs.get(digest) {
            Some(bytes) => bytes.clone().into_response(),
            None => not_found.into_response(),
        };
    }
    let Some((repository, reference)) = path.split_once("/manifests/") else {
        return not_found.into_response();
    };
    let separator = if reference.contains(':') { '@' } else { ':' };
    match content
        .manifests
        .get(&format!("{repository}{separator}{reference}"))
    {
        Some(bytes) => {
            let parsed: Value = serde_json::from_slice(bytes).unwrap_or_default();
            let media_type = parsed["mediaType"].as_str().unwrap_or_default().to_owned();
            ([(header::CONTENT_TYPE, media_type)], bytes.clone()).into_response()
        }
        None => not_found.into_response(),
    }
}
