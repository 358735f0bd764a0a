//! An entry of a log with its proof; those of the v1 API.

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use merkle::Hash;
use serde_json::{Map, Value, json};
use x509::{Certificate, San};

use super::decoded;
use crate::client::{Lab, expect};

/// Where an entry is in a signed tree.
#[derive(Debug)]
pub(crate) struct Proof {
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) root: Hash,
    pub(crate) hashes: Vec<Hash>,
    pub(crate) checkpoint: String,
}

/// An entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) log: &'static str,
    pub(crate) index: u64,
    /// Canonical; what the leaf is the hash of.
    pub(crate) body: Vec<u8>,
    /// The v2 log knows none.
    pub(crate) time: Option<Timestamp>,
    /// The v1 log's promise, base64.
    pub(crate) promise: Option<String>,
    pub(crate) proof: Proof,
}

impl Entry {
    /// One line: log, index, time, kind, who signed.
    pub(crate) fn line(&self) -> String {
        let body = decoded(&self.body);
        let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
        let time = self.time.map(|time| time.to_string()).unwrap_or_default();
        format!(
            "{} {:>6}  {time:20}  {} {}  {}",
            self.log,
            self.index,
            text("kind"),
            text("apiVersion"),
            signer(&body).unwrap_or_default()
        )
    }

    /// The same as an object.
    pub(crate) fn summary(&self) -> Value {
        let body = decoded(&self.body);
        json!({
            "index": self.index, "integratedTime": self.time, "kind": body["kind"],
            "apiVersion": body["apiVersion"], "signer": signer(&body),
        })
    }

    /// Everything about it.
    pub(crate) fn fields(&self) -> Value {
        let body = decoded(&self.body);
        let proof = &self.proof;
        json!({
            "log": self.log, "index": self.index, "integratedTime": self.time,
            "signer": signer(&body), "leafHash": hex::encode(merkle::leaf_hash(&self.body)),
            "body": body, "signedEntryTimestamp": self.promise,
            "inclusionProof": {
                "logIndex": proof.index, "treeSize": proof.size,
                "rootHash": hex::encode(proof.root),
                "hashes": proof.hashes.iter().map(hex::encode).collect::<Vec<_>>(),
                "checkpoint": proof.checkpoint,
            },
        })
    }
}

/// Whose certificate is in an entry's body, wherever its kind keeps it.
fn signer(body: &Value) -> Option<String> {
    match body {
        Value::String(text) => {
            let bytes = STANDARD.decode(text).ok()?;
            let pem = std::str::from_utf8(&bytes).ok();
            let certificate = match pem.filter(|pem| pem.starts_with("-----BEGIN")) {
                Some(pem) => Certificate::from_pem(pem),
                None => Certificate::from_der(&bytes),
            };
            certificate.ok()?.sans().ok()?.iter().find_map(San::text)
        }
        Value::Array(list) => list.iter().find_map(signer),
        Value::Object(map) => map.values().find_map(signer),
        _ => None,
    }
}

/// How many entries the v1 log has.
pub(crate) async fn size(lab: &Lab) -> anyhow::Result<u64> {
    let url = format!("{}/api/v1/log", lab.url("rekor", "v1")?);
    let answer = expect("the log", lab.http.get(url).send().await, &[200]).await?;
    let info: Value = answer.json().await?;
    info["treeSize"]
        .as_u64()
        .context("the log says no tree size")
}

/// One entry of the v1 log by its index.
pub(crate) async fn read(lab: &Lab, index: u64) -> anyhow::Result<Entry> {
    let url = format!("{}/api/v1/log/entries", lab.url("rekor", "v1")?);
    let request = lab.http.get(url).query(&[("logIndex", index)]);
    let answer = expect("the log", request.send().await, &[200]).await?;
    let entries: Map<String, Value> = answer.json().await?;
    let (_, entry) = entries
        .into_iter()
        .next()
        .context("the log sent no entry")?;
    let body = entry["body"].as_str().context("the entry has no body")?;
    let time = entry["integratedTime"]
        .as_i64()
        .and_then(|time| Timestamp::from_second(time).ok());
    let verification = &entry["verification"];
    let promise = verification["signedEntryTimestamp"].as_str();
    Ok(Entry {
        log: "v1",
        index,
        body: STANDARD.decode(body)?,
        time,
        promise: promise.map(str::to_owned),
        proof: proof(&verification["inclusionProof"])?,
    })
}

fn proof(wire: &Value) -> anyhow::Result<Proof> {
    let number = |name: &str| {
        wire[name]
            .as_u64()
            .with_context(|| format!("the proof has no {name}"))
    };
    let text = |name: &str| {
        wire[name]
            .as_str()
            .with_context(|| format!("the proof has no {name}"))
    };
    let hash =
        |text: &str| -> anyhow::Result<Hash> { Ok(Hash::try_from(hex::decode(text)?.as_slice())?) };
    let hashes = wire["hashes"].as_array().into_iter().flatten();
    Ok(Proof {
        index: number("logIndex")?,
        size: number("treeSize")?,
        root: hash(text("rootHash")?)?,
        hashes: hashes
            .map(|one| hash(one.as_str().unwrap_or_default()))
            .collect::<Result<_, _>>()?,
        checkpoint: text("checkpoint")?.to_owned(),
    })
}
