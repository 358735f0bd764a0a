//! Certificates and timestamps per second.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{path::Path, process::Command};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use crypto::{KeyKind, SigningKey};
use reqwest::Client;
use serde_json::{Value, json};

use super::{
    load::{Figures, Shot, client, fire},
    process::{Lab, Running, Work, answers, free_port, peer},
    rate,
};

/// Certificates or timestamps of one measurement.
const COUNT: usize = 10_000;

/// Connections of one measurement: what the peers were measured with.
const CONNECTIONS: usize = 32;

/// Measures fulcio with and without CT, and the timestamp authority, beside their peers.
pub(crate) async fn run(root: &Path) -> anyhow::Result<()> {
    let client = client()?;
    let work = Work::new("ca")?;
    let lab = Lab::start(root, &work, &[])?;
    let issuer = lab.url("oidc", "http")?;
    let token = identity_token(&client, &issuer).await?;
    let shots = certificates(&lab.url("fulcio", "http")?, &token)?;
    let with_ct = fire(&client, CONNECTIONS, shots).await?;
    println!(
        "{}",
        with_ct.line("certificates, durable CT append and SCT")
    );
    rate(
        "with CT: certificates per second",
        with_ct.per_second,
        2500.0,
    );
    let stamps = timestamps(&format!("{}/api/v1/timestamp", lab.url("tsa", "http")?));
    let ours = fire(&client, CONNECTIONS, stamps).await?;
    println!("{}", ours.line("timestamps"));
    peer_fulcio(&issuer, &token, &with_ct).await?;
    peer_tsa(&ours).await?;
    drop(lab);

    let work = Work::new("ca-without-ct")?;
    let lab = Lab::start(root, &work, &["fulcio.ct-log-url=\"\""])?;
    let issuer = lab.url("oidc", "http")?;
    let token = identity_token(&client, &issuer).await?;
    let shots = certificates(&lab.url("fulcio", "http")?, &token)?;
    let without = fire(&client, CONNECTIONS, shots).await?;
    println!("{}", without.line("certificates, without CT"));
    rate(
        "without CT: certificates per second",
        without.per_second,
        4000.0,
    );
    Ok(())
}

/// An email token that outlives the measurement.
async fn identity_token(client: &Client, issuer: &str) -> anyhow::Result<String> {
    let url = format!("{issuer}/token?lifetime=3600");
    Ok(client.get(url).send().await?.text().await?)
}

/// Requests for certificates with one token and a few keys: what a key costs is the client's affair.
fn certificates(base: &str, token: &str) -> anyhow::Result<Vec<Shot>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap_or_default())?;
    let claims: Value = serde_json::from_slice(&payload)?;
    let identity = claims["email"]
        .as_str()
        .or_else(|| claims["sub"].as_str())
        .unwrap_or_default();
    let url = format!("{base}/api/v2/signingCert");
    let keys = (0..16)
        .map(|_| {
            let key = SigningKey::generate(KeyKind::EcdsaP256)?;
            let proof = key.sign(identity.as_bytes())?;
            let body = json!({
                "publicKeyRequest": {
                    "publicKey": { "algorithm": "ECDSA", "content": key.public_key().to_pem() },
                    "proofOfPossession": STANDARD.encode(proof),
                },
            });
            Ok(Shot::json(&url, &body, 200).header("authorization", format!("Bearer {token}")))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(keys.iter().cycle().take(COUNT).cloned().collect())
}

fn timestamps(url: &str) -> Vec<Shot> {
    (0..COUNT)
        .map(|number| {
            let digest = crypto::sha256(&number.to_be_bytes());
            let body = json!({
                "artifactHash": STANDARD.encode(digest), "hashAlgorithm": "sha256",
            });
            Shot::json(url, &body, 200)
        })
        .collect()
}

/// Fulcio with an ephemeral CA and no CT log, trusting our issuer, if it is on the PATH.
async fn peer_fulcio(issuer: &str, token: &str, ours: &Figures) -> anyhow::Result<()> {
    let Some(program) = peer("fulcio") else {
        return Ok(());
    };
    let work = Work::new("fulcio")?;
    let config = work.0.join("config.json");
    let settings = json!({
        "OIDCIssuers": { issuer: { "IssuerURL": issuer, "ClientID": "sigstore", "Type": "email" } },
    });
    runtime::files::replace(&config, settings.to_string().as_bytes())?;
    let (http, grpc, metrics) = (free_port()?, free_port()?, free_port()?);
    let _server = Running::start(
        Command::new(program)
            .args(["serve", "--ca", "ephemeralca", "--ct-log-url", ""])
            .args(["--host", "127.0.0.1", "--grpc-host", "127.0.0.1"])
            .args([
                "--port",
                &http.to_string(),
                "--grpc-port",
                &grpc.to_string(),
            ])
            .args(["--metrics-port", &metrics.to_string()])
            .arg("--config-path")
            .arg(&config),
    )?;
    let client = client()?;
    let base = format!("http://127.0.0.1:{http}");
    answers(&client, &format!("{base}/healthz")).await?;
    let figures = fire(&client, CONNECTIONS, certificates(&base, token)?).await?;
    println!("{}", figures.line("fulcio, without CT"));
    println!(
        "{:<44} {:>9.2}x",
        "ours with durable CT to fulcio without CT",
        ours.per_second / figures.per_second
    );
    Ok(())
}

/// The timestamp server with keys in memory, if it is on the PATH.
async fn peer_tsa(ours: &Figures) -> anyhow::Result<()> {
    let Some(program) = peer("timestamp-server") else {
        return Ok(());
    };
    let port = free_port()?;
    let _server = Running::start(
        Command::new(program)
            .args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()])
            .arg("--disable-ntp-monitoring"),
    )?;
    let client = client()?;
    let base = format!("http://127.0.0.1:{port}");
    answers(&client, &format!("{base}/ping")).await?;
    let shots = timestamps(&format!("{base}/api/v1/timestamp"));
    let figures = fire(&client, CONNECTIONS, shots).await?;
    println!("{}", figures.line("timestamp-server"));
    println!(
        "{:<44} {:>9.2}x",
        "ours to timestamp-server",
        ours.per_second / figures.per_second
    );
    Ok(())
}
