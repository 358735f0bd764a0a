//! What Rekor v1 keeps beside its tree: index keys with each entry, and attestations.

use std::path::Path;

use anyhow::Context as _;
use crypto::sha256;
use runtime::{BlobError, Blobs, DirectoryBlobs};
use serde::{Deserialize, Serialize};

/// What is kept beside a leaf.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Beside {
    /// Unix seconds.
    #[serde(rename = "t")]
    pub(crate) integrated_time: i64,
    /// Keys of the search index; not all of them can be found again from the leaf.
    #[serde(rename = "k")]
    pub(crate) index_keys: Vec<String>,
}

impl Beside {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data")
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        serde_json::from_slice(bytes).context("what is kept beside an entry does not parse")
    }
}

/// Payloads of intoto entries, by their digest.
#[derive(Debug)]
pub(crate) struct Attestations(DirectoryBlobs);

impl Attestations {
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let blobs = DirectoryBlobs::open(dir.to_owned());
        Ok(Self(blobs.with_context(|| {
            format!("cannot open {}", dir.display())
        })?))
    }

    /// Keeps `payload` under `sha256:<hex>`, durably. Blocks.
    pub(crate) fn put(&self, key: &str, payload: &[u8]) -> Result<(), BlobError> {
        match self.0.put_if_absent(&file(key), payload) {
            // Only damage can be there under this name.
            Err(BlobError::Exists { .. }) => self.0.put(&file(key), payload),
            other => other,
        }
    }

    /// The payload under `sha256:<hex>`, if it is there and has that digest. Blocks.
    pub(crate) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let payload = self.0.get(&file(key)).unwrap_or_else(|error| {
            tracing::warn!("an attestation cannot be read: {error}");
            None
        })?;
        let digest = format!("sha256:{}", hex::encode(sha256(&payload)));
        if digest == key {
            return Some(payload);
        }
        tracing::warn!(key, "an attestation is damaged and not served");
        None
    }
}

/// Two levels, so that no directory grows without end.
fn file(key: &str) -> String {
    let name = key.replace(':', "-");
    let fan = name.get(7..9).unwrap_or("00").to_owned();
    format!("{fan}/{name}")
}

#[cfg(test)]
mod tests {
    use super::Attestations;

    #[test]
    fn a_damaged_attestation_is_not_served() {
        let dir = tempfile::tempdir().unwrap();
        let store = Attestations::open(dir.path()).unwrap();
        let key = format!("sha256:{}", hex::encode(crypto::sha256(b"payload")));
        store.put(&key, b"payload").unwrap();
        assert_eq!(store.get(&key).as_deref(), Some(b"payload".as_slice()));
        let other = format!("sha256:{}", hex::encode(crypto::sha256(b"other")));
        assert_eq!(store.get(&other), None);
        store.put(&other, b"damage").unwrap();
        assert_eq!(store.get(&other), None);
        store.put(&other, b"other").unwrap();
        assert_eq!(store.get(&other).as_deref(), Some(b"other".as_slice()));
    }
}
