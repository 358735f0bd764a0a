//! Settings, files, keys, blobs and the host, from outside.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use axum::{Router, routing::get};
use crypto::KeyKind;
use runtime::{
    BlobError, Blobs, Clock, Context, DirectoryBlobs, Failure, FaultyBlobs, Index, Listener,
    MemoryBlobs, Plan, Service,
    certificates::{self, Server},
    files, keys,
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

/// A service with a certificate of its own.
struct Sealed(runtime::tls::ServerTls);

impl Service for Sealed {
    const NAME: &'static str = "tuf";
    const LISTENERS: &'static [Listener] = &[Listener::http("http", 8088)];
    type Config = Greeting;

    async fn open(_: Greeting, context: Context) -> anyhow::Result<Arc<Self>> {
        let names = ["localhost".to_owned()];
        Ok(Arc::new(Self(runtime::tls::server(&context, &names)?)))
    }

    fn router(self: Arc<Self>, _: &'static str) -> Router {
        Router::new()
    }

    fn speaks_tls(_: &Greeting, _: &Listener) -> bool {
        true
    }

    fn tls(&self, _: &'static str) -> Option<Arc<rustls::ServerConfig>> {
        Some(self.0.config.clone())
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
    let alone = refusal("[tsa]\ncertificate = \"tsa.pem\"");
    assert!(
        alone.contains("[tsa] certificate and certificate_key are needed together"),
        "{alone}"
    );
}

#[test]
fn a_name_of_the_public_world_needs_a_setting_of_its_own() {
    let refused = |url: &str| {
        let text = format!("[tsa]\nexternal_url = {url:?}");
        let played = format!("public_names = true\n{text}");
        assert_eq!(place(&played).unwrap().as_str(), format!("{url}/"));
        place(&text).unwrap_err().to_string()
    };
    for url in [
        "https://timestamp.sigstore.dev",
        "https://fulcio.sigstage.dev:5554",
        "http://ghcr.io",
        "https://token.actions.githubusercontent.com",
        "https://sigstore.dev.",
    ] {
        let text = refused(url);
        assert!(text.contains("[tsa] external_url: "), "{text}");
        assert!(text.contains("set public_names = true"), "{text}");
    }
    for url in [
        "http://localhost:3004",
        "https://notsigstore.dev",
        "https://sigstore.dev.lab",
    ] {
        assert!(
            place(&format!("[tsa]\nexternal_url = {url:?}")).is_ok(),
            "{url}"
        );
    }
}

/// The external URL of settings.
fn place(text: &str) -> anyhow::Result<url::Url> {
    let dir = tempfile::tempdir()?;
    let settings = Settings::load(&sources(text, &dir))?;
    let places = settings.places(Greeter::NAME, Greeter::LISTENERS, false)?;
    Ok(places.external["http"].clone())
}

/// Serves a service with these settings.
async fn served<S: Service>(
    text: &str,
    dir: &tempfile::TempDir,
) -> anyhow::Result<runtime::Running> {
    let mut plan = Plan::new(Settings::load(&sources(text, dir))?).await?;
    plan.bind::<S>().await?;
    let host = plan.bound(Clock::system())?;
    let opened = host.open::<S>().await?;
    Ok(host.serve(vec![opened]))
}

#[tokio::test]
async fn a_listener_that_speaks_tls_has_an_https_url() {
    let dir = tempfile::tempdir().unwrap();
    let running = served::<Sealed>("", &dir).await.unwrap();
    let url = &running.urls[&("tuf".to_owned(), "http".to_owned())];
    assert_eq!(url.scheme(), "https");
    running.stop().await;
    let refused = async |text: &str| {
        let error = served::<Sealed>(text, &dir).await.unwrap_err();
        format!("{error:#}")
    };
    let plain = refused("[tuf]\nexternal_url = \"http://tuf:8088\"").await;
    assert!(
        plain.contains("siglab.toml: [tuf] external_url: http://tuf:8088/ is not"),
        "{plain}"
    );
    let two = refused("[tuf]\ncertificate = \"a\"\ncertificate_key = \"b\"").await;
    assert!(
        two.contains("siglab.toml: [tuf] certificate: the service has one"),
        "{two}"
    );
}

#[tokio::test]
async fn a_service_has_the_admin_door_that_its_table_names() {
    let dir = tempfile::tempdir().unwrap();
    let running = served::<Greeter>("[tsa]\nadmin_url = \"http://tsa:7070\"", &dir)
        .await
        .unwrap();
    assert_eq!(running.admin_urls["tsa"].as_str(), "http://tsa:7070/");
    running.stop().await;
}

fn issued(dir: &Path, hosts: &[&str]) -> bool {
    let server = Server {
        name: "tsa".to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    };
    certificates::issue(dir, "0badcafe", &[server], Clock::system().now()).unwrap()
}

/// Settings with the certificate in `dir/tls`, and its authority for peers.
fn with_certificate(dir: &tempfile::TempDir, more: &str) -> String {
    let tls = dir.path().join("tls");
    format!(
        "[peers]\nca = {:?}\n[tsa]\ncertificate = {:?}\ncertificate_key = {:?}\n{more}",
        tls.join("authority.pem"),
        tls.join("tsa.pem"),
        tls.join("tsa.key"),
    )
}

#[tokio::test]
async fn a_certificate_of_the_settings_is_shown_where_the_url_is_https() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    assert!(issued(&tls, &["localhost"]));
    let running = served::<Greeter>(&with_certificate(&dir, ""), &dir)
        .await
        .unwrap();
    let url = running.urls[&("tsa".to_owned(), "http".to_owned())].clone();
    assert_eq!(url.scheme(), "https");
    let http = runtime::http::client(None).unwrap();
    let ca = http
        .get(format!("{}ca.pem", running.admin_url))
        .send()
        .await
        .unwrap();
    let roots = runtime::tls::certificates(&ca.text().await.unwrap()).unwrap();
    let trusting = runtime::http::client(Some(&roots)).unwrap();
    let answer = trusting.get(url.clone()).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    assert!(http.get(url).send().await.is_err(), "nobody else trusts it");
    running.stop().await;

    let more = "external_url = \"http://localhost:3004\"";
    let plain = served::<Greeter>(&with_certificate(&dir, more), &dir)
        .await
        .unwrap_err();
    assert!(
        format!("{plain:#}").contains("[tsa] certificate"),
        "{plain:#}"
    );
}

#[tokio::test]
async fn the_authority_may_speak_for_its_names_alone() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    assert!(issued(&tls, &["tsa.lab.invalid"]));
    assert!(!issued(&tls, &["tsa.lab.invalid"]), "what is there is kept");
    let authority = fs::read(tls.join("authority.pem")).unwrap();
    let pem = String::from_utf8(authority.clone()).unwrap();
    let certificate = crypto::from_pem(&pem).unwrap().1;
    // RFC 5280 §4.2.1.10: the extension is critical, and has one name that is permitted.
    let constraints =
        b"\x06\x03\x55\x1d\x1e\x01\x01\xff\x04\x17\x30\x15\xa0\x13\x30\x11\x82\x0ftsa.lab.invalid";
    assert!(
        certificate
            .windows(constraints.len())
            .any(|part| part == constraints)
    );
    let keys: Vec<_> = fs::read_dir(&tls)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".key"))
        .collect();
    assert_eq!(keys, ["tsa.key"], "the authority's key is nowhere");
    assert!(
        issued(&tls, &["other.lab.invalid"]),
        "other names are another authority's"
    );
    assert_ne!(authority, fs::read(tls.join("authority.pem")).unwrap());
    for host in ["", "127.0.0.1", "a b", "*.lab.invalid", "https://x"] {
        let server = Server {
            name: "tsa".to_owned(),
            hosts: vec![host.to_owned()],
        };
        let now = Clock::system().now();
        let refused = certificates::issue(&tls, "0badcafe", &[server], now).unwrap_err();
        assert!(
            refused.to_string().contains("is not a host name"),
            "{host:?}: {refused}"
        );
    }
}

#[test]
fn threads_that_make_the_same_directory_all_find_it() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b/c");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let deep = &deep;
            scope.spawn(move || {
                files::create_dirs(&deep.join((number % 4).to_string())).unwrap();
            });
        }
    });
    assert_eq!(fs::read_dir(&deep).unwrap().count(), 4);
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
