//! A control plane with the lab's webhook in it, and what a test does there.

use std::{
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tests::{Client, Outcome, Sandbox, Siglab, client};

use crate::cluster::Cluster;

/// How long anything may take that the controllers or the webhook do in their own time.
const EVENTUALLY: Duration = Duration::from_secs(60);

/// A control plane and a lab whose webhook it asks. The webhook has the permissions of its own manifests and
/// no others.
pub(crate) struct World {
    pub(crate) siglab: Siglab,
    pub(crate) cluster: Cluster,
}

impl World {
    /// Installs the webhook with these flags of `siglab manifests admission`, over these settings.
    pub(crate) fn start(flags: &[&str], settings: &[&str]) -> Self {
        let cluster = Cluster::start();
        let kubectl = Kubectl::new(&cluster);
        // As a Service first: a webhook outside the cluster needs the definitions and the account, too.
        let in_cluster = ["--image", "localhost/siglab-admission:lab"];
        let _ = kubectl.apply(&manifests(&in_cluster)).succeeds();
        let account = ["create", "token", "webhook", "--namespace", "cosign-system"];
        let token = kubectl.run(&account).succeeds().text();
        let kubeconfig = cluster.kubeconfig("webhook", token.trim());
        let kubeconfig = format!("admission.kubeconfig={}", kubeconfig.display());
        let mut arguments = vec!["--set", &kubeconfig];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let world = Self {
            siglab: Siglab::start_with(&arguments),
            cluster,
        };
        world.register(&kubectl, flags);
        world
    }

    /// The world that tests share which keep to their own namespaces and image names. It ends with the last
    /// test that uses it.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<World>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let world = Arc::new(Self::start(&[], &[]));
            *shared = Arc::downgrade(&world);
            world
        })
    }

    /// Registers the lab's webhook by URL.
    pub(crate) fn register(&self, kubectl: &Kubectl, flags: &[&str]) {
        let admin = self.siglab.admin();
        let mut arguments = vec!["--lab", &admin];
        arguments.extend(flags);
        let _ = kubectl.apply(&manifests(&arguments)).succeeds();
    }

    /// JSON from the admin door.
    pub(crate) fn admin(&self, home: &Sandbox, path: &str) -> Value {
        let url = format!("{}{path}", self.siglab.admin());
        let flags = ["--silent", "--show-error", "--fail", &url];
        let body = home.run(&client("curl"), &flags).succeeds();
        serde_json::from_slice(body.bytes()).unwrap_or_else(|error| panic!("{url}: {error}"))
    }
}

/// What `siglab manifests admission` prints.
pub(crate) fn manifests(flags: &[&str]) -> String {
    let output = Command::new(program("siglab"))
        .args(["manifests", "admission"])
        .args(flags)
        .output()
        .expect("the program can be started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("YAML is text")
}

/// A program of this build.
#[expect(
    clippy::disallowed_methods,
    reason = "the suite is told by its environment"
)]
pub(crate) fn program(name: &str) -> PathBuf {
    let built = std::env::current_exe().expect("this test has a path");
    let built = built.ancestors().nth(2).expect("target/PROFILE").join(name);
    match std::env::var("SIGLAB_PROGRAM") {
        Ok(program) if name == "siglab" => PathBuf::from(program),
        _ => built,
    }
}

/// kubectl as the administrator, with a home of its own.
pub(crate) struct Kubectl {
    client: Client,
    home: Sandbox,
}

impl Kubectl {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        Self {
            client: cluster.kubectl(),
            home: Sandbox::new(),
        }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.home.run(&self.client, arguments)
    }

    /// `kubectl apply` of YAML or JSON.
    pub(crate) fn apply(&self, text: &str) -> Outcome {
        let file = self.home.write("objects.yaml", text);
        self.run(&["apply", "--filename", &file.display().to_string()])
    }

    /// The objects of a stream as a list, without creating them.
    pub(crate) fn read(&self, stream: &str) -> Value {
        let file = self
            .home
            .write("objects.yaml", stream)
            .display()
            .to_string();
        let only = ["--dry-run=client", "--validate=false", "--output", "json"];
        let read = self.run(&[&["create", "--filename", &file], &only[..]].concat());
        let text = read.succeeds().text();
        let objects = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let objects: Vec<Value> = objects
            .collect::<Result<_, _>>()
            .expect("kubectl prints JSON");
        match &objects[..] {
            [list] if list["kind"] == "List" => list.clone(),
            _ => json!({"items": objects}),
        }
    }

    /// `kubectl get`, as JSON.
    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["get", "--output", "json"];
        all.extend(arguments);
        let outcome = self.run(&all).succeeds();
        serde_json::from_slice(outcome.bytes()).expect("kubectl prints JSON")
    }

    /// A namespace in which Pods can be created.
    pub(crate) fn namespace(&self, name: &str, labels: &Value) {
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        });
        let _ = self.apply(&namespace.to_string()).succeeds();
        self.account(name);
    }

    /// Waits for the account that Pods of a namespace have.
    pub(crate) fn account(&self, namespace: &str) {
        let account = ["get", "serviceaccount", "default", "--namespace", namespace];
        eventually("the namespace has an account", || {
            self.run(&account).is_success().then_some(())
        });
    }

    /// `kubectl run`: one Pod.
    pub(crate) fn pod(&self, namespace: &str, name: &str, image: &str) -> Outcome {
        let image = format!("--image={image}");
        self.run(&["run", name, &image, "--namespace", namespace])
    }
}

