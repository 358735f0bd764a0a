//! The webhook: reviews per second and their times, with every signature fetched anew and with those known
//! that were seen before, for Pods of one to fifty images under one to five hundred policies; and upstream's
//! beside it, which always fetches.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{path::Path, process::Command, time::Duration};

use anyhow::Context as _;
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use super::{
    load::{Figures, Shot, fire},
    policy_controller::PolicyController,
    process::{Lab, Work, binary},
    rate, row,
};

/// Signed images.
const IMAGES: usize = 50;

/// Images in a Pod, policies that match each of them, and reviews.
const CASES: [(usize, usize, usize); 6] = [
    (1, 1, 2000),
    (5, 1, 400),
    (50, 1, 80),
    (1, 50, 200),
    (5, 50, 40),
    (1, 500, 40),
];

/// Measures our own webhook.
pub(crate) async fn run(root: &Path) -> anyhow::Result<()> {
    let work = Work::new("admission")?;
    let bench = Bench::start(root, &work, 0)?;
    bench.sign(root)?;
    for case in CASES {
        let (images, policies, reviews) = case;
        // One at a time says how long a review takes, several how many there are.
        let alone = bench.measure(case, 1, reviews / 4).await?;
        println!("{}", line("cold, 1 connection", case, &alone));
        let many = bench.measure(case, 8, reviews / 2).await?;
        println!("{}", line("cold, 8 connections", case, &many));
        if (images, policies) == (1, 1) {
            row("cold p99", alone.p99_ms, 20.0, "ms");
        }
    }
    drop(bench);
    let bench = Bench::start(root, &work, 3600)?;
    for case in CASES {
        let (images, policies, reviews) = case;
        let warm = bench.measure(case, 32, reviews * 2).await?;
        println!("{}", line("warm, 32 connections", case, &warm));
        if (images, policies) == (1, 1) {
            rate("warm reviews per second", warm.per_second, 1000.0);
        }
    }
    beside_upstream(&bench).await
}

/// The same with policy-controller, if it is on the PATH.
async fn beside_upstream(bench: &Bench) -> anyhow::Result<()> {
    let Some(upstream) = PolicyController::start(&bench.lab).await? else {
        return Ok(());
    };
    let images = bench.images().await?;
    upstream.sign(&bench.lab, &images, &bench.token().await?)?;
    for case in CASES {
        let (images, policies, reviews) = case;
        upstream.set_policies(&bench.lab, policies).await?;
        let signed = bench.images().await?;
        for (connections, what) in [(1, "1 connection"), (8, "8 connections")] {
            let shots = shots(&upstream.url, &signed, images, (reviews / 20).max(4));
            let figures = admitted(&upstream.client, connections, shots).await?;
            println!("{}", line(&format!("upstream, {what}"), case, &figures));
        }
    }
    Ok(())
}

fn line(what: &str, (images, policies, _): (usize, usize, usize), figures: &Figures) -> String {
    figures.line(&format!("{what}, {images} images, {policies} policies"))
}

/// A lab whose webhook is asked.
struct Bench {
    lab: Lab,
    policies: std::path::PathBuf,
}

impl Bench {
    /// Starts the lab in `work`; what was verified is remembered for `cache_secs`, at 0 everything is
    /// fetched and verified each time.
    fn start(root: &Path, work: &Work, cache_secs: u32) -> anyhow::Result<Self> {
        let policies = work.0.join("policies");
        std::fs::create_dir_all(&policies)?;
        let set = [
            format!("admission.policies={:?}", policies.display()),
            format!("admission.cache_secs={cache_secs}"),
        ];
        let set: Vec<&str> = set.iter().map(String::as_str).collect();
        let lab = Lab::start(root, work, &set)?;
        Ok(Self { lab, policies })
    }

    fn sign(&self, root: &Path) -> anyhow::Result<()> {
        let count = IMAGES.to_string();
        let signed = Command::new(binary(root))
            .args(["--lab", &self.lab.admin, "bench-sign", "--count", &count])
            .output()?;
        anyhow::ensure!(
            signed.status.success(),
            "{}",
            String::from_utf8_lossy(&signed.stderr)
        );
        Ok(())
    }

