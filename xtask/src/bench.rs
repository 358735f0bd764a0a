//! Measurements of the release build, printed beside their aims and peers; never asserted: machines are
//! noisy.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

mod admission;
mod ca;
mod load;
mod log;
mod policy_controller;
mod process;
mod registry;
mod start;
mod trillian;

use std::{path::Path, process::Command};

use anyhow::{Context as _, bail};
use serde_json::Value;

use process::{Lab, Work, binary};

/// Builds the release binary and takes the measurements named in `what`.
pub(crate) fn run(root: &Path, what: &[String], entries: usize) -> anyhow::Result<()> {
    let cargo = Command::new("cargo")
        .args(["build", "--release", "--bin", "siglab"])
        .current_dir(root)
        .status()
        .context("cargo does not start")?;
    anyhow::ensure!(cargo.success(), "the release build failed");
    let reactor = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    for name in what {
        println!("== {name}");
        match name.as_str() {
            "start" => start::run(root)?,
            "sign" => sign(root)?,
            "log" => reactor.block_on(log::run(root, entries))?,
            "ca" => reactor.block_on(ca::run(root))?,
            "registry" => reactor.block_on(registry::run(root))?,
            "admission" => reactor.block_on(admission::run(root))?,
            other => {
                bail!("no benchmark {other}; there are: start, sign, log, ca, registry, admission")
            }
        }
    }
    Ok(())
}

/// One keyless signature through every service, over loopback.
fn sign(root: &Path) -> anyhow::Result<()> {
    let work = Work::new("sign")?;
    let lab = Lab::start(root, &work, &[])?;
    let output = Command::new(binary(root))
        .args(["--lab", &lab.admin, "bench-sign", "--count", "200"])
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| figures[name].as_f64().unwrap_or(f64::NAN);
    row("keyless signature, p50", figure("p50_ms"), 25.0, "ms");
    row("keyless signature, p99", figure("p99_ms"), 25.0, "ms");
    Ok(())
}

/// One line: the figure, its aim, and the ratio between them (above 1 is better than the aim).
fn row(name: &str, value: f64, aim: f64, unit: &str) {
    let ratio = aim / value;
    println!("{name:<44} {value:>9.1} {unit:<4} aim {aim:>8.1} {unit:<4} {ratio:>6.2}x");
}

/// A rate and its aim; above 1 is better than the aim.
fn rate(name: &str, value: f64, aim: f64) {
    let ratio = value / aim;
    println!("{name:<44} {value:>9.0} /s   aim {aim:>8.0} /s   {ratio:>6.2}x");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
