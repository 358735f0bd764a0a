//! One door to services of their own: a whole stack behind it, asked both ways.

use std::fmt::Write as _;

use door::Door;
use runtime::{
    Clock, KNOWN,
    settings::{Settings, Sources},
};
use serde_json::Value;
use stack::Stack;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A lab in one process, and a door that takes each service for a process of its own.
struct Scene {
    dir: TempDir,
    stack: Stack,
    door: Door,
}

impl Scene {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = Stack::start(settings(&dir, "stack", ""), Clock::system())
            .await
            .unwrap();
        let mut text = String::new();
        for (name, listeners) in KNOWN {
            let url = |listener: &runtime::Listener| {
                format!("{} = {:?}", listener.name, stack.url(name, listener.name))
            };
            let urls: Vec<_> = listeners.iter().map(url).collect();
            let admin = stack.admin_url();
            writeln!(text, "[{name}]\nadmin_url = {admin:?}").unwrap();
            writeln!(text, "external_url = {{ {} }}", urls.join(", ")).unwrap();
        }
        let door = Door::start(&settings(&dir, "door", &text)).await.unwrap();
        Self { dir, stack, door }
    }

    /// Status and text of `path`, at the door and at the lab's own.
    async fn both(&self, path: &str) -> [(u16, String); 2] {
        let http = runtime::http::client(None).unwrap();
        let get = async |base: &str| {
            let answer = http.get(format!("{base}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        [
            get(self.door.url()).await,
            get(&self.stack.admin_url()).await,
        ]
    }

    async fn status(&self) -> Value {
        serde_json::from_str(&self.both("/status").await[0].1).unwrap()
    }

    /// A client that reaches the services through the door.
    fn proxied(&self, roots: &str) -> reqwest::Client {
        let door = self.door.url().parse().unwrap();
        let services = KNOWN.iter().flat_map(|(name, listeners)| {
            let url = |listener: &runtime::Listener| self.stack.url(name, listener.name);
            listeners.iter().map(url).map(|url| url.parse().unwrap())
        });
        let roots = runtime::tls::certificates(roots).ok();
        runtime::http::client_through(&door, services.collect(), roots.as_deref()).unwrap()
    }

    /// What the door answers to bytes as they are.
    async fn says(&self, request: &str) -> String {
        let address = self.door.url().trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }
}

fn settings(dir: &TempDir, name: &str, text: &str) -> Settings {
    let config = dir.path().join(format!("{name}.toml"));
    runtime::files::replace(&config, text.as_bytes()).unwrap();
    let sources = Sources {
        config: Some(config),
        data_dir: Some(dir.path().join(name)),
        any_port: true,
        ..Sources::default()
    };
    Settings::load(&sources).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_as_the_services_own_doors() {
    let scene = Scene::start().await;
    for path in [
        "/readyz",
        "/trust/fulcio",
        "/tuf/trust-directory",
        "/admission/ca.pem",
    ] {
        let [door, own] = scene.both(path).await;
        assert_eq!(door, own, "{path}");
        assert_eq!(door.0, 200, "{path}");
    }
    let [_, own] = scene.both("/status").await;
    let own: Value = serde_json::from_str(&own.1).unwrap();
    let status = scene.status().await;
    assert_eq!(status["instance"], own["instance"]);
    let rows = status["services"].as_array().unwrap();
    assert_eq!(rows.len(), KNOWN.len());
    for (row, own) in rows.iter().zip(own["services"].as_array().unwrap()) {
        assert_eq!(row["name"], own["name"]);
        assert_eq!(row["urls"], own["urls"]);
        assert_eq!(row["ready"], true);
        assert!(row["resident_bytes"].as_u64().unwrap() > 0);
    }
    let http = runtime::http::client(None).unwrap();
    let stream = format!("{}/admission/decisions/stream", scene.door.url());
    let answer = http.get(stream).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let lint = format!("{}/admission/lint", scene.door.url());
    let answer = http.post(lint).body("kind: Nothing").send().await.unwrap();
    assert!(
        answer.text().await.unwrap().contains("Nothing"),
        "the body arrives"
    );
    for path in ["/trust/nobody", "/nobody/x", "/tuf/nothing"] {
        assert_eq!(scene.both(path).await[0].0, 404, "{path}");
    }
    let metrics = &scene.both("/metrics").await[0].1;
    let resident = "process_resident_memory_bytes";
    assert!(
        metrics.contains(&format!("{resident}{{service=\"tuf\"}} ")),
        "{metrics}"
    );
    assert_eq!(
        metrics.matches(&format!("# TYPE {resident} gauge")).count(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_silent_is_not_ready_and_says_so() {
    let Scene { dir, stack, door } = Scene::start().await;
    stack.stop().await;
    let http = runtime::http::client(None).unwrap();
    let get = async |path: &str| {
        http.get(format!("{}{path}", door.url()))
            .send()
            .await
            .unwrap()
    };
    let answer = get("/readyz").await;
    assert_eq!(answer.status(), 503);
    let reasons = answer.text().await.unwrap();
    assert!(
        reasons.contains("fulcio: nothing answers at http://localhost"),
        "{reasons}"
    );
    assert_eq!(reasons.lines().count(), KNOWN.len());
    let status: Value = get("/status").await.json().await.unwrap();
    let row = &status["services"][0];
    assert_eq!(
        (&row["name"], &row["ready"]),
        (&"oidc".into(), &false.into())
    );
    assert!(
        row["urls"]["http"]
            .as_str()
            .unwrap()
            .starts_with("http://localhost")
    );
    assert!(
        row["reason"]
            .as_str()
            .unwrap()
            .starts_with("nothing answers at"),
        "{row}"
    );
    assert_eq!(get("/tuf/trust-directory").await.status(), 502);
    drop(dir);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_proxy_it_leads_to_the_listeners_of_the_lab_alone() {
    let scene = Scene::start().await;
    let oidc = scene.stack.url("oidc", "http");
    let client = scene.proxied("");
    let discovery = format!("{oidc}/.well-known/openid-configuration");
    let answer = client.get(&discovery).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains(&oidc));
    // A body that is sent, to a listener that checks it.
    let upload = format!(
        "{}/v2/app/blobs/uploads/",
        scene.stack.url("registry", "http")
    );
    let digest = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let put = format!("{upload}?digest={digest}");
    let answer = client.post(put).body("hello").send().await.unwrap();
    assert_eq!(answer.status(), 201);

    let admin = scene.stack.admin_url();
    let elsewhere = format!("GET {admin}/status HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let text = scene.says(&elsewhere).await;
    assert!(text.starts_with("HTTP/1.1 403 "), "{text}");
    assert!(text.contains("is none of them"), "{text}");
    for target in ["203.0.113.1:80", "localhost:1", "localhost"] {
        let answer = scene
            .says(&format!(
                "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let answer = scene
        .says("GET https://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_reaches_a_listener_that_speaks_tls() {
    let scene = Scene::start().await;
    let pem = &scene.both("/admission/ca.pem").await[0].1;
    let client = scene.proxied(pem);
    let webhook = scene.stack.url("admission", "https");
    let answer = client
        .get(format!("{webhook}/validations"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 415, "its own answer to no review");
}

#[tokio::test]
async fn a_table_without_an_admin_door_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let error = Door::start(&settings(
        &dir,
        "door",
        "[oidc]\nadmin_url = \"http://oidc:7070\"",
    ))
    .await
    .unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains("door.toml: [fulcio] admin_url is needed"),
        "{text}"
    );
}