    async fn measure(
        &self,
        (images, policies, _): (usize, usize, usize),
        connections: usize,
        reviews: usize,
    ) -> anyhow::Result<Figures> {
        let client = self.client().await?;
        self.set_policies(policies).await?;
        let url = format!("{}/validations", self.lab.url("admission", "https")?);
        let shots = shots(&url, &self.images().await?, images, reviews.max(4));
        admitted(&client, connections, shots).await
    }

    async fn token(&self) -> anyhow::Result<String> {
        let plain = runtime::http::client(None)?;
        let issuer = self.lab.url("oidc", "http")?;
        let url = format!("{issuer}/token?audience=sigstore&email=bench@lab.example");
        Ok(plain.get(url).send().await?.text().await?)
    }

    /// Puts `count` policies in force, all of which match.
    async fn set_policies(&self, count: usize) -> anyhow::Result<()> {
        let registry = self.lab.url("registry", "http")?.replace("http://", "");
        let policy = |number: usize| -> anyhow::Result<Value> {
            Ok(json!({
                "apiVersion": "policy.sigstore.dev/v1beta1",
                "kind": "ClusterImagePolicy",
                "metadata": { "name": format!("bench-{number}") },
                "spec": {
                    "images": [{ "glob": format!("{registry}/bench/*") }],
                    "authorities": [{
                        "keyless": {
                            "url": self.lab.url("fulcio", "http")?,
                            "identities": [{ "issuerRegExp": ".*", "subjectRegExp": ".*" }],
                        },
                        "ctlog": { "url": self.lab.url("rekor", "v1")? },
                    }],
                },
            }))
        };
        let mut text = String::new();
        for number in 0..count {
            text.push_str(&format!("---\n{}\n", policy(number)?));
        }
        runtime::files::replace(&self.policies.join("bench.yaml"), text.as_bytes())?;
        let plain = runtime::http::client(None)?;
        let reload = format!("{}/admission/policies/reload", self.lab.admin);
        let answer = plain.post(reload).send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "{}", answer.text().await?);
        // Connections of the last measurement have come to rest.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Ok(())
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let plain = runtime::http::client(None)?;
        let url = format!("{}/admission/ca.pem", self.lab.admin);
        let pem = plain.get(url).send().await?.text().await?;
        let (_, der) = crypto::from_pem(&pem)?;
        runtime::http::client(Some(&[CertificateDer::from(der)]))
    }

    /// The images that were signed, by digest.
    async fn images(&self) -> anyhow::Result<Vec<String>> {
        let plain = runtime::http::client(None)?;
        let base = self.lab.url("registry", "http")?;
        let registry = base.replace("http://", "");
        let mut images = Vec::with_capacity(IMAGES);
        for number in 0..IMAGES {
            let url = format!("{base}/v2/bench/image/manifests/{number}");
            let answer = plain.head(url).send().await?;
            let digest = answer
                .headers()
                .get("docker-content-digest")
                .context("no digest")?;
            images.push(format!("{registry}/bench/image@{}", digest.to_str()?));
        }
        Ok(images)
    }
}

/// Reviews of Pods of `images` each, from one image on to the next.
fn shots(url: &str, signed: &[String], images: usize, reviews: usize) -> Vec<Shot> {
    let pod = |number: usize| {
        let used = (0..images).map(|image| signed[(number + image) % signed.len()].clone());
        review(url, &used.collect::<Vec<_>>())
    };
    (0..reviews).map(pod).collect()
}

/// Fires them once every image is known, or on its way, and is admitted.
async fn admitted(
    client: &Client,
    connections: usize,
    shots: Vec<Shot>,
) -> anyhow::Result<Figures> {
    for shot in shots.iter().take(IMAGES) {
        let answer = shot.send(client).await?;
        let text = String::from_utf8_lossy(&answer.body);
        anyhow::ensure!(text.contains("\"allowed\":true"), "denied: {text}");
    }
    fire(client, connections, shots).await
}

fn review(url: &str, images: &[String]) -> Shot {
    let containers: Vec<Value> = images
        .iter()
        .enumerate()
        .map(|(number, image)| json!({ "name": format!("c{number}"), "image": image }))
        .collect();
    let body = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "bench",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {},
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "bench", "namespace": "default" },
                "spec": { "containers": containers },
            },
        },
    });
    Shot::json(url, &body, 200)
}
