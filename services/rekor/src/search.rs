//! The search index of Rekor v1: which entries have a key. It holds nothing that is not in the log, and
//! follows it.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context as _, ensure};
use crypto::sha256;
use runtime::Index;
use sequencer::Log;

use crate::store::Beside;

/// Entries that one search returns at most. Upstream has no limit.
const FOUND_MAX: usize = 10_000;

/// Entries in one written chunk. The rest of the log is indexed in memory, and read again at start.
const CHUNK: u64 = 16_384;

/// Entries that may be missing in memory before the background catches up; a search does so itself.
const LAG_MAX: u64 = 2048;

/// Bytes of a key's digest in a row: enough that nobody finds two keys with the same.
const DIGEST_BYTES: usize = 16;

/// A row: start of the key's digest, then the entry's number within its chunk.
const ROW_BYTES: usize = DIGEST_BYTES + 4;

type Digest = [u8; DIGEST_BYTES];

fn digest(key: &str) -> Digest {
    let whole = sha256(key.as_bytes());
    *whole.first_chunk().expect("SHA-256 has 32 bytes")
}

/// Where a written index stands: which log it is of, its layout, and how many entries it covers.
#[derive(Debug, Eq, PartialEq)]
struct Stamp {
    log_id: [u8; 32],
    chunk: u64,
    covered: u64,
}

impl Stamp {
    fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.chunk.to_be_bytes(), self.covered.to_be_bytes()].concat();
        [self.log_id.as_slice(), &numbers].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (log_id, numbers) = bytes.split_first_chunk::<32>()?;
        let (chunk, covered) = numbers.split_first_chunk::<8>()?;
        Some(Self {
            log_id: *log_id,
            chunk: u64::from_be_bytes(*chunk),
            covered: u64::from_be_bytes(covered.try_into().ok()?),
        })
    }
}

/// The last, unwritten chunk.
#[derive(Debug)]
struct Tail {
    /// First entry of the chunk.
    first: u64,
    /// Entries of the log that are covered, this chunk's included.
    covered: u64,
    /// Digest and number within the chunk, in order of entries.
    rows: Vec<(Digest, u32)>,
}

/// Entries by email, key, digest and subject.
#[derive(Debug)]
pub(crate) struct SearchIndex {
    written: Index,
    log: Log,
    log_id: [u8; 32],
    chunk: u64,
    /// Held while entries are added, so that the index grows in one order.
    tail: Mutex<Tail>,
    /// Copy of the tail's `covered` for those who only want to know the lag.
    covered: AtomicU64,
}

impl SearchIndex {
    /// Opens the index in `dir` and brings it up to the log: from the start when it is missing,
    /// damaged, of another log, or ahead of the log. Blocks.
    pub(crate) fn open(dir: &Path, log: Log, log_id: [u8; 32]) -> anyhow::Result<Self> {
        Self::open_chunked(dir, log, log_id, CHUNK)
    }

