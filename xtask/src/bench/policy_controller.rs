//! The peer of the webhook: upstream's, in front of an API server of its own, with the same policies and the
//! same images, which cosign signs for it once more in the only format that it knows for images.
//!
//! `scripts/install-clients policy-controller` builds it and `scripts/build-kube` the API server; with cosign
//! they have to be on the PATH.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};

use super::process::{Lab, Work, free_port, peer};

/// The only port that it serves at.
const PORT: u16 = 8443;
/// A name in its certificate.
const HOST: &str = "webhook.cosign-system.svc";
/// Tries to reach a server, a tenth of a second apart.
const TRIES: usize = 600;
const TOKEN: &str = "administrator";
const TRUST: &str = "lab";

/// A program that is killed with the value: upstream's would wait for a quiet minute first.
struct Killed(Child);

impl Killed {
    fn start(command: &mut Command, log: &Path) -> anyhow::Result<Self> {
        let log = fs::File::create(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{command:?} does not start"))?;
        Ok(Self(child))
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The running webhook. Fields drop in order, so etcd goes last.
pub(crate) struct PolicyController {
    pub(crate) url: String,
    pub(crate) client: Client,
    kubectl: PathBuf,
    cosign: PathBuf,
    _webhook: Killed,
    _api_server: Killed,
    _etcd: Killed,
    work: Work,
}

/// Programs that the peer is made of, from the PATH.
struct Programs {
    webhook: PathBuf,
    api_server: PathBuf,
    etcd: PathBuf,
    kubectl: PathBuf,
    cosign: PathBuf,
}

impl Programs {
    fn find() -> Option<Self> {
        Some(Self {
            webhook: peer("policy-controller")?,
            api_server: peer("kube-apiserver")?,
            etcd: peer("etcd")?,
            kubectl: peer("kubectl")?,
            cosign: peer("cosign")?,
        })
    }
}

impl PolicyController {
    /// Starts it; `None`, with a line that says so, when a program is not on the PATH.
    pub(crate) async fn start(lab: &Lab) -> anyhow::Result<Option<Self>> {
        let Some(programs) = Programs::find() else {
            return Ok(None);
        };
        let work = Work::new("policy-controller")?;
        let (etcd, etcd_port) = start_etcd(&programs, &work.0)?;
        let api_server = start_api_server(&programs, &work.0, etcd_port)?;
        let kubectl = Kubectl {
            program: &programs.kubectl,
            dir: &work.0,
        };
        kubectl.until("the API server is ready", &["get", "--raw", "/readyz"])?;
        kubectl.apply(&objects(lab).await?)?;
        let crds = ["wait", "--for=condition=Established", "crd", "--all"];
        kubectl.until("the definitions are established", &crds)?;
        let webhook = Killed::start(
            Command::new(&programs.webhook)
                .arg("-disable-tuf")
                .env("KUBECONFIG", work.0.join("kubeconfig"))
                .env("HOME", &work.0)
                .env("SYSTEM_NAMESPACE", "cosign-system")
                .env("WEBHOOK_NAME", "webhook")
                .env("METRICS_DOMAIN", "sigstore.dev/policy")
                .env("KUBERNETES_MIN_VERSION", "1.21.0"),
            &work.0.join("webhook.log"),
        )?;
        let client = client(&kubectl).with_context(|| last_line(&work.0.join("webhook.log")))?;
        let url = format!("https://{HOST}:{PORT}/validations");
        for _ in 0..TRIES {
            if client.post(&url).send().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(Some(Self {
            url,
            client,
            kubectl: programs.kubectl,
            cosign: programs.cosign,
            _webhook: webhook,
            _api_server: api_server,
            _etcd: etcd,
            work,
        }))
    }

    /// Signs images in the format of tags, keyless.
    pub(crate) fn sign(&self, lab: &Lab, images: &[String], token: &str) -> anyhow::Result<()> {
        let cosign = |arguments: &[&str]| {
            let output = Command::new(&self.cosign)
                .args(arguments)
                .env("HOME", &self.work.0)
                .env("TUF_ROOT", self.work.0.join("tuf"))
                .output()?;
            let said = String::from_utf8_lossy(&output.stderr);
            anyhow::ensure!(output.status.success(), "cosign {arguments:?}: {said}");
            Ok(())
        };
        let (mirror, root) = (lab.url("tuf", "http")?, lab.file("root.json")?);
        cosign(&["initialize", "--mirror", &mirror, "--root", &root])?;
        let urls = [
            lab.url("fulcio", "http")?,
            lab.url("rekor", "v1")?,
            lab.url("oidc", "http")?,
        ];
        for image in images {
            cosign(&[
                "sign",
                "--yes",
                "--new-bundle-format=false",
                "--use-signing-config=false",
                "--fulcio-url",
                &urls[0],
                "--rekor-url",
                &urls[1],
                "--oidc-issuer",
                &urls[2],
                "--identity-token",
                token,
                image,
            ])?;
        }
        Ok(())
    }

    /// Puts `count` policies in force, as its controller would write them where the webhook reads them.
    pub(crate) async fn set_policies(&self, lab: &Lab, count: usize) -> anyhow::Result<()> {
        let registry = lab.url("registry", "http")?.replace("http://", "");
        let policy = json!({
            "uid": "", "resourceVersion": "", "mode": "enforce",
            "images": [{ "glob": format!("{registry}/bench/*") }],
            "authorities": [{
                "name": "authority-0",
                "keyless": {
                    "url": lab.url("fulcio", "http")?, "trustRootRef": TRUST,
                    "identities": [{ "issuerRegExp": ".*", "subjectRegExp": ".*" }],
                },
                "ctlog": { "url": lab.url("rekor", "v1")?, "trustRootRef": TRUST },
            }],
        });
        let policies: Map<String, Value> = (0..count)
            .map(|number| (format!("bench-{number}"), policy.to_string().into()))
            .collect();
        let kubectl = Kubectl {
            program: &self.kubectl,
            dir: &self.work.0,
        };
        kubectl.replace(&config_map("config-image-policies", policies.into()))?;
        // The webhook watches it.
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok(())
    }
}

fn start_etcd(programs: &Programs, dir: &Path) -> anyhow::Result<(Killed, u16)> {
    let (port, peer_port) = (free_port()?, free_port()?);
    let client = format!("http://127.0.0.1:{port}");
    let etcd = Killed::start(
        Command::new(&programs.etcd)
            .arg("--data-dir")
            .arg(dir.join("etcd"))
            .arg(format!("--listen-client-urls={client}"))
            .arg(format!("--advertise-client-urls={client}"))
            .arg(format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"))
            .arg("--unsafe-no-fsync"),
        &dir.join("etcd.log"),
    )?;
    Ok((etcd, port))
}

fn start_api_server(programs: &Programs, dir: &Path, etcd: u16) -> anyhow::Result<Killed> {
    let accounts = crypto::SigningKey::generate(crypto::KeyKind::EcdsaP256)?;
    let write = |name: &str, text: &str| runtime::files::replace(&dir.join(name), text.as_bytes());
    write("accounts.pem", &accounts.to_pkcs8_pem())?;
    write("accounts.pub", &accounts.public_key().to_pem())?;
    write(
        "tokens.csv",
        &format!("{TOKEN},administrator,1,system:masters\n"),
    )?;
    let port = free_port()?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{ "name": "bench", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority": dir.join("pki/apiserver.crt"),
        } }],
        "users": [{ "name": "bench", "user": { "token": TOKEN } }],
        "contexts": [{ "name": "bench", "context": { "cluster": "bench", "user": "bench" } }],
    });
    write("kubeconfig", &config.to_string())?;
    let file = |name: &str| dir.join(name).display().to_string();
    Killed::start(
        Command::new(&programs.api_server)
            .arg(format!("--etcd-servers=http://127.0.0.1:{etcd}"))
            .arg(format!("--secure-port={port}"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .arg(format!("--cert-dir={}", file("pki")))
            .arg(format!(
                "--service-account-key-file={}",
                file("accounts.pub")
            ))
            .arg(format!(
                "--service-account-signing-key-file={}",
                file("accounts.pem")
            ))
            .arg("--service-account-issuer=https://kubernetes.default.svc")
            .arg(format!("--token-auth-file={}", file("tokens.csv")))
            .args(["--authorization-mode=RBAC"])
            .arg("--service-cluster-ip-range=10.96.0.0/16"),
        &dir.join("api-server.log"),
    )
}

/// What the webhook looks for when it starts.
async fn objects(lab: &Lab) -> anyhow::Result<Value> {
    let definition = |plural: &str, kind: &str, versions: &[&str]| {
        let versions = versions.iter().enumerate().map(|(number, name)| {
            let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
            json!({
                "name": name, "served": true, "storage": number == 0,
                "schema": { "openAPIV3Schema": open },
            })
        });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.policy.sigstore.dev") },
            "spec": {
                "group": "policy.sigstore.dev", "scope": "Cluster",
                "names": { "kind": kind, "plural": plural },
                "versions": versions.collect::<Vec<_>>(),
            },
        })
    };
    let empty = || json!({});
    let keys = json!({ TRUST: trusted_root(lab)?.to_string() });
    Ok(json!({
        "apiVersion": "v1", "kind": "List", "items": [
            { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "cosign-system" } },
            {
                "apiVersion": "v1", "kind": "Secret",
                "metadata": { "name": "webhook-certs", "namespace": "cosign-system" },
            },
            config_map("config-policy-controller", empty()),
            config_map("config-image-policies", empty()),
            config_map("config-sigstore-keys", keys),
            config_map("config-logging", json!({ "loglevel.webhook": "error" })),
            config_map("config-observability", empty()),
            config_map("config-leader-election", empty()),
            definition("clusterimagepolicies", "ClusterImagePolicy", &["v1alpha1", "v1beta1"]),
            definition("trustroots", "TrustRoot", &["v1alpha1"]),
        ],
    }))
}

