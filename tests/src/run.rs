//! Runs foreign programs: own home, no credentials, no proxy that answers, and a transcript for failures.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::Client;

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
        let mut command = self.command(&client.program);
        command
            .args(arguments)
            .envs(client.variables.iter().map(|(name, value)| (name, value)));
        let output = command
            .output()
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
        Outcome {
            line,
            code: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// A command with this home. Any way out leads to a proxy that does not exist.
    fn command(&self, program: &Path) -> Command {
        let home = self.dir();
        let mut command = Command::new(program);
        command
            .current_dir(home)
            .stdin(Stdio::null())
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
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
