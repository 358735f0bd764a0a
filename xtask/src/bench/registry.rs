//! The registry: pushes and pulls of blobs, beside distribution on the same disk.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{path::Path, process::Command, time::Instant};

use bytes::Bytes;
use reqwest::{Client, Method};

use super::{
    load::{Figures, Shot, client, fire},
    process::{Lab, Running, Work, answers, free_port, peer},
    row,
};

/// Bytes of a blob and how many of them.
const SIZES: [(&str, usize, usize); 3] = [
    ("1 KB", 1 << 10, 2000),
    ("1 MB", 1 << 20, 200),
    ("100 MB", 100 << 20, 6),
];

/// Measures ours, then distribution if it is on the PATH as `registry`.
pub(crate) async fn run(root: &Path) -> anyhow::Result<()> {
    let work = Work::new("registry")?;
    let lab = Lab::start(root, &work, &[])?;
    let ours = measure("siglab", &lab.url("registry", "http")?).await?;
    row(
        "resident after pushes",
        lab.process.resident_mebibytes()?,
        64.0,
        "MiB",
    );
    drop(lab);
    drop(work);
    let Some(program) = peer("registry") else {
        return Ok(());
    };
    let work = Work::new("distribution")?;
    let port = free_port()?;
    let config = work.0.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"127.0.0.1:{port}\", secret: bench}}\n",
        work.0.join("storage").display()
    );
    runtime::files::replace(&config, text.as_bytes())?;
    let _server = Running::start(Command::new(program).arg("serve").arg(&config))?;
    let base = format!("http://127.0.0.1:{port}");
    answers(&client()?, &format!("{base}/v2/")).await?;
    let theirs = measure("distribution", &base).await?;
    for ((name, our), (_, their)) in ours.iter().zip(&theirs) {
        println!(
            "{:<44} {:>9.2}x",
            format!("ours to distribution: {name}"),
            our.per_second / their.per_second
        );
    }
    Ok(())
}

async fn measure(who: &str, base: &str) -> anyhow::Result<Vec<(String, Figures)>> {
    let client = client()?;
    let mut all = Vec::new();
    for (size, bytes, count) in SIZES {
        for connections in [2usize, 10] {
            let blobs = blobs(bytes, count, connections);
            let pushed = push(&client, base, connections, &blobs).await?;
            let name = format!("push {size}, {connections} connections");
            println!("{}", pushed.line(&format!("{who}: {name}")));
            all.push((name, pushed));
            let pulls = blobs
                .iter()
                .map(|(digest, _)| Shot::get(format!("{base}/v2/bench/blobs/blobs/{digest}")))
                .collect();
            let pulled = fire(&client, connections, pulls).await?;
            let name = format!("pull {size}, {connections} connections");
            println!("{}", pulled.line(&format!("{who}: {name}")));
            all.push((name, pulled));
        }
    }
    Ok(all)
}

/// Different blobs: one buffer of noise, each with its own first bytes.
fn blobs(bytes: usize, count: usize, salt: usize) -> Vec<(String, Bytes)> {
    let mut noise = Vec::with_capacity(bytes + 32);
    while noise.len() < bytes {
        noise.extend(crypto::sha256(&noise.len().to_be_bytes()));
    }
    noise.truncate(bytes);
    (0..count)
        .map(|number| {
            let mut blob = noise.clone();
            blob[..8].copy_from_slice(&(number as u64).to_be_bytes());
            blob[8..16].copy_from_slice(&(salt as u64).to_be_bytes());
            (
                format!("sha256:{}", hex::encode(crypto::sha256(&blob))),
                Bytes::from(blob),
            )
        })
        .collect()
}

/// Pushes as most clients do: POST for a session, one PUT with the whole blob.
async fn push(
    client: &Client,
    base: &str,
    connections: usize,
    blobs: &[(String, Bytes)],
) -> anyhow::Result<Figures> {
    let started = Instant::now();
    let starts = blobs
        .iter()
        .map(|_| Shot {
            method: Method::POST,
            status: 202,
            ..Shot::get(format!("{base}/v2/bench/blobs/blobs/uploads/"))
        })
        .collect::<Vec<_>>();
    let mut puts = Vec::with_capacity(blobs.len());
    for ((digest, bytes), start) in blobs.iter().zip(&starts) {
        let answer = client.post(&start.url).send().await?;
        let location = answer.headers()["location"].to_str()?.to_owned();
        let url = if location.starts_with('/') {
            format!("{base}{location}")
        } else {
            location
        };
        let mark = if url.contains('?') { '&' } else { '?' };
        puts.push(Shot {
            method: Method::PUT,
            body: bytes.clone(),
            status: 201,
            ..Shot::get(format!("{url}{mark}digest={digest}"))
        });
    }
    let sessions = started.elapsed().as_secs_f64();
    let mut figures = fire(client, connections, puts).await?;
    // The sessions are part of a push; they were opened one by one, so their time is shared out.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = blobs.len() as f64;
    figures.per_second =
        count / (count / figures.per_second + sessions / f64::from(u32::try_from(connections)?));
    Ok(figures)
}
