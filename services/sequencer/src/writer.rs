//! The only writer of a log: a thread that integrates what waits, batch by batch.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use merkle::Hash;
use runtime::BlobError;
use tokio::sync::{mpsc, oneshot};

use crate::{
    AppendError, OpenError, TreeHead,
    batch::{Batch, CheckedBatch},
    log::Shared,
    reader::{Reader, tile_nodes},
    record::{CHECKPOINT, RECORD, Record, STAGING, encode_staging},
    recover::{self, snapshot_of},
    snapshot::{Snapshot, Stored},
};

/// How far a timed head may run ahead of a clock that stands still, in milliseconds, before appends
/// are refused.
const CLOCK_LEAD_MS_MAX: i64 = 10_000;

/// One append that waits.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) stored: Arc<Stored>,
    /// What it counts in the queue.
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Outcome, AppendError>>,
}

/// Where an entry is, in which published tree.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) leaf_index: u64,
    pub(crate) duplicate: bool,
    pub(crate) tree: Arc<Snapshot>,
}

/// Why a batch did not become a published tree, and what that means for the next.
#[derive(Debug)]
enum Failed {
    /// Nothing was signed: only this batch is lost.
    Batch(AppendError),
    /// It is not known what is stored: nothing more is written before a reload.
    Reload(AppendError),
    /// The process must end.
    Fatal(String),
}

/// The writer and what it alone owns.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
    /// Bytes of the lock record, as they were last written or read.
    record: Vec<u8>,
    /// Bytes of the lock record that were last asked to be written.
    attempted: Vec<u8>,
    /// Set after a failure that leaves it open what is stored (RELIABILITY A14).
    needs_reload: bool,
}

impl Writer {
    pub(crate) const fn new(
        shared: Arc<Shared>,
        record: Vec<u8>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        Self {
            shared,
            requests,
            record,
            attempted: Vec::new(),
            needs_reload: false,
        }
    }

    /// Works until the last handle of the log is gone.
    pub(crate) fn run(mut self) {
        let batch_max = self.shared.config.batch_max.max(1);
        while let Some(first) = self.requests.blocking_recv() {
            let mut requests = vec![first];
            while requests.len() < batch_max
                && let Ok(request) = self.requests.try_recv()
            {
                requests.push(request);
            }
            let entries = requests.len();
            let bytes = requests.iter().map(|request| request.bytes).sum();
            self.serve(requests);
            self.shared.release(entries, bytes);
        }
    }

    /// Answers every request, whatever happens.
    fn serve(&mut self, requests: Vec<Request>) {
        if self.shared.stopped.load(Ordering::SeqCst) {
            return refuse(requests, &AppendError::Stopped);
        }
        if self.needs_reload
            && let Err(failed) = self.reload()
        {
            return self.fail(requests, failed);
        }
        let (new, places, rest) = self.place(requests);
        if new.is_empty() {
            return;
        }
        match self.integrate(&new) {
            Ok(tree) => {
                self.shared.set_trouble(None);
                let first = tree.head.tree_size - new.len() as u64;
                for (request, (at, duplicate)) in rest.into_iter().zip(places) {
                    let tree = Arc::clone(&tree);
                    let leaf_index = first + at as u64;
                    let _ = request.answer.send(Ok(Outcome {
                        leaf_index,
                        duplicate,
                        tree,
                    }));
                }
            }
            Err(failed) => self.fail(rest, failed),
        }
    }

    /// Answers what is in the log already, and gives each other request its place in the batch: the
    /// new entries, and per request its position and whether an earlier one in the batch is the same.
    #[expect(clippy::type_complexity, reason = "three parallel lists, used once")]
    fn place(
        &self,
        requests: Vec<Request>,
    ) -> (Vec<Arc<Stored>>, Vec<(usize, bool)>, Vec<Request>) {
        let tree = self.shared.snapshot();
        let reader = Reader::new(&self.shared, &tree);
        let mut seen: HashMap<Hash, usize> = HashMap::new();
        let (mut new, mut places, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for request in requests {
            match reader.index_of_key(&request.stored.key) {
                Ok(Some(leaf_index)) => {
                    let tree = Arc::clone(&tree);
                    let outcome = Outcome {
                        leaf_index,
                        duplicate: true,
                        tree,
                    };
                    let _ = request.answer.send(Ok(outcome));
                    continue;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%error, "a duplicate could not be looked up");
                    let _ = request.answer.send(Err(AppendError::Storage));
                    continue;
                }
            }
            if let Some(at) = seen.get(&request.stored.key) {
                places.push((*at, true));
            } else {
                seen.insert(request.stored.key, new.len());
                places.push((new.len(), false));
                new.push(Arc::clone(&request.stored));
            }
            rest.push(request);
        }
        (new, places, rest)
    }

