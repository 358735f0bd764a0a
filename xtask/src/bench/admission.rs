//! The webhook: reviews per second of a signed image, first seen and seen before.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{path::Path, process::Command};

use anyhow::Context as _;
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use super::{
    load::{Shot, fire},
    process::{Lab, Work, binary},
    rate, row,
};

/// Signed images, each reviewed for the first time once.
const IMAGES: usize = 100;

/// Measures our own webhook.
pub(crate) async fn run(root: &Path) -> anyhow::Result<()> {
    let work = Work::new("admission")?;
    let policies = work.0.join("policies");
    std::fs::create_dir_all(&policies)?;
    let lab = Lab::start(
        root,
        &work,
        &[&format!("admission.policies={:?}", policies.display())],
    )?;
    let signed = Command::new(binary(root))
        .args([
            "--lab",
            &lab.admin,
            "bench-sign",
            "--count",
            &IMAGES.to_string(),
        ])
        .output()?;
    anyhow::ensure!(
        signed.status.success(),
        "{}",
        String::from_utf8_lossy(&signed.stderr)
    );
    policy(&lab, &policies, 1)?;
    let client = client(&lab).await?;
    let url = format!("{}/validations", lab.url("admission", "https")?);
    let images = images(&lab).await?;
    ready(&client, &url, &images[0]).await?;

    let cold = images[1..]
        .iter()
        .map(|image| review(&url, std::slice::from_ref(image)))
        .collect();
    let cold = fire(&client, 1, cold).await?;
    println!("{}", cold.line("first review of an image, 1 connection"));
    row("cold p99", cold.p99_ms, 20.0, "ms");
    for count in [1usize, 5, 50] {
        let shot = review(&url, &images[1..=count]);
        let shots = vec![shot; 4000 / count.max(4)];
        let warm = fire(&client, 32, shots).await?;
        println!(
            "{}",
            warm.line(&format!("again, {count} images, 32 connections"))
        );
        if count == 1 {
            rate("warm reviews per second", warm.per_second, 1000.0);
        }
    }
    for count in [50usize, 500] {
        policy(&lab, &policies, count)?;
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let shots = vec![review(&url, &images[1..2]); 500];
        let warm = fire(&client, 32, shots).await?;
        println!("{}", warm.line(&format!("again, under {count} policies")));
    }
    Ok(())
}

/// `count` policies, all of which match.
fn policy(lab: &Lab, dir: &Path, count: usize) -> anyhow::Result<()> {
    let registry = lab.url("registry", "http")?.replace("http://", "");
    let list: Vec<Value> = (0..count)
        .map(|number| {
            Ok(json!({
                "apiVersion": "policy.sigstore.dev/v1beta1",
                "kind": "ClusterImagePolicy",
                "metadata": { "name": format!("bench-{number}") },
                "spec": {
                    "images": [{ "glob": format!("{registry}/bench/*") }],
                    "authorities": [{
                        "keyless": {
                            "url": lab.url("fulcio", "http")?,
                            "identities": [{ "issuerRegExp": ".*", "subjectRegExp": ".*" }],
                        },
                        "ctlog": { "url": lab.url("rekor", "v1")? },
                    }],
                },
            }))
        })
        .collect::<anyhow::Result<_>>()?;
    let text: String = list
        .iter()
        .map(|policy| format!("---\n{policy}\n"))
        .collect();
    runtime::files::replace(&dir.join("bench.yaml"), text.as_bytes())?;
    Ok(())
}

async fn client(lab: &Lab) -> anyhow::Result<Client> {
    let plain = runtime::http::client(None)?;
    let pem = plain
        .get(format!("{}/admission/ca.pem", lab.admin))
        .send()
        .await?
        .text()
        .await?;
    let (_, der) = crypto::from_pem(&pem)?;
    runtime::http::client(Some(&[CertificateDer::from(der)]))
}

/// The images that were signed, by digest.
async fn images(lab: &Lab) -> anyhow::Result<Vec<String>> {
    let plain = runtime::http::client(None)?;
    let base = lab.url("registry", "http")?;
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

/// Waits until the policy decides: the directory is looked at once a second.
async fn ready(client: &Client, url: &str, image: &str) -> anyhow::Result<()> {
    let shot = review(url, std::slice::from_ref(&image.to_owned()));
    let mut last = String::new();
    for _ in 0..100 {
        let mut request = client.post(&shot.url).body(shot.body.clone());
        for (name, value) in &shot.headers {
            request = request.header(*name, value);
        }
        last = request.send().await?.text().await?;
        if last.contains("\"allowed\":true") {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    anyhow::bail!("the signed image is not admitted: {last}")
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
