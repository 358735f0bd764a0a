//! Upstream's own webhook beside ours: the same images under the same policies get the same verdicts, in the
//! same words.

use std::process::{Child, Command, Stdio};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tests::{Sandbox, Siglab, client};

use crate::cluster::Cluster;
use crate::world::{Author, Kubectl, eventually, github};

/// The only port that it serves at.
const UPSTREAM: &str = "https://localhost:8443";
const TRUST: &str = "lab";
const PREDICATE: &str = "https://example.com/p";

/// Where the words differ, by policy and image, and why.
const OTHER_WORDS: [(&str, &str, &str); 2] = [
    (
        "",
        "keyed",
        "this version of upstream says of a signature without a certificate: nil certificate provided",
    ),
    (
        "key or keyless",
        "",
        "the errors of several authorities come in the order of their completion",
    ),
];

/// The running webhook; it is killed with the value.
struct Upstream {
    child: Child,
    kubectl: Kubectl,
    _cluster: Cluster,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Upstream {
    fn start(siglab: &Siglab) -> Self {
        let cluster = Cluster::start();
        let kubectl = Kubectl::new(&cluster);
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": objects(siglab)});
        let _ = kubectl.apply(&objects.to_string()).succeeds();
        let _ = kubectl
            .run(&[
                "wait",
                "--for=condition=Established",
                "--timeout=30s",
                "crd",
                "--all",
            ])
            .succeeds();
        let child = Command::new(client("policy-controller").program)
            .arg("-disable-tuf")
            .env("KUBECONFIG", cluster.path("administrator.yaml"))
            .env("HOME", cluster.path("home"))
            .env("SYSTEM_NAMESPACE", "cosign-system")
            .env("WEBHOOK_NAME", "webhook")
            .env("METRICS_DOMAIN", "sigstore.dev/policy")
            .env("KUBERNETES_MIN_VERSION", "1.21.0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            child: child.expect("scripts/install-clients policy-controller"),
            kubectl,
            _cluster: cluster,
        }
    }
}

/// What it looks for when it starts: its namespace, settings, and what its controllers would write.
fn objects(siglab: &Siglab) -> Value {
    let definition = |plural: &str, kind: &str, versions: &[&str]| {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let versions = versions.iter().enumerate().map(|(number, name)| {
            json!({
                "name": name, "served": true, "storage": number == 0,
                "schema": {"openAPIV3Schema": open},
            })
        });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.policy.sigstore.dev")},
            "spec": {
                "group": "policy.sigstore.dev", "scope": "Cluster",
                "names": {"kind": kind, "plural": plural}, "versions": versions.collect::<Vec<_>>(),
            },
        })
    };
    json!([
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "cosign-system"}},
        {
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "webhook-certs", "namespace": "cosign-system"},
        },
        config_map("config-policy-controller", &json!({})),
        config_map("config-image-policies", &json!({})),
        config_map("config-sigstore-keys", &json!({TRUST: trusted_root(siglab).to_string()})),
        config_map("config-logging", &json!({})),
        config_map("config-observability", &json!({})),
        config_map("config-leader-election", &json!({})),
        definition("clusterimagepolicies", "ClusterImagePolicy", &["v1alpha1", "v1beta1"]),
        definition("trustroots", "TrustRoot", &["v1alpha1"]),
    ])
}

/// The lab's trusted root as upstream's controller would write it: log ids in hexadecimal, no key but ECDSA,
/// and no fields that are newer than it.
fn trusted_root(siglab: &Siglab) -> Value {
    let json = std::fs::read(siglab.file("trusted_root.json")).expect("written at start");
    let mut root: Value = serde_json::from_slice(&json).expect("JSON");
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
    for logs in ["ctlogs", "tlogs"] {
        let logs = root[logs].as_array_mut().expect("logs");
        logs.retain(|log| log["publicKey"]["keyDetails"].to_string().contains("ECDSA"));
        for log in logs {
            let id = STANDARD.decode(log["logId"]["keyId"].as_str().expect("an id"));
            let id = hex::encode(id.expect("base64"));
            log["logId"]["keyId"] = STANDARD.encode(id).into();
        }
    }
    root
}

fn config_map(name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "cosign-system"}, "data": data,
    })
}

/// A webhook's verdict on a Pod of the image: allowed, message, warnings.
fn ask(home: &Sandbox, url: &str, image: &str) -> Option<(bool, String, Value)> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "operation": "CREATE", "namespace": "default", "userInfo": {},
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "app", "namespace": "default", "labels": {"tier": "prod"}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    });
    home.write("review.json", review.to_string());
    let url = format!("{url}/validations");
    let flags = [
        "--silent",
        "--insecure",
        "--header",
        "Content-Type: application/json",
        "--data-binary",
        "@review.json",
        &url,
    ];
    let answer = home.run(&client("curl"), &flags);
    let answer: Value = serde_json::from_slice(answer.bytes()).ok()?;
    let response = &answer["response"];
    let message = response["status"]["message"].as_str().unwrap_or_default();
    Some((
        response["allowed"].as_bool()?,
        message.to_owned(),
        response["warnings"].clone(),
    ))
}