/// The lab's trusted root as its controller would write it: log ids in hexadecimal, no key but ECDSA, and no
/// fields that are newer than it.
fn trusted_root(lab: &Lab) -> anyhow::Result<Value> {
    let mut root: Value = serde_json::from_slice(&fs::read(lab.file("trusted_root.json")?)?)?;
    for list in [
        "certificateAuthorities",
        "ctlogs",
        "timestampAuthorities",
        "tlogs",
    ] {
        for one in root[list].as_array_mut().into_iter().flatten() {
            one.as_object_mut().and_then(|one| one.remove("operator"));
        }
    }
    for logs in ["tlogs", "ctlogs"] {
        let Some(logs) = root[logs].as_array_mut() else {
            continue;
        };
        logs.retain(|log| {
            let details = log["publicKey"]["keyDetails"].as_str();
            details.is_some_and(|details| details.contains("ECDSA"))
        });
        for log in logs {
            let id = log["logId"]["keyId"].as_str().unwrap_or_default();
            let id: String = STANDARD
                .decode(id)?
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            log["logId"]["keyId"] = STANDARD.encode(id).into();
        }
    }
    Ok(root)
}

fn config_map(name: &str, data: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": "cosign-system" }, "data": data,
    })
}

fn last_line(log: &Path) -> String {
    let log = fs::read_to_string(log).unwrap_or_default();
    log.lines().last().unwrap_or("it wrote no log").to_owned()
}

