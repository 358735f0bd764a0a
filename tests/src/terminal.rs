//! A terminal for programs that behave otherwise on one: a tmux session of its own.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::Sandbox;

/// How long something may take to appear.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A shell on a terminal of 100 columns and 40 lines. It ends with the value.
#[derive(Debug)]
pub struct Terminal {
    socket: PathBuf,
    record: PathBuf,
}

impl Terminal {
    /// A shell in this home; everything that is written to the terminal is recorded.
    ///
    /// # Panics
    /// When tmux cannot be started.
    #[must_use]
    pub fn new(home: &Sandbox) -> Self {
        let terminal = Self {
            socket: home.dir().join("tmux"),
            record: home.dir().join("terminal"),
        };
        let mut start = home.command("tmux".as_ref());
        start
            .env("TERM", "xterm-256color")
            .env("PS1", "> ")
            .arg("-S")
            .arg(&terminal.socket)
            .args([
                "-f",
                "/dev/null",
                "new-session",
                "-d",
                "-x",
                "100",
                "-y",
                "40",
            ])
            .arg("bash --norc --noprofile");
        let status = start
            .status()
            .expect("tmux is there: scripts/install-clients tmux");
        assert!(status.success(), "tmux does not start");
        let pipe = format!("cat >> '{}'", terminal.record.display());
        terminal.tmux(&["pipe-pane", &pipe]);
        terminal
    }

    /// Types a line.
    pub fn types(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.tmux(&["send-keys", "Enter"]);
    }

    /// Presses a key by tmux's name: `C-c`.
    pub fn presses(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Waits until the screen has `text` in it, and returns the screen.
    ///
    /// # Panics
    /// With the screen, when it does not.
    pub fn shows(&self, text: &str) -> String {
        self.until(&format!("{text:?} on the screen"), |screen| {
            screen.contains(text)
        })
    }

    /// Waits until `holds` is true of the screen, and returns the screen.
    ///
    /// # Panics
    /// With the screen, when it does not become true.
    pub fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if holds(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {what}:\n{screen}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything that was written to the terminal so far, escape sequences included.
    #[must_use]
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.record).unwrap_or_default()).into_owned()
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .output()
            .expect("tmux is there");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {error}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .arg("kill-server")
            .status();
    }
}
