//! An instance in memory, a registry on loopback, and webhooks that trust the one and ask the other.

use admission::Config;
use crypto::{KeyKind, SigningKey};
use serde_json::{Value, json};
use verify::SIGN_PREDICATE;

use crate::instance::{CA_URL, ISSUER, Instance, LOG_V1_URL, Log, SUBJECT, now};
use crate::support::{Registry, Webhook, policy};

/// An instance, a registry with one image, and the settings that trust the instance.
pub(crate) struct World {
    pub(crate) instance: Instance,
    pub(crate) registry: Registry,
    pub(crate) digest: String,
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let registry = Registry::start().await;
        let config = br#"{"os":"linux","architecture":"amd64","config":{"User":"root"}}"#;
        registry.push_blob(config);
        let digest = registry.push("fleet-org/app", "v1", &crate::support::image(config));
        let instance = Instance::new();
        Self {
            instance,
            registry,
            digest,
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    pub(crate) fn image(&self) -> String {
        format!("{}/fleet-org/app@{}", self.registry.address(), self.digest)
    }

    pub(crate) fn config(&self) -> Config {
        let path = self.dir.path().join("trusted_root.json");
        let mut file = std::fs::File::create(&path).expect("a file");
        let json = self.instance.trusted_root().to_json();
        std::io::Write::write_all(&mut file, json.as_bytes()).expect("written");
        Config {
            trusted_root: Some(path),
            ..Config::default()
        }
    }

    pub(crate) async fn webhook(&self, objects: &[Value]) -> Webhook {
        Webhook::open(objects, self.config()).await
    }

    /// The message of a denial of the image's Pod under one policy with `authorities`.
    pub(crate) async fn decide(&self, authorities: Value) -> String {
        let spec = json!({"images": [{"glob": "**"}], "authorities": authorities});
        self.webhook(&[policy("p", &spec)])
            .await
            .validate_pod(&self.image())
            .await
    }

    /// Attaches a bundle by `subject`.
    pub(crate) fn sign(&self, subject: &str, log: Log) {
        let leaf = self
            .instance
            .leaf_for(subject, ISSUER, now(), &self.instance.ct_key);
        self.attach(
            &self
                .instance
                .sign_image(&leaf, &self.digest, SIGN_PREDICATE, log),
        );
    }

    pub(crate) fn attach(&self, bundle: &bundle::Bundle) {
        let json = bundle.to_json();
        let media_type = bundle::Bundle::MEDIA_TYPE;
        self.registry
            .attach("fleet-org/app", &self.digest, media_type, json.as_bytes());
    }

    /// Puts layers under the legacy tag with this suffix.
    pub(crate) fn tag(&self, suffix: &str, layers: &[(Vec<u8>, Value)]) {
        let layers: Vec<Value> = layers
            .iter()
            .map(|(payload, annotations)| {
                let mut layer = self.registry.push_blob(payload);
                layer["annotations"] = annotations.clone();
                layer
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.registry.push_blob(b"{}"), "layers": layers,
        });
        let tag = format!("{}.{suffix}", self.digest.replace(':', "-"));
        self.registry
            .push("fleet-org/app", &tag, manifest.to_string().as_bytes());
    }
}

/// The lesson's authority, its hosts pointed at the instance.
pub(crate) fn lesson() -> Value {
    json!([{
        "name": "fleet-org-actions",
        "keyless": {"url": CA_URL, "identities": [{"issuer": ISSUER, "subject": SUBJECT}]},
        "ctlog": {"url": LOG_V1_URL},
    }])
}

pub(crate) fn key_authority(key: &SigningKey) -> Value {
    json!([{"name": "k", "key": {"data": key.public_key().to_pem()}}])
}

pub(crate) fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).expect("randomness")
}