    fn open_chunked(dir: &Path, log: Log, log_id: [u8; 32], chunk: u64) -> anyhow::Result<Self> {
        let written = Index::open(dir)?;
        let size = log.head().tree_size;
        let stamp = written.stamp()?.as_deref().and_then(Stamp::from_bytes);
        let covered = match stamp {
            Some(stamp)
                if stamp.log_id == log_id
                    && stamp.chunk == chunk
                    && stamp.covered <= size
                    && stamp.covered.is_multiple_of(chunk) =>
            {
                stamp.covered
            }
            _ => {
                written.clear()?;
                0
            }
        };
        let tail = Tail {
            first: covered,
            covered,
            rows: Vec::new(),
        };
        if size - covered > chunk {
            tracing::info!(from = covered, to = size, "the search index is being built");
        }
        let covered = covered.into();
        let search = Self {
            written,
            log,
            log_id,
            chunk,
            tail: Mutex::new(tail),
            covered,
        };
        search.catch_up()?;
        Ok(search)
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Covers all entries that are in the published tree by now. Blocks.
    pub(crate) fn catch_up(&self) -> anyhow::Result<()> {
        let mut tail = self.tail();
        let size = self.log.head().tree_size;
        while tail.covered < size {
            // A read ends with its bundle of 256, which a chunk is a multiple of.
            let entries = self.log.leaves(tail.covered, size - tail.covered)?;
            ensure!(
                !entries.is_empty(),
                "entry {} of {size} cannot be read",
                tail.covered
            );
            for (_, extra) in &entries {
                let number = u32::try_from(tail.covered - tail.first)?;
                match Beside::from_bytes(extra) {
                    Ok(beside) => {
                        let row = |key: &String| (digest(key), number);
                        tail.rows.extend(beside.index_keys.iter().map(row));
                    }
                    Err(error) => {
                        tracing::warn!(entry = tail.covered, "not searchable: {error:#}");
                    }
                }
                tail.covered += 1;
            }
            self.covered.store(tail.covered, Ordering::Relaxed);
            while tail.covered - tail.first >= self.chunk {
                if let Err(error) = self.write_chunk(&mut tail) {
                    // A full disk, perhaps: the rows stay in memory and are written another time.
                    tracing::warn!("a chunk of the search index is not written: {error:#}");
                    break;
                }
            }
        }
        Ok(())
    }

    /// Writes the first whole chunk of the tail, cut by the first byte of the digests.
    fn write_chunk(&self, tail: &mut Tail) -> anyhow::Result<()> {
        let whole = tail
            .rows
            .partition_point(|(_, entry)| u64::from(*entry) < self.chunk);
        let cuts = cuts(tail.first / self.chunk, tail.rows[..whole].to_vec())
            .into_iter()
            .map(|(key, rows)| (key, Some(rows)));
        let covered = tail.first + self.chunk;
        let stamp = Stamp {
            log_id: self.log_id,
            chunk: self.chunk,
            covered,
        };
        self.written
            .write(cuts.collect::<Vec<_>>(), Some(&stamp.to_bytes()))?;
        tracing::debug!(entries = covered, "search index");
        tail.first = covered;
        tail.rows.drain(..whole);
        let chunk = u32::try_from(self.chunk)?;
        for (_, entry) in &mut tail.rows {
            *entry -= chunk;
        }
        Ok(())
    }

    /// Indices of entries that have `key`, in order. Blocks.
    pub(crate) fn find(&self, key: &str) -> anyhow::Result<Vec<u64>> {
        let digest = digest(key);
        let (first, recent) = {
            let tail = self.tail();
            let mine = tail.rows.iter().filter(|(row, _)| *row == digest);
            let found: Vec<u64> = mine
                .map(|(_, entry)| tail.first + u64::from(*entry))
                .collect();
            (tail.first, found)
        };
        let mut found = Vec::new();
        for number in 0..first / self.chunk {
            let cut = self
                .written
                .get(&cut_key(number, digest[0]))?
                .unwrap_or_default();
            for entry in find_in(&cut, &digest)? {
                found.push(number * self.chunk + u64::from(entry));
            }
            if found.len() >= FOUND_MAX {
                break;
            }
        }
        found.extend(recent);
        found.truncate(FOUND_MAX);
        // A key may be twice in one entry.
        found.dedup();
        Ok(found)
    }

    fn lag(&self, size: u64) -> u64 {
        size.saturating_sub(self.covered.load(Ordering::Relaxed))
    }
}

/// The written form of a chunk: its rows in order, cut by the first byte of the digests.
fn cuts(number: u64, mut rows: Vec<(Digest, u32)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows.sort_unstable();
    let cuts = rows.chunk_by(|a, b| a.0[0] == b.0[0]).map(|rows| {
        let bytes = rows
            .iter()
            .flat_map(|(digest, entry)| row(digest, *entry))
            .collect();
        (cut_key(number, rows[0].0[0]), bytes)
    });
    cuts.collect()
}

fn cut_key(chunk: u64, first_byte: u8) -> Vec<u8> {
    [chunk.to_be_bytes().as_slice(), &[first_byte]].concat()
}

fn row(digest: &Digest, entry: u32) -> [u8; ROW_BYTES] {
    let mut out = [0; ROW_BYTES];
    out[..DIGEST_BYTES].copy_from_slice(digest);
    out[DIGEST_BYTES..].copy_from_slice(&entry.to_be_bytes());
    out
}

/// Entries with this digest among the sorted rows of a cut.
fn find_in(cut: &[u8], digest: &Digest) -> anyhow::Result<Vec<u32>> {
    let (rows, rest) = cut.as_chunks::<ROW_BYTES>();
    ensure!(rest.is_empty(), "a row of the search index is cut off");
    let start = rows.partition_point(|row| row[..DIGEST_BYTES] < digest[..]);
    rows[start..]
        .iter()
        .take_while(|row| row[..DIGEST_BYTES] == digest[..])
        .map(|row| {
            let entry = row.last_chunk::<4>().context("a row has a number")?;
            Ok(u32::from_be_bytes(*entry))
        })
        .collect()
}

/// Compares a written search index with the entries of its log, as they are read.
#[derive(Debug)]
pub struct IndexCheck {
    written: Index,
    /// sled writes when it only reads, so it is given a copy.
    _copy: tempfile::TempDir,
    chunk: u64,
    /// Entries that are covered.
    covered: u64,
    rows: Vec<(Digest, u32)>,
    compared: u64,
    damage: Option<anyhow::Error>,
}

impl IndexCheck {
    /// For the index in `dir`, which is only read.
    ///
    /// # Errors
    /// When the files cannot be copied, or sled cannot open them.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        Self::open_chunked(dir, CHUNK)
    }

