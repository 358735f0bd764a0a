//! What most tests begin with: a lab, a client's home, an image, a token.

use serde_json::Value;
use tests::{Outcome, Sandbox, Siglab, client};

/// Who signs in these tests.
pub(crate) const EMAIL: &str = "alice@lab.example";

/// A lab and a home beside it.
pub(crate) struct Scene {
    pub(crate) siglab: Siglab,
    pub(crate) home: Sandbox,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self {
            siglab: Siglab::start(),
            home: Sandbox::new(),
        }
    }

    /// A lab with settings, `TABLE.KEY=VALUE`, beside a home that is there already.
    pub(crate) fn with(home: Sandbox, settings: &[String]) -> Self {
        let arguments: Vec<&str> = settings.iter().flat_map(|set| ["--set", set]).collect();
        let siglab = Siglab::start_with(&arguments);
        Self { siglab, home }
    }

    /// A lab whose services are programs of their own.
    pub(crate) fn apart() -> Self {
        Self {
            siglab: Siglab::start_apart(),
            home: Sandbox::new(),
        }
    }

    /// A lab whose trust the home's cosign already has.
    pub(crate) fn initialized() -> Self {
        let scene = Self::new();
        let _ = scene.initialize("cosign").succeeds();
        scene
    }

    /// `initialize` of a cosign.
    pub(crate) fn initialize(&self, name: &str) -> Outcome {
        let mirror = self.siglab.url("tuf", "http");
        let root = self.siglab.file("root.json");
        self.home.run(
            &client(name),
            &["initialize", "--mirror", &mirror, "--root", &root],
        )
    }

    /// Runs a client.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> Outcome {
        self.home.run(&client(name), arguments)
    }

    /// `curl` with `--silent`, body only.
    pub(crate) fn get(&self, url: &str) -> Vec<u8> {
        let outcome = self
            .run("curl", &["--silent", "--show-error", "--fail", url])
            .succeeds();
        outcome.bytes().to_vec()
    }

    /// JSON from `url`.
    pub(crate) fn json(&self, url: &str) -> Value {
        serde_json::from_slice(&self.get(url)).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// The issuer of tokens for [`EMAIL`].
    pub(crate) fn issuer(&self) -> String {
        self.siglab.url("oidc", "http")
    }

    /// A token with query parameters `more`.
    pub(crate) fn token_with(&self, more: &str) -> String {
        let url = format!("{}/token?audience=sigstore&{more}", self.issuer());
        String::from_utf8(self.get(&url)).expect("a token is text")
    }

    /// A token for [`EMAIL`].
    pub(crate) fn token(&self) -> String {
        self.token_with(&format!("email={EMAIL}"))
    }

    /// Pushes an image of one layer with `content` and returns its reference by digest.
    pub(crate) fn image(&self, name: &str, content: &str) -> String {
        let pushed = self.push(name, content).succeeds().text();
        pushed.trim().to_owned()
    }

    /// crane pushes an image of one layer with `content`.
    pub(crate) fn push(&self, name: &str, content: &str) -> Outcome {
        let layer = self.layer(content);
        let reference = format!("{}/{name}:latest", self.siglab.registry());
        let arguments = [
            "append",
            "--oci-empty-base",
            "--new_layer",
            &layer,
            "--new_tag",
            &reference,
        ];
        self.run("crane", &arguments)
    }

    /// A layer of one file with `content`: the path of its archive.
    pub(crate) fn layer(&self, content: &str) -> String {
        let file = self.home.write("content.txt", content);
        let layer = self.home.dir().join("layer.tar.gz");
        let tar = std::process::Command::new("tar")
            .args(["--create", "--gzip", "--file"])
            .arg(&layer)
            .arg("--directory")
            .arg(file.parent().expect("the home"))
            .arg("content.txt")
            .status();
        assert!(tar.expect("tar is there").success());
        layer.display().to_string()
    }

    /// The newest bundle that refers to an image, and how many there are.
    pub(crate) fn bundle_of(&self, image: &str) -> (Value, usize) {
        let (name, digest) = split(image);
        let base = format!("{}/v2/{name}", self.siglab.url("registry", "http"));
        let index = self.json(&format!("{base}/referrers/{digest}"));
        let manifests = index["manifests"].as_array().expect("an index");
        let newest = manifests.last().expect("a referrer");
        assert_eq!(
            newest["artifactType"],
            "application/vnd.dev.sigstore.bundle.v0.3+json"
        );
        let manifest = self.json(&format!("{base}/manifests/{}", text(&newest["digest"])));
        let layer = text(&manifest["layers"][0]["digest"]);
        (self.json(&format!("{base}/blobs/{layer}")), manifests.len())
    }
}

/// Repository name and digest of a reference on the lab's registry.
pub(crate) fn split(image: &str) -> (&str, &str) {
    let (_, path) = image.split_once('/').expect("host/name@digest");
    path.split_once('@').expect("name@digest")
}

/// Hex SHA-256.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    crypto::sha256(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The text of a JSON string.
pub(crate) fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no string"))
}

/// The only log entry of a bundle.
pub(crate) fn entry(bundle: &Value) -> &Value {
    let entries = bundle["verificationMaterial"]["tlogEntries"]
        .as_array()
        .expect("log entries");
    assert_eq!(entries.len(), 1);
    &entries[0]
}

/// Whether a bundle has a timestamp of the lab's authority.
pub(crate) fn timestamps(bundle: &Value) -> usize {
    let data = &bundle["verificationMaterial"]["timestampVerificationData"];
    data["rfc3161Timestamps"].as_array().map_or(0, Vec::len)
}
