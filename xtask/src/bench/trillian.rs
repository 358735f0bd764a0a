//! The peer of Rekor v1: rekor-server over Trillian over MariaDB, each on free ports of loopback.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context as _;

use super::process::{Running, Work, answers, free_port, peer};

/// Tries to reach a server, a tenth of a second apart.
const TRIES: usize = 300;

/// The running servers. Fields drop in order, so the database goes last.
pub(crate) struct RekorV1 {
    pub(crate) url: String,
    _rekor: Running,
    _signer: Running,
    _log: Running,
    _database: Running,
    _work: Work,
}

/// Programs that the peer is made of, from the PATH.
struct Programs {
    rekor: PathBuf,
    log: PathBuf,
    signer: PathBuf,
    database: PathBuf,
    install: PathBuf,
    client: PathBuf,
}

impl Programs {
    fn find() -> Option<Self> {
        Some(Self {
            rekor: peer("rekor-server")?,
            log: peer("trillian_log_server")?,
            signer: peer("trillian_log_signer")?,
            database: peer("mariadbd")?,
            install: peer("mariadb-install-db")?,
            client: peer("mariadb")?,
        })
    }
}

impl RekorV1 {
    /// Starts all of it; `None`, with a line that says so, when a program is not on the PATH.
    pub(crate) async fn start(http: &reqwest::Client) -> anyhow::Result<Option<Self>> {
        let Some(programs) = Programs::find() else {
            return Ok(None);
        };
        let work = Work::new("trillian")?;
        let port = free_port()?;
        let database = programs.database(&work.0, port)?;
        let uri = format!("root@tcp(127.0.0.1:{port})/trillian");
        let rpc = free_port()?;
        let log = trillian(&programs.log, &uri, rpc, &[])?;
        let signer = trillian(&programs.signer, &uri, free_port()?, &["--force_master"])?;
        // rekor-server makes its tree at once, and ends when it cannot.
        listens(rpc)?;
        let port = free_port()?;
        let rekor = Running::start(
            Command::new(&programs.rekor)
                .arg("serve")
                .args(["--rekor_server.address", "127.0.0.1"])
                .args(["--port", &port.to_string()])
                .args(["--trillian_log_server.port", &rpc.to_string()])
                .args(["--rekor_server.signer", "memory"])
                // The search index would need a Redis.
                .arg("--enable_retrieve_api=false"),
        )?;
        let url = format!("http://127.0.0.1:{port}");
        answers(http, &format!("{url}/api/v1/log")).await?;
        Ok(Some(Self {
            url,
            _rekor: rekor,
            _signer: signer,
            _log: log,
            _database: database,
            _work: work,
        }))
    }
}

impl Programs {
    /// An empty database with Trillian's tables.
    fn database(&self, work: &Path, port: u16) -> anyhow::Result<Running> {
        let data = work.join("database");
        let socket = work.join("socket");
        done(
            Command::new(&self.install)
                .args(["--no-defaults", "--skip-test-db", "--user=root"])
                .arg("--auth-root-authentication-method=normal")
                .arg(format!("--datadir={}", data.display())),
        )?;
        let running = Running::start(
            Command::new(&self.database)
                .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"])
                .arg(format!("--port={port}"))
                .arg(format!("--datadir={}", data.display()))
                .arg(format!("--socket={}", socket.display())),
        )?;
        let client = || {
            let mut command = Command::new(&self.client);
            command
                .args(["--no-defaults", "--user=root"])
                .arg(format!("--socket={}", socket.display()));
            command
        };
        listens(port)?;
        done(client().args(["--execute", "CREATE DATABASE trillian"]))?;
        done(client().arg("trillian").stdin(File::open(schema()?)?))?;
        Ok(running)
    }
}

/// A part of Trillian on this port, without its metrics.
fn trillian(program: &Path, uri: &str, port: u16, more: &[&str]) -> anyhow::Result<Running> {
    Running::start(
        Command::new(program)
            .args(["--mysql_uri", uri, "--storage_system", "mysql"])
            .args(["--quota_system", "noop", "--http_endpoint", ""])
            .args(["--rpc_endpoint", &format!("127.0.0.1:{port}")])
            .args(more),
    )
}

/// Waits until somebody listens on a port of loopback.
fn listens(port: u16) -> anyhow::Result<()> {
    for _ in 0..TRIES {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    anyhow::bail!("nobody listens on port {port}")
}

/// Trillian's tables, where `go install` left its module.
fn schema() -> anyhow::Result<PathBuf> {
    let output = Command::new("go").args(["env", "GOMODCACHE"]).output()?;
    let modules = PathBuf::from(String::from_utf8(output.stdout)?.trim()).join("github.com/google");
    let mut found: Vec<PathBuf> = fs::read_dir(&modules)
        .with_context(|| format!("no Go modules in {}", modules.display()))?
        .filter_map(|entry| Some(entry.ok()?.path().join("storage/mysql/schema/storage.sql")))
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
        .pop()
        .with_context(|| format!("Trillian's storage.sql is not below {}", modules.display()))
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .output()
        .with_context(|| format!("{command:?} does not start"))?;
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
