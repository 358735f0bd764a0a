//! Registries on free ports, images to move between them, and archives built file by file.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use airgap::{Endpoints, OnProgress};
use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::IntoResponse as _,
};
use oci::{Algorithm, Descriptor, Digest};
use runtime::{Context, Endpoint, Service as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub(crate) const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What reaches a registry.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// `METHOD path` of every request that may write.
    pub(crate) writes: Mutex<Vec<String>>,
    /// How many more writes are let through; the others are answered 500.
    allowed: AtomicUsize,
}

impl Traffic {
    pub(crate) fn count(&self) -> usize {
        self.writes.lock().unwrap().len()
    }

    pub(crate) fn allow(&self, count: usize) {
        self.allowed.store(count, Ordering::SeqCst);
    }
}

/// A registry on a free port of loopback.
pub(crate) struct Lab {
    /// `127.0.0.1:PORT`
    pub(crate) registry: String,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) http: reqwest::Client,
    stop: CancellationToken,
    _dir: Option<TempDir>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Lab {
    /// The registry of this project with its default settings.
    pub(crate) async fn start() -> Self {
        Self::start_with(registry::Config::default()).await
    }

    pub(crate) async fn start_with(config: registry::Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let context = Context::for_test("registry", dir.path());
        let service = registry::Service::open(config, context).await.unwrap();
        Self::serve(service.router("http"), Some(dir)).await
    }

    /// Any router as a registry.
    pub(crate) async fn serve(router: Router, dir: Option<TempDir>) -> Self {
        let traffic = Arc::new(Traffic::default());
        traffic.allow(usize::MAX);
        let watched = traffic.clone();
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let traffic = watched.clone();
            async move {
                if matches!(*request.method(), Method::GET | Method::HEAD) {
                    return next.run(request).await;
                }
                let left = traffic.allowed.load(Ordering::SeqCst);
                if left == 0 {
                    return StatusCode::INTERNAL_SERVER_ERROR.into_response();
                }
                traffic.allow(left - 1);
                let line = format!("{} {}", request.method(), request.uri().path());
                traffic.writes.lock().unwrap().push(line);
                next.run(request).await
            }
        }));
        let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let registry = endpoint.address().to_string();
        let stop = CancellationToken::new();
        tokio::spawn(endpoint.serve(router, None, stop.clone()));
        let http = runtime::http::client(None).unwrap();
        Self {
            registry,
            traffic,
            http,
            stop,
            _dir: dir,
        }
    }

    pub(crate) fn endpoints(&self) -> Endpoints {
        Endpoints::new(self.http.clone())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.registry)
    }

    pub(crate) fn image(&self, rest: &str) -> oci::ImageReference {
        format!("{}/{rest}", self.registry).parse().unwrap()
    }

    pub(crate) async fn put_blob(&self, repository: &str, bytes: &[u8], digest: &Digest) {
        let start = self
            .http
            .post(self.url(&format!("{repository}/blobs/uploads/")));
        let response = start.send().await.unwrap();
        let location = response.headers()["location"].to_str().unwrap();
        let location = response.url().join(location).unwrap();
        let put = self
            .http
            .put(location)
            .query(&[("digest", digest.to_string())]);
        let response = put.body(bytes.to_vec()).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
    }

    pub(crate) async fn put_manifest(&self, repository: &str, reference: &str, manifest: &Made) {
        let url = self.url(&format!("{repository}/manifests/{reference}"));
        let put = self
            .http
            .put(url)
            .header("content-type", &manifest.media_type);
        let response = put.body(manifest.bytes.clone()).send().await.unwrap();
        let status = response.status();
        assert_eq!(
            status,
            StatusCode::CREATED,
            "{}",
            response.text().await.unwrap()
        );
    }

    /// The bytes below `path`, or the status.
    pub(crate) async fn get(&self, path: &str) -> Result<Vec<u8>, u16> {
        let accept = format!("{INDEX}, {IMAGE}");
        let get = self.http.get(self.url(path)).header("accept", accept);
        let response = get.send().await.unwrap();
        let status = response.status().as_u16();
        if status == 200 {
            Ok(response.bytes().await.unwrap().to_vec())
        } else {
            Err(status)
        }
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&self.get(path).await.unwrap()).unwrap()
    }

    /// Digests in a referrers list, sorted.
    pub(crate) async fn referrers(&self, repository: &str, subject: &Digest) -> Vec<String> {
        let list = self
            .json(&format!("{repository}/referrers/{subject}"))
            .await;
        digests(&list)
    }

    pub(crate) async fn tags(&self, repository: &str) -> Vec<String> {
        let list = self.json(&format!("{repository}/tags/list")).await;
        let tags = list["tags"].as_array().unwrap().iter();
        tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    /// Pushes everything of `image`.
    pub(crate) async fn put(&self, repository: &str, image: &Signed) {
        for (digest, bytes) in &image.blobs {
            self.put_blob(repository, bytes, digest).await;
        }
        for made in &image.manifests {
            self.put_manifest(repository, &made.digest.to_string(), made)
                .await;
        }
        for (tag, made) in &image.tags {
            self.put_manifest(repository, tag, made).await;
        }
    }

    /// Every blob, manifest, tag and referrer of `image` is in `repository`, byte for byte.
    pub(crate) async fn assert_has(&self, repository: &str, image: &Signed) {
        for (digest, bytes) in &image.blobs {
            let got = self.get(&format!("{repository}/blobs/{digest}")).await;
            assert_eq!(got.as_ref(), Ok(bytes), "{digest}");
        }
        for made in &image.manifests {
            let got = self
                .get(&format!("{repository}/manifests/{}", made.digest))
                .await;
            assert_eq!(got.as_ref(), Ok(&made.bytes), "{}", made.digest);
        }
        for (tag, made) in &image.tags {
            let got = self.get(&format!("{repository}/manifests/{tag}")).await;
            assert_eq!(got.as_ref(), Ok(&made.bytes), "{tag}");
        }
        for (subject, expected) in &image.referrers {
            let mut expected: Vec<String> = expected.iter().map(Digest::to_string).collect();
            expected.sort();
            assert_eq!(
                self.referrers(repository, subject).await,
                expected,
                "{subject}"
            );
        }
    }
}