    fn open_chunked(dir: &Path, chunk: u64) -> anyhow::Result<Self> {
        let copy = tempfile::tempdir().context("the search index cannot be copied")?;
        copy_files(dir, copy.path()).with_context(|| format!("cannot read {}", dir.display()))?;
        let written = Index::open(copy.path())?;
        let stamp = written.stamp()?.as_deref().and_then(Stamp::from_bytes);
        Ok(Self {
            written,
            _copy: copy,
            chunk,
            covered: stamp
                .filter(|stamp| stamp.chunk == chunk)
                .map_or(0, |stamp| stamp.covered),
            rows: Vec::new(),
            compared: 0,
            damage: None,
        })
    }

    /// Takes what is kept beside the next entry of the log.
    pub fn entry(&mut self, index: u64, extra: &[u8]) {
        if index >= self.covered || self.damage.is_some() {
            return;
        }
        if let (Ok(beside), Ok(number)) =
            (Beside::from_bytes(extra), u32::try_from(index % self.chunk))
        {
            let rows = beside.index_keys.iter().map(|key| (digest(key), number));
            self.rows.extend(rows);
        }
        if (index + 1).is_multiple_of(self.chunk) {
            self.damage = self.compare(index / self.chunk).err();
        }
    }

    fn compare(&mut self, chunk: u64) -> anyhow::Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.compared += rows.len() as u64;
        let written = self.written.prefix(&chunk.to_be_bytes(), 257)?;
        ensure!(
            written == cuts(chunk, rows),
            "it does not say of entries {} to {} what the log says",
            chunk * self.chunk,
            (chunk + 1) * self.chunk - 1
        );
        Ok(())
    }

    /// Rows that were compared, after the last of `size` entries.
    ///
    /// # Errors
    /// The first chunk that the log contradicts, and an index that lacks a chunk or is ahead of the log.
    pub fn finish(self, size: u64) -> anyhow::Result<u64> {
        let lag = size.checked_sub(self.covered);
        ensure!(
            lag.is_some_and(|lag| lag < 2 * self.chunk),
            "it covers {} entries of {size}",
            self.covered
        );
        match self.damage {
            Some(damage) => Err(damage),
            None => Ok(self.compared),
        }
    }
}

