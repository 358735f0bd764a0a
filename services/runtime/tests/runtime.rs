//! Settings, files, keys, blobs and the host, from outside.

use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use crypto::KeyKind;
use runtime::{
    BlobError, Blobs, Clock, Context, DirectoryBlobs, Failure, FaultyBlobs, Index, Listener,
    MemoryBlobs, Plan, Service, files, keys,
    settings::{Settings, Sources},
};
use serde::{Deserialize, Serialize};

/// A service that answers with its greeting.
struct Greeter {
    greeting: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Greeting {
    greeting: String,
}

impl Default for Greeting {
    fn default() -> Self {
        Self {
            greeting: "hello".to_owned(),
        }
    }
}

impl Service for Greeter {
    const NAME: &'static str = "tsa";
    const LISTENERS: &'static [Listener] = &[Listener::http("http", 3004)];
    type Config = Greeting;

    async fn open(config: Greeting, _: Context) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            greeting: config.greeting,
        }))
    }

    fn router(self: Arc<Self>, _: &'static str) -> Router {
        let greeting = self.greeting.clone();
        Router::new().route("/", get(async move || greeting))
    }
}

fn sources(text: &str, dir: &tempfile::TempDir) -> Sources {
    let config = dir.path().join("siglab.toml");
    fs::File::create(&config).unwrap();
    files::replace(&config, text.as_bytes()).unwrap();
    Sources {
        config: Some(config),
        data_dir: Some(dir.path().join("data")),
        any_port: true,
        ..Sources::default()
    }
}

fn refusal(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let settings = match Settings::load(&sources(text, &dir)) {
        Ok(settings) => settings,
        Err(error) => return format!("{error:#}"),
    };
    let error = settings
        .places(Greeter::NAME, Greeter::LISTENERS, true)
        .and_then(|_| settings.config::<Greeter>())
        .unwrap_err();
    format!("{error:#}")
}

#[test]
fn a_wrong_setting_names_file_key_and_reason() {
    assert!(refusal("nonsense = 1").contains("siglab.toml: unknown key nonsense"));
    assert!(refusal("[nonsense]").contains("unknown key nonsense"));
    assert!(
        refusal("[tsa]\nlisten = \"here\"").contains("[tsa] listen: \"here\" is not an address")
    );
    assert!(
        refusal("[tsa]\nlisten = { grpc = \":1\" }").contains("no listener grpc, expected http")
    );
    assert!(refusal("[tsa]\nexternal_url = \"x\"").contains("[tsa] external_url is not a URL"));
    let unknown = refusal("[tsa]\ngreting = \"hi\"");
    assert!(unknown.contains("table [tsa] cannot be used"), "{unknown}");
    assert!(unknown.contains("greting"), "{unknown}");
    assert!(refusal("[tsa").contains("are not TOML"));
}

#[test]
fn environment_overrides_the_file_and_flags_override_both() {
    let dir = tempfile::tempdir().unwrap();
    let mut sources = sources("[tsa]\ngreeting = \"file\"", &dir);
    let greeting = |sources: &Sources| {
        Settings::load(sources)
            .unwrap()
            .config::<Greeter>()
            .unwrap()
            .greeting
    };
    assert_eq!(greeting(&sources), "file");
    sources.environment = vec![("SIGLAB__TSA__GREETING".to_owned(), "environment".to_owned())];
    assert_eq!(greeting(&sources), "environment");
    sources.set = vec!["tsa.greeting=\"flag\"".to_owned()];
    assert_eq!(greeting(&sources), "flag");
}

#[tokio::test]
async fn a_service_is_served_at_the_url_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings::load(&sources("[tsa]\ngreeting = \"served\"", &dir)).unwrap();
    let mut plan = Plan::new(settings.clone()).await.unwrap();
    plan.bind::<Greeter>().await.unwrap();
    let host = plan.bound(Clock::system()).unwrap();
    let opened = host.open::<Greeter>().await.unwrap();
    let running = host.serve(vec![opened]);
    running.ready(Duration::from_secs(5)).await.unwrap();

    let http = runtime::http::client(None).unwrap();
    let url = running.urls[&("tsa".to_owned(), "http".to_owned())].clone();
    let get = async |url: String| http.get(url).send().await.unwrap().text().await.unwrap();
    assert_eq!(get(url.to_string()).await, "served");
    assert_eq!(get(format!("{}readyz", running.admin_url)).await, "ok\n");
    assert!(
        get(format!("{}status", running.admin_url))
            .await
            .contains("\"tsa\"")
    );
    assert!(
        get(format!("{}trust/tsa", running.admin_url))
            .await
            .contains("\"tlogs\":[]")
    );

    // The same directory cannot be used twice.
    let mut second = Plan::new(settings).await.unwrap();
    second.bind::<Greeter>().await.unwrap();
    let error = second
        .bound(Clock::system())
        .unwrap()
        .open::<Greeter>()
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("is in use by another process"),
        "{error:#}"
    );
    running.stop().await;
}

