//! Images and referrers in a registry.

use anyhow::Context as _;
use bundle::Bundle;
use oci::{Algorithm, Descriptor, Digest, ImageReference, Manifest, Opaque, media_type};
use serde_json::{Value, json};

use super::{Lab, expect};

/// A manifest that was pushed.
#[derive(Clone, Debug)]
pub(crate) struct Pushed {
    pub(crate) descriptor: Descriptor,
    /// `registry/repository@digest`.
    pub(crate) name: String,
}

impl Lab {
    /// Pushes an image of one gzipped layer under a tag.
    ///
    /// # Errors
    /// What the registry refused.
    pub(crate) async fn push_image(
        &self,
        image: &ImageReference,
        layer: Vec<u8>,
        config: &Value,
    ) -> anyhow::Result<Pushed> {
        let config = serde_json::to_vec(config)?;
        let config = self
            .push_blob(image, media_type::IMAGE_CONFIG, config)
            .await?;
        let layer_type = "application/vnd.oci.image.layer.v1.tar+gzip";
        let layer = self.push_blob(image, layer_type, layer).await?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::IMAGE_MANIFEST,
            "config": config,
            "layers": [layer],
        });
        let tag = image.tag().map(ToString::to_string);
        self.push_manifest(image, media_type::IMAGE_MANIFEST, &manifest, tag)
            .await
    }

    /// Pushes a bundle as a referrer of `subject`, in the form that cosign 3 writes and looks for.
    ///
    /// # Errors
    /// What the registry refused.
    pub(crate) async fn push_bundle(
        &self,
        image: &ImageReference,
        subject: &Descriptor,
        bundle: &Bundle,
        predicate_type: &str,
        created: &str,
    ) -> anyhow::Result<Pushed> {
        let config = self
            .push_blob(image, media_type::EMPTY, b"{}".to_vec())
            .await?;
        let layer = self
            .push_blob(image, &bundle.media_type, bundle.to_json().into_bytes())
            .await?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type::IMAGE_MANIFEST,
            "artifactType": bundle.media_type,
            "config": config,
            "layers": [layer],
            "subject": subject,
            "annotations": {
                "dev.sigstore.bundle.content": "dsse-envelope",
                "dev.sigstore.bundle.predicateType": predicate_type,
                "org.opencontainers.image.created": created,
            },
        });
        self.push_manifest(image, media_type::IMAGE_MANIFEST, &manifest, None)
            .await
    }

    /// The descriptor that a tag or digest stands for.
    ///
    /// # Errors
    /// When the registry has no such manifest.
    pub(crate) async fn resolve(&self, image: &ImageReference) -> anyhow::Result<Descriptor> {
        let url = format!("{}/manifests/{}", repository_url(image), image.reference());
        let answer = self.http.get(url).send().await;
        let answer = expect("the registry", answer, &[200]).await?;
        let header = |name: &str| {
            let value = answer
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok());
            value
                .map(str::to_owned)
                .with_context(|| format!("the registry sent no {name}"))
        };
        let media_type = header("content-type")?;
        let digest: Digest = header("docker-content-digest")?.parse()?;
        let bytes = answer.bytes().await?;
        anyhow::ensure!(
            digest.matches(&bytes),
            "the registry sent other bytes than {digest}"
        );
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    /// The Sigstore bundles among the referrers of a manifest.
    ///
    /// # Errors
    /// When the registry does not answer, or one of them does not parse.
    pub(crate) async fn bundles(
        &self,
        image: &ImageReference,
        subject: &Digest,
    ) -> anyhow::Result<Vec<Bundle>> {
        let base = repository_url(image);
        let index = self
            .manifest(&format!("{base}/referrers/{subject}"))
            .await?;
        let mut bundles = Vec::new();
        for referrer in index.manifests() {
            let manifest = self
                .manifest(&format!("{base}/manifests/{}", referrer.digest))
                .await?;
            let layer = manifest.layers().iter().find(|layer| {
                layer
                    .media_type
                    .starts_with("application/vnd.dev.sigstore.bundle")
            });
            let Some(layer) = layer else { continue };
            let answer = self
                .http
                .get(format!("{base}/blobs/{}", layer.digest))
                .send()
                .await;
            let bytes = expect("the registry", answer, &[200])
                .await?
                .bytes()
                .await?;
            anyhow::ensure!(
                layer.digest.matches(&bytes),
                "the registry sent other bytes"
            );
            bundles.push(Bundle::from_json(&bytes)?);
        }
        Ok(bundles)
    }

    async fn manifest(&self, url: &str) -> anyhow::Result<Manifest> {
        let answer = expect("the registry", self.http.get(url).send().await, &[200]).await?;
        let content_type = answer.headers().get("content-type").cloned();
        let bytes = answer.bytes().await?;
        let media_type = content_type.as_ref().and_then(|value| value.to_str().ok());
        Ok(Manifest::parse(&bytes, media_type, Opaque::Refuse)?)
    }

    async fn push_blob(
        &self,
        image: &ImageReference,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> anyhow::Result<Descriptor> {
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
        let url = format!("{}/blobs/uploads/", repository_url(image));
        let request = self
            .http
            .post(url)
            .query(&[("digest", digest.to_string())])
            .body(bytes);
        expect("the registry", request.send().await, &[201]).await?;
        Ok(descriptor)
    }

    async fn push_manifest(
        &self,
        image: &ImageReference,
        media_type: &str,
        manifest: &Value,
        tag: Option<String>,
    ) -> anyhow::Result<Pushed> {
        let bytes = serde_json::to_vec(manifest)?;
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let descriptor = Descriptor::new(media_type, digest.clone(), bytes.len() as u64);
        let reference = tag.unwrap_or_else(|| digest.to_string());
        let url = format!("{}/manifests/{reference}", repository_url(image));
        let request = self
            .http
            .put(url)
            .header("content-type", media_type)
            .body(bytes);
        expect("the registry", request.send().await, &[201]).await?;
        let name = format!("{}/{}@{digest}", image.registry(), image.repository());
        Ok(Pushed { descriptor, name })
    }
}

fn repository_url(image: &ImageReference) -> String {
    let scheme = if image.is_plain_http() {
        "http"
    } else {
        "https"
    };
    format!("{scheme}://{}/v2/{}", image.registry(), image.repository())
}