/// Copies a folder of files, and folders of files.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for item in std::fs::read_dir(from)? {
        let item = item?;
        let target = to.join(item.file_name());
        if item.file_type()?.is_dir() {
            std::fs::create_dir(&target)?;
            copy_files(&item.path(), &target)?;
        } else {
            std::fs::copy(item.path(), target)?;
        }
    }
    Ok(())
}

/// Keeps the search index close behind the log, on a thread of its own that ends with this value.
#[derive(Debug)]
pub(crate) struct Follower {
    search: Arc<SearchIndex>,
    /// `None` only while it ends.
    wake: Option<mpsc::SyncSender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Follower {
    pub(crate) fn start(search: Arc<SearchIndex>) -> io::Result<Self> {
        let (wake, woken) = mpsc::sync_channel(1);
        let follower = Arc::clone(&search);
        let thread = thread::Builder::new()
            .name("rekor-index".to_owned())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(error) = follower.catch_up() {
                        runtime::log_internal(&error);
                    }
                }
            })?;
        Ok(Self {
            search,
            wake: Some(wake),
            thread: Some(thread),
        })
    }

    /// Says how far the log has grown. Never waits.
    pub(crate) fn wake(&self, size: u64) {
        if self.search.lag(size) >= LAG_MAX
            && let Some(wake) = &self.wake
        {
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

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Arc};

    use crypto::{KeyKind, SigningKey};
    use note::{Scheme, Signer};
    use runtime::{Clock, MemoryBlobs};
    use sequencer::{Entry, Log, LogConfig, NoteSigner};

    use super::{IndexCheck, SearchIndex, Stamp};
    use crate::store::Beside;

    const CHUNK: u64 = 4;
    const LOG_ID: [u8; 32] = [7; 32];

    fn log() -> Log {
        let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        let signer = Signer::new("log", Scheme::Spki, key).unwrap();
        let signer = Arc::new(NoteSigner::new("log".to_owned(), signer));
        let blobs = || Arc::new(MemoryBlobs::default());
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        Log::open(LogConfig::over(blobs(), blobs(), signer, clock)).unwrap()
    }

    async fn grow(log: &Log, count: u64) {
        for _ in 0..count {
            let number = log.head().tree_size;
            let parity = if number.is_multiple_of(2) {
                "even"
            } else {
                "odd"
            };
            let index_keys = vec![parity.to_owned(), format!("n{number}"), parity.to_owned()];
            let extra = Beside {
                integrated_time: 0,
                index_keys,
            }
            .to_bytes();
            let leaf = number.to_be_bytes().to_vec();
            log.append(Entry {
                leaf,
                extra,
                dedup_key: None,
            })
            .await
            .unwrap();
        }
    }

    fn open(dir: &Path, log: &Log) -> SearchIndex {
        SearchIndex::open_chunked(dir, log.clone(), LOG_ID, CHUNK).unwrap()
    }

    fn assert_holds(search: &SearchIndex, size: u64) {
        let even: Vec<u64> = (0..size).filter(|n| n.is_multiple_of(2)).collect();
        let odd: Vec<u64> = (0..size).filter(|n| !n.is_multiple_of(2)).collect();
        assert_eq!(search.find("even").unwrap(), even);
        assert_eq!(search.find("odd").unwrap(), odd);
        for number in 0..size {
            assert_eq!(search.find(&format!("n{number}")).unwrap(), [number]);
        }
        assert_eq!(search.find("nothing").unwrap(), Vec::<u64>::new());
    }

    fn written(search: &SearchIndex) -> u64 {
        let stamp = search.written.stamp().unwrap();
        stamp
            .and_then(|bytes| Stamp::from_bytes(&bytes))
            .map_or(0, |stamp| stamp.covered)
    }

    #[tokio::test]
    async fn chunks_are_written_and_the_rest_is_kept_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let log = log();
        let search = open(dir.path(), &log);
        for size in 1..20 {
            grow(&log, 1).await;
            search.catch_up().unwrap();
            assert_holds(&search, size);
            assert_eq!(written(&search), size / CHUNK * CHUNK);
        }
    }

    #[tokio::test]
    async fn chunks_that_could_not_be_written_are_written_later() {
        let dir = tempfile::tempdir().unwrap();
        let log = log();
        grow(&log, 11).await;
        let mut search = SearchIndex::open_chunked(dir.path(), log.clone(), LOG_ID, 100).unwrap();
        search.chunk = CHUNK;
        grow(&log, 1).await;
        search.catch_up().unwrap();
        assert_eq!(written(&search), 12);
        assert_holds(&search, 12);
    }

    #[tokio::test]
    async fn an_entry_whose_keys_are_damaged_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let log = log();
        grow(&log, 2).await;
        let entry = Entry {
            leaf: b"x".to_vec(),
            extra: b"{".to_vec(),
            dedup_key: None,
        };
        log.append(entry).await.unwrap();
        let search = open(dir.path(), &log);
        assert_holds(&search, 2);
    }

    #[tokio::test]
    async fn a_stale_index_is_brought_up_to_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = log();
        grow(&log, 9).await;
        drop(open(dir.path(), &log));
        grow(&log, 9).await;
        let search = open(dir.path(), &log);
        assert_eq!(written(&search), 16);
        assert_holds(&search, 18);
    }

    #[tokio::test]
    async fn a_missing_or_damaged_index_is_built_anew() {
        let dir = tempfile::tempdir().unwrap();
        let log = log();
        grow(&log, 11).await;
        drop(open(dir.path(), &log));
        for file in fs::read_dir(dir.path()).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 2048], 0).unwrap();
            }
        }
        let search = open(dir.path(), &log);
        assert_holds(&search, 11);
        drop(search);
        fs::remove_dir_all(dir.path()).unwrap();
        assert_holds(&open(dir.path(), &log), 11);
    }

    #[tokio::test]
    async fn an_index_of_another_log_or_ahead_of_the_log_is_built_anew() {
        let dir = tempfile::tempdir().unwrap();
        let long = log();
        grow(&long, 12).await;
        drop(open(dir.path(), &long));
        let short = log();
        grow(&short, 5).await;
        let search = open(dir.path(), &short);
        assert_eq!(written(&search), 4);
        assert_holds(&search, 5);
        drop(search);
        let other = SearchIndex::open_chunked(dir.path(), short, [8; 32], CHUNK).unwrap();
        assert_holds(&other, 5);
    }

    fn check(dir: &Path, log: &Log) -> Result<u64, String> {
        let mut check = IndexCheck::open_chunked(dir, CHUNK).unwrap();
        let size = log.head().tree_size;
        for index in 0..size {
            check.entry(index, &log.leaf(index).unwrap().1);
        }
        check.finish(size).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_check_compares_every_written_row_with_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let log = log();
        grow(&log, 11).await;
        let search = open(dir.path(), &log);
        let (key, rows) = search
            .written
            .prefix(&1_u64.to_be_bytes(), 1)
            .unwrap()
            .remove(0);
        drop(search);
        // Two chunks of four entries with three keys each; the rest is in memory only.
        assert_eq!(check(dir.path(), &log), Ok(24));

        let mut other = rows;
        *other.last_mut().unwrap() ^= 1;
        let search = open(dir.path(), &log);
        search.written.write([(key, Some(other))], None).unwrap();
        drop(search);
        let error = "it does not say of entries 4 to 7 what the log says";
        assert_eq!(check(dir.path(), &log), Err(error.to_owned()));

        fs::remove_dir_all(dir.path()).unwrap();
        fs::create_dir(dir.path()).unwrap();
        let error = "it covers 0 entries of 11";
        assert_eq!(check(dir.path(), &log), Err(error.to_owned()));
    }
}
