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
    let with_ct = measure(&client, &lab.url("fulcio", "http")?, &token).await?;
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
    let stamped = fire(&client, CONNECTIONS, stamps).await?;
    println!("{}", stamped.line("timestamps"));
    peer_tsa(&stamped).await?;
    drop(lab);

    let work = Work::new("ca-without-ct")?;
    let lab = Lab::start(root, &work, &["fulcio.ct_log_url=\"\""])?;
    let issuer = lab.url("oidc", "http")?;
    let token = identity_token(&client, &issuer).await?;
    let without = measure(&client, &lab.url("fulcio", "http")?, &token).await?;
    println!("{}", without.line("certificates, without CT"));
    rate(
        "without CT: certificates per second",
        without.per_second,
        4000.0,
    );
    let Some(program) = peer("fulcio") else {
        return Ok(());
    };
    let port = free_port()?;
    let theirs = peer_fulcio(&program, port, &issuer, &token, "").await?;
    compare("fulcio, without CT", &theirs, &without);
    drop(lab);
    peer_fulcio_with_ct(root, &program, &with_ct).await
}

/// Certificates from the Fulcio at `base`.
async fn measure(client: &Client, base: &str, token: &str) -> anyhow::Result<Figures> {
    fire(client, CONNECTIONS, certificates(base, token)?).await
}

fn compare(name: &str, theirs: &Figures, ours: &Figures) {
    println!("{}", theirs.line(name));
    println!(
        "{:<44} {:>9.2}x",
        format!("ours to {name}"),
        ours.per_second / theirs.per_second
    );
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

/// Fulcio with an ephemeral CA, trusting our issuer, and with the CT log of that URL unless it is empty.
async fn peer_fulcio(
    program: &Path,
    port: u16,
    issuer: &str,
    token: &str,
    ct_log: &str,
) -> anyhow::Result<Figures> {
    let work = Work::new("fulcio")?;
    let config = work.0.join("config.json");
    let settings = json!({
        "OIDCIssuers": { issuer: { "IssuerURL": issuer, "ClientID": "sigstore", "Type": "email" } },
    });
    runtime::files::replace(&config, settings.to_string().as_bytes())?;
    let (grpc, metrics) = (free_port()?.to_string(), free_port()?.to_string());
    let _server = Running::start(
        Command::new(program)
            .args(["serve", "--ca", "ephemeralca", "--ct-log-url", ct_log])
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--grpc-host", "127.0.0.1", "--grpc-port", &grpc])
            .args(["--metrics-port", &metrics, "--config-path"])
            .arg(&config),
    )?;
    let client = client()?;
    let base = format!("http://127.0.0.1:{port}");
    answers(&client, &format!("{base}/healthz")).await?;
    measure(&client, &base, token).await
}

/// The same with a CT log: ours, which asks that Fulcio for its root.
async fn peer_fulcio_with_ct(root: &Path, program: &Path, ours: &Figures) -> anyhow::Result<()> {
    let port = free_port()?;
    let work = Work::new("ca-peer-ct")?;
    let trust = format!("ctlog.fulcio_url=\"http://127.0.0.1:{port}\"");
    let lab = Lab::start(root, &work, &[&trust])?;
    let issuer = lab.url("oidc", "http")?;
    let token = identity_token(&client()?, &issuer).await?;
    let log = lab.url("ctlog", "http")?;
    let theirs = peer_fulcio(program, port, &issuer, &token, &log).await?;
    compare("fulcio, with our CT log", &theirs, ours);
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
    compare("timestamp-server", &figures, ours);
    Ok(())
}
