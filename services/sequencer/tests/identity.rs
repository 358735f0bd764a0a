//! What a log refuses to be: another log, a copy, a fork, a younger log than it was. RELIABILITY P3,
//! P8, A9, A10 and A11.

mod world;

use std::{fs, path::Path, sync::Arc};

use crypto::{KeyKind, SigningKey};
use note::{Scheme, SignedNote, Signer};
use sequencer::{AppendError, Damage, Log, LogConfig, NoteSigner, OpenError, Watch, fsck};
use world::{ORIGIN, World, entry};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for item in fs::read_dir(from).expect("a directory") {
        let item = item.expect("readable");
        if item.file_type().expect("known").is_dir() {
            copy(&item.path(), &to.join(item.file_name()));
        } else {
            fs::copy(item.path(), to.join(item.file_name())).expect("copied");
        }
    }
}

fn restore(from: &Path, to: &Path) {
    fs::remove_dir_all(to).expect("removed");
    copy(from, to);
}

fn refusal(world: &World) -> String {
    let error = Log::open(world.config()).expect_err("it must not open");
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

/// A log of 40 entries, a copy of it, and then 1,000 more.
async fn with_old_copy() -> (World, tempfile::TempDir) {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..40).await;
    drop(log);
    let old = tempfile::tempdir().expect("a temporary directory");
    copy(world.dir(), old.path());
    let log = world.open();
    world::append_all(&log, 40..1040).await;
    (world, old)
}

#[tokio::test]
async fn old_data_under_a_kept_lock_record_is_refused() {
    let (world, old) = with_old_copy().await;
    let head = tempfile::tempdir().expect("a temporary directory");
    copy(&world.dir().join("head"), head.path());
    restore(old.path(), world.dir());
    restore(head.path(), &world.dir().join("head"));
    let line = refusal(&world);
    assert!(line.ends_with("the data is from an old copy"), "{line}");
}

#[tokio::test]
async fn an_old_lock_record_beside_new_data_is_refused() {
    let (world, old) = with_old_copy().await;
    restore(&old.path().join("head"), &world.dir().join("head"));
    let line = refusal(&world);
    assert!(
        line.ends_with("the lock record is from an old copy"),
        "{line}"
    );
    fs::remove_file(world.dir().join("head/record")).expect("removed");
    let line = refusal(&world);
    assert!(
        line.ends_with("the lock record head/record is missing"),
        "{line}"
    );
}

#[tokio::test]
async fn a_lock_record_of_a_fork_is_refused() {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..3).await;
    drop(log);
    let fork = World {
        temp: tempfile::tempdir().expect("temporary"),
        ..World::new()
    };
    let fork = World {
        key: world.key.clone(),
        ..fork
    };
    let log = fork.open();
    world::append_all(&log, 10..13).await;
    drop(log);
    restore(&fork.dir().join("head"), &world.dir().join("head"));
    let line = refusal(&world);
    assert_eq!(
        line,
        "the published tree of 3 entries has another root than the signed one"
    );
}

#[tokio::test]
async fn another_name_and_another_key_are_refused() {
    let world = World::new();
    world.open().append(entry(0)).await.expect("appended");
    let open = |origin: &str, key: SigningKey| {
        let signer = Signer::new(origin, Scheme::Note, key).expect("a name");
        let signer = Arc::new(NoteSigner::new(origin.to_owned(), signer));
        let config = LogConfig::in_dir(world.dir(), signer, world.clock.clone());
        Log::open(config.expect("free")).expect_err("refused")
    };
    let own = || SigningKey::from_pem(&world.key, None).expect("a key");
    let error = open("other.lab.invalid", own());
    assert!(matches!(error, OpenError::Origin { .. }), "{error}");
    let other = SigningKey::generate(KeyKind::Ed25519).expect("randomness");
    let error = open(ORIGIN, other);
    assert!(matches!(error, OpenError::Key { .. }), "{error}");
    drop(world.open());
}

