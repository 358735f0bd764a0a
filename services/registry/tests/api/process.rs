//! The binary: killed in the middle of pushes it has lost nothing that it acknowledged; with TLS.

use std::{
    io::{BufRead as _, BufReader, Lines},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use runtime::Context;

use crate::lab::{IMAGE, image, sha256};

/// The registry as a process of its own.
struct Process {
    child: Child,
    url: String,
    /// Kept open: the process goes on writing to it.
    _output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(dir: &Path, settings: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_siglab-registry"));
        command.arg("--data-dir").arg(dir).args(["--port", "0"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = lines.find_map(|line| {
            line.unwrap()
                .strip_prefix("export REGISTRY_HTTP_URL=")
                .map(str::to_owned)
        });
        Self {
            child,
            url: url.unwrap(),
            _output: lines,
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What a client was told.
#[derive(Default)]
struct Acknowledged {
    blobs: Vec<Vec<u8>>,
    tags: Vec<(String, String)>,
}

/// Pushes image after image until the registry is gone, counting acknowledged tags.
async fn push_until_gone(
    url: String,
    client: usize,
    round: usize,
    tags: Arc<AtomicUsize>,
) -> Acknowledged {
    let directory = tempfile::tempdir().unwrap();
    let http = Context::for_test("registry", directory.path()).http;
    let mut acknowledged = Acknowledged::default();
    for n in 0.. {
        let layer = format!("{round} {client} {n} {}", "x".repeat(n * 1000 % 50_000));
        for content in [b"{}".to_vec(), layer.clone().into_bytes()] {
            let digest = sha256(&content);
            let uri = format!("{url}/v2/a/b/blobs/uploads/?digest={digest}");
            match http.post(uri).body(content.clone()).send().await {
                Ok(reply) if reply.status() == 201 => acknowledged.blobs.push(content),
                Ok(reply) => panic!("{}", reply.status()),
                Err(_) => return acknowledged,
            }
        }
        let manifest = image(&layer).to_string();
        let tag = format!("r{round}-c{client}-n{n}");
        let uri = format!("{url}/v2/a/b/manifests/{tag}");
        let put = http
            .put(uri)
            .header("content-type", IMAGE)
            .body(manifest.clone());
        match put.send().await {
            Ok(reply) if reply.status() == 201 => acknowledged.tags.push((tag, manifest)),
            Ok(reply) => panic!("{}", reply.status()),
            Err(_) => return acknowledged,
        }
        tags.fetch_add(1, Ordering::SeqCst);
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("registry", &dir.path().join("unused"));
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let process = Process::start(dir.path(), &[]);
        let tags = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..4)
            .map(|client| {
                tokio::spawn(push_until_gone(
                    process.url.clone(),
                    client,
                    round,
                    tags.clone(),
                ))
            })
            .collect();
        while tags.load(Ordering::SeqCst) < 10 + round * 7 {
            assert!(
                !clients.iter().all(tokio::task::JoinHandle::is_finished),
                "it ended early"
            );
            tokio::task::yield_now().await;
        }
        process.kill();
        for client in clients {
            acknowledged.push(client.await.unwrap());
        }
    }
    let report = registry::fsck(
        &dir.path().join("registry"),
        context.clock.clone(),
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(report.faults, []);
    let process = Process::start(dir.path(), &[]);
    let url = &process.url;
    let read = async |uri: String| {
        let reply = context.http.get(&uri).send().await.unwrap();
        assert_eq!(reply.status(), 200, "{uri}");
        reply.bytes().await.unwrap()
    };
    for Acknowledged { blobs, tags } in &acknowledged {
        for content in blobs {
            assert!(read(format!("{url}/v2/a/b/blobs/{}", sha256(content))).await == content);
        }
        for (tag, manifest) in tags {
            assert!(read(format!("{url}/v2/a/b/manifests/{tag}")).await == manifest);
        }
    }
    process.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_own_certificate_is_trusted_through_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::start(dir.path(), &["registry.tls.own=true"]);
    let pem = std::fs::read_to_string(dir.path().join("registry/tls-authority.pem")).unwrap();
    let (_, der) = crypto::from_pem(&pem).unwrap();
    let http = runtime::http::client(Some(&[der.into()])).unwrap();
    let url = process.url.replace("http://", "https://");
    let reply = http.get(format!("{url}/v2/")).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    let refused = runtime::http::client(None)
        .unwrap()
        .get(format!("{url}/v2/"))
        .send()
        .await;
    assert!(refused.is_err());
    process.kill();
}
