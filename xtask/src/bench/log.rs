//! Rekor: entries per second with all verification and durable acknowledgement, and what many cost.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{path::Path, process::Command, time::Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{KeyKind, SigningKey};
use serde_json::json;

use super::{
    load::{Figures, Shot, client, fire},
    process::{Lab, Running, Work, answers, free_port, peer},
    rate, row,
    trillian::RekorV1,
};

/// Connections and entries of each measurement.
const LOADS: [(usize, usize); 4] = [(1, 500), (32, 10_000), (256, 20_000), (2000, 20_000)];

/// Makes entries that were never logged before.
struct Entries {
    key: SigningKey,
    next: u64,
}

impl Entries {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            key: SigningKey::generate(KeyKind::EcdsaP256)?,
            next: 0,
        })
    }

    fn next(&mut self) -> anyhow::Result<([u8; 32], Vec<u8>)> {
        let message = self.next.to_be_bytes();
        self.next += 1;
        Ok((crypto::sha256(&message), self.key.sign(&message)?))
    }

    fn v1(&mut self, base: &str, count: usize) -> anyhow::Result<Vec<Shot>> {
        let url = format!("{base}/api/v1/log/entries");
        let pem = STANDARD.encode(self.key.public_key().to_pem());
        (0..count)
            .map(|_| {
                let (digest, signature) = self.next()?;
                let body = json!({
                    "apiVersion": "0.0.1", "kind": "hashedrekord",
                    "spec": {
                        "signature": {
                            "content": STANDARD.encode(signature),
                            "publicKey": { "content": pem },
                        },
                        "data": { "hash": { "algorithm": "sha256", "value": hex::encode(digest) } },
                    },
                });
                Ok(Shot::json(&url, &body, 201))
            })
            .collect()
    }

    fn v2(&mut self, base: &str, count: usize) -> anyhow::Result<Vec<Shot>> {
        let url = format!("{base}/api/v2/log/entries");
        let key = STANDARD.encode(self.key.public_key().spki_der());
        (0..count)
            .map(|_| {
                let (digest, signature) = self.next()?;
                let body = json!({
                    "hashedRekordRequestV002": {
                        "digest": STANDARD.encode(digest),
                        "signature": {
                            "content": STANDARD.encode(signature),
                            "verifier": {
                                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                                "publicKey": { "rawBytes": key },
                            },
                        },
                    },
                });
                Ok(Shot::json(&url, &body, 201))
            })
            .collect()
    }
}

/// Measures both logs, then a log of `entries` entries, then the peer.
pub(crate) async fn run(root: &Path, entries: usize) -> anyhow::Result<()> {
    let client = client()?;
    let work = Work::new("log")?;
    let lab = Lab::start(root, &work, &[])?;
    let (v1, v2) = (lab.url("rekor", "v1")?, lab.url("rekor", "v2")?);
    let mut made = Entries::new()?;
    let (mut ours_v1, mut ours_v2) = (Vec::new(), Vec::new());
    for (connections, count) in LOADS {
        let figures = fire(&client, connections, made.v1(&v1, count)?).await?;
        println!(
            "{}",
            figures.line(&format!("v1, {connections} connections"))
        );
        ours_v1.push((connections, figures));
    }
    for (connections, count) in LOADS {
        let figures = fire(&client, connections, made.v2(&v2, count)?).await?;
        println!(
            "{}",
            figures.line(&format!("v2, {connections} connections"))
        );
        if connections == 256 {
            rate("v2 at 256: entries per second", figures.per_second, 5000.0);
            row("v2 at 256: p50", figures.p50_ms, 40.0, "ms");
        }
        ours_v2.push((connections, figures));
    }
    drop(lab);
    many(root, entries).await?;
    peer_v1(&mut made, &ours_v1).await?;
    peer_v2(&mut made, &ours_v2).await
}

