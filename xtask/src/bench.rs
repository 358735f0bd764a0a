//! Measurements of the release build, printed beside their aims; never asserted: machines are noisy.

#![expect(clippy::print_stdout, reason = "figures are what this prints")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// How long a start may take before the measurement gives up.
const START_MAX: Duration = Duration::from_secs(60);

/// Builds the release binary and takes the measurements named in `what`.
pub(crate) fn run(root: &Path, what: &[String]) -> anyhow::Result<()> {
    let cargo = Command::new("cargo")
        .args(["build", "--release", "--package", "cli"])
        .current_dir(root)
        .status()
        .context("cargo does not start")?;
    anyhow::ensure!(cargo.success(), "the release build failed");
    for name in what {
        match name.as_str() {
            "start" => start(root)?,
            "sign" => sign(root)?,
            other => bail!("no benchmark {other}; there are: start, sign"),
        }
    }
    Ok(())
}

/// From the start of the process to everything ready: with nothing on disk, and with keys present.
fn start(root: &Path) -> anyhow::Result<()> {
    let work = Work::new()?;
    let first = Lab::start(root, &work.0)?;
    row("first start to ready", first.millis, 500.0, "ms");
    drop(first);
    let mut again: Vec<f64> = Vec::new();
    let mut resident = 0.0;
    for _ in 0..5 {
        let lab = Lab::start(root, &work.0)?;
        again.push(lab.millis);
        std::thread::sleep(Duration::from_millis(500));
        resident = lab.resident_mebibytes()?;
    }
    row("start with keys to ready", median(&mut again), 100.0, "ms");
    row("resident when idle", resident, 64.0, "MiB");
    Ok(())
}

/// One keyless signature through every service, over loopback.
fn sign(root: &Path) -> anyhow::Result<()> {
    let work = Work::new()?;
    let lab = Lab::start(root, &work.0)?;
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
    println!(
        "{name:<28} {value:>9.1} {unit:<4} aim {aim:>7.1} {unit:<4} {:>6.2}x",
        aim / value
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn binary(root: &Path) -> std::path::PathBuf {
    root.join("target/release/siglab")
}

/// A directory that goes away again.
struct Work(std::path::PathBuf);

impl Work {
    fn new() -> anyhow::Result<Self> {
        let name = format!("siglab-bench-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running `siglab up` on free ports.
struct Lab {
    child: Child,
    admin: String,
    millis: f64,
}

impl Lab {
    fn start(root: &Path, work: &Path) -> anyhow::Result<Self> {
        let ready = work.join("ready.json");
        if ready.exists() {
            fs::remove_file(&ready)?;
        }
        let started = Instant::now();
        let child = Command::new(binary(root))
            .args(["up", "--port", "0", "--data-dir"])
            .arg(work.join("data"))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .spawn()
            .context("siglab does not start")?;
        let mut lab = Self {
            child,
            admin: String::new(),
            millis: 0.0,
        };
        while !ready.exists() {
            anyhow::ensure!(
                started.elapsed() < START_MAX,
                "siglab is not ready in a minute"
            );
            std::thread::sleep(Duration::from_micros(500));
        }
        lab.millis = started.elapsed().as_secs_f64() * 1000.0;
        let ready: Value = serde_json::from_slice(&fs::read(&ready)?)?;
        lab.admin = ready["admin_url"]
            .as_str()
            .context("no admin_url")?
            .to_owned();
        Ok(lab)
    }

    fn resident_mebibytes(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: f64 = line
            .context("no VmRSS")?
            .trim()
            .trim_end_matches(" kB")
            .trim()
            .parse()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // SIGTERM, so that the next start finds a directory that was given up.
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}