/// Both webhooks, and who signs for them.
struct Both {
    upstream: Upstream,
    siglab: Siglab,
    policies: Sandbox,
    author: Author,
    round: usize,
}

impl Both {
    fn start() -> Self {
        let policies = Sandbox::new();
        let directory = format!("admission.policies={}", policies.dir().display());
        let fresh = "admission.cache_secs=0";
        let siglab = Siglab::start_with(&["--set", &directory, "--set", fresh]);
        Self {
            upstream: Upstream::start(&siglab),
            author: Author::new(&siglab),
            siglab,
            policies,
            round: 0,
        }
    }

    /// Puts policies in force at both, in the form that upstream's controller gives them.
    fn set(&mut self, policies: &[Value]) {
        self.round += 1;
        let known = format!("known {}", self.round);
        let canary = json!({
            "images": [{"glob": "canary.example/**"}], "mode": "enforce",
            "authorities": [{"name": "a", "static": {"action": "fail", "message": known}}],
        });
        let all = policies.iter().chain([&canary]).enumerate();
        let entries: Map<String, Value> = all
            .map(|(number, policy)| (format!("p{number}"), policy.to_string().into()))
            .collect();
        let map = config_map("config-image-policies", &entries.into());
        let _ = self.upstream.kubectl.apply(&map.to_string()).succeeds();
        let trust = std::fs::read_to_string(self.siglab.file("trust-root.yaml"));
        let trust = trust.expect("written at start");
        let trust = trust.replace("name: siglab", &format!("name: {TRUST}"));
        let stream = format!("{map}\n---\n{trust}");
        self.policies.write("policies.yaml", stream);
        let canary = format!("canary.example/app@sha256:{}", "0".repeat(64));
        for url in [UPSTREAM, &self.siglab.url("admission", "https")] {
            eventually("the policies are in force", || {
                let (_, message, _) = ask(&self.author.home, url, &canary)?;
                message.contains(&known).then_some(())
            });
        }
    }

    /// Runs cosign so that it keeps what it makes in a tag.
    fn cosign(&self, command: &str, flags: &[&str], image: &str) {
        let urls = [
            self.siglab.url("fulcio", "http"),
            self.siglab.url("rekor", "v1"),
            self.siglab.url("oidc", "http"),
        ];
        let legacy = [
            command,
            "--yes",
            "--new-bundle-format=false",
            "--use-signing-config=false",
            "--fulcio-url",
            &urls[0],
            "--rekor-url",
            &urls[1],
            "--oidc-issuer",
            &urls[2],
        ];
        let all = [&legacy[..], flags, &[image]].concat();
        let _ = self.author.home.run(&client("cosign"), &all).succeeds();
    }

    fn token(&self, reference: &str) -> String {
        let url = format!(
            "{}/token?audience=sigstore&preset=github-actions&repository=org/app&ref={reference}",
            self.siglab.url("oidc", "http")
        );
        let home = &self.author.home;
        let token = home.run(&client("curl"), &["--silent", "--fail", &url]);
        token.succeeds().text()
    }

    /// Images by what is special about them.
    fn images(&self) -> Vec<(&'static str, String)> {
        let image = |name: &str| self.author.image(&self.siglab, &format!("org/{name}"));
        let images = ["signed", "tagged", "unsigned", "keyed", "attested"].map(|n| (n, image(n)));
        let (branch, tag) = (self.token("refs/heads/main"), self.token("refs/tags/v1"));
        self.cosign("sign", &["--identity-token", &branch], &images[0].1);
        self.cosign("sign", &["--identity-token", &tag], &images[1].1);
        self.cosign(
            "sign",
            &["--tlog-upload=false", "--key", "cosign.key"],
            &images[3].1,
        );
        self.author.home.write("predicate.json", "{\"n\": 3}");
        let predicate = ["--type", PREDICATE, "--predicate", "predicate.json"];
        let flags = [&["--identity-token", branch.as_str()], &predicate[..]].concat();
        self.cosign("attest", &flags, &images[4].1);
        let tag = images[0].1.split('@').next().unwrap_or_default();
        let by_tag = ("by tag", format!("{tag}:v0.3.1"));
        let short = format!("{}/a@sha256:{}", self.siglab.registry(), "0".repeat(64));
        images
            .into_iter()
            .chain([by_tag, ("of a short name", short)])
            .collect()
    }
}

