//! How far an export or import is.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// What is being done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Phase {
    /// Manifests, referrers and signature tags are read from registries. Counted in manifests.
    Discover,
    /// Blobs are written into the archive. Counted in bytes.
    Write,
    /// The archive is read and every digest checked. Counted in bytes.
    Verify,
    /// Blobs are pushed. Counted in bytes, those that the registry has already included.
    Push,
    /// Manifests and tags are pushed. Counted in manifests.
    Link,
}

/// One step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// How much is done, in the unit of the phase.
    pub done: u64,
    /// How much there is. While discovering it grows; of a pipe it is not known, and 0.
    pub total: u64,
    /// The file, blob or manifest that is worked on.
    pub item: String,
}

/// Receives every step. It is called from several threads and must not block.
pub type OnProgress = Arc<dyn Fn(Progress) + Send + Sync>;

/// Counts one phase.
#[derive(Clone)]
pub(crate) struct Meter {
    phase: Phase,
    done: Arc<AtomicU64>,
    total: Arc<AtomicU64>,
    item: Arc<Mutex<String>>,
    report: OnProgress,
}

impl Meter {
    pub(crate) fn new(report: &OnProgress, phase: Phase, total: u64) -> Self {
        Self {
            phase,
            done: Arc::default(),
            total: Arc::new(AtomicU64::new(total)),
            item: Arc::default(),
            report: report.clone(),
        }
    }

    /// Names what comes next.
    pub(crate) fn item(&self, item: impl Into<String>) {
        *self.item.lock().unwrap_or_else(PoisonError::into_inner) = item.into();
        self.add(0);
    }

    pub(crate) fn add_total(&self, more: u64) {
        self.total.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, more: u64) {
        let done = self.done.fetch_add(more, Ordering::Relaxed) + more;
        let item = self
            .item
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let total = self.total.load(Ordering::Relaxed);
        (self.report)(Progress {
            phase: self.phase,
            done,
            total,
            item,
        });
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Takes back what a failed attempt counted.
    pub(crate) fn subtract(&self, less: u64) {
        self.done.fetch_sub(less, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}
