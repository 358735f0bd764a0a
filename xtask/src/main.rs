//! Repository chores: `cargo xtask tidy` checks the house rules, `cargo xtask bench` measures.

mod bench;
mod layers;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check layers, module docs, sizes, READMEs and ADRs
    Tidy,
    /// Measure the release build and print ratios to its aims and to peers
    Bench {
        /// What to measure: start, sign, log, ca, registry, admission
        #[arg(default_values_t = [String::from("start"), String::from("sign")])]
        what: Vec<String>,
        /// Entries of the large log that `log` makes
        #[arg(long, default_value_t = 1_000_000)]
        entries: usize,
    },
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program"
)]
fn main() -> ExitCode {
    let root = root();
    let outcome = match Arguments::parse().chore {
        Chore::Tidy => tidy::check(&root).and_then(|problems| match problems.as_slice() {
            [] => {
                println!("tidy");
                Ok(())
            }
            _ => anyhow::bail!("{}", problems.join("\n")),
        }),
        Chore::Bench { what, entries } => bench::run(&root, &what, entries),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository: the folder above this package.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask/ is in the repository")
        .to_owned()
}
