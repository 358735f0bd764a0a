//! Bounded fuzzing of everything that reads what a registry, a log or a user sends: no input ends in a
//! panic, and none that was changed says anything new.
//!
//! The seeds are the conformance suite's bundles and an instance of our own; the mutator knows JSON, base64
//! and DER. A run is bounded by a count and by a time, whichever is first, and repeats: it starts from a
//! fixed seed. `cargo run --release -p verify --example fuzz -- TARGET SECONDS SEED` goes on from others.

#[path = "../support/mod.rs"]
mod support;

mod mutate;
mod seeds;
mod targets;

use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::TARGETS;

/// Inputs to each target, at most.
const INPUTS_MAX: u64 = 3000;
/// Time for each target, at most.
const TIME_MAX: Duration = Duration::from_secs(4);

fn run(name: &str) {
    let target = TARGETS
        .iter()
        .find(|target| target.name == name)
        .expect("a target of that name");
    let started = Instant::now();
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{name} has no seeds");
    let mut mutator = Mutator::new(7, seeds.clone());
    for seed in &seeds {
        (target.run)(seed);
    }
    let mut inputs = 0;
    while inputs < INPUTS_MAX && started.elapsed() < TIME_MAX {
        (target.run)(&mutator.next_input());
        inputs += 1;
    }
    assert!(inputs > 0, "{name}: the seeds alone took {TIME_MAX:?}");
}

macro_rules! fuzz {
    ($($test:ident: $name:literal),* $(,)?) => {$(
        #[test]
        fn $test() {
            run($name);
        }
    )*};
}

fuzz! {
    no_bundle_panics_and_none_that_changed_says_anything_new: "bundle",
    no_certificate_panics_and_none_but_the_signers_verifies: "certificate",
    no_log_entry_panics: "entry",
    no_checkpoint_panics_and_none_that_changed_is_signed: "checkpoint",
    no_timestamp_panics_and_none_that_changed_says_another_time: "timestamp",
    no_trusted_root_panics: "trusted-root",
    no_legacy_signature_panics_and_none_that_changed_verifies: "legacy",
    no_expression_panics: "expression",
}

#[test]
fn every_target_has_a_test() {
    let tested = include_str!("main.rs");
    for target in TARGETS {
        assert!(
            tested.contains(&format!(": \"{}\"", target.name)),
            "{}",
            target.name
        );
    }
}

#[test]
fn mutations_repeat_and_differ() {
    let seeds = vec![b"{\"a\": [1, \"AAAA\"], \"b\": null}".to_vec()];
    let inputs = |seed| {
        let mut mutator = Mutator::new(seed, seeds.clone());
        (0..200).map(|_| mutator.next_input()).collect::<Vec<_>>()
    };
    assert_eq!(inputs(1), inputs(1));
    assert_ne!(inputs(1), inputs(2));
    let mut different = inputs(1);
    different.sort();
    different.dedup();
    assert!(different.len() > 100, "{}", different.len());
}