/// Digests of an index, sorted.
pub(crate) fn digests(index: &Value) -> Vec<String> {
    let manifests = index["manifests"].as_array().unwrap().iter();
    let mut digests: Vec<String> = manifests
        .map(|it| it["digest"].as_str().unwrap().to_owned())
        .collect();
    digests.sort();
    digests
}

/// A manifest that was made for a test.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) bytes: Vec<u8>,
}

impl Made {
    pub(crate) fn new(media_type: &str, manifest: &Value) -> Self {
        // Indented, so that whoever writes JSON again instead of keeping the bytes is found out.
        let bytes = serde_json::to_vec_pretty(manifest).unwrap();
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        Self {
            media_type: media_type.to_owned(),
            digest,
            bytes,
        }
    }

    pub(crate) fn descriptor(&self) -> Value {
        let descriptor = Descriptor::new(
            &self.media_type,
            self.digest.clone(),
            self.bytes.len() as u64,
        );
        serde_json::to_value(descriptor).unwrap()
    }
}

/// An image with all that belongs to it.
#[derive(Debug, Default)]
pub(crate) struct Signed {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    /// In an order in which they can be pushed.
    pub(crate) manifests: Vec<Made>,
    pub(crate) tags: Vec<(String, Made)>,
    pub(crate) referrers: BTreeMap<Digest, Vec<Digest>>,
}

impl Signed {
    pub(crate) fn blob(&mut self, media_type: &str, bytes: impl Into<Vec<u8>>) -> Value {
        self.blob_with(Algorithm::Sha256, media_type, bytes)
    }

