//! What a log does when its store fails: RELIABILITY P2, P7, A6, A12, A13 and A14.

mod world;

use std::sync::{
    Arc, Condvar, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use runtime::{Blobs, Failure, FaultyBlobs, MemoryBlobs};
use sequencer::{AppendError, Appended, Entry, Fatal, FreeBytes, Log, LogConfig, fsck_stores};
use world::{
    World, entry,
    faulty::{EIO, ENOSPC, Trouble, Troubled},
};

/// Holds the writer between two batches, so that a test decides what is in one batch.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    moved: Condvar,
}

impl Gate {
    fn set(&self, closed: bool) {
        *self.closed.lock().expect("not poisoned") = closed;
        self.moved.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().expect("not poisoned");
        drop(
            self.moved
                .wait_while(closed, |closed| *closed)
                .expect("not poisoned"),
        );
    }
}

struct Stores {
    world: World,
    data: Arc<FaultyBlobs>,
    head: Arc<FaultyBlobs>,
    gate: Arc<Gate>,
    fatal: Arc<AtomicUsize>,
}

impl Stores {
    fn new() -> Self {
        Self {
            world: World::new(),
            data: Arc::new(FaultyBlobs::new(Arc::new(MemoryBlobs::default()))),
            head: Arc::new(FaultyBlobs::new(Arc::new(MemoryBlobs::default()))),
            gate: Arc::default(),
            fatal: Arc::default(),
        }
    }

    fn config(&self) -> LogConfig {
        let (world, data, head) = (&self.world, self.data.clone(), self.head.clone());
        let mut config = LogConfig::over(data, head, world.signer(), world.clock.clone());
        let (gate, fatal) = (Arc::clone(&self.gate), Arc::clone(&self.fatal));
        config.free_bytes = FreeBytes::new(move || {
            gate.pass();
            None
        });
        config.fatal = Fatal::new(move |_| {
            fatal.fetch_add(1, Ordering::SeqCst);
        });
        config
    }

    fn open(&self) -> Log {
        Log::open(self.config()).expect("the log opens")
    }

    fn fail(&self, at: &Stage, stored: bool, times: usize) {
        let failure = Failure {
            prefix: at.prefix.to_owned(),
            after: 0,
            times,
            stored,
        };
        if at.in_head {
            self.head.fail(failure)
        } else {
            self.data.fail(failure)
        }
    }

    fn clear(&self) {
        self.data.clear();
        self.head.clear();
    }

    fn check(&self, size: u64) {
        let report =
            fsck_stores(&*self.data, &*self.head, &[], &mut |_| {}).expect("everything holds");
        assert_eq!(report.tree_size, size);
        assert!(!report.unfinished);
    }
}

/// Appends `entries` in one batch.
async fn batch(gate: &Gate, log: &Log, entries: Vec<Entry>) -> Vec<Result<Appended, AppendError>> {
    gate.set(true);
    let tasks: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            let log = log.clone();
            tokio::spawn(async move { log.append(entry).await })
        })
        .collect();
    // The first of them may be alone in its batch; the rest then follows in a second one. Both are
    // held, so all have been queued when the gate opens.
    while log.queued() < tasks.len() {
        tokio::task::yield_now().await;
    }
    gate.set(false);
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no panic"));
    }
    answers
}

#[derive(Debug)]
struct Stage {
    prefix: &'static str,
    in_head: bool,
    /// Whether a failure here comes after the new tree was signed and locked.
    signed: bool,
}

const STAGES: [Stage; 6] = [
    Stage {
        prefix: "staging",
        in_head: false,
        signed: false,
    },
    Stage {
        prefix: "record",
        in_head: true,
        signed: false,
    },
    Stage {
        prefix: "tree/tile/entries",
        in_head: false,
        signed: true,
    },
    Stage {
        prefix: "tree/tile/0",
        in_head: false,
        signed: true,
    },
    Stage {
        prefix: "extra",
        in_head: false,
        signed: true,
    },
    Stage {
        prefix: "tree/checkpoint",
        in_head: false,
        signed: true,
    },
];

async fn filled(stores: &Stores) -> Log {
    let log = stores.open();
    world::append_all(&log, 0..254).await;
    log
}