    /// RELIABILITY P2, in its order.
    fn integrate(&mut self, new: &[Arc<Stored>]) -> Result<Arc<Snapshot>, Failed> {
        let config = &self.shared.config;
        if config
            .free_bytes
            .ask()
            .is_some_and(|free| free < config.free_bytes_min)
        {
            return Err(Failed::Batch(AppendError::NoSpace));
        }
        let tree = self.shared.snapshot();
        let time = self.time(&tree.head)?;
        let batch = Batch::build(&tree, new);
        let staging = encode_staging(tree.head.tree_size, new);
        config
            .data
            .overwrite(STAGING, &staging)
            .map_err(|error| failed(error, Failed::Batch))?;
        let checked = batch.check().map_err(|_| {
            tracing::error!("two computations of the tree differ; nothing is signed");
            Failed::Batch(AppendError::Unsigned)
        })?;
        let record = self.sign(&tree, &checked, time, &staging)?;
        let head = TreeHead {
            tree_size: checked.size,
            root_hash: checked.root,
            checkpoint: record.checkpoint.as_str().into(),
            time,
        };
        let bytes = record.encode();
        self.attempted.clone_from(&bytes);
        config
            .head
            .compare_and_swap(RECORD, Some(&self.record), &bytes)
            .map_err(|error| failed(error, Failed::Reload))?;
        self.record = bytes;
        config
            .data
            .put_all_if_absent(&checked.batch.files)
            .map_err(|error| failed(error, Failed::Reload))?;
        config
            .data
            .publish(CHECKPOINT, head.checkpoint.as_bytes())
            .map_err(|error| failed(error, Failed::Reload))?;
        for (level, index, hashes) in &checked.batch.full {
            let mut cache = self
                .shared
                .cache
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            cache.put(*level, *index, tile_nodes(hashes));
        }
        for key in &checked.batch.obsolete {
            // What stays is swept at the next start.
            let _ = config.data.discard(key);
        }
        let published = self.shared.publish(snapshot_of(checked, head));
        let entries = new.iter().map(|entry| (&entry.hash, &entry.key));
        self.shared.index(tree.head.tree_size, entries);
        Ok(published)
    }

    /// The time of the next head: never before the last one, and for a scheme that signs it always
    /// after (RELIABILITY P3 and A11).
    fn time(&self, last: &TreeHead) -> Result<jiff::Timestamp, Failed> {
        let now = self.shared.config.clock.now().as_millisecond();
        let last = last.time.as_millisecond();
        let time = if self.shared.config.signer.is_timed() {
            if last + 1 - now > CLOCK_LEAD_MS_MAX {
                return Err(Failed::Batch(AppendError::ClockBehind));
            }
            now.max(last + 1)
        } else {
            now.max(last)
        };
        jiff::Timestamp::from_millisecond(time).map_err(|_| Failed::Batch(AppendError::ClockBehind))
    }

    fn sign(
        &self,
        tree: &Snapshot,
        checked: &CheckedBatch,
        time: jiff::Timestamp,
        staging: &[u8],
    ) -> Result<Record, Failed> {
        let signer = &self.shared.config.signer;
        let time_ms = u64::try_from(time.as_millisecond()).unwrap_or(0);
        let checkpoint = signer
            .sign(checked.size, &checked.root, time_ms)
            .map_err(|error| {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the checkpoint could not be signed"
                );
                Failed::Batch(AppendError::Unsigned)
            })?;
        Ok(Record {
            version: 1,
            origin: signer.origin().to_owned(),
            key_id: hex::encode(signer.key_id()),
            tree_size: checked.size,
            time_ms,
            previous_size: tree.head.tree_size,
            previous_root: hex::encode(tree.head.root_hash),
            staging: hex::encode(crypto::sha256(staging)),
            checkpoint,
        })
    }

    /// Reads again what is stored, and finishes the batch that failed if it was signed.
    fn reload(&mut self) -> Result<(), Failed> {
        match recover::open(&self.shared.config) {
            Ok(recovered) => {
                if recovered.record != self.record && recovered.record != self.attempted {
                    return Err(Failed::Fatal("another writer has the log".to_owned()));
                }
                self.record = recovered.record;
                let size = self.shared.snapshot().head.tree_size;
                if recovered.snapshot.head.tree_size > size {
                    self.shared.publish(recovered.snapshot);
                    recover::load_index(&self.shared, size).map_err(reload_failed)?;
                }
                self.needs_reload = false;
                Ok(())
            }
            Err(error) => Err(reload_failed(error)),
        }
    }

    fn fail(&mut self, requests: Vec<Request>, failed: Failed) {
        let error = match failed {
            Failed::Batch(error) => error,
            Failed::Reload(error) => {
                self.needs_reload = true;
                error
            }
            Failed::Fatal(cause) => {
                self.shared.stopped.store(true, Ordering::SeqCst);
                self.shared.config.fatal.strike(&cause);
                AppendError::Stopped
            }
        };
        self.shared.set_trouble(Some(error.clone()));
        refuse(requests, &error);
    }
}

fn refuse(requests: Vec<Request>, error: &AppendError) {
    for request in requests {
        let _ = request.answer.send(Err(error.clone()));
    }
}

fn reload_failed(error: OpenError) -> Failed {
    match error {
        OpenError::Store(error) => failed(error, Failed::Reload),
        error => Failed::Fatal(error.to_string()),
    }
}

/// What a failure of the store means: a full disk and a refused write leave the bytes that were there,
/// an I/O error of the device ends the process (P7), and so does a second writer or a tile that is not
/// what it was (P5).
fn failed(error: BlobError, otherwise: impl FnOnce(AppendError) -> Failed) -> Failed {
    let text = match &error {
        BlobError::Io { key, source } => format!("{key}: {source}"),
        other => other.to_string(),
    };
    tracing::error!(error = text, "the log's store failed");
    match &error {
        BlobError::Io { source, .. } => match source.raw_os_error() {
            Some(code) if code == rustix::io::Errno::IO.raw_os_error() => Failed::Fatal(text),
            _ if matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
            {
                otherwise(AppendError::NoSpace)
            }
            _ => otherwise(AppendError::Storage),
        },
        BlobError::Exists { .. } | BlobError::Changed { .. } | BlobError::Key { .. } => {
            Failed::Fatal(text)
        }
    }
}