#[test]
fn a_key_is_made_once_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let made = keys::load_or_generate(dir.path(), "log", KeyKind::EcdsaP256).unwrap();
    let kept = keys::load_or_generate(dir.path(), "log", KeyKind::EcdsaP256).unwrap();
    assert_eq!(made.public_key(), kept.public_key());
    let mode = fs::metadata(keys::path(dir.path(), "log"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_key_that_cannot_be_right_stops_the_start_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    keys::load_or_generate(dir.path(), "log", KeyKind::EcdsaP256).unwrap();
    let path = keys::path(dir.path(), "log");
    let refused = |kind| {
        let error = keys::load_or_generate(dir.path(), "log", kind).unwrap_err();
        let text = format!("{error:#}");
        assert!(!text.contains('\n'), "{text}");
        assert!(text.contains("log.pem"), "{text}");
        text
    };
    assert!(refused(KeyKind::Ed25519).contains("needs Ed25519"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refused(KeyKind::EcdsaP256).contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let pem = fs::read(&path).unwrap();
    files::replace(&path, &pem[..pem.len() / 2]).unwrap();
    assert!(refused(KeyKind::EcdsaP256).contains("cannot be used"));
}

fn every_store(check: impl Fn(&dyn Blobs)) {
    let dir = tempfile::tempdir().unwrap();
    check(&DirectoryBlobs::open(dir.path().join("blobs")).unwrap());
    check(&MemoryBlobs::default());
    check(&FaultyBlobs::new(Arc::new(MemoryBlobs::default())));
}

#[test]
fn blobs_keep_what_was_put_and_refuse_what_would_change_it() {
    every_store(|blobs| {
        assert_eq!(blobs.get("a/b").unwrap(), None);
        blobs.put("a/b", b"one").unwrap();
        assert_eq!(blobs.get("a/b").unwrap().unwrap(), b"one");
        blobs.put_if_absent("a/b", b"one").unwrap();
        let exists = blobs.put_if_absent("a/b", b"two").unwrap_err();
        assert!(matches!(exists, BlobError::Exists { .. }));
        let changed = blobs.compare_and_swap("a/b", None, b"two").unwrap_err();
        assert!(matches!(changed, BlobError::Changed { .. }));
        blobs.compare_and_swap("a/b", Some(b"one"), b"two").unwrap();
        blobs.put("c", b"").unwrap();
        assert_eq!(blobs.list("").unwrap(), ["a/b", "c"]);
        assert_eq!(blobs.list("a").unwrap(), ["a/b"]);
        blobs.delete("a/b").unwrap();
        blobs.delete("a/b").unwrap();
        assert_eq!(blobs.list("").unwrap(), ["c"]);
    });
}

#[test]
fn a_key_cannot_leave_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = DirectoryBlobs::open(dir.path().join("blobs")).unwrap();
    for key in ["", "..", "a/../../b", "/etc/passwd", "a//b", "./a", "a\0b"] {
        assert!(
            matches!(blobs.put(key, b"x"), Err(BlobError::Key { .. })),
            "{key:?}"
        );
        assert!(
            matches!(blobs.get(key), Err(BlobError::Key { .. })),
            "{key:?}"
        );
    }
}

#[test]
fn a_failure_strikes_when_and_as_often_as_asked() {
    let blobs = FaultyBlobs::new(Arc::new(MemoryBlobs::default()));
    let failure = |stored| Failure {
        prefix: "tile/".to_owned(),
        after: 1,
        times: 1,
        stored,
    };
    blobs.fail(failure(false));
    blobs.put("tile/0", b"0").unwrap();
    blobs.put("other", b"x").unwrap();
    blobs.put("tile/1", b"1").unwrap_err();
    assert_eq!(blobs.get("tile/1").unwrap(), None);
    blobs.put("tile/1", b"1").unwrap();
    blobs.clear();
    blobs.fail(failure(true));
    blobs.put("tile/2", b"2").unwrap();
    blobs.put("tile/3", b"3").unwrap_err();
    assert_eq!(blobs.get("tile/3").unwrap().unwrap(), b"3");
}

#[test]
fn an_index_survives_and_a_damaged_one_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    {
        let index = Index::open(&path).unwrap();
        assert_eq!(index.stamp().unwrap(), None);
        index
            .write([(b"k1".to_vec(), Some(b"v".to_vec()))], Some(b"1"))
            .unwrap();
    }
    {
        let index = Index::open(&path).unwrap();
        assert_eq!(index.stamp().unwrap().unwrap(), b"1");
        assert_eq!(
            index.prefix(b"k", 9).unwrap(),
            [(b"k1".to_vec(), b"v".to_vec())]
        );
    }
    for entry in fs::read_dir(&path)
        .unwrap()
        .flatten()
        .filter(|e| e.path().is_file())
    {
        let mut bytes = fs::read(entry.path()).unwrap();
        bytes.iter_mut().take(64).for_each(|byte| *byte = 0xff);
        files::replace(&entry.path(), &bytes).unwrap();
    }
    assert_eq!(Index::open(&path).unwrap().stamp().unwrap(), None);
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let reactor = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    reactor.block_on(async {
        let read = async |bytes: usize, max: usize| {
            runtime::http::read_body(axum::body::Body::from(vec![7; bytes]), max).await
        };
        assert_eq!(read(10, 10).await.unwrap().len(), 10);
        assert_eq!(read(0, 10).await.unwrap().len(), 0);
        assert!(read(11, 10).await.is_err());
    });
}