#[tokio::test]
async fn a_second_opening_is_refused_at_once() {
    let world = World::new();
    let log = world.open();
    let error = LogConfig::in_dir(world.dir(), world.signer(), world.clock.clone());
    assert_eq!(
        error.expect_err("locked").kind(),
        std::io::ErrorKind::WouldBlock
    );
    drop(log);
    drop(world.open());
}

/// Every file of a log below its directory, the lock file left out.
fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).expect("a directory") {
            let path = item.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|name| name != "lock") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[expect(clippy::disallowed_methods, reason = "a test damages a file")]
fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let good = fs::read(path).expect("readable");
    let mut bad = good.clone();
    change(&mut bad);
    fs::write(path, &bad).expect("written");
    good
}

#[expect(clippy::disallowed_methods, reason = "a test heals a file")]
fn heal(path: &Path, good: &[u8]) {
    fs::write(path, good).expect("written");
}

#[tokio::test]
async fn a_check_names_the_file_that_is_damaged_and_no_wrong_byte_is_served() {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..600).await;
    drop(log);
    let mut seen = 0;
    for path in files(world.dir()) {
        let name = path
            .strip_prefix(world.dir())
            .expect("below")
            .display()
            .to_string();
        if name == "staging" {
            continue;
        }
        let length = fs::metadata(&path).expect("there").len() as usize;
        for change in 0..3 {
            let good = damage(&path, |bytes| match change {
                0 => bytes[length / 2] ^= 4,
                1 => bytes[length - 1] ^= 0x20,
                _ => bytes.truncate(length - 1),
            });
            let damage = fsck(world.dir(), &world.keys(), &mut |_| {}).expect_err("damaged");
            let line = damage.to_string();
            assert!(
                line.starts_with(&name) || line.contains(&name),
                "{name} {change}: {line}"
            );
            if let Ok(log) = Log::open(world.config()) {
                for number in 0..600 {
                    if let Ok((leaf, extra)) = log.leaf(number) {
                        let text = String::from_utf8(leaf.clone()).expect("not damaged");
                        let number: u32 = text["leaf ".len()..].parse().expect("not damaged");
                        assert_eq!((leaf, extra), (entry(number).leaf, entry(number).extra));
                    }
                }
            }
            heal(&path, &good);
            seen += 1;
        }
        let good = fs::read(&path).expect("readable");
        fs::remove_file(&path).expect("removed");
        assert!(
            fsck(world.dir(), &[], &mut |_| {}).is_err(),
            "{name} is missing"
        );
        heal(&path, &good);
    }
    assert!(seen > 30, "{seen}");
    let report = fsck(world.dir(), &world.keys(), &mut |_| {}).expect("healed");
    assert_eq!(report.signed_by, Some(world.signer().key_id()));
    drop(world.open());
}

#[tokio::test]
async fn a_damaged_hash_tile_or_right_edge_stops_the_start() {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..600).await;
    drop(log);
    for name in [
        "tree/tile/0/001",
        "tree/tile/0/002.p/88",
        "tree/tile/1/000.p/2",
        "tree/tile/entries/002.p/88",
        "extra/002.p/88",
        "extra/000",
        "tree/checkpoint",
        "head/record",
    ] {
        let path = world.dir().join(name);
        let good = damage(&path, |bytes| bytes[20] ^= 1);
        refusal(&world);
        heal(&path, &good);
    }
    drop(world.open());
}

#[tokio::test]
async fn an_unsigned_tail_is_dropped() {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..5).await;
    drop(log);
    // A crash while the staging bundle of a batch was written that nobody was told of.
    let staging = world.dir().join("staging");
    damage(&staging, |bytes| bytes.truncate(10));
    let log = world.open();
    assert_eq!(log.head().tree_size, 5);
    assert_eq!(log.append(entry(5)).await.expect("appended").leaf_index, 5);
}

