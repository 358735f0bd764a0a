//! How long a lab takes to be there: in one process, and as containers to the first verified signature.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{path::Path, process::Command, time::Duration};

use anyhow::Context as _;

use super::{
    median,
    process::{Lab, Work, peer},
    row,
};

/// What mock servers of the kind of `@sigstore/mock-server` are published to need, which have no real
/// tree, one key for all and clients of one language: milliseconds at best and at worst, MiB.
const MOCKS: (f64, f64, f64) = (700.0, 1100.0, 89.0);

/// Milliseconds in which containers should have a first verified signature.
const COMPOSE_AIM: f64 = 5000.0;

/// Measures both, beside their aims and what peers are published to need.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    one_process(root)?;
    containers(root)
}

/// From the start of the process to everything ready: with nothing on disk, and with keys present.
fn one_process(root: &Path) -> anyhow::Result<()> {
    let work = Work::new("start")?;
    let first = Lab::start(root, &work, &[])?;
    let first_millis = first.millis;
    row("first start to ready", first_millis, 500.0, "ms");
    drop(first);
    let mut again: Vec<f64> = Vec::new();
    let mut resident = 0.0;
    for _ in 0..5 {
        let lab = Lab::start(root, &work, &[])?;
        again.push(lab.millis);
        std::thread::sleep(Duration::from_millis(500));
        resident = lab.process.resident_mebibytes()?;
    }
    let again = median(&mut again);
    row("start with keys to ready", again, 100.0, "ms");
    row("resident when idle", resident, 64.0, "MiB");
    let (best, worst, mebibytes) = MOCKS;
    println!("published for mock servers: start {best} to {worst} ms, {mebibytes} MiB");
    row("first start, to a mock's best", first_millis, best, "ms");
    row("start with keys, to a mock's best", again, best, "ms");
    row("resident, to a mock's", resident, mebibytes, "MiB");
    Ok(())
}

/// The compose test's own clock, from `up` with nothing there to cosign's first verified signature; the
/// fastest of its rounds.
fn containers(root: &Path) -> anyhow::Result<()> {
    for program in ["docker", "dockerd", "docker-compose", "unshare"] {
        if peer(program).is_none() {
            return Ok(());
        }
    }
    println!("containers: built and started by scripts/compose-test, which takes minutes");
    let output = Command::new(root.join("scripts/compose-test"))
        .arg("start")
        .output()
        .context("scripts/compose-test does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        println!("containers: not measured\n{text}{error}");
        return Ok(());
    }
    let figures: Vec<_> = text.lines().filter_map(figures).collect();
    let fastest = figures
        .iter()
        .min_by(|one, other| one.1.total_cmp(&other.1));
    let (ready, signed) = fastest.context("scripts/compose-test measured nothing")?;
    row("containers: up to ready", *ready, COMPOSE_AIM, "ms");
    row(
        "containers: to a verified signature",
        *signed,
        COMPOSE_AIM,
        "ms",
    );
    Ok(())
}

/// `NAME: ready after 1.2 s, first verified signature after 3.4 s`, both in milliseconds.
fn figures(line: &str) -> Option<(f64, f64)> {
    let (_, rest) = line.split_once(": ready after ")?;
    let (ready, rest) = rest.split_once(" s, first verified signature after ")?;
    let signed = rest.strip_suffix(" s")?;
    let millis = |text: &str| text.parse::<f64>().ok().map(|seconds| seconds * 1000.0);
    Some((millis(ready)?, millis(signed)?))
}

#[cfg(test)]
mod tests {
    use super::figures;

    #[test]
    fn the_compose_tests_line_is_read() {
        let line = "       lab: ready after 1.5 s, first verified signature after 3.25 s";
        assert_eq!(figures(line), Some((1500.0, 3250.0)));
        assert_eq!(figures("ok    lab: the program finds itself healthy"), None);
    }
}
