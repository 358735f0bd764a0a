//! Runs foreign programs: own home, no credentials, no proxy that answers, and a transcript for failures.

use std::{
    cell::RefCell,
    ffi::OsStr,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::Client;

/// Where the machine's own programs are.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A home for clients. It goes away with the value.
#[derive(Debug)]
pub struct Sandbox {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty home.
    ///
    /// # Panics
    /// When no temporary directory can be made.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("siglab-client-").expect("a temporary directory");
        Self {
            dir,
            variables: Vec::new(),
        }
    }

    /// The home's directory, which clients also run in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Sets an environment variable for all later runs.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Puts clients by their names onto the home's `PATH`, before what the machine has.
    ///
    /// # Panics
    /// When the home cannot be written.
    pub fn provide(&mut self, clients: &[Client]) {
        let bin = self.dir().join("bin");
        fs::create_dir_all(&bin).expect("the home can be written");
        for client in clients {
            let link = bin.join(&client.name);
            std::os::unix::fs::symlink(&client.program, link).expect("the home can be written");
        }
        self.set("PATH", format!("{}:{PATH}", bin.display()));
    }

    /// Writes a file into the home.
    ///
    /// # Panics
    /// When it cannot be written.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's file need not be durable"
    )]
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, bytes).expect("the home can be written");
        path
    }

    /// Reads a file of the home.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.dir().join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Runs a client to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run<A: AsRef<OsStr>>(&self, client: &Client, arguments: &[A]) -> Outcome {
        self.start(client, arguments).end()
    }

    /// Starts a client.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<A: AsRef<OsStr>>(&self, client: &Client, arguments: &[A]) -> Started {
        let mut command = self.command(&client.program);
        command
            .args(arguments)
            .envs(client.variables.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", client.name));
        let mut line = client.name.clone();
        for argument in arguments {
            let argument = argument.as_ref().to_string_lossy();
            // Tokens are long and say nothing.
            let shown = if argument.starts_with("eyJ") {
                "TOKEN"
            } else {
                &argument
            };
            let _ = write!(line, " {shown}");
        }
        let (sender, pieces) = mpsc::channel();
        let stdout = child.stdout.take().expect("it is piped");
        let stderr = child.stderr.take().expect("it is piped");
        pass_on(stdout, true, sender.clone());
        pass_on(stderr, false, sender);
        Started {
            line,
            child,
            pieces,
            seen: RefCell::default(),
        }
    }

    /// A command with this home. Any way out leads to a proxy that does not exist.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let home = self.dir();
        let mut command = Command::new(program);
        command
            .current_dir(home)
            .stdin(Stdio::null())
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", home)
            .env("TUF_ROOT", home.join("tuf"))
            .env("DOCKER_CONFIG", home.join("docker"))
            .env("XDG_RUNTIME_DIR", home.join("run"))
            .env("NO_PROXY", "localhost,127.0.0.1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        for name in [
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "http_proxy",
            "https_proxy",
        ] {
            command.env(name, "http://127.0.0.1:9");
        }
        command.env("no_proxy", "localhost,127.0.0.1");
        command
    }
}

/// A line, with its end, of standard output or else of standard error.
type Piece = (bool, Vec<u8>);

/// Sends lines on until the stream or the test ends.
fn pass_on(stream: impl Read + Send + 'static, is_output: bool, to: mpsc::Sender<Piece>) {
    let mut stream = BufReader::new(stream);
    thread::spawn(move || {
        loop {
            let mut line = Vec::new();
            let read = stream.read_until(b'\n', &mut line);
            if read.is_err() || line.is_empty() || to.send((is_output, line)).is_err() {
                return;
            }
        }
    });
}

/// A client that runs.
#[derive(Debug)]
pub struct Started {
    line: String,
    child: Child,
    pieces: mpsc::Receiver<Piece>,
    seen: RefCell<Vec<Piece>>,
}

impl Started {
    /// The next line that has `text` in it.
    ///
    /// # Panics
    /// When there is none within a minute.
    #[must_use]
    pub fn line_with(&self, text: &str) -> String {
        loop {
            let Ok((is_output, bytes)) = self.pieces.recv_timeout(Duration::from_secs(60)) else {
                let seen = self.seen.borrow();
                let seen: Vec<_> = seen
                    .iter()
                    .map(|(_, line)| String::from_utf8_lossy(line))
                    .collect();
                panic!("no {text:?} in\n{}", seen.concat());
            };
            let line = String::from_utf8_lossy(&bytes).into_owned();
            self.seen.borrow_mut().push((is_output, bytes));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for the end.
    ///
    /// # Panics
    /// When the client cannot be waited for.
    #[must_use]
    pub fn end(self) -> Outcome {
        let Self {
            line,
            mut child,
            pieces,
            seen,
        } = self;
        let all: Vec<_> = seen.into_inner().into_iter().chain(pieces).collect();
        let status = child.wait().expect("a child can be waited for");
        let of = |wanted: bool| {
            let lines = all.iter().filter(|(is_output, _)| *is_output == wanted);
            lines
                .flat_map(|(_, line)| line.iter().copied())
                .collect::<Vec<u8>>()
        };
        let stderr = String::from_utf8_lossy(&of(false)).into_owned();
        Outcome {
            line,
            code: status.code(),
            stdout: of(true),
            stderr,
        }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    line: String,
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Outcome {
    /// What it wrote to standard output.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output as it is.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.stdout
    }

    /// Both outputs.
    #[must_use]
    pub fn all(&self) -> String {
        format!("{}{}", self.text(), self.stderr)
    }

    /// Whether it ended with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    fn transcript(&self) -> String {
        let Self {
            line, code, stderr, ..
        } = self;
        format!("$ {line}\nexit code {code:?}\n{}\n{stderr}", self.text())
    }

    /// The outcome, which must be success.
    ///
    /// # Panics
    /// With the transcript, when it is not.
    #[must_use = "use `let _ =` when only success matters"]
    pub fn succeeds(self) -> Self {
        assert!(self.is_success(), "{}", self.transcript());
        self
    }

    /// The outcome, which must be failure, with `text` somewhere in its output.
    ///
    /// # Panics
    /// With the transcript, when it is not.
    pub fn fails_with(self, text: &str) -> Self {
        assert!(!self.is_success(), "it succeeded\n{}", self.transcript());
        assert!(
            self.all().contains(text),
            "no {text:?} in\n{}",
            self.transcript()
        );
        self
    }

    /// The outcome, whose output must have `text` in it.
    ///
    /// # Panics
    /// With the transcript, when it has not.
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.all().contains(text),
            "no {text:?} in\n{}",
            self.transcript()
        );
        self
    }
}