/// Policies by what is special about them; each may be several.
fn policies(siglab: &Siglab, key: &str) -> Vec<(&'static str, Vec<Value>)> {
    let subject = "https://github.com/org/app/.github/workflows/release.yml@refs/heads/main";
    let identity = json!({"issuer": github(siglab), "subject": subject});
    let keyless = |identities: Value| {
        json!({
            "name": "authority-0",
            "keyless": {
                "url": siglab.url("fulcio", "http"), "trustRootRef": TRUST, "identities": identities,
            },
            "ctlog": {"url": siglab.url("rekor", "v1"), "trustRootRef": TRUST},
        })
    };
    let with = |mut authority: Value, field: &str, value: Value| {
        authority[field] = value;
        authority
    };
    let glob = format!("{}/org/*", siglab.registry());
    let policy = |authorities: Value| json!({"images": [{"glob": glob}], "mode": "enforce", "authorities": authorities});
    let exact = || keyless(json!([identity]));
    let key = json!({"name": "authority-0", "key": {"data": key}});
    let fixed = |action: &str| json!([{"name": "authority-0", "static": {"action": action, "message": "never"}}]);
    let attested = |kind: &str, rego: &str| {
        let mut attestation = json!({"name": "a", "predicateType": kind});
        if !rego.is_empty() {
            attestation["type"] = "rego".into();
            attestation["data"] = format!("package sigstore\n{rego}").into();
        }
        policy(json!([with(exact(), "attestations", json!([attestation]))]))
    };
    let other = json!({"issuer": github(siglab), "subject": "https://other"});
    let expression =
        json!([{"issuerRegExp": "github-actions$", "subjectRegExp": "^https://github"}]);
    let second = with(exact(), "name", json!("authority-1"));
    let deployments = json!([{"group": "apps", "version": "v1", "resource": "deployments"}]);
    let selector = json!({"matchLabels": {"tier": "prod"}});
    let labelled =
        json!([{"group": "", "version": "v1", "resource": "pods", "selector": selector}]);
    let source = json!([{"oci": format!("{}/org/unsigned", siglab.registry())}]);
    let counted = "package sigstore\nisCompliant { count(input.authorityMatches) == 7 }";
    let counted = json!({"name": "", "predicateType": "", "type": "rego", "data": counted});
    vec![
        ("keyless", vec![policy(json!([exact()]))]),
        ("expression", vec![policy(json!([keyless(expression)]))]),
        (
            "another subject",
            vec![policy(json!([keyless(json!([other]))]))],
        ),
        (
            "two identities",
            vec![policy(json!([keyless(json!([other, identity]))]))],
        ),
        ("key", vec![policy(json!([key]))]),
        ("key or keyless", vec![policy(json!([key, second]))]),
        ("pass", vec![policy(fixed("pass"))]),
        ("fail", vec![policy(fixed("fail"))]),
        (
            "two pass",
            vec![policy(json!([exact()])), policy(fixed("pass"))],
        ),
        (
            "one of two fails",
            vec![policy(json!([exact()])), policy(fixed("fail"))],
        ),
        (
            "warn",
            vec![with(policy(json!([exact()])), "mode", json!("warn"))],
        ),
        ("none", vec![]),
        (
            "deployments",
            vec![with(policy(json!([exact()])), "match", deployments)],
        ),
        (
            "labelled",
            vec![with(policy(json!([exact()])), "match", labelled)],
        ),
        ("attested", vec![attested(PREDICATE, "")]),
        (
            "attested otherwise",
            vec![attested("https://example.com/q", "")],
        ),
        (
            "rule",
            vec![attested(
                PREDICATE,
                "isCompliant { input.predicate.n == 3 }",
            )],
        ),
        (
            "other rule",
            vec![attested(
                PREDICATE,
                "isCompliant { input.predicate.n == 4 }",
            )],
        ),
        (
            "policy rule",
            vec![with(policy(json!([exact()])), "policy", counted)],
        ),
        (
            "source",
            vec![policy(json!([with(exact(), "source", source)]))],
        ),
    ]
}

#[test]
fn upstreams_webhook_gives_the_same_verdicts_in_the_same_words() {
    let mut both = Both::start();
    both.author.home.set("COSIGN_PASSWORD", "");
    let home = &both.author.home;
    let _ = home
        .run(&client("cosign"), &["generate-key-pair"])
        .succeeds();
    let key = String::from_utf8(home.read("cosign.pub")).expect("PEM");
    let images = both.images();
    let ours = both.siglab.url("admission", "https");
    let mut wrong = Vec::new();
    let mut admitted = 0;
    for (policy, specs) in policies(&both.siglab, &key) {
        both.set(&specs);
        for (image, reference) in &images {
            let said = [UPSTREAM, &ours].map(|url| ask(&both.author.home, url, reference));
            let [Some(upstream), Some(ours)] = &said else {
                panic!("{policy}, {image}: {said:?}");
            };
            admitted += usize::from(ours.0);
            let other_words = OTHER_WORDS.iter().any(|(of, about, _)| {
                (of.is_empty() || *of == policy) && (about.is_empty() || about == image)
            });
            if upstream.0 != ours.0 || (upstream != ours && !other_words) {
                wrong.push(format!("{policy}, {image}:\n{upstream:?}\n{ours:?}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(admitted > 20, "{admitted} admitted");
}