fn timed(world: &World) -> Log {
    let key = SigningKey::from_pem(&world.key, None).expect("a key");
    let signer = Signer::new(ORIGIN, Scheme::Rfc6962, key).expect("a name");
    let signer = Arc::new(NoteSigner::timed(ORIGIN.to_owned(), signer));
    let config = LogConfig::in_dir(world.dir(), signer, world.clock.clone()).expect("free");
    Log::open(config).expect("opens")
}

#[tokio::test]
async fn no_head_is_signed_with_a_time_that_does_not_grow() {
    let key = SigningKey::generate(KeyKind::EcdsaP256)
        .expect("randomness")
        .to_pkcs8_pem();
    let world = World {
        key,
        ..World::new()
    };
    let mut log = timed(&world);
    let mut last = log.head().time;
    let mut append = async |log: &Log, number| {
        let head = log.append(entry(number)).await?.head;
        assert!(head.time > last, "{} after {last}", head.time);
        last = head.time;
        Ok::<_, AppendError>(())
    };
    append(&log, 0).await.expect("the clock stands");
    append(&log, 1).await.expect("the clock stands");
    let steps = [
        (-3600, Err(AppendError::ClockBehind)),
        (-86_400, Err(AppendError::ClockBehind)),
        (90_000, Ok(())),
        (315_360_000, Ok(())),
        (-5, Ok(())),
        (-60, Err(AppendError::ClockBehind)),
    ];
    for (number, (step, outcome)) in (100..).step_by(2).zip(steps) {
        world.clock.advance(step);
        assert_eq!(append(&log, number).await, outcome, "step {step}");
        drop(log);
        log = timed(&world);
        assert_eq!(
            append(&log, number + 1).await,
            outcome,
            "after a restart, step {step}"
        );
    }
}

#[tokio::test]
async fn an_untimed_log_never_goes_back_in_time() {
    let world = World::new();
    let log = world.open();
    let first = log.append(entry(0)).await.expect("appended").head.time;
    world.clock.advance(-86_400);
    let second = log.append(entry(1)).await.expect("appended").head.time;
    assert!(second >= first);
    drop(log);
    assert!(
        world
            .open()
            .append(entry(2))
            .await
            .expect("appended")
            .head
            .time
            >= second
    );
}

#[tokio::test]
async fn a_check_with_another_key_names_the_checkpoint() {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..3).await;
    drop(log);
    let checkpoint = || Damage::Signature {
        file: "tree/checkpoint".to_owned(),
    };
    let others = World::new().keys();
    assert_eq!(fsck(world.dir(), &others, &mut |_| {}), Err(checkpoint()));
    let path = world.dir().join("tree/checkpoint");
    let text = String::from_utf8(fs::read(&path).expect("readable")).expect("a note");
    let note = SignedNote::parse(text.as_bytes()).expect("a note");
    let forger = World::new();
    let forged = world::signer(ORIGIN, &forger.key).sign(&note.text, 0);
    heal(&path, forged.expect("signed").to_string().as_bytes());
    assert_eq!(
        fsck(world.dir(), &world.keys(), &mut |_| {}),
        Err(checkpoint())
    );
}

/// Collects what is kept beside entries.
struct Extras(Vec<(u64, Vec<u8>)>);

impl Watch for Extras {
    fn progress(&mut self, _: sequencer::Progress) {}

    fn extra(&mut self, index: u64, extra: &[u8]) {
        self.0.push((index, extra.to_vec()));
    }
}

#[tokio::test]
async fn a_check_shows_what_is_kept_beside_each_entry() {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..300).await;
    let want: Vec<_> = (0..300)
        .map(|index| (index, log.leaf(index).expect("there").1))
        .collect();
    drop(log);
    let mut seen = Extras(Vec::new());
    fsck(world.dir(), &[], &mut seen).expect("everything holds");
    assert_eq!(seen.0, want);
}