/// A v2 log filled to `entries`: memory, bytes on disk, restart, and reads.
async fn many(root: &Path, entries: usize) -> anyhow::Result<()> {
    let client = client()?;
    let work = Work::new("many")?;
    let lab = Lab::start(root, &work, &[])?;
    let v1 = lab.url("rekor", "v1")?;
    let mut made = Entries::new()?;
    let started = Instant::now();
    let mut slices: Vec<Figures> = Vec::new();
    let mut done = 0;
    while done < entries {
        let slice = (entries - done).min(50_000);
        slices.push(fire(&client, 256, made.v1(&v1, slice)?).await?);
        done += slice;
    }
    if let (Some(first), Some(last)) = (slices.first(), slices.last()) {
        println!(
            "{}",
            first.line(&format!("filling v1: first of {} slices", slices.len()))
        );
        println!("{}", last.line("filling v1: last slice"));
    }
    println!(
        "{entries} entries in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    row(
        "resident after filling",
        lab.process.resident_mebibytes()?,
        100.0,
        "MiB",
    );
    drop(lab);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_entry = work.bytes("data/rekor")? as f64 / entries as f64;
    println!(
        "{:<44} {per_entry:>9.0} bytes per entry on disk, index included",
        ""
    );
    let lab = Lab::start(root, &work, &[])?;
    row("restart to ready", lab.millis, 1000.0, "ms");
    row(
        "resident after restart",
        lab.process.resident_mebibytes()?,
        100.0,
        "MiB",
    );
    let v1 = lab.url("rekor", "v1")?;
    let reads = (0..10_000usize)
        .map(|number| {
            let index = number * 7919 % entries;
            Shot::get(format!("{v1}/api/v1/log/entries?logIndex={index}"))
        })
        .collect();
    let figures = fire(&client, 32, reads).await?;
    println!("{}", figures.line("entries with proofs, 32 connections"));
    Ok(())
}

/// rekor-server over Trillian and MariaDB, if all its programs are on the PATH.
async fn peer_v1(made: &mut Entries, ours: &[(usize, Figures)]) -> anyhow::Result<()> {
    let client = client()?;
    let Some(peer) = RekorV1::start(&client).await? else {
        return Ok(());
    };
    for (connections, count) in [(1, 10), (32, 500), (256, 1500)] {
        // Under load it answers some with 500.
        match fire(&client, connections, made.v1(&peer.url, count)?).await {
            Ok(figures) => beside("rekor-server", connections, &figures, ours),
            Err(error) => println!("rekor-server, {connections} connections: {error:#}"),
        }
    }
    Ok(())
}

/// A peer's figures, and ours at the same number of connections as ratios to them.
fn beside(peer: &str, connections: usize, figures: &Figures, ours: &[(usize, Figures)]) {
    println!(
        "{}",
        figures.line(&format!("{peer}, {connections} connections"))
    );
    if let Some((_, our)) = ours.iter().find(|(own, _)| *own == connections) {
        println!(
            "{:<44} {:>9.1}x entries per second, p50 {:.0}x shorter",
            format!("ours to {peer}"),
            our.per_second / figures.per_second,
            figures.p50_ms / our.p50_ms
        );
    }
}

/// rekor-tiles over POSIX files with a one second checkpoint, if its server is on the PATH as `posix`.
async fn peer_v2(made: &mut Entries, ours: &[(usize, Figures)]) -> anyhow::Result<()> {
    let Some(program) = peer("posix") else {
        return Ok(());
    };
    let work = Work::new("rekor-tiles")?;
    let key = work.0.join("key.pem");
    let pem = SigningKey::generate(KeyKind::Ed25519)?.to_pkcs8_pem();
    runtime::files::replace(&key, pem.as_bytes())?;
    let (http, grpc) = (free_port()?, free_port()?);
    let _server = Running::start(
        Command::new(program)
            .args(["serve", "--hostname", "bench.lab.invalid"])
            .args(["--http-address", "127.0.0.1", "--grpc-address", "127.0.0.1"])
            .args([
                "--http-port",
                &http.to_string(),
                "--grpc-port",
                &grpc.to_string(),
            ])
            .arg("--storage-dir")
            .arg(work.0.join("storage"))
            .arg("--signer-filepath")
            .arg(&key)
            .args(["--checkpoint-interval", "1s"]),
    )?;
    let client = client()?;
    let base = format!("http://127.0.0.1:{http}");
    answers(&client, &format!("{base}/healthz")).await?;
    for (connections, count) in [(1, 5), (32, 200), (256, 1000), (2000, 4000)] {
        let figures = fire(&client, connections, made.v2(&base, count)?).await?;
        beside("rekor-tiles", connections, &figures, ours);
    }
    Ok(())
}
