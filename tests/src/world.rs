//! The whole-world check: what all logs hold, against what was promised; what is trusted, against what
//! is in use. Trees are rebuilt here from RFC 6962 §2.1, not by the code that built them.

use std::sync::atomic::Ordering;

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bundle::CertificateAuthority;

use crate::{Lab, Log, lab::Promise};

pub(crate) async fn check(lab: &Lab) -> anyhow::Result<()> {
    let promises = lab
        .promises
        .lock()
        .expect("no test panics in there")
        .clone();
    let v1 = rekor_v1(lab).await.context("Rekor v1")?;
    let v2 = rekor_v2(lab).await.context("Rekor v2")?;
    for Promise { log, entry } in &promises {
        let (leaves, name) = match log {
            Log::V1 => (&v1, "Rekor v1"),
            Log::V2 => (&v2, "Rekor v2"),
        };
        let index = usize::try_from(entry.log_index)?;
        let kept = leaves.get(index) == Some(&entry.canonicalized_body);
        ensure!(
            kept,
            "{name} does not have the entry that it promised at index {index}"
        );
    }
    let logged = ct_log(lab).await.context("CT log")?;
    let issued = promises.len() + lab.certificates.load(Ordering::Relaxed);
    ensure!(
        logged == issued,
        "{logged} certificates logged, {issued} issued"
    );
    trust(lab).await.context("trusted root")
}

/// Merkle tree hash, RFC 6962 §2.1.
fn tree_hash(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => crypto::sha256(b""),
        [leaf] => crypto::sha256(&[&[0], &leaf[..]].concat()),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = (tree_hash(&leaves[..split]), tree_hash(&leaves[split..]));
            crypto::sha256(&[&[1], &left[..], &right[..]].concat())
        }
    }
}

async fn rekor_v1(lab: &Lab) -> anyhow::Result<Vec<Vec<u8>>> {
    let base = lab.url("rekor", "v1");
    let info = lab.json(&format!("{base}/api/v1/log")).await?;
    let size = info["treeSize"].as_u64().context("treeSize")?;
    let mut leaves = Vec::new();
    for index in 0..size {
        let found = lab
            .json(&format!("{base}/api/v1/log/entries?logIndex={index}"))
            .await?;
        let (id, entry) = found
            .as_object()
            .and_then(|map| map.iter().next())
            .context("entry")?;
        let body = STANDARD.decode(entry["body"].as_str().context("body")?)?;
        let uuid = hex::encode(crypto::sha256(&[&[0], &body[..]].concat()));
        ensure!(id.ends_with(&uuid), "{id} is not the leaf hash {uuid}");
        leaves.push(body);
    }
    let root = hex::encode(tree_hash(&leaves));
    ensure!(
        info["rootHash"] == root,
        "its entries hash to {root}, it says {}",
        info["rootHash"]
    );
    Ok(leaves)
}

async fn rekor_v2(lab: &Lab) -> anyhow::Result<Vec<Vec<u8>>> {
    let base = format!("{}/api/v2", lab.url("rekor", "v2"));
    let note = note::SignedNote::parse(&lab.get(&format!("{base}/checkpoint")).await?)?;
    let checkpoint = note::Checkpoint::parse(&note.text)?;
    let size = checkpoint.tree_size;
    let mut leaves = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let partial = if width == 256 {
            String::new()
        } else {
            format!(".p/{width}")
        };
        let number = merkle::tile::spell_number(bundle);
        let bytes = lab
            .get(&format!("{base}/tile/entries/{number}{partial}"))
            .await?;
        let entries = merkle::tile::parse_entries(&bytes, u16::try_from(width)?)?;
        leaves.extend(entries.into_iter().map(<[u8]>::to_vec));
    }
    ensure!(
        tree_hash(&leaves) == checkpoint.root_hash,
        "its entries hash to another root"
    );
    Ok(leaves)
}

/// How many entries the CT log has.
async fn ct_log(lab: &Lab) -> anyhow::Result<usize> {
    let base = format!("{}/ct/v1", lab.url("ctlog", "http"));
    let sth = lab.json(&format!("{base}/get-sth")).await?;
    let size = sth["tree_size"].as_u64().context("tree_size")?;
    let mut leaves = Vec::new();
    while (leaves.len() as u64) < size {
        let range = format!("start={}&end={}", leaves.len(), size - 1);
        let found = lab.json(&format!("{base}/get-entries?{range}")).await?;
        let entries = found["entries"].as_array().context("entries")?;
        ensure!(!entries.is_empty(), "no entries for {range}");
        for entry in entries {
            leaves.push(STANDARD.decode(entry["leaf_input"].as_str().context("leaf_input")?)?);
        }
    }
    let root = STANDARD.encode(tree_hash(&leaves));
    ensure!(
        sth["sha256_root_hash"] == root,
        "its entries hash to {root}, it says {sth}"
    );
    Ok(leaves.len())
}

/// The trusted root names the keys and chains that the services show.
async fn trust(lab: &Lab) -> anyhow::Result<()> {
    let root = lab.trusted_root().await?;
    let pem = lab
        .get(&format!("{}/api/v1/log/publicKey", lab.url("rekor", "v1")))
        .await?;
    let key = crypto::PublicKey::from_pem(&String::from_utf8(pem)?)?;
    let named = root
        .tlogs
        .iter()
        .find(|log| log.public_key.raw_bytes == key.spki_der());
    let named = named.context("Rekor v1's key is not trusted")?;
    ensure!(
        named.log_id.key_id == key.key_id(),
        "Rekor v1's log id is another"
    );
    ensure!(
        named.base_url == lab.url("rekor", "v1"),
        "Rekor v1 is said to be elsewhere"
    );
    let fulcio = lab
        .json(&format!("{}/api/v2/trustBundle", lab.url("fulcio", "http")))
        .await?;
    let certificates = fulcio["chains"][0]["certificates"]
        .as_array()
        .context("a chain")?;
    let chain: Vec<_> = certificates.iter().filter_map(|pem| pem.as_str()).collect();
    same_chain(&root.certificate_authorities, &chain.join("\n")).context("Fulcio")?;
    let url = format!("{}/api/v1/timestamp/certchain", lab.url("tsa", "http"));
    let chain = String::from_utf8(lab.get(&url).await?)?;
    same_chain(&root.timestamp_authorities, &chain).context("timestamp authority")
}

fn same_chain(trusted: &[CertificateAuthority], pem: &str) -> anyhow::Result<()> {
    let shown: Vec<_> = crypto::from_pem_chain(pem)?
        .into_iter()
        .map(|(_, der)| der)
        .collect();
    ensure!(!shown.is_empty(), "no certificate shown");
    ensure!(
        trusted
            .iter()
            .any(|authority| authority.cert_chain == shown),
        "another chain"
    );
    Ok(())
}
