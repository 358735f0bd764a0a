//! Load on the engine alone, without a protocol: appends per second, latency, size, restart. The figures
//! of a whole service are `cargo xtask bench`'s.
//!
//! `cargo bench -p sequencer --bench load -- [--dir DIR] [--total N] [--leaf BYTES] [--extra BYTES]`

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crypto::{KeyKind, SigningKey};
use note::{Scheme, Signer};
use runtime::Clock;
use sequencer::{Entry, Log, LogConfig, NoteSigner};

const ORIGIN: &str = "bench.lab.invalid";

struct Options {
    dir: Option<PathBuf>,
    total: u64,
    leaf_bytes: usize,
    extra_bytes: usize,
    keyed: bool,
}

fn options() -> Options {
    let mut options = Options {
        dir: None,
        total: 200_000,
        leaf_bytes: 600,
        extra_bytes: 16,
        keyed: false,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().expect("a value");
        match argument.as_str() {
            "--dir" => options.dir = Some(value().into()),
            "--total" => options.total = value().parse().expect("a number"),
            "--leaf" => options.leaf_bytes = value().parse().expect("a number"),
            "--extra" => options.extra_bytes = value().parse().expect("a number"),
            "--keyed" => options.keyed = true,
            // Cargo's own.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    options
}

fn main() {
    let options = options();
    let temp = tempfile::TempDir::new().expect("a temporary directory");
    let dir = options
        .dir
        .clone()
        .unwrap_or_else(|| temp.path().to_owned());
    let key = SigningKey::generate(KeyKind::EcdsaP256)
        .expect("randomness")
        .to_pkcs8_pem();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build();
    let runtime = runtime.expect("threads");
    let log = open(&dir, &key);
    let next = Arc::new(AtomicU64::new(log.head().tree_size));
    for (appenders, count) in [(1, 2_000), (32, 20_000), (256, 50_000), (2_000, 50_000)] {
        runtime.block_on(round(&log, &options, &next, appenders, count));
    }
    while next.load(Ordering::SeqCst) < options.total {
        let count = 100_000.min(options.total - next.load(Ordering::SeqCst));
        runtime.block_on(round(&log, &options, &next, 256, count));
        println!("  resident {} MiB", resident_mebibytes());
    }
    proofs(&log);
    let size = log.head().tree_size;
    drop(log);
    let bytes = disk_bytes(&dir);
    println!(
        "on disk {} bytes per entry, {} MiB",
        bytes / size,
        bytes >> 20
    );
    let started = Instant::now();
    let log = open(&dir, &key);
    println!(
        "restart at {size} entries {:.0} ms",
        started.elapsed().as_secs_f64() * 1000.0
    );
    println!("resident {} MiB", resident_mebibytes());
    drop(log);
    let started = Instant::now();
    let report = sequencer::fsck(&dir, &[], &mut |_| {}).expect("everything holds");
    println!(
        "fsck of {} files {:.1} s",
        report.files,
        started.elapsed().as_secs_f64()
    );
}

fn open(dir: &Path, key: &str) -> Log {
    let key = SigningKey::from_pem(key, None).expect("a key");
    let signer = Signer::new(ORIGIN, Scheme::Note, key).expect("a name");
    let signer = Arc::new(NoteSigner::new(ORIGIN.to_owned(), signer));
    let config = LogConfig::in_dir(dir, signer, Clock::system()).expect("free");
    Log::open(config).expect("opens")
}

async fn round(log: &Log, options: &Options, next: &Arc<AtomicU64>, appenders: u64, count: u64) {
    let started = Instant::now();
    let last = next.load(Ordering::SeqCst) + count;
    let mut tasks = Vec::new();
    for _ in 0..appenders {
        let (log, next) = (log.clone(), Arc::clone(next));
        let (leaf_bytes, extra_bytes) = (options.leaf_bytes, options.extra_bytes);
        let keyed = options.keyed;
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= last {
                    return times;
                }
                let mut leaf = vec![b'x'; leaf_bytes];
                leaf[..8].copy_from_slice(&number.to_be_bytes());
                let dedup_key = keyed.then(|| crypto::sha256(&leaf));
                let entry = Entry {
                    leaf,
                    extra: vec![b'e'; extra_bytes],
                    dedup_key,
                };
                let started = Instant::now();
                log.append(entry).await.expect("appended");
                times.push(started.elapsed());
            }
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("no panic"));
    }
    next.store(last, Ordering::SeqCst);
    times.sort_unstable();
    let at = |share: f64| millis(times[((times.len() - 1) as f64 * share) as usize]);
    println!(
        "{appenders:5} appenders {:8.0}/s  p50 {:.2} ms  p99 {:.2} ms",
        times.len() as f64 / started.elapsed().as_secs_f64(),
        at(0.5),
        at(0.99),
    );
}

fn proofs(log: &Log) {
    let size = log.head().tree_size;
    let started = Instant::now();
    let count = 20_000;
    let mut index = 1_u64;
    for _ in 0..count {
        // A full-period walk over the tree in no order.
        index = index
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1)
            % size;
        log.inclusion_proof(index, size).expect("in the tree");
        index = (index + 7_919) % size;
    }
    println!(
        "{:.0} proofs/s on one thread",
        f64::from(count) / started.elapsed().as_secs_f64()
    );
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn resident_mebibytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("always there");
    let kibibytes: u64 = line
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("one");
    kibibytes / 1024
}

fn disk_bytes(dir: &Path) -> u64 {
    let mut bytes = 0;
    for item in fs::read_dir(dir).expect("a directory") {
        let item = item.expect("readable");
        let metadata = item.metadata().expect("readable");
        bytes += if metadata.is_dir() {
            disk_bytes(&item.path())
        } else {
            std::os::unix::fs::MetadataExt::blocks(&metadata) * 512
        };
    }
    bytes
}
