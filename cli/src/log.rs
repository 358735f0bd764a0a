//! `siglab log`: entries of the lab's two Rekor logs, and the way from an entry to the signed root.

mod entry;
mod tiles;

use anyhow::Context as _;
use bundle::TransparencyLog;
use note::{Checkpoint, Scheme, SignedNote, Verifier};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Common, LogCommand, LogVersion},
    client::Lab,
    output,
    output::{Advice, Advise as _},
};
use entry::{Entry, Proof};

pub(crate) async fn run(common: &Common, options: &arguments::Log) -> anyhow::Result<()> {
    let lab = Lab::open(common).await?;
    let version = options.log.unwrap_or(LogVersion::V2);
    match &options.command {
        LogCommand::Tail { count } => tail(&lab, common, options.log, *count).await,
        LogCommand::Get { index } => {
            let entry = find(&lab, version, *index).await?;
            if common.json {
                output::object(true, entry.fields());
            } else {
                output::line(serde_json::to_string_pretty(&entry.fields())?);
            }
            Ok(())
        }
        LogCommand::Prove { index } => prove(&lab, common, version, *index).await,
    }
}

/// The newest entries, one line each, oldest first.
async fn tail(
    lab: &Lab,
    common: &Common,
    only: Option<LogVersion>,
    count: u64,
) -> anyhow::Result<()> {
    let mut logs = Vec::new();
    for version in [LogVersion::V1, LogVersion::V2] {
        if only.is_some_and(|only| only != version) {
            continue;
        }
        let size = match version {
            LogVersion::V1 => entry::size(lab).await?,
            LogVersion::V2 => tiles::checkpoint(lab).await?.1.tree_size,
        };
        let mut entries = Vec::new();
        for index in size.saturating_sub(count)..size {
            let entry = find(lab, version, index).await?;
            if !common.json {
                output::line(entry.line());
            }
            entries.push(entry.summary());
        }
        if !common.json {
            output::line(format!("{size} entries in the {} log", name(version)));
        }
        logs.push(json!({ "log": name(version), "size": size, "entries": entries }));
    }
    if common.json {
        output::object(true, json!({ "logs": logs }));
    }
    Ok(())
}

const fn name(version: LogVersion) -> &'static str {
    match version {
        LogVersion::V1 => "v1",
        LogVersion::V2 => "v2",
    }
}

async fn find(lab: &Lab, version: LogVersion, index: u64) -> anyhow::Result<Entry> {
    match version {
        LogVersion::V1 => entry::read(lab, index).await,
        LogVersion::V2 => tiles::read(lab, index).await,
    }
}

/// Recomputes the root from an entry's proof, and checks that the log signed it.
async fn prove(lab: &Lab, common: &Common, version: LogVersion, index: u64) -> anyhow::Result<()> {
    let entry = find(lab, version, index).await?;
    let proof = &entry.proof;
    let leaf = merkle::leaf_hash(&entry.body);
    merkle::verify_inclusion(proof.index, proof.size, &leaf, &proof.hashes, &proof.root)
        .context("the inclusion proof does not lead to the root")?;
    let signer = verify_checkpoint(lab, version, proof).await?;
    if common.json {
        output::object(
            true,
            json!({
                "log": name(version), "index": index, "treeSize": proof.size,
                "leafHash": hex::encode(leaf), "rootHash": hex::encode(proof.root),
                "signedBy": signer,
            }),
        );
        return Ok(());
    }
    let text = format!("entry {index} is in the tree of {}", proof.size);
    output::good("included", text);
    output::detail("leaf", hex::encode(leaf));
    for hash in &proof.hashes {
        output::detail("with", hex::encode(hash));
    }
    output::detail("root", hex::encode(proof.root));
    output::good("signed", format!("by {signer}"));
    output::line(proof.checkpoint.trim_end());
    Ok(())
}

/// Who signed the checkpoint, which must be of the proof's tree, by a key of the trusted root.
async fn verify_checkpoint(
    lab: &Lab,
    version: LogVersion,
    proof: &Proof,
) -> anyhow::Result<String> {
    let note = SignedNote::parse(proof.checkpoint.as_bytes())?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    if (checkpoint.tree_size, checkpoint.root_hash) != (proof.size, proof.root) {
        let again = format!("siglab log prove {} --log {}", proof.index, name(version));
        return Err(Advice::error(
            "the checkpoint is of another tree than the proof",
            again,
        ));
    }
    let log = log_of(lab, version).await?;
    let key = crypto::PublicKey::from_spki_der(&log.public_key.raw_bytes)?;
    let signer = note.signatures.first().context("nobody signed")?;
    let scheme = match version {
        LogVersion::V1 => Scheme::Spki,
        LogVersion::V2 => Scheme::Note,
    };
    let verifier = Verifier::new(&signer.name, scheme, key)?;
    note.verify(&[&verifier])
        .context("the checkpoint is not signed by the log's key")?;
    Ok(signer.name.clone())
}

/// The log as the trusted root has it.
async fn log_of(lab: &Lab, version: LogVersion) -> anyhow::Result<TransparencyLog> {
    let url = lab.url("rekor", name(version))?;
    let root = lab.trusted_root().await?;
    let mut logs = root.tlogs.into_iter();
    logs.find(|log| log.base_url.trim_end_matches('/') == url)
        .advise(
            format!("the trusted root has no log {url}"),
            "siglab trust DIR    (and look into trusted_root.json)",
        )
}

/// The JSON of an entry's body.
fn decoded(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap_or_default()
}
