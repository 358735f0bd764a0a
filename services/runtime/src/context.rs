//! What a service is given: the clock, its directory, the URLs of all, an HTTP client, its tasks.

use std::{
    collections::BTreeMap,
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{Clock, service::KNOWN};

/// Everything a service knows of the world outside it. Clones share it.
#[derive(Clone, Debug)]
pub struct Context {
    /// The only clock.
    pub clock: Clock,
    /// The service's own directory: it exists, with mode 0700.
    pub dir: PathBuf,
    /// The lab's name, eight hex digits, part of every certificate subject.
    pub instance: String,
    /// Where all services are found.
    pub urls: Urls,
    /// Client for peers: bounded time, no redirects, no proxy.
    pub http: reqwest::Client,
    /// Background work.
    pub tasks: Tasks,
}

impl Context {
    /// A context for a test: a clock that stands at 2026-01-01T00:00:00Z, default URLs on localhost,
    /// and `dir` as the service's directory.
    ///
    /// # Panics
    /// When `dir` cannot be made.
    #[must_use]
    pub fn for_test(service: &'static str, dir: &Path) -> Self {
        crate::files::create_dirs(dir).expect("the test's directory can be made");
        Self {
            clock: Clock::manual("2026-01-01T00:00:00Z".parse().expect("a valid timestamp")),
            dir: dir.to_owned(),
            instance: "0badcafe".to_owned(),
            urls: Urls::for_test(service),
            http: crate::http::client(None).expect("a client without extra roots can be built"),
            tasks: Tasks::default(),
        }
    }
}

/// External URLs by service and listener, and where each service's admin door is.
#[derive(Clone, Debug)]
pub struct Urls {
    service: &'static str,
    external: Arc<BTreeMap<(String, String), Url>>,
    admin: Arc<BTreeMap<String, Url>>,
}

impl Urls {
    pub(crate) fn new(
        service: &'static str,
        external: Arc<BTreeMap<(String, String), Url>>,
        admin: Arc<BTreeMap<String, Url>>,
    ) -> Self {
        Self {
            service,
            external,
            admin,
        }
    }

    fn for_test(service: &'static str) -> Self {
        let mut external = BTreeMap::new();
        let mut admin = BTreeMap::new();
        let door = Url::parse("http://localhost:7070").expect("a valid URL");
        for (name, listeners) in KNOWN {
            for listener in listeners {
                let text = format!("{}://localhost:{}", listener.scheme, listener.port);
                let url = Url::parse(&text).expect("a valid URL");
                external.insert((name.to_owned(), listener.name.to_owned()), url);
            }
            admin.insert(name.to_owned(), door.clone());
        }
        Self::new(service, Arc::new(external), Arc::new(admin))
    }

    /// A copy in which `service`'s `listener` is found at `url`; for tests with own peers.
    #[must_use]
    pub fn with(mut self, service: &str, listener: &str, url: Url) -> Self {
        let mut external = (*self.external).clone();
        external.insert((service.to_owned(), listener.to_owned()), url);
        self.external = Arc::new(external);
        self
    }

    /// A copy in which `service`'s admin door is at `url`; for tests with own peers.
    #[must_use]
    pub fn with_admin(mut self, service: &str, url: Url) -> Self {
        let mut admin = (*self.admin).clone();
        admin.insert(service.to_owned(), url);
        self.admin = Arc::new(admin);
        self
    }

    /// URL of one of this service's own listeners, as clients see it.
    ///
    /// # Panics
    /// When the service has no such listener.
    #[must_use]
    pub fn own(&self, listener: &'static str) -> Url {
        self.of(self.service, listener)
    }

    /// URL of another service's listener, as clients see it.
    ///
    /// # Panics
    /// When siglab has no such service or listener: names are constants of this program.
    #[must_use]
    pub fn of(&self, service: &str, listener: &str) -> Url {
        self.external
            .get(&(service.to_owned(), listener.to_owned()))
            .cloned()
            .unwrap_or_else(|| panic!("{service} has no listener {listener}"))
    }

    /// [`Self::of`] as text without a trailing slash, the form that joins with a path and that
    /// signing configs and issuers carry.
    #[must_use]
    pub fn text(&self, service: &str, listener: &str) -> String {
        self.of(service, listener)
            .as_str()
            .trim_end_matches('/')
            .to_owned()
    }

    /// Admin door of the process that serves `service`, without a trailing slash.
    ///
    /// # Panics
    /// When siglab has no such service.
    #[must_use]
    pub fn admin(&self, service: &str) -> String {
        let door = self
            .admin
            .get(service)
            .unwrap_or_else(|| panic!("no service {service}"));
        door.as_str().trim_end_matches('/').to_owned()
    }
}

/// Background work that ends with the service.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs `work` until it ends or the service stops, whichever is first.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Cancelled when the service stops.
    #[must_use]
    pub const fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    /// Ends all tasks and waits for them.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}