    pub(crate) fn blob_with(
        &mut self,
        algorithm: Algorithm,
        media_type: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Value {
        let bytes = bytes.into();
        let digest = Digest::of(algorithm, &bytes);
        let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
        self.blobs.insert(digest, bytes);
        serde_json::to_value(descriptor).unwrap()
    }

    pub(crate) fn manifest(&mut self, media_type: &str, manifest: &Value) -> Made {
        let made = Made::new(media_type, manifest);
        self.manifests.push(made.clone());
        made
    }

    pub(crate) fn image(&mut self, text: &str) -> Made {
        let config = json!({"architecture": text, "os": "linux", "rootfs": {"diff_ids": []}});
        let config = self.blob(CONFIG, config.to_string());
        let layer = self.blob(LAYER, format!("layer of {text}"));
        // More than one piece of a stream.
        let large = self.blob_with(Algorithm::Sha512, LAYER, text.repeat(150_000));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer, large],
        });
        self.manifest(IMAGE, &manifest)
    }

    /// A bundle as cosign pushes it.
    pub(crate) fn bundle(&mut self, subject: &Made, predicate: &str) -> Made {
        let mut config = self.blob("application/vnd.oci.empty.v1+json", "{}");
        config["artifactType"] = BUNDLE.into();
        let layer = self.blob(
            BUNDLE,
            json!({"mediaType": BUNDLE, "p": predicate}).to_string(),
        );
        let manifest = json!({
            "schemaVersion": 2, "mediaType": IMAGE, "artifactType": BUNDLE,
            "config": config, "layers": [layer], "subject": subject.descriptor(),
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": predicate,
            },
        });
        let made = self.manifest(IMAGE, &manifest);
        let referrers = self.referrers.entry(subject.digest.clone()).or_default();
        referrers.push(made.digest.clone());
        made
    }

    /// Signatures as clients kept them before bundles.
    pub(crate) fn legacy(&mut self, subject: &Made, suffix: &str) -> Made {
        let config = self.blob(CONFIG, format!(r#"{{"of":"{}.{suffix}"}}"#, subject.digest));
        let kind = "application/vnd.dev.cosign.simplesigning.v1+json";
        let layer = self.blob(kind, format!("{suffix} of {}", subject.digest));
        let manifest =
            json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer]});
        let made = self.manifest(IMAGE, &manifest);
        let tag = format!("sha256-{}.{suffix}", subject.digest.hex());
        self.tags.push((tag, made.clone()));
        made
    }

    /// Two platforms, an index, and something about each of them and about that again.
    pub(crate) fn sample() -> (Self, Made) {
        let mut all = Self::default();
        let amd64 = all.image("amd64");
        let arm64 = all.image("arm64");
        let mut children = [amd64.descriptor(), arm64.descriptor()];
        for (child, architecture) in children.iter_mut().zip(["amd64", "arm64"]) {
            child["platform"] = json!({"architecture": architecture, "os": "linux"});
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
        let index = all.manifest(INDEX, &index);
        all.tags.push(("v1".to_owned(), index.clone()));
        let signature = all.bundle(&index, "https://sigstore.dev/cosign/sign/v1");
        all.bundle(&index, "https://cyclonedx.org/bom");
        all.bundle(&signature, "https://example.test/about-a-signature");
        all.bundle(&arm64, "https://sigstore.dev/cosign/sign/v1");
        let legacy = all.legacy(&index, "sig");
        all.legacy(&amd64, "att");
        all.legacy(&legacy, "sig");
        all.bundle(&legacy, "https://example.test/about-a-legacy-signature");
        (all, index)
    }
}

/// Discards progress.
pub(crate) fn silent() -> OnProgress {
    Arc::new(|_| {})
}

/// A directory that is removed, and a path in it.
pub(crate) fn scratch(name: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    (dir, path)
}

/// Files of an archive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(pub(crate) BTreeMap<String, Vec<u8>>);

impl Files {
    pub(crate) fn add(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.insert(name.to_owned(), bytes.into());
    }

    pub(crate) fn add_blob(&mut self, digest: &Digest, bytes: &[u8]) {
        self.add(
            &format!("blobs/{}/{}", digest.algorithm(), digest.hex()),
            bytes,
        );
    }

    /// All of `image`, and an index of these descriptors.
    pub(crate) fn layout(image: &Signed, listed: &[Value]) -> Self {
        let mut files = Self::default();
        files.add("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
        files.add(
            "index.json",
            json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).to_string(),
        );
        image
            .blobs
            .iter()
            .for_each(|(digest, bytes)| files.add_blob(digest, bytes));
        image
            .manifests
            .iter()
            .for_each(|made| files.add_blob(&made.digest, &made.bytes));
        files
    }

    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, bytes.as_slice())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    pub(crate) fn write_to(&self, dir: &std::path::Path) {
        for (name, bytes) in &self.0 {
            let path = dir.join(name);
            runtime::files::create_dirs(path.parent().unwrap()).unwrap();
            runtime::files::replace(&path, bytes).unwrap();
        }
    }
}

/// A descriptor with annotations.
pub(crate) fn annotated(made: &Made, annotations: Value) -> Value {
    let mut descriptor = made.descriptor();
    descriptor["annotations"] = annotations;
    descriptor
}

/// Puts `bytes` into a file of a new directory.
pub(crate) fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let (dir, path) = scratch("archive");
    runtime::files::replace(&path, bytes).unwrap();
    (dir, path)
}
