//! Programs that are measured: our own on free ports, peers from the PATH.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::Value;

/// How long a start may take before the measurement gives up.
const START_MAX: Duration = Duration::from_secs(120);

/// A directory that goes away again.
pub(crate) struct Work(pub(crate) PathBuf);

impl Work {
    pub(crate) fn new(name: &str) -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("siglab-bench-{name}-{}", std::process::id()));
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    /// Bytes of all files below a folder.
    pub(crate) fn bytes(&self, folder: &str) -> anyhow::Result<u64> {
        let mut total = 0;
        let mut folders = vec![self.0.join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let kind = entry.metadata()?;
                if kind.is_dir() {
                    folders.push(entry.path());
                } else {
                    total += kind.len();
                }
            }
        }
        Ok(total)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A program that ends with this value.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program without output.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{command:?} does not start"))?;
        Ok(Self(child))
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mebibytes(&self) -> anyhow::Result<f64> {
        self.mebibytes("VmRSS:")
    }

    /// The most that it ever was.
    pub(crate) fn peak_mebibytes(&self) -> anyhow::Result<f64> {
        self.mebibytes("VmHWM:")
    }

    fn mebibytes(&self, name: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kibibytes: f64 = line
            .with_context(|| format!("no {name}"))?
            .trim()
            .trim_end_matches(" kB")
            .trim()
            .parse()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM first, so that a next start finds a directory that was given up.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// A running `siglab up` on free ports.
pub(crate) struct Lab {
    pub(crate) process: Running,
    pub(crate) admin: String,
    pub(crate) millis: f64,
    ready: Value,
}

impl Lab {
    /// Starts the release build over `work`, with settings overridden.
    pub(crate) fn start(root: &Path, work: &Work, set: &[&str]) -> anyhow::Result<Self> {
        let file = work.0.join("ready.json");
        if file.exists() {
            fs::remove_file(&file)?;
        }
        let mut command = Command::new(binary(root));
        command
            .args(["up", "--port", "0", "--data-dir"])
            .arg(work.0.join("data"))
            .arg("--ready-file")
            .arg(&file)
            .args(["--set", "log.filter=\"error\""]);
        for assignment in set {
            command.args(["--set", assignment]);
        }
        let started = Instant::now();
        let process = Running::start(&mut command)?;
        while !file.exists() {
            anyhow::ensure!(
                started.elapsed() < START_MAX,
                "siglab is not ready in two minutes"
            );
            std::thread::sleep(Duration::from_micros(500));
        }
        let millis = started.elapsed().as_secs_f64() * 1000.0;
        let ready: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let admin = ready["admin_url"]
            .as_str()
            .context("no admin_url")?
            .to_owned();
        Ok(Self {
            process,
            admin,
            millis,
            ready,
        })
    }

    /// URL of a listener, without a trailing slash.
    pub(crate) fn url(&self, service: &str, listener: &str) -> anyhow::Result<String> {
        let url = self.ready["urls"][service][listener].as_str();
        let url = url.with_context(|| format!("the lab has no {service} {listener}"))?;
        Ok(url.trim_end_matches('/').to_owned())
    }

    /// A file of the lab's trust.
    pub(crate) fn file(&self, name: &str) -> anyhow::Result<String> {
        let path = self.ready["files"][name].as_str();
        path.map(str::to_owned)
            .with_context(|| format!("the lab has no file {name}"))
    }
}

/// The release build.
pub(crate) fn binary(root: &Path) -> PathBuf {
    root.join("target/release/siglab")
}

/// A program on the PATH, or `None` with a line that says so.
#[expect(clippy::print_stdout, reason = "figures are what a benchmark prints")]
pub(crate) fn peer(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file());
    if found.is_none() {
        println!("peer {name}: not on the PATH, not measured");
    }
    found
}

/// A free port on loopback.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until `url` answers anything.
pub(crate) async fn answers(client: &reqwest::Client, url: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    while client.get(url).send().await.is_err() {
        anyhow::ensure!(
            started.elapsed() < START_MAX,
            "{url} does not answer in two minutes"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
