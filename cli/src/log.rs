//! `siglab log`: entries of the lab's Rekor logs.

use anyhow::{Context as _, bail};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::{arguments, arguments::LogCommand, client::Lab, client::expect, output};

pub(crate) async fn run(admin: &str, options: &arguments::Log) -> anyhow::Result<()> {
    let lab = Lab::find(admin).await?;
    match &options.command {
        LogCommand::Tail { count } => tail(&lab, *count).await,
        LogCommand::Get { index } => {
            output::line(serde_json::to_string_pretty(&entry(&lab, *index).await?)?);
            Ok(())
        }
        LogCommand::Prove { index } => prove(&lab, *index).await,
    }
}

/// The newest entries of the v1 log, one line each.
async fn tail(lab: &Lab, count: u64) -> anyhow::Result<()> {
    let url = format!("{}/api/v1/log", lab.url("rekor", "v1")?);
    let answer = expect("the log", lab.http.get(url).send().await, &[200]).await?;
    let info: Value = answer.json().await?;
    let size = info["treeSize"]
        .as_u64()
        .context("the log says no tree size")?;
    for index in size.saturating_sub(count)..size {
        let entry = entry(lab, index).await?;
        let body = body(&entry)?;
        let kind = body["kind"].as_str().unwrap_or_default();
        let version = body["apiVersion"].as_str().unwrap_or_default();
        let time = jiff::Timestamp::from_second(entry["integratedTime"].as_i64().unwrap_or(0))?;
        output::line(format!("{index:>8}  {time}  {kind} {version}"));
    }
    output::line(format!("{size} entries in the v1 log"));
    Ok(())
}

/// Recomputes the root from an entry's proof and compares it with the checkpoint's.
async fn prove(lab: &Lab, index: u64) -> anyhow::Result<()> {
    let entry = entry(lab, index).await?;
    let proof = &entry["verification"]["inclusionProof"];
    let text = |name: &str| {
        proof[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("the proof has no {name}"))
    };
    let body = STANDARD.decode(entry["body"].as_str().context("the entry has no body")?)?;
    let hashes = proof["hashes"]
        .as_array()
        .context("the proof has no hashes")?
        .iter()
        .map(|hash| hex::decode(hash.as_str().unwrap_or_default()))
        .collect::<Result<Vec<_>, _>>()?;
    let hashes = hashes
        .iter()
        .map(|hash| merkle::Hash::try_from(hash.as_slice()))
        .collect::<Result<Vec<_>, _>>()?;
    let size = proof["treeSize"]
        .as_u64()
        .context("the proof has no treeSize")?;
    let leaf_index = proof["logIndex"]
        .as_u64()
        .context("the proof has no logIndex")?;
    let root = hex::decode(text("rootHash")?)?;
    let root = merkle::Hash::try_from(root.as_slice())?;
    merkle::verify_inclusion(leaf_index, size, &merkle::leaf_hash(&body), &hashes, &root)
        .context("the inclusion proof does not lead to the root")?;
    let checkpoint = text("checkpoint")?;
    if checkpoint.lines().nth(2) != Some(STANDARD.encode(root).as_str()) {
        bail!("the checkpoint has another root than the proof");
    }
    output::good(
        "included",
        format!("entry {index} is in the tree of {size}"),
    );
    output::detail("root", hex::encode(root));
    output::line(checkpoint);
    Ok(())
}

/// One entry of the v1 log by its index.
async fn entry(lab: &Lab, index: u64) -> anyhow::Result<Value> {
    let url = format!("{}/api/v1/log/entries", lab.url("rekor", "v1")?);
    let request = lab.http.get(url).query(&[("logIndex", index)]);
    let answer = expect("the log", request.send().await, &[200]).await?;
    let entries: serde_json::Map<String, Value> = answer.json().await?;
    let entry = entries
        .into_iter()
        .next()
        .context("the log sent no entry")?;
    Ok(entry.1)
}

fn body(entry: &Value) -> anyhow::Result<Value> {
    let body = STANDARD.decode(entry["body"].as_str().context("the entry has no body")?)?;
    Ok(serde_json::from_slice(&body)?)
}
