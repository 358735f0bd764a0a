//! `siglab up` in a process of its own, on free ports.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Client, apart};

/// How long a start may take before the test fails.
const START_MAX: Duration = Duration::from_secs(60);

/// A running program. It ends, and its state goes away, with the value.
#[derive(Debug)]
pub struct Siglab {
    children: Vec<Child>,
    dir: TempDir,
    ready: Value,
}

impl Siglab {
    /// Starts the program that was built beside this test, with these arguments after `up`.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        let dir = TempDir::with_prefix("siglab-lab-").expect("a temporary directory");
        let (child, ready) = start(dir.path(), arguments);
        Self {
            children: vec![child],
            dir,
            ready,
        }
    }

    /// Starts the program with its state in a new folder of `disk`.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start_on(disk: &Path) -> Self {
        let dir = TempDir::with_prefix_in("siglab-lab-", disk).expect("a temporary directory");
        let (child, ready) = start(dir.path(), &[]);
        Self {
            children: vec![child],
            dir,
            ready,
        }
    }

    /// Whether the program that was started is still the one that runs.
    ///
    /// # Panics
    /// When it cannot be watched.
    pub fn is_running(&mut self) -> bool {
        let mut ended = self.children.iter_mut().map(|child| child.try_wait());
        ended.all(|ended| ended.expect("the program can be watched").is_none())
    }

    /// Starts every service as a program of its own; there is no admission among them.
    ///
    /// # Panics
    /// When one does not become ready.
    #[must_use]
    pub fn start_apart() -> Self {
        let dir = TempDir::with_prefix("siglab-lab-").expect("a temporary directory");
        let (children, ready) = apart::start(program().parent().expect("a folder"), dir.path());
        Self {
            children,
            dir,
            ready,
        }
    }

    /// Starts the program that was built beside this test.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Stops the program and starts it again with the same state, on other ports.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn restart(&mut self) {
        self.stop();
        let (child, ready) = start(self.dir.path(), &[]);
        (self.children, self.ready) = (vec![child], ready);
    }

    /// URL of a listener, without a trailing slash.
    ///
    /// # Panics
    /// When the program named no such listener.
    #[must_use]
    pub fn url(&self, service: &str, listener: &str) -> String {
        let url = self.ready["urls"][service][listener].as_str();
        let url = url.unwrap_or_else(|| panic!("no {service} {listener} in {}", self.ready));
        url.trim_end_matches('/').to_owned()
    }

    /// The registry as image references begin: `localhost:PORT`.
    #[must_use]
    pub fn registry(&self) -> String {
        let url = self.url("registry", "http");
        let (_, place) = url.split_once("://").expect("a URL");
        place.to_owned()
    }

    /// URL of the admin door, without a trailing slash.
    ///
    /// # Panics
    /// When the program named none.
    #[must_use]
    pub fn admin(&self) -> String {
        let url = self.ready["admin_url"].as_str().expect("an admin URL");
        url.trim_end_matches('/').to_owned()
    }

    /// A file of the trust directory.
    ///
    /// # Panics
    /// When the program named no such file.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        let path = self.ready["files"][name].as_str();
        path.unwrap_or_else(|| panic!("no file {name} in {}", self.ready))
            .to_owned()
    }

    /// The log, or the logs one after another.
    #[must_use]
    pub fn log(&self) -> String {
        let mut logs = String::new();
        for entry in fs::read_dir(self.dir.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().to_string_lossy().ends_with("log") {
                logs += &fs::read_to_string(entry.path()).unwrap_or_default();
            }
        }
        logs
    }

    /// Where its state is.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Stops the program; its state stays until the value goes.
    pub fn stop(&mut self) {
        for child in &self.children {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        for child in &mut self.children {
            while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(5));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Siglab {
    #[expect(clippy::print_stdout, reason = "part of a failed test's output")]
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            let tail: Vec<_> = tail.into_iter().rev().collect();
            println!("---- last lines of the program's log\n{}", tail.join("\n"));
        }
    }
}

/// The program as a client runs it.
#[must_use]
pub fn siglab() -> Client {
    Client {
        name: "siglab".to_owned(),
        program: program(),
        variables: Vec::new(),
    }
}

/// `$SIGLAB_PROGRAM`, or the program of the same build profile: this test is `target/PROFILE/deps/NAME`.
#[expect(
    clippy::disallowed_methods,
    reason = "the suite is told by its environment"
)]
fn program() -> PathBuf {
    if let Ok(program) = std::env::var("SIGLAB_PROGRAM") {
        return PathBuf::from(program);
    }
    let test = std::env::current_exe().expect("this test has a path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE");
    let program = profile.join("siglab");
    assert!(
        program.exists(),
        "{} is missing: cargo build --package cli",
        program.display()
    );
    program
}

fn start(dir: &Path, arguments: &[&str]) -> (Child, Value) {
    let file = dir.join("ready.json");
    let _ = fs::remove_file(&file);
    let log = fs::File::create(dir.join("log")).expect("a log file");
    let mut child = Command::new(program())
        .args(["up", "--port", "0", "--ready-file"])
        .arg(&file)
        .arg("--data-dir")
        .arg(dir.join("data"))
        .args(arguments)
        .env("HOME", dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the program can be started");
    let deadline = Instant::now() + START_MAX;
    loop {
        if let Ok(bytes) = fs::read(&file) {
            let ready = serde_json::from_slice(&bytes).expect("the ready file is JSON");
            return (child, ready);
        }
        let ended = child.try_wait().expect("the program can be watched");
        if ended.is_some() || Instant::now() > deadline {
            let _ = child.kill();
            let _ = child.wait();
            let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
            panic!("siglab did not start, {ended:?}\n{log}");
        }
        thread::sleep(Duration::from_millis(2));
    }
}
