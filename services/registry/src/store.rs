//! What the registry keeps, and how it is laid out below its directory. The files are the truth:
//!
//! ```text
//! blobs/<algorithm>/<two digits>/<digits>           content, of blobs and manifests alike
//! repositories/<name>/_blobs/<algorithm>/<digits>   this blob is visible here; when it was pushed
//! repositories/<name>/_manifests/<algorithm>/<digits>   this manifest is here; type, size, subject
//! repositories/<name>/_tags/<tag>                   the digest that the tag was pushed under
//! uploads/<id>, uploads/<id>.json                   content and owner of an unfinished upload
//! quarantine/                                       content that no longer had its digest
//! index/, index.sealed                              referrers by subject; rebuilt when in doubt
//! ```
//!
//! A component of a repository name cannot start with an underscore, so that the three folders never
//! meet a nested repository. Content is durable before its link, a link before a tag, and all of them
//! before the client is told.

mod blobs;
mod folder;
mod fsck;
mod gc;
mod layout;
mod manifests;
mod referrers;
mod staged;
mod uploads;

use std::{
    collections::BTreeSet,
    io,
    path::Path,
    sync::{
        Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use jiff::Timestamp;
use oci::Digest;
use runtime::{Clock, files};

pub(crate) use blobs::BlobReader;
pub use fsck::{Fault, FsckReport};
pub use gc::{GcOptions, GcReport, Progress};
pub(crate) use layout::Layout;
pub(crate) use manifests::{Precondition, PutManifest, Stored, index_of};
pub(crate) use uploads::{Session, Uploads};

use crate::{Error, config::ReferrersMode};
use referrers::Referrers;

/// Locks for tags; more of them only means fewer tags that wait for each other.
const TAG_LOCKS: usize = 64;

/// Files and index of one registry. All methods block and belong on a blocking thread.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) layout: Layout,
    pub(crate) clock: Clock,
    pub(crate) mode: ReferrersMode,
    referrers: Referrers,
    /// Shared by what adds links and tags, exclusive for what removes them, so that nothing is
    /// removed between the look at a reference and the link that relies on it.
    commit: RwLock<()>,
    /// Guards reading and replacing a tag, by hash of repository and tag.
    tags: [Mutex<()>; TAG_LOCKS],
    /// What was linked since a collection looked at all links; `None` while none is under way.
    linked: Mutex<Option<BTreeSet<Digest>>>,
    /// One collection at a time.
    collecting: Mutex<()>,
    /// Held while a folder is made, so that nobody relies on one whose parent is not synced yet.
    dirs: Mutex<()>,
    /// Set when something could not be made durable after it became visible. Nothing is served then:
    /// what the page cache shows may be gone after a power cut (RELIABILITY P7).
    failed: AtomicBool,
}

impl Store {
    /// Opens or makes the store in `dir`, and rebuilds the index if it does not fit the files.
    pub(crate) fn open(dir: &Path, clock: Clock, mode: ReferrersMode) -> anyhow::Result<Self> {
        let layout = Layout::new(dir);
        for dir in [
            layout.blobs(),
            layout.repositories(),
            layout.uploads(),
            layout.quarantine(),
        ] {
            files::create_dirs(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let referrers = Referrers::open(&layout).context("cannot open the referrers index")?;
        Ok(Self {
            layout,
            clock,
            mode,
            referrers,
            commit: RwLock::new(()),
            tags: std::array::from_fn(|_| Mutex::new(())),
            linked: Mutex::new(None),
            collecting: Mutex::new(()),
            dirs: Mutex::new(()),
            failed: AtomicBool::new(false),
        })
    }

    /// Whether everything visible is durable.
    pub(crate) fn is_sound(&self) -> bool {
        !self.failed.load(Ordering::SeqCst)
    }

    fn check_sound(&self) -> Result<(), Error> {
        if self.is_sound() {
            return Ok(());
        }
        Err(Error::Internal(anyhow::anyhow!(
            "a write could not be made durable, nothing is served until a restart"
        )))
    }

    /// Passes the result of syncing something visible on. A failure ends this store's service.
    fn durable<T>(&self, result: io::Result<T>, path: &Path) -> Result<T, Error> {
        result.map_err(|error| {
            self.failed.store(true, Ordering::SeqCst);
            Error::storage(error, path)
        })
    }

    /// Tells a collection that is under way that this content is needed. The caller holds `commit`.
    fn note_linked(&self, digest: &Digest) {
        if let Some(linked) = &mut *self.linked.lock().expect("no holder panics") {
            linked.insert(digest.clone());
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Marks the index as fitting the files. Called when nothing can write any more.
    fn seal(&self) {
        if self.is_sound()
            && let Err(error) = self.referrers.seal()
        {
            tracing::warn!("the referrers index is rebuilt at the next start: {error:#}");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.seal();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visible_write_that_is_not_durable_ends_the_service() {
        let dir = tempfile::tempdir().unwrap();
        let clock = runtime::Context::for_test("registry", dir.path()).clock;
        let store = Store::open(dir.path(), clock, ReferrersMode::On).unwrap();
        let failed = store.durable::<()>(Err(io::Error::other("fsync")), dir.path());
        assert!(matches!(failed, Err(Error::Internal(_))));
        assert!(matches!(store.catalog(), Err(Error::Internal(_))));
        drop(store);
        // Nor is the index taken for right at the next start.
        assert!(!dir.path().join("index.sealed").exists());
    }
}