/// A test's own corner of the shared world: a namespace, and image names that begin with the same word.
pub(crate) struct Corner {
    pub(crate) world: Arc<World>,
    pub(crate) kubectl: Kubectl,
    pub(crate) author: Author,
    pub(crate) name: &'static str,
}

impl Corner {
    pub(crate) fn new(name: &'static str) -> Self {
        let world = World::shared();
        let kubectl = Kubectl::new(&world.cluster);
        kubectl.namespace(name, &json!({}));
        let author = Author::new(&world.siglab);
        Self {
            world,
            kubectl,
            author,
            name,
        }
    }

    /// Pushes an image of this corner.
    pub(crate) fn image(&self, name: &str) -> String {
        let name = format!("{}/{name}", self.name);
        self.author.image(&self.world.siglab, &name)
    }

    /// Pushes an image of this corner, signed by the release workflow of the repository of the same name.
    pub(crate) fn signed(&self, name: &str) -> String {
        let image = self.image(name);
        let repository = format!("repository={}/{name}", self.name);
        self.author.sign(&self.world.siglab, &image, &repository);
        image
    }

    /// All images of this corner.
    pub(crate) fn glob(&self) -> String {
        format!("{}/{}/**", self.world.siglab.registry(), self.name)
    }

    /// An authority for a release workflow on main in a repository of this corner.
    pub(crate) fn authority(&self, name: &str) -> Value {
        let repository = format!("{}/{name}", self.name);
        authority(&self.world.siglab, &repository)
    }

    /// Applies a policy and waits until it is in force.
    pub(crate) fn policy(&self, name: &str, spec: &Value) {
        let _ = self.kubectl.apply(&policy(name, spec)).succeeds();
        self.in_force(name);
    }

    /// Waits until the webhook knows a policy.
    pub(crate) fn in_force(&self, name: &str) {
        in_force(&self.world, &self.author.home, name);
    }

    /// `kubectl run` in this corner's namespace.
    pub(crate) fn pod(&self, name: &str, image: &str) -> Outcome {
        self.kubectl.pod(self.name, name, image)
    }
}

/// Waits until the webhook knows a policy.
pub(crate) fn in_force(world: &World, home: &Sandbox, name: &str) {
    eventually("the policy is in force", || {
        let policies = world.admin(home, "/admission/policies");
        let mut names = policies.as_array()?.iter().map(|policy| &policy["name"]);
        names.any(|known| known == name).then_some(())
    });
}

/// A policy as it is written.
pub(crate) fn policy(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": name}, "spec": spec,
    })
    .to_string()
}

/// Keyless, for the release workflow on main of a repository.
pub(crate) fn authority(siglab: &Siglab, repository: &str) -> Value {
    let subject =
        format!("https://github.com/{repository}/.github/workflows/release.yml@refs/heads/main");
    json!({
        "name": repository.replace('/', "-"),
        "keyless": {
            "url": siglab.url("fulcio", "http"),
            "identities": [{"issuer": github(siglab), "subject": subject}],
        },
        "ctlog": {"url": siglab.url("rekor", "v1")},
    })
}

/// The lab's issuer for workflows.
pub(crate) fn github(siglab: &Siglab) -> String {
    format!("{}/github-actions", siglab.url("oidc", "http"))
}

/// The bytes of a `caBundle`.
pub(crate) fn decoded(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}

/// Who builds, pushes and signs, with crane and cosign.
pub(crate) struct Author {
    pub(crate) home: Sandbox,
}

impl Author {
    /// A home whose cosign trusts the lab.
    pub(crate) fn new(siglab: &Siglab) -> Self {
        let home = Sandbox::new();
        let mirror = siglab.url("tuf", "http");
        let root = siglab.file("root.json");
        let flags = ["initialize", "--mirror", &mirror, "--root", &root];
        let _ = home.run(&client("cosign"), &flags).succeeds();
        Self { home }
    }

    /// Pushes an image `name`, tagged v0.3.1, and returns its reference by digest.
    pub(crate) fn image(&self, siglab: &Siglab, name: &str) -> String {
        let content = self.home.write("content.txt", name);
        let layer = self.home.dir().join("layer.tar.gz").display().to_string();
        let tar = Command::new("tar")
            .args(["--create", "--gzip", "--file", &layer, "--directory"])
            .arg(content.parent().expect("the home"))
            .arg("content.txt")
            .status();
        assert!(tar.expect("tar is there").success());
        let tag = format!("{}/{name}:v0.3.1", siglab.registry());
        let flags = [
            "append",
            "--oci-empty-base",
            "--new_layer",
            &layer,
            "--new_tag",
            &tag,
        ];
        let pushed = self.home.run(&client("crane"), &flags).succeeds().text();
        pushed.trim().to_owned()
    }

    /// Signs with the token that these parameters of the issuer's `github-actions` describe.
    pub(crate) fn sign(&self, siglab: &Siglab, image: &str, parameters: &str) {
        self.sign_as(
            siglab,
            image,
            &format!("preset=github-actions&{parameters}"),
        );
    }

    /// Signs with the token that these parameters describe.
    pub(crate) fn sign_as(&self, siglab: &Siglab, image: &str, parameters: &str) {
        let issuer = siglab.url("oidc", "http");
        let url = format!("{issuer}/token?audience=sigstore&{parameters}");
        let flags = ["--silent", "--show-error", "--fail", &url];
        let token = self.home.run(&client("curl"), &flags).succeeds().text();
        let flags = ["sign", "--yes", "--identity-token", &token, image];
        let _ = self.home.run(&client("cosign"), &flags).succeeds();
    }
}

/// The first `Some` of `look`, asked again and again.
///
/// # Panics
/// When there is none within a minute.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + EVENTUALLY;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
