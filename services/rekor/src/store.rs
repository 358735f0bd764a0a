//! What Rekor v1 keeps beside its tree: index keys with each entry, the search index that can be rebuilt
//! from them, and attestations.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
};

use anyhow::{Context as _, ensure};
use crypto::sha256;
use runtime::{BlobError, Blobs, DirectoryBlobs, Index};
use sequencer::Log;
use serde::{Deserialize, Serialize};

/// Entries that one search returns at most. Upstream has no limit.
const FOUND_MAX: usize = 10_000;

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

/// Where an index stands: which log it is of, and how many of its entries it covers.
#[derive(Debug, Eq, PartialEq)]
struct Stamp {
    log_id: [u8; 32],
    covered: u64,
}

impl Stamp {
    fn to_bytes(&self) -> Vec<u8> {
        [self.log_id.as_slice(), &self.covered.to_be_bytes()].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (log_id, covered) = bytes.split_first_chunk::<32>()?;
        Some(Self {
            log_id: *log_id,
            covered: u64::from_be_bytes(covered.try_into().ok()?),
        })
    }
}

/// Entries by email, key, digest and subject.
#[derive(Debug)]
pub(crate) struct SearchIndex {
    index: Index,
    log: Log,
    log_id: [u8; 32],
    /// Entries covered. Held while the index is written, so that it grows in one order.
    covered: Mutex<u64>,
}

impl SearchIndex {
    /// Opens the index in `dir` and brings it up to the log: from the start when it is missing,
    /// damaged, of another log, or ahead of the log. Blocks.
    pub(crate) fn open(dir: &Path, log: Log, log_id: [u8; 32]) -> anyhow::Result<Self> {
        let index = Index::open(dir)?;
        let size = log.head().tree_size;
        let stamp = index.stamp()?.as_deref().and_then(Stamp::from_bytes);
        let covered = match stamp {
            Some(stamp) if stamp.log_id == log_id && stamp.covered <= size => stamp.covered,
            _ => {
                index.clear()?;
                0
            }
        };
        let search = Self {
            index,
            log,
            log_id,
            covered: Mutex::new(covered),
        };
        if covered < size {
            tracing::info!(from = covered, to = size, "the search index is being built");
        }
        search.catch_up()?;
        Ok(search)
    }

    /// Covers all entries that are in the published tree by now. Blocks.
    pub(crate) fn catch_up(&self) -> anyhow::Result<()> {
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let size = self.log.head().tree_size;
        while *covered < size {
            let entries = self.log.leaves(*covered, size - *covered)?;
            ensure!(
                !entries.is_empty(),
                "entry {} of {size} cannot be read",
                *covered
            );
            let mut changes = Vec::new();
            for (number, (_, extra)) in (*covered..).zip(&entries) {
                for key in Beside::from_bytes(extra)?.index_keys {
                    changes.push((row(&key, number), Some(Vec::new())));
                }
            }
            let next = *covered + entries.len() as u64;
            let stamp = Stamp {
                log_id: self.log_id,
                covered: next,
            };
            self.index.write(changes, Some(&stamp.to_bytes()))?;
            if next / 100_000 != *covered / 100_000 {
                tracing::info!(entries = next, of = size, "search index");
            }
            *covered = next;
        }
        Ok(())
    }

    /// Indices of entries that have `key`, in order. Blocks.
    pub(crate) fn find(&self, key: &str) -> anyhow::Result<Vec<u64>> {
        let rows = self.index.prefix(&sha256(key.as_bytes()), FOUND_MAX)?;
        rows.iter()
            .map(|(row, _)| {
                let number = row.get(32..).and_then(|number| number.try_into().ok());
                Ok(u64::from_be_bytes(
                    number.context("a row of the index is malformed")?,
                ))
            })
            .collect()
    }
}

/// Keeps the search index close behind the log, on a thread of its own that ends with this value.
#[derive(Debug)]
pub(crate) struct Follower {
    /// `None` only while it ends.
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Follower {
    pub(crate) fn start(search: Arc<SearchIndex>) -> io::Result<Self> {
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("rekor-index".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(error) = search.catch_up() {
                        runtime::log_internal(&error);
                    }
                }
            })?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// Says that the log has grown. Never waits: one waiting call covers all entries.
    pub(crate) fn wake(&self) {
        if let Some(wake) = &self.wake {
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A row: digest of the key, then the entry's index.
fn row(key: &str, number: u64) -> Vec<u8> {
    [sha256(key.as_bytes()).as_slice(), &number.to_be_bytes()].concat()
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