#[tokio::test]
async fn a_failed_step_never_leaves_a_gap_and_a_retry_finds_what_was_signed() {
    for stage in &STAGES {
        for stored in [false, true] {
            for reopen in [false, true] {
                let stores = Stores::new();
                let mut log = filled(&stores).await;
                stores.fail(stage, stored, 1);
                let what = format!("{stage:?}, stored: {stored}, reopen: {reopen}");
                let failed = log.append(entry(254)).await;
                assert_eq!(failed, Err(AppendError::Storage), "{what}");
                assert_eq!(
                    log.head().tree_size,
                    254,
                    "readers see only what is published"
                );
                stores.clear();
                if reopen {
                    drop(log);
                    log = stores.open();
                }
                let is_signed = stage.signed || (stage.in_head && stored);
                let other = log
                    .append(entry(1000))
                    .await
                    .expect("the log has recovered");
                assert_eq!(
                    other.leaf_index,
                    if is_signed { 255 } else { 254 },
                    "{what}"
                );
                let again = log.append(entry(254)).await.expect("appended or found");
                assert_eq!(again.duplicate, is_signed, "{what}");
                assert_eq!(
                    again.leaf_index,
                    if is_signed { 254 } else { 255 },
                    "{what}"
                );
                // Over the edge of the tile.
                world::append_all(&log, 2000..2004).await;
                assert_eq!(log.head().tree_size, 260, "{what}");
                assert_eq!(stores.fatal.load(Ordering::SeqCst), 0, "{what}");
                drop(log);
                stores.check(260);
            }
        }
    }
}

#[tokio::test]
async fn a_failed_batch_over_the_edge_of_a_tile_recovers() {
    for stage in &STAGES {
        for stored in [false, true] {
            let stores = Stores::new();
            let log = filled(&stores).await;
            // One entry alone, then five in one batch from 255 to 260, which fails.
            let first = log.append(entry(254)).await.expect("appended");
            assert_eq!(first.leaf_index, 254);
            stores.fail(stage, stored, 1);
            let entries: Vec<_> = (300..305).map(entry).collect();
            let answers = batch(&stores.gate, &log, entries.clone()).await;
            assert!(answers.iter().any(Result::is_err), "{stage:?}");
            stores.clear();
            let mut indices = Vec::new();
            for entry in entries {
                indices.push(
                    log.append(entry)
                        .await
                        .expect("appended or found")
                        .leaf_index,
                );
            }
            indices.sort_unstable();
            assert_eq!(
                indices,
                [255, 256, 257, 258, 259],
                "{stage:?}, stored: {stored}"
            );
            drop(log);
            stores.check(260);
        }
    }
}

#[tokio::test]
async fn the_same_batch_staged_twice_is_one_batch() {
    for reopen in [false, true] {
        let stores = Stores::new();
        let mut log = filled(&stores).await;
        for stored in [false, false, true] {
            stores.fail(&STAGES[1], stored, 1);
            assert_eq!(log.append(entry(254)).await, Err(AppendError::Storage));
            stores.clear();
            if reopen {
                drop(log);
                log = stores.open();
            }
        }
        let found = log
            .append(entry(254))
            .await
            .expect("it was stored the third time");
        assert_eq!((found.leaf_index, found.duplicate), (254, true));
        drop(log);
        stores.check(255);
    }
}

#[tokio::test]
async fn a_log_whose_reload_fails_stays_read_only_until_one_succeeds() {
    let stores = Stores::new();
    let log = filled(&stores).await;
    // The tiles fail, and then every attempt to finish them.
    stores.fail(&STAGES[3], false, 4);
    for number in 254..258 {
        assert_eq!(log.append(entry(number)).await, Err(AppendError::Storage));
        assert_eq!(log.trouble(), Some(AppendError::Storage));
        assert_eq!(log.leaf(7).expect("reads go on").0, entry(7).leaf);
        let known = log.append(entry(7)).await.expect("what is there is found");
        assert!(known.duplicate);
    }
    let appended = log.append(entry(300)).await.expect("the reload succeeds");
    assert_eq!(
        appended.leaf_index, 255,
        "only the first of the failed entries was signed"
    );
    assert_eq!(log.trouble(), None);
    assert_eq!(log.leaf(254).expect("finished").0, entry(254).leaf);
    drop(log);
    stores.check(256);
}

