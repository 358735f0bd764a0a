//! A log in a temporary directory with an own key and a clock that stands.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod faulty;

use std::{ops::Range, path::Path, sync::Arc};

use crypto::{KeyKind, PublicKey, SigningKey};
use note::{Checkpoint, Scheme, SignedNote, Signer};
use runtime::Clock;
use sequencer::{CheckpointSigner, Entry, Fatal, Log, LogConfig, NoteSigner};
use tempfile::TempDir;

pub(crate) const ORIGIN: &str = "log.lab.invalid";

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) temp: TempDir,
    pub(crate) key: String,
    pub(crate) clock: Clock,
}

impl World {
    pub(crate) fn new() -> Self {
        let key = SigningKey::generate(KeyKind::Ed25519)
            .expect("randomness")
            .to_pkcs8_pem();
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().expect("a timestamp"));
        Self {
            temp: TempDir::new().expect("a temporary directory"),
            key,
            clock,
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.temp.path()
    }

    /// The only key that signs this log.
    pub(crate) fn keys(&self) -> [PublicKey; 1] {
        [signer(ORIGIN, &self.key).verifier().public_key().clone()]
    }

    pub(crate) fn signer(&self) -> Arc<dyn CheckpointSigner> {
        Arc::new(NoteSigner::new(
            ORIGIN.to_owned(),
            signer(ORIGIN, &self.key),
        ))
    }

    pub(crate) fn config(&self) -> LogConfig {
        let config = LogConfig::in_dir(self.dir(), self.signer(), self.clock.clone());
        let mut config = config.expect("the directory is free");
        config.fatal = Fatal::new(|_| {});
        config
    }

    pub(crate) fn open(&self) -> Log {
        Log::open(self.config()).expect("the log opens")
    }

    pub(crate) fn verify(&self, note: &str) -> Checkpoint {
        let signer = signer(ORIGIN, &self.key);
        let note = SignedNote::parse(note.as_bytes()).expect("a note");
        note.verify(&[signer.verifier()])
            .expect("signed by the log");
        Checkpoint::parse(&note.text).expect("a checkpoint")
    }
}

pub(crate) fn signer(name: &str, pem: &str) -> Signer {
    let key = SigningKey::from_pem(pem, None).expect("a key");
    Signer::new(name, Scheme::Note, key).expect("a name")
}

pub(crate) fn entry(number: u32) -> Entry {
    Entry {
        leaf: format!("leaf {number}").into_bytes(),
        extra: format!("extra {number}").into_bytes(),
        dedup_key: None,
    }
}

/// Appends entries at the same time and checks that each is acknowledged as new.
pub(crate) async fn append_all(log: &Log, numbers: Range<u32>) {
    let mut tasks = Vec::new();
    for number in numbers {
        let log = log.clone();
        tasks.push(tokio::spawn(async move { log.append(entry(number)).await }));
    }
    for task in tasks {
        let appended = task.await.expect("no panic").expect("appended");
        assert!(!appended.duplicate);
    }
}
