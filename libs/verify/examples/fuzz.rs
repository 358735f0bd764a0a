//! Runs one of the fuzz targets for as long as one likes:
//! `cargo run --release -p verify --example fuzz -- TARGET SECONDS SEED`.

#![expect(clippy::print_stdout, reason = "a report is what this prints")]

#[path = "../tests/fuzz/mutate.rs"]
mod mutate;
#[path = "../tests/fuzz/seeds.rs"]
mod seeds;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "../tests/fuzz/targets.rs"]
mod targets;

use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::TARGETS;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, seconds, seed] = arguments.as_slice() else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        println!("TARGET SECONDS SEED; targets: {}", names.join(", "));
        return;
    };
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.expect("a target of that name");
    let limit = Duration::from_secs(seconds.parse().expect("a number of seconds"));
    let mut mutator = Mutator::new(seed.parse().expect("a number"), (target.seeds)());
    let (started, mut inputs) = (Instant::now(), 0_u64);
    while started.elapsed() < limit {
        let input = mutator.next_input();
        let run = std::panic::catch_unwind(|| (target.run)(&input));
        inputs += 1;
        if run.is_err() {
            println!("input {inputs}: {}", String::from_utf8_lossy(&input));
            return;
        }
    }
    println!("{name}: {inputs} inputs, none failed");
}
