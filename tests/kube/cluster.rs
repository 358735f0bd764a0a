//! A real control plane on loopback: etcd, kube-apiserver and kube-controller-manager. No kubelet: Pods are
//! stored and never run.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crypto::{KeyKind, SigningKey};
use serde_json::json;
use tempfile::TempDir;
use tests::Client;

/// How long a start may take before the test fails.
const START_MAX: Duration = Duration::from_secs(90);
const TOKEN: &str = "administrator";
const BUILD: &str = include_str!("../../scripts/build-kube");
/// Those that make Pods, and what Pods and namespaces need.
const CONTROLLERS: &str = "cronjob-controller,daemonset-controller,deployment-controller,\
    garbage-collector-controller,job-controller,namespace-controller,replicaset-controller,\
    serviceaccount-controller,serviceaccount-token-controller,statefulset-controller";

/// A running control plane. It ends, and its state goes away, with the value.
pub(crate) struct Cluster {
    /// In the order in which they were started: etcd, the API server, the controllers.
    children: Vec<Child>,
    dir: TempDir,
    etcd: u16,
    api: u16,
}

impl Cluster {
    /// Starts one.
    ///
    /// # Panics
    /// When it does not become ready.
    pub(crate) fn start() -> Self {
        let [etcd, peer, api, controllers] = free_ports();
        let mut cluster = Self {
            children: Vec::new(),
            dir: TempDir::with_prefix("siglab-kube-").expect("a temporary directory"),
            etcd,
            api,
        };
        cluster.start_etcd(peer);
        cluster.make_accounts();
        cluster.start_api_server();
        let kubeconfig = cluster.kubeconfig("administrator", TOKEN);
        cluster.wait(&kubeconfig);
        cluster.spawn(
            &program("kube-controller-manager"),
            &[
                &format!("--kubeconfig={}", kubeconfig.display()),
                &format!("--controllers={CONTROLLERS}"),
                &format!("--cert-dir={}", cluster.path("controllers").display()),
                &format!(
                    "--service-account-private-key-file={}",
                    cluster.path("accounts.pem").display()
                ),
                "--bind-address=127.0.0.1",
                "--leader-elect=false",
                &format!("--secure-port={controllers}"),
            ],
        );
        cluster
    }

    /// Kills the API server and starts it again over the same objects, at the same port.
    ///
    /// # Panics
    /// When it does not become ready.
    pub(crate) fn restart_api_server(&mut self) {
        let mut killed = self.children.remove(1);
        killed.kill().expect("it can be killed");
        killed.wait().expect("it can be waited for");
        self.start_api_server();
        let started = self.children.pop().expect("the one just started");
        self.children.insert(1, started);
        self.wait(&self.path("administrator.yaml"));
    }

    /// kubectl for the administrator.
    pub(crate) fn kubectl(&self) -> Client {
        Client {
            name: "kubectl".to_owned(),
            program: PathBuf::from("kubectl"),
            variables: vec![("KUBECONFIG", self.path("administrator.yaml"))],
        }
    }

    /// Writes a kubeconfig for the bearer of a token.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's file need not be durable"
    )]
    pub(crate) fn kubeconfig(&self, name: &str, token: &str) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.api), "certificate-authority": self.path("pki/apiserver.crt"),
            }}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}],
        });
        let path = self.path(&format!("{name}.yaml"));
        fs::write(&path, config.to_string()).expect("the directory can be written");
        path
    }

    fn start_etcd(&mut self, peer: u16) {
        let client = format!("http://127.0.0.1:{}", self.etcd);
        let arguments = [
            &format!("--data-dir={}", self.path("etcd").display()),
            &format!("--listen-client-urls={client}"),
            &format!("--advertise-client-urls={client}"),
            &format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
            "--unsafe-no-fsync",
        ];
        self.spawn(Path::new("etcd"), &arguments);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test's file need not be durable"
    )]
    fn make_accounts(&self) {
        let accounts = SigningKey::generate(KeyKind::EcdsaP256).expect("a key");
        let private = accounts.to_pkcs8_pem();
        fs::write(self.path("accounts.pem"), private).expect("a key file");
        fs::write(self.path("accounts.pub"), accounts.public_key().to_pem()).expect("a key file");
        let tokens = format!("{TOKEN},administrator,1,system:masters\n");
        fs::write(self.path("tokens.csv"), tokens).expect("a file of tokens");
    }

    fn start_api_server(&mut self) {
        let arguments = [
            &format!("--etcd-servers=http://127.0.0.1:{}", self.etcd),
            &format!("--secure-port={}", self.api),
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            &format!("--cert-dir={}", self.path("pki").display()),
            &format!(
                "--service-account-key-file={}",
                self.path("accounts.pub").display()
            ),
            &format!(
                "--service-account-signing-key-file={}",
                self.path("accounts.pem").display()
            ),
            "--service-account-issuer=https://kubernetes.default.svc",
            &format!("--token-auth-file={}", self.path("tokens.csv").display()),
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.96.0.0/16",
        ];
        self.spawn(&program("kube-apiserver"), &arguments);
    }

    fn wait(&mut self, kubeconfig: &Path) {
        let deadline = Instant::now() + START_MAX;
        loop {
            let ready = Command::new("kubectl")
                .arg("--kubeconfig")
                .arg(kubeconfig)
                .args(["get", "--raw", "/readyz"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if ready.expect("kubectl can be started").success() {
                return;
            }
            let children = self.children.iter_mut();
            let ended = children
                .filter_map(|child| child.try_wait().ok().flatten())
                .next();
            if ended.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.path("kube-apiserver.log")).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(20).collect();
                panic!(
                    "the API server did not start, {ended:?}\n{}",
                    tail.join("\n")
                );
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A file or folder that goes away with the cluster.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn spawn(&mut self, program: &Path, arguments: &[&str]) {
        let name = program
            .file_name()
            .expect("a program's name")
            .to_string_lossy();
        let log = fs::File::create(self.path(&format!("{name}.log"))).expect("a log file");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        self.children.push(child);
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ports that were free a moment ago.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let bound = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
    bound.map(|listener| listener.local_addr().expect("an address").port())
}

/// A program that `scripts/build-kube` built.
#[expect(
    clippy::disallowed_methods,
    reason = "the suite is told by its environment, as the script is"
)]
fn program(name: &str) -> PathBuf {
    let mut lines = BUILD.lines();
    let version = lines.find_map(|line| line.strip_prefix("version="));
    let version = version.expect("the script names a version");
    let set = std::env::var("SIGLAB_CACHE")
        .ok()
        .filter(|dir| !dir.is_empty());
    let cache = set.map_or_else(
        || Path::new(&std::env::var("HOME").expect("HOME is set")).join(".cache/siglab"),
        PathBuf::from,
    );
    let folder = cache.join(format!("kube-v{version}"));
    assert!(
        folder.join(".complete").exists(),
        "{name} {version} is missing: scripts/build-kube"
    );
    folder.join(name)
}