#[tokio::test]
async fn a_failed_read_while_reloading_is_no_empty_log() {
    let world = World::new();
    let data = Arc::new(Troubled::new(Arc::new(MemoryBlobs::default())));
    let head = Arc::new(Troubled::new(Arc::new(MemoryBlobs::default())));
    let (signer, clock) = (world.signer(), world.clock.clone());
    let log = Log::open(LogConfig::over(data.clone(), head.clone(), signer, clock));
    let log = log.expect("opens");
    world::append_all(&log, 0..300).await;
    let write = Trouble {
        prefix: "tree/checkpoint",
        errno: 11,
        reads: false,
    };
    data.set(Some(write));
    assert_eq!(log.append(entry(300)).await, Err(AppendError::Storage));
    for prefix in ["tree/checkpoint", "tree/tile/0", "extra", "staging"] {
        data.set(Some(Trouble {
            prefix,
            errno: 11,
            reads: true,
        }));
        assert_eq!(
            log.append(entry(301)).await,
            Err(AppendError::Storage),
            "{prefix}"
        );
    }
    data.set(None);
    head.set(Some(Trouble {
        prefix: "record",
        errno: 11,
        reads: true,
    }));
    assert_eq!(log.append(entry(301)).await, Err(AppendError::Storage));
    head.set(None);
    assert_eq!(
        log.append(entry(301)).await.expect("recovered").leaf_index,
        301
    );
    fsck_stores(&*data, &*head, &[], &mut |_| {}).expect("everything holds");
}

