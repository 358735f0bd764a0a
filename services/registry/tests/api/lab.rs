//! One registry in a temporary directory, and a way to ask it something.

use std::{path::Path, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderName, Method, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use oci::{Algorithm, Digest};
use registry::{Config, Service};
use runtime::{Clock, Context, Service as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const NOTHING: &[(&str, &str)] = &[];

/// A registry.
pub(crate) struct Lab {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    config: Config,
    service: Option<Arc<Service>>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and code of the first error.
    #[track_caller]
    pub(crate) fn error(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        let code = self.json()["errors"][0]["code"]
            .as_str()
            .unwrap()
            .to_owned();
        (self.status.as_u16(), code)
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, code: &str) {
        assert_eq!(self.error(), (status, code.to_owned()));
    }
}

impl Lab {
    pub(crate) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Context::for_test("registry", dir.path()).clock;
        let mut lab = Self {
            dir,
            clock,
            config,
            service: None,
        };
        lab.start().await;
        lab
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    async fn start(&mut self) {
        let mut context = Context::for_test("registry", self.dir.path());
        context.clock = self.clock.clone();
        self.service = Some(Service::open(self.config.clone(), context).await.unwrap());
    }

    /// Stops in order.
    pub(crate) fn stop(&mut self) {
        self.service = None;
    }

    /// Stops in order and starts again, after `meanwhile` was done to the directory.
    pub(crate) async fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        self.stop();
        meanwhile(self.dir.path());
        self.start().await;
    }

    pub(crate) fn service(&self) -> Arc<Service> {
        self.service.clone().unwrap()
    }

    pub(crate) fn router(&self) -> Router {
        self.service().router("http")
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        uri: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Reply {
        let method: Method = method.parse().unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(name, *value);
        }
        self.send(self.router(), request.body(body.into()).unwrap())
            .await
    }

    pub(crate) async fn send(&self, router: Router, request: Request<Body>) -> Reply {
        let response = router.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(crate) async fn get(&self, uri: &str) -> Reply {
        self.ask("GET", uri, NOTHING, "").await
    }

    pub(crate) async fn head(&self, uri: &str) -> Reply {
        self.ask("HEAD", uri, NOTHING, "").await
    }

    pub(crate) async fn delete(&self, uri: &str) -> Reply {
        self.ask("DELETE", uri, NOTHING, "").await
    }

    pub(crate) async fn post(&self, uri: &str) -> Reply {
        self.ask("POST", uri, NOTHING, "").await
    }

    /// Pushes a blob in one request.
    pub(crate) async fn blob(&self, name: &str, content: &[u8]) -> String {
        let digest = sha256(content);
        let uri = format!("/v2/{name}/blobs/uploads/?digest={digest}");
        self.ask("POST", &uri, NOTHING, content.to_vec())
            .await
            .is(201);
        digest
    }

    /// Starts a session. Its path.
    pub(crate) async fn session(&self, name: &str) -> String {
        let reply = self.post(&format!("/v2/{name}/blobs/uploads/")).await;
        reply.is(202).header("location").to_owned()
    }

    pub(crate) async fn put(&self, name: &str, reference: &str, manifest: &Value) -> Reply {
        let uri = format!("/v2/{name}/manifests/{reference}");
        let content_type = manifest["mediaType"].as_str().unwrap_or(IMAGE).to_owned();
        self.ask(
            "PUT",
            &uri,
            &[("content-type", &content_type)],
            manifest.to_string(),
        )
        .await
    }

    /// Pushes an image of one layer under a tag. Its digest.
    pub(crate) async fn image(&self, name: &str, tag: &str, layer: &str) -> String {
        self.blob(name, b"{}").await;
        self.blob(name, layer.as_bytes()).await;
        let manifest = image(layer);
        self.put(name, tag, &manifest)
            .await
            .is(201)
            .header("docker-content-digest")
            .to_owned()
    }

    /// Pushes a manifest about `subject` without a tag. Its digest.
    pub(crate) async fn signature(&self, name: &str, subject: &str, text: &str) -> String {
        self.blob(name, b"{}").await;
        let manifest = signature(subject, text);
        let digest = sha256(manifest.to_string().as_bytes());
        self.put(name, &digest, &manifest).await.is(201);
        digest
    }

    /// Digests that a referrers list shows.
    pub(crate) async fn referrers(&self, name: &str, subject: &str) -> Vec<String> {
        let reply = self.get(&format!("/v2/{name}/referrers/{subject}")).await;
        assert_eq!(reply.is(200).header("content-type"), INDEX);
        digests(&reply.json())
    }
}

pub(crate) fn digests(index: &Value) -> Vec<String> {
    let manifests = index["manifests"].as_array().unwrap();
    manifests
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn sha256(content: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, content).to_string()
}

pub(crate) fn sha512(content: &[u8]) -> String {
    Digest::of(Algorithm::Sha512, content).to_string()
}

pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(content), "size": content.len()})
}

/// An image with an empty configuration and one layer.
pub(crate) fn image(layer: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer.as_bytes())],
    })
}

/// A manifest about `subject`, whose size it gets wrong, as nobody checks it.
pub(crate) fn signature(subject: &str, text: &str) -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "artifactType": "application/vnd.example.signature",
        "config": descriptor("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [descriptor("application/vnd.oci.empty.v1+json", b"{}")],
        "subject": {"mediaType": IMAGE, "digest": subject, "size": 7},
        "annotations": {"text": text},
    })
}
