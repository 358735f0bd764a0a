//! A log: appended to by many, written by one thread, read by all.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use merkle::{Hash, leaf_hash};
use tokio::sync::{mpsc, oneshot};

use crate::{
    AppendError, Entry, LogConfig, OpenError, ReadError, TreeHead,
    index::Table,
    reader::{Cache, LeafAndExtra, Reader},
    recover,
    snapshot::{Snapshot, Stored},
    writer::{Outcome, Request, Writer},
};

/// Bytes that can be kept beside a leaf.
const EXTRA_BYTES_MAX: usize = 16 << 20;

/// Bytes of entries that may wait; beyond it the queue is full, whatever their number.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// An entry that is durable, integrated and covered by a published checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Appended {
    /// Where the entry is.
    pub leaf_index: u64,
    /// Whether it was there before.
    pub duplicate: bool,
    /// A published tree that includes it.
    pub head: TreeHead,
    /// From the leaf to the root of `head`.
    pub inclusion_proof: Vec<Hash>,
}

/// What the writer and all readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: LogConfig,
    /// The published tree. Only the writer replaces it.
    pub(crate) snapshot: RwLock<Arc<Snapshot>>,
    pub(crate) by_leaf: RwLock<Table>,
    /// Entries whose dedup key is not their leaf hash.
    pub(crate) by_key: RwLock<Table>,
    pub(crate) cache: Mutex<Cache>,
    pub(crate) stopped: AtomicBool,
    /// Why appends are refused for the moment.
    pub(crate) trouble: Mutex<Option<AppendError>>,
    queued: AtomicUsize,
    queued_bytes: AtomicUsize,
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `snapshot` what readers see. Its new entries are not found before they are indexed.
    pub(crate) fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let snapshot = Arc::new(snapshot);
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::clone(&snapshot);
        snapshot
    }

    /// Lets entries be found: leaf hash and dedup key of each, from index `first` on.
    pub(crate) fn index<'a>(
        &self,
        first: u64,
        entries: impl Iterator<Item = (&'a Hash, &'a Hash)>,
    ) {
        let mut by_leaf = self.by_leaf.write().unwrap_or_else(PoisonError::into_inner);
        let mut by_key = self.by_key.write().unwrap_or_else(PoisonError::into_inner);
        for (index, (hash, key)) in (first..).zip(entries) {
            by_leaf.insert(hash, index);
            if key != hash {
                by_key.insert(key, index);
            }
        }
    }

    pub(crate) fn set_trouble(&self, trouble: Option<AppendError>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn take(&self, bytes: usize) -> bool {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.queued_bytes.fetch_add(bytes, Ordering::Relaxed) <= QUEUE_BYTES_MAX
    }

    pub(crate) fn release(&self, entries: usize, bytes: usize) {
        self.queued.fetch_sub(entries, Ordering::Relaxed);
        self.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// An open log. Clones share it; it closes with the last one.
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// `None` only while the log closes.
    queue: Option<mpsc::Sender<Request>>,
    writer: Option<thread::JoinHandle<()>>,
}

impl Log {
    /// Opens the log, or makes it: compares lock record and published checkpoint, finishes a batch
    /// that was cut off, and reads the hash tiles, each checked against the signed root.
    ///
    /// # Errors
    /// [`OpenError`], when anything below the signed size does not hold or the log is not the
    /// signer's.
    pub fn open(config: LogConfig) -> Result<Self, OpenError> {
        let recover::Recovered { record, snapshot } = recover::open(&config)?;
        let shared = Arc::new(Shared {
            config,
            snapshot: RwLock::new(Arc::new(snapshot)),
            by_leaf: RwLock::default(),
            by_key: RwLock::default(),
            cache: Mutex::default(),
            stopped: AtomicBool::new(false),
            trouble: Mutex::default(),
            queued: AtomicUsize::new(0),
            queued_bytes: AtomicUsize::new(0),
        });
        recover::load_index(&shared, 0)?;
        let (queue, requests) = mpsc::channel(shared.config.queue_max.max(1));
        let writer = Writer::new(Arc::clone(&shared), record, requests);
        let writer = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())?;
        Ok(Self(Arc::new(Handle {
            shared,
            queue: Some(queue),
            writer: Some(writer),
        })))
    }

    /// Appends an entry, or finds it by its dedup key. Returns when it is durable, integrated and
    /// covered by a published checkpoint.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, entry: Entry) -> Result<Appended, AppendError> {
        let shared = &self.0.shared;
        if entry.leaf.len() > usize::from(u16::MAX) {
            return Err(AppendError::EntryTooLong {
                got: entry.leaf.len(),
            });
        }
        if entry.extra.len() > EXTRA_BYTES_MAX {
            return Err(AppendError::ExtraTooLong {
                got: entry.extra.len(),
            });
        }
        let hash = leaf_hash(&entry.leaf);
        let key = entry.dedup_key.unwrap_or(hash);
        if let Ok(Some(leaf_index)) = self.index_of_key(&key) {
            return self.answer(Outcome {
                leaf_index,
                duplicate: true,
                tree: shared.snapshot(),
            });
        }
        if shared.stopped.load(Ordering::SeqCst) {
            return Err(AppendError::Stopped);
        }
        let bytes = entry.leaf.len() + entry.extra.len();
        if !shared.take(bytes) {
            shared.release(1, bytes);
            return Err(AppendError::QueueFull);
        }
        let (answer, answered) = oneshot::channel();
        let stored = Arc::new(Stored {
            hash,
            key,
            leaf: entry.leaf,
            extra: entry.extra,
        });
        let queue = self
            .0
            .queue
            .as_ref()
            .expect("only taken when the last handle goes");
        match queue.try_send(Request {
            stored,
            bytes,
            answer,
        }) {
            Ok(()) => {}
            Err(error) => {
                shared.release(1, bytes);
                return Err(match error {
                    mpsc::error::TrySendError::Full(_) => AppendError::QueueFull,
                    mpsc::error::TrySendError::Closed(_) => AppendError::Stopped,
                });
            }
        }
        self.answer(answered.await.map_err(|_| AppendError::Stopped)??)
    }

    fn answer(&self, outcome: Outcome) -> Result<Appended, AppendError> {
        let reader = Reader::new(&self.0.shared, &outcome.tree);
        let size = outcome.tree.head.tree_size;
        let proof = merkle::inclusion_proof(outcome.leaf_index, size, &reader);
        Ok(Appended {
            leaf_index: outcome.leaf_index,
            duplicate: outcome.duplicate,
            head: outcome.tree.head.clone(),
            inclusion_proof: proof.map_err(|_| AppendError::Storage)?,
        })
    }

    /// The published tree head.
    #[must_use]
    pub fn head(&self) -> TreeHead {
        self.0.shared.snapshot().head.clone()
    }

    /// Entries that wait or are being written.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.0.shared.queued.load(Ordering::Relaxed)
    }

    /// Why appends are refused at the moment, if they are.
    #[must_use]
    pub fn trouble(&self) -> Option<AppendError> {
        if self.0.shared.stopped.load(Ordering::SeqCst) {
            return Some(AppendError::Stopped);
        }
        self.0
            .shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Leaf and extra bytes of an entry, compared with its leaf hash in the tree.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn leaf(&self, index: u64) -> Result<LeafAndExtra, ReadError> {
        self.read(|reader| reader.entry(index))
    }

    /// Leaf and extra bytes of up to `count` entries from `first` on; fewer at the end of the tree or
    /// of a bundle of 256.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn leaves(&self, first: u64, count: u64) -> Result<Vec<LeafAndExtra>, ReadError> {
        self.read(|reader| reader.entries(first, count))
    }

    /// Where the entry with this leaf hash is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn leaf_index(&self, leaf_hash: &Hash) -> Result<Option<u64>, ReadError> {
        self.read(|reader| reader.index_of_leaf(leaf_hash))
    }

    /// Where the entry with this dedup key is.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn index_of_key(&self, dedup_key: &Hash) -> Result<Option<u64>, ReadError> {
        self.read(|reader| reader.index_of_key(dedup_key))
    }

    /// Leaf hash of an entry.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn leaf_hash(&self, index: u64) -> Result<Hash, ReadError> {
        self.read(|reader| reader.leaf_hash(index))
    }

    /// From leaf `index` to the root of the first `tree_size` entries.
    ///
    /// # Errors
    /// [`ReadError::Proof`] when the tree is not that large, others when a tile cannot be read.
    pub fn inclusion_proof(&self, index: u64, tree_size: u64) -> Result<Vec<Hash>, ReadError> {
        self.read(|reader| {
            reader.within(tree_size)?;
            merkle::inclusion_proof(index, tree_size, reader)
        })
    }

    /// From the root of the first `first` entries to that of the first `second`.
    ///
    /// # Errors
    /// [`ReadError::Proof`] for sizes out of order or beyond the tree, others when a tile cannot be
    /// read.
    pub fn consistency_proof(&self, first: u64, second: u64) -> Result<Vec<Hash>, ReadError> {
        self.read(|reader| {
            reader.within(second)?;
            merkle::consistency_proof(first, second, reader)
        })
    }

    /// Root of the first `tree_size` entries.
    ///
    /// # Errors
    /// As [`Self::inclusion_proof`].
    pub fn root_at(&self, tree_size: u64) -> Result<Hash, ReadError> {
        self.read(|reader| {
            reader.within(tree_size)?;
            merkle::root(tree_size, reader)
        })
    }

    /// Bytes of a tile or entry bundle, full or any partial that the tree has grown past; `None` when
    /// the tree is not that large.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn tile(&self, tile: merkle::tile::Tile) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(|reader| reader.tile(tile))
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let snapshot = self.0.shared.snapshot();
        read(&Reader::new(&self.0.shared, &snapshot))
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("head", &self.head())
            .finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Without a sender the writer ends when the queue is empty; the directory's lock must outlive
        // its last write.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
