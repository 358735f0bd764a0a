//! Every service as a program of its own, from one settings file.

use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{Sandbox, client};

/// Services and their listeners.
const SERVICES: [(&str, &[&str]); 7] = [
    ("oidc", &["http"]),
    ("fulcio", &["http", "grpc"]),
    ("ctlog", &["http"]),
    ("rekor", &["v1", "v2"]),
    ("tsa", &["http"]),
    ("tuf", &["http"]),
    ("registry", &["http"]),
];

/// How long a start may take before the test fails.
const START_MAX: Duration = Duration::from_secs(60);

/// Starts them all below `dir`, and says what `siglab up` says in its ready file.
pub(crate) fn start(programs: &Path, dir: &Path) -> (Vec<Child>, Value) {
    let mut settings = format!("data_dir = {:?}\n", dir.join("data").display().to_string());
    let mut urls = json!({});
    let mut doors = Vec::new();
    for (service, listeners) in SERVICES {
        let door = free_port();
        let _ = write!(
            settings,
            "[{service}]\nadmin_url = \"http://localhost:{door}\"\n[{service}.listen]\n"
        );
        for listener in listeners {
            let port = free_port();
            let _ = writeln!(settings, "{listener} = \"127.0.0.1:{port}\"");
            urls[service][listener] = json!(format!("http://localhost:{port}"));
        }
        doors.push((service, door));
    }
    let file = dir.join("siglab.toml");
    write(&file, &settings);
    let children = doors.iter().map(|(service, door)| {
        let log = fs::File::create(dir.join(format!("{service}.log"))).expect("a log file");
        Command::new(programs.join(format!("siglab-{service}")))
            .arg("--config")
            .arg(&file)
            .args(["--set", &format!("admin.listen=127.0.0.1:{door}")])
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("siglab-{service}: {error}"))
    });
    let children = children.collect();
    let home = Sandbox::new();
    for (service, door) in &doors {
        wait(&home, service, &format!("http://localhost:{door}/readyz"));
    }
    let tuf = doors
        .iter()
        .find(|(service, _)| *service == "tuf")
        .expect("it is listed")
        .1;
    let files = trust(
        &home,
        &format!("http://localhost:{tuf}/tuf/trust-directory"),
        dir,
    );
    (children, json!({"urls": urls, "files": files}))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

fn wait(home: &Sandbox, service: &str, url: &str) {
    let deadline = Instant::now() + START_MAX;
    loop {
        let answer = home.run(
            &client("curl"),
            &["--silent", "--show-error", "--fail", url],
        );
        if answer.is_success() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{service} is not ready: {}",
            answer.all()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Writes the trust directory and returns where its files are.
fn trust(home: &Sandbox, url: &str, dir: &Path) -> Value {
    let answer = home
        .run(&client("curl"), &["--silent", "--fail", url])
        .succeeds();
    let files: Value = serde_json::from_slice(answer.bytes()).expect("JSON");
    let mut paths = json!({});
    for (name, text) in files.as_object().expect("an object") {
        let path = dir.join(name);
        write(&path, text.as_str().expect("text"));
        paths[name] = json!(path.display().to_string());
    }
    paths
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test's file need not be durable"
)]
fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("the directory can be written");
}