/// A client that finds the webhook on loopback and trusts the authority that it wrote into its Secret.
fn client(kubectl: &Kubectl<'_>) -> anyhow::Result<Client> {
    let secret = [
        "get",
        "secret",
        "webhook-certs",
        "--namespace",
        "cosign-system",
    ];
    let path = "--output=jsonpath={.data.ca-cert\\.pem}";
    let mut pem = String::new();
    for _ in 0..TRIES {
        pem = kubectl.run(&[&secret[..], &[path]].concat())?;
        if !pem.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let pem = String::from_utf8(STANDARD.decode(pem.trim())?)?;
    let (_, der) = crypto::from_pem(&pem).context("policy-controller has no certificate")?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(der))?;
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .resolve(HOST, ([127, 0, 0, 1], PORT).into())
        .build()?)
}

/// kubectl as the administrator.
struct Kubectl<'a> {
    program: &'a Path,
    dir: &'a Path,
}

impl Kubectl<'_> {
    fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(self.program)
            .arg("--kubeconfig")
            .arg(self.dir.join("kubeconfig"))
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "kubectl {arguments:?}: {said}");
        Ok(String::from_utf8(output.stdout)?)
    }

    fn until(&self, what: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut last = Ok(String::new());
        for _ in 0..TRIES {
            last = self.run(arguments);
            if last.is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        last.map(drop)
            .with_context(|| format!("not in a minute: {what}"))
    }

    fn apply(&self, objects: &Value) -> anyhow::Result<()> {
        self.with("apply", objects)
    }

    fn replace(&self, object: &Value) -> anyhow::Result<()> {
        self.with("replace", object)
    }

    fn with(&self, verb: &str, objects: &Value) -> anyhow::Result<()> {
        let file = self.dir.join("objects.json");
        runtime::files::replace(&file, objects.to_string().as_bytes())?;
        self.run(&[verb, "--filename", &file.display().to_string()])
            .map(drop)
    }
}
