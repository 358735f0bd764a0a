//! A process that is killed while it appends: RELIABILITY A4. This target has no harness, since it runs
//! itself as the process that is killed.

#![expect(
    clippy::print_stdout,
    reason = "a target without a harness says itself how it went"
)]

mod world;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use note::{Checkpoint, SignedNote};
use runtime::Clock;
use sequencer::{Entry, Log, LogConfig, NoteSigner, fsck};
use world::{ORIGIN, World, signer};

const CYCLES: u32 = 30;

/// Appenders at the same time.
const APPENDERS: u32 = 48;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, role, dir, key, cycle] if role == "append" => append(dir, key, cycle),
        [_, role, dir, key, lines] if role == "check" => check_lines(dir, key, lines),
        _ => every_acknowledged_entry_survives_a_kill(),
    }
}

fn leaf(cycle: &str, number: u32) -> String {
    // Lengths from a few bytes to some kilobytes.
    format!(
        "{cycle}/{number}/{}",
        "x".repeat((number as usize * 131) % 3000)
    )
}

/// The process that is killed: appends without end and prints what was acknowledged.
fn append(dir: &str, key: &str, cycle: &str) {
    let pem = std::fs::read_to_string(key).expect("the key");
    let signer = NoteSigner::new(ORIGIN.to_owned(), signer(ORIGIN, &pem));
    let config = LogConfig::in_dir(Path::new(dir), Arc::new(signer), Clock::system());
    let log = Log::open(config.expect("the directory is free")).expect("opens without help");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build();
    runtime.expect("threads").block_on(async {
        let mut tasks = Vec::new();
        for appender in 0..APPENDERS {
            let (log, cycle) = (log.clone(), cycle.to_owned());
            tasks.push(tokio::spawn(async move {
                for number in (appender..).step_by(APPENDERS as usize) {
                    let leaf = leaf(&cycle, number).into_bytes();
                    let appended = log.append(Entry::new(leaf)).await.expect("appended");
                    let checkpoint = hex::encode(appended.head.checkpoint.as_bytes());
                    let index = appended.leaf_index;
                    let line = format!("{cycle} {number} {index} {checkpoint}\n");
                    // A single write of less than a pipe's buffer is not torn.
                    std::io::stdout()
                        .write_all(line.as_bytes())
                        .expect("the parent reads");
                }
            }));
        }
        for task in tasks {
            task.await.expect("appends until it is killed");
        }
    });
}

/// Looks in the log for everything that the lines of an earlier process acknowledged. This is how
/// scripts/power-cut judges.
fn check_lines(dir: &str, key: &str, lines: &str) {
    let world = World {
        key: std::fs::read_to_string(key).expect("the key"),
        ..World::new()
    };
    let mut promised = Promised::default();
    let lines = std::fs::read_to_string(lines).expect("the lines");
    // What comes after the last line feed was still being written.
    let whole = lines.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .split('\n')
        .for_each(|line| promised.add(&world, line));
    check(&world, Path::new(dir), &promised);
    let report = fsck(Path::new(dir), &[], &mut |_| {}).expect("everything holds");
    println!(
        "{} acknowledged, {} in the log",
        promised.entries.len(),
        report.tree_size
    );
}

/// What a process that is gone has acknowledged.
#[derive(Default)]
struct Promised {
    /// Cycle and number by index.
    entries: BTreeMap<u64, (String, u32)>,
    /// The largest checkpoint.
    last: Option<Checkpoint>,
}

impl Promised {
    fn add(&mut self, world: &World, line: &str) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [cycle, number, index, checkpoint] = fields.as_slice() else {
            return;
        };
        let entry = ((*cycle).to_owned(), number.parse().expect("a number"));
        let index = index.parse().expect("a number");
        assert!(
            self.entries.insert(index, entry).is_none(),
            "index {index} twice"
        );
        let note = String::from_utf8(hex::decode(checkpoint).expect("hex")).expect("text");
        let seen = world.verify(&note);
        if self
            .last
            .as_ref()
            .is_none_or(|last| last.tree_size < seen.tree_size)
        {
            self.last = Some(seen);
        }
    }
}

fn every_acknowledged_entry_survives_a_kill() {
    let world = World::new();
    let dir = world.dir().join("log");
    let key = world.dir().join("key.pem");
    runtime::files::replace(&key, world.key.as_bytes()).expect("written");
    let mut promised = Promised::default();
    // Where to strike is a fixed sequence: what happens at each point is up to the machine.
    let mut seed = 0x9e37_79b9_u32;
    for cycle in 0..CYCLES {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let strike = 1 + seed as usize % 400;
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg("append")
            .args([&dir, &key])
            .arg(cycle.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("runs itself");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = 0;
        for line in output.split(b'\n') {
            let line = String::from_utf8(line.expect("readable")).expect("text");
            promised.add(&world, &line);
            lines += 1;
            if lines == strike {
                child.kill().expect("running");
            }
        }
        child.wait().expect("it was started");
        check(&world, &dir, &promised);
    }
    let report = fsck(&dir, &[], &mut |_| {}).expect("everything holds");
    println!(
        "test every_acknowledged_entry_survives_a_kill ... ok ({CYCLES} cycles, {} acknowledged, {} in \
         the log)",
        promised.entries.len(),
        report.tree_size
    );
}

/// Opens the log without a manual step and looks for everything that was promised.
fn check(world: &World, dir: &Path, promised: &Promised) {
    let config = LogConfig::in_dir(dir, world.signer(), world.clock.clone()).expect("free");
    let log = Log::open(config).expect("opens without help");
    let head = log.head();
    if let Some(last) = &promised.last {
        assert!(
            head.tree_size >= last.tree_size,
            "{} < {}",
            head.tree_size,
            last.tree_size
        );
        let proof = log
            .consistency_proof(last.tree_size, head.tree_size)
            .expect("in order");
        merkle::verify_consistency(
            last.tree_size,
            head.tree_size,
            &last.root_hash,
            &head.root_hash,
            &proof,
        )
        .expect("the tree only grew");
    }
    let mut all = Vec::new();
    while (all.len() as u64) < head.tree_size {
        all.extend(log.leaves(all.len() as u64, 256).expect("readable"));
    }
    for (index, (cycle, number)) in &promised.entries {
        let found = &all
            .get(*index as usize)
            .expect("acknowledged, so it is there")
            .0;
        assert_eq!(found, leaf(cycle, *number).as_bytes());
    }
    let distinct: BTreeSet<_> = all.iter().map(|(leaf, _)| leaf).collect();
    assert_eq!(distinct.len(), all.len(), "an entry twice");
    let note = SignedNote::parse(head.checkpoint.as_bytes()).expect("a note");
    assert_eq!(
        Checkpoint::parse(&note.text)
            .expect("a checkpoint")
            .root_hash,
        head.root_hash
    );
}
