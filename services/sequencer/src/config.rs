//! What a log is opened with, and what is appended to it.

use std::{fmt, io, path::Path, sync::Arc};

use runtime::{Blobs, Clock, DirectoryBlobs, files};

use crate::CheckpointSigner;

/// Entries that wait to be written, beyond which appends are refused.
const QUEUE_MAX: usize = 4096;

/// Entries integrated under one checkpoint at most.
const BATCH_MAX: usize = 1024;

/// Free bytes below which nothing is written any more, so that what was begun can be finished.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// One entry to append.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The leaf, at most 65535 bytes: what the tree commits to.
    pub leaf: Vec<u8>,
    /// Kept beside the leaf and not hashed, at most 16 MiB.
    pub extra: Vec<u8>,
    /// Entries with the same key are the same entry. By default the leaf hash.
    pub dedup_key: Option<[u8; 32]>,
}

impl Entry {
    /// An entry that is only its leaf.
    #[must_use]
    pub const fn new(leaf: Vec<u8>) -> Self {
        Self {
            leaf,
            extra: Vec::new(),
            dedup_key: None,
        }
    }
}

/// What happens when the log cannot go on (an fsync that failed, a second writer): it is told the
/// cause, and must end the process. When it returns all the same the log stays stopped.
#[derive(Clone)]
pub struct Fatal(Arc<dyn Fn(&str) + Send + Sync>);

impl Fatal {
    /// Runs `action`.
    pub fn new(action: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(action))
    }

    /// Logs the cause and aborts the process (RELIABILITY P7).
    #[must_use]
    pub fn abort() -> Self {
        Self::new(|cause| {
            tracing::error!(cause, "the log cannot go on; stopping");
            std::process::abort();
        })
    }

    pub(crate) fn strike(&self, cause: &str) {
        (self.0)(cause);
    }
}

impl fmt::Debug for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fatal")
    }
}

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Tiles, entries, staging and the published checkpoint.
    pub data: Arc<dyn Blobs>,
    /// The lock record, kept apart so that an old copy of the data is noticed.
    pub head: Arc<dyn Blobs>,
    /// Lock taken on the directory, if the log lives in one.
    pub lock: Option<Arc<files::DirLock>>,
    /// Origin and key.
    pub signer: Arc<dyn CheckpointSigner>,
    /// The only clock.
    pub clock: Clock,
    /// Entries that wait to be written, beyond which [`crate::AppendError::QueueFull`] is answered.
    pub queue_max: usize,
    /// Entries integrated under one checkpoint at most.
    pub batch_max: usize,
    /// Called when the log must stop.
    pub fatal: Fatal,
    /// Free space left on the file system, if that can be known.
    pub free_bytes: FreeBytes,
    /// Free bytes below which appends are refused.
    pub free_bytes_min: u64,
}

impl LogConfig {
    /// A log in `dir`, which is made when it is not there and locked against other processes.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has the directory; those of the file
    /// system.
    pub fn in_dir(dir: &Path, signer: Arc<dyn CheckpointSigner>, clock: Clock) -> io::Result<Self> {
        let lock = files::DirLock::take(dir)?;
        let data = DirectoryBlobs::open(dir.to_owned())?;
        let head = DirectoryBlobs::open(dir.join("head"))?;
        let mut config = Self::over(Arc::new(data), Arc::new(head), signer, clock);
        config.lock = Some(Arc::new(lock));
        config.free_bytes = FreeBytes::of(dir);
        Ok(config)
    }

    /// A log over two stores that nobody else writes to.
    #[must_use]
    pub fn over(
        data: Arc<dyn Blobs>,
        head: Arc<dyn Blobs>,
        signer: Arc<dyn CheckpointSigner>,
        clock: Clock,
    ) -> Self {
        Self {
            data,
            head,
            lock: None,
            signer,
            clock,
            queue_max: QUEUE_MAX,
            batch_max: BATCH_MAX,
            fatal: Fatal::abort(),
            free_bytes: FreeBytes::unknown(),
            free_bytes_min: FREE_BYTES_MIN,
        }
    }
}

/// Asks how much space is left.
#[derive(Clone)]
pub struct FreeBytes(Arc<dyn Fn() -> Option<u64> + Send + Sync>);

impl FreeBytes {
    /// Of the file system that `dir` is on.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        let dir = dir.to_owned();
        Self::new(move || {
            let space = rustix::fs::statvfs(&dir).ok()?;
            Some(space.f_bavail.saturating_mul(space.f_frsize))
        })
    }

    /// Where there is nothing to ask.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(|| None)
    }

    /// Asks `source`.
    pub fn new(source: impl Fn() -> Option<u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }

    pub(crate) fn ask(&self) -> Option<u64> {
        (self.0)()
    }
}

impl fmt::Debug for FreeBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FreeBytes")
    }
}
