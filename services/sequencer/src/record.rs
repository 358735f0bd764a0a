//! The lock record and the staging bundle: what makes a batch repeatable after a crash.

use std::sync::Arc;

use merkle::{Hash, leaf_hash};
use serde::{Deserialize, Serialize};

use crate::snapshot::Stored;

/// Key of the lock record in its own store.
pub(crate) const RECORD: &str = "record";

/// Key of the staging bundle.
pub(crate) const STAGING: &str = "staging";

/// Key of the published checkpoint.
pub(crate) const CHECKPOINT: &str = "tree/checkpoint";

/// Prefix of everything that C2SP tlog-tiles names.
pub(crate) const TREE: &str = "tree/";

const STAGING_MAGIC: &[u8; 8] = b"staging1";

/// The last tree that was signed. Written by compare-and-swap after the staging bundle and before any
/// tile, so that no signature is ever contradicted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) version: u32,
    pub(crate) origin: String,
    /// Hex.
    pub(crate) key_id: String,
    pub(crate) tree_size: u64,
    pub(crate) time_ms: u64,
    /// Size before the batch that is in the staging bundle.
    pub(crate) previous_size: u64,
    /// Hex root before that batch.
    pub(crate) previous_root: String,
    /// Hex SHA-256 of the staging bundle; empty for the empty tree.
    pub(crate) staging: String,
    /// The signed note.
    pub(crate) checkpoint: String,
}

impl Record {
    /// JSON in one line, and its hex SHA-256 in another.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("strings and numbers are JSON");
        let digest = hex::encode(crypto::sha256(json.as_bytes()));
        format!("{json}\n{digest}\n").into_bytes()
    }

    /// Reads what [`Self::encode`] wrote; `None` when a byte of it has changed.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
        let (json, digest) = text.split_once('\n')?;
        let want = hex::encode(crypto::sha256(json.as_bytes()));
        (digest == want).then(|| serde_json::from_str(json).ok())?
    }
}

/// The bytes of a staging bundle: magic, size before, number of entries, bytes of what follows; then of
/// each entry its dedup key, two lengths of 32 bits, leaf and extra.
pub(crate) fn encode_staging(previous_size: u64, entries: &[Arc<Stored>]) -> Vec<u8> {
    let mut bytes = STAGING_MAGIC.to_vec();
    bytes.extend_from_slice(&previous_size.to_be_bytes());
    bytes.extend_from_slice(&(entries.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&[0; 8]);
    let start = bytes.len();
    for entry in entries {
        bytes.extend_from_slice(&entry.key);
        for part in [&entry.leaf, &entry.extra] {
            let length = u32::try_from(part.len()).expect("bounded when it was appended");
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        bytes.extend_from_slice(&entry.leaf);
        bytes.extend_from_slice(&entry.extra);
    }
    let length = (bytes.len() - start) as u64;
    bytes[start - 8..start].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// The staging bundle at the start of `bytes`, which may go on with the end of an older, longer one.
pub(crate) fn staging_in(bytes: &[u8]) -> Option<&[u8]> {
    let start = STAGING_MAGIC.len() + 24;
    let length = bytes
        .get(start - 8..start)?
        .try_into()
        .ok()
        .map(u64::from_be_bytes)?;
    bytes.get(..start.checked_add(usize::try_from(length).ok()?)?)
}

/// Size before and entries of a staging bundle; `None` when it is not one.
pub(crate) fn decode_staging(bytes: &[u8]) -> Option<(u64, Vec<Arc<Stored>>)> {
    let rest = bytes.strip_prefix(STAGING_MAGIC)?;
    let (previous_size, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<8>()?;
    let (_, mut rest) = rest.split_first_chunk::<8>()?;
    let mut entries = Vec::new();
    for _ in 0..u64::from_be_bytes(*count) {
        let (key, after) = rest.split_first_chunk::<32>()?;
        let (leaf, after) = after.split_first_chunk::<4>()?;
        let (extra, after) = after.split_first_chunk::<4>()?;
        let (leaf, after) = after.split_at_checked(u32::from_be_bytes(*leaf) as usize)?;
        let (extra, after) = after.split_at_checked(u32::from_be_bytes(*extra) as usize)?;
        let hash: Hash = leaf_hash(leaf);
        let (leaf, extra) = (leaf.to_vec(), extra.to_vec());
        entries.push(Arc::new(Stored {
            hash,
            key: *key,
            leaf,
            extra,
        }));
        rest = after;
    }
    rest.is_empty()
        .then(|| (u64::from_be_bytes(*previous_size), entries))
}