#[tokio::test]
async fn an_io_error_of_the_device_stops_the_log() {
    for (prefix, in_head) in [
        ("staging", false),
        ("record", true),
        ("tree/tile/0", false),
        ("tree/checkpoint", false),
    ] {
        let world = World::new();
        let data = Arc::new(Troubled::new(Arc::new(MemoryBlobs::default())));
        let head = Arc::new(Troubled::new(Arc::new(MemoryBlobs::default())));
        let causes: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = Arc::clone(&causes);
        let mut config = LogConfig::over(
            data.clone(),
            head.clone(),
            world.signer(),
            world.clock.clone(),
        );
        config.fatal = Fatal::new(move |cause| told.lock().expect("alive").push(cause.to_owned()));
        let log = Log::open(config.clone()).expect("opens");
        world::append_all(&log, 0..3).await;
        let store = if in_head { &head } else { &data };
        store.set(Some(Trouble {
            prefix,
            errno: EIO,
            reads: false,
        }));
        assert_eq!(log.append(entry(3)).await, Err(AppendError::Stopped));
        store.set(None);
        assert_eq!(
            log.append(entry(4)).await,
            Err(AppendError::Stopped),
            "no second attempt"
        );
        assert_eq!(log.leaf(0).expect("reads go on").0, entry(0).leaf);
        assert_eq!(causes.lock().expect("alive").len(), 1, "{prefix}");
        drop(log);
        let log = Log::open(config).expect("a restart recovers from the last signed tree");
        log.append(entry(5)).await.expect("appends again");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_heals() {
    for (prefix, in_head) in [
        ("staging", false),
        ("record", true),
        ("tree/tile/0", false),
        ("extra", false),
        ("tree/checkpoint", false),
    ] {
        let world = World::new();
        let data = Arc::new(Troubled::new(Arc::new(MemoryBlobs::default())));
        let head = Arc::new(Troubled::new(Arc::new(MemoryBlobs::default())));
        let config = LogConfig::over(
            data.clone(),
            head.clone(),
            world.signer(),
            world.clock.clone(),
        );
        let log = Log::open(config).expect("opens");
        world::append_all(&log, 0..300).await;
        let store = if in_head { &head } else { &data };
        store.set(Some(Trouble {
            prefix,
            errno: ENOSPC,
            reads: false,
        }));
        for number in 300..303 {
            assert_eq!(
                log.append(entry(number)).await,
                Err(AppendError::NoSpace),
                "{prefix}"
            );
            assert_eq!(log.trouble(), Some(AppendError::NoSpace));
            assert_eq!(log.leaf(1).expect("reads go on").0, entry(1).leaf);
        }
        store.set(None);
        log.append(entry(400)).await.expect("writes resume");
        assert_eq!(log.trouble(), None);
        drop(log);
        fsck_stores(&*data, &*head, &[], &mut |_| {}).expect("everything holds");
    }
}

#[tokio::test]
async fn nothing_is_begun_when_there_is_little_space() {
    let world = World::new();
    let free = Arc::new(AtomicUsize::new(usize::MAX));
    let mut config = world.config();
    let left = Arc::clone(&free);
    config.free_bytes = FreeBytes::new(move || Some(left.load(Ordering::SeqCst) as u64));
    let log = Log::open(config).expect("opens");
    log.append(entry(0)).await.expect("appended");
    free.store(1 << 20, Ordering::SeqCst);
    assert_eq!(log.append(entry(1)).await, Err(AppendError::NoSpace));
    assert_eq!(log.leaf(0).expect("reads go on").0, entry(0).leaf);
    free.store(usize::MAX, Ordering::SeqCst);
    log.append(entry(1)).await.expect("writes resume");
}

#[tokio::test]
async fn a_tile_that_is_another_than_it_was_stops_the_log() {
    let stores = Stores::new();
    let log = stores.open();
    log.append(entry(0)).await.expect("appended");
    stores
        .data
        .put("tree/tile/0/000.p/2", &[0; 64])
        .expect("a stranger writes a tile");
    assert_eq!(log.append(entry(1)).await, Err(AppendError::Stopped));
    assert_eq!(stores.fatal.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_second_writer_on_the_lock_record_stops_the_log() {
    let stores = Stores::new();
    let (one, two) = (stores.open(), stores.open());
    one.append(entry(0)).await.expect("appended");
    assert_eq!(two.append(entry(1)).await, Err(AppendError::Stopped));
    assert_eq!(stores.fatal.load(Ordering::SeqCst), 1);
    drop((one, two));
    stores.check(1);
}

#[tokio::test]
async fn a_published_checkpoint_that_a_power_cut_takes_back_is_published_again() {
    let stores = Stores::new();
    let log = stores.open();
    world::append_all(&log, 0..300).await;
    let old = stores
        .data
        .get("tree/checkpoint")
        .expect("readable")
        .expect("there");
    log.append(entry(300)).await.expect("appended");
    let head = log.append(entry(301)).await.expect("appended").head;
    drop(log);
    // Two batches back, and the next one was being staged.
    for staging in [false, true] {
        stores.data.put("tree/checkpoint", &old).expect("written");
        if staging {
            stores
                .data
                .put("staging", b"half of a bundle")
                .expect("written");
        }
        let report = fsck_stores(&*stores.data, &*stores.head, &[], &mut |_| {});
        assert!(report.is_err() || report.is_ok_and(|report| report.unfinished));
        let log = stores.open();
        assert_eq!(log.head(), head);
        drop(log);
        stores.check(302);
    }
}

#[tokio::test]
async fn a_full_queue_refuses_and_forgets() {
    let stores = Stores::new();
    let mut config = stores.config();
    config.queue_max = 4;
    let log = Log::open(config).expect("opens");
    stores.gate.set(true);
    let mut tasks = Vec::new();
    let mut refused = 0;
    for number in 0..20 {
        let mut append = Box::pin({
            let log = log.clone();
            async move { log.append(entry(number)).await }
        });
        match futures::poll!(append.as_mut()) {
            std::task::Poll::Ready(answer) => {
                assert_eq!(answer, Err(AppendError::QueueFull));
                refused += 1;
            }
            std::task::Poll::Pending => tasks.push(append),
        }
    }
    assert!(
        refused >= 20 - 5,
        "four wait and at most one is being written: {refused}"
    );
    stores.gate.set(false);
    for append in tasks {
        append.await.expect("what was taken is appended");
    }
    let size = log.head().tree_size;
    assert_eq!(size, 20 - refused);
    drop(log);
    stores.check(size);
}
