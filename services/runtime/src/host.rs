//! Bind → open → serve, for one service or for all in one process.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use axum::Router;
use rustls::ServerConfig;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    Admin, Clock, Context, Endpoint, Figure, Listener, Service, Tasks, Trust, Urls,
    admin::{Inspect, Seen},
    files,
    service::KNOWN,
    settings::{ADMIN_PORT, Places, Settings},
    tls,
};

/// First phase: sockets are bound, so that every URL is known before any service is built.
#[derive(Debug)]
pub struct Plan {
    settings: Settings,
    endpoints: Vec<(&'static str, &'static str, Endpoint)>,
    external: BTreeMap<(String, String), Url>,
    admin: BTreeMap<String, Url>,
    admin_endpoint: Endpoint,
    own_admin: Url,
}

impl Plan {
    /// Binds the admin door.
    ///
    /// # Errors
    /// When its address is in use or the settings are wrong.
    pub async fn new(settings: Settings) -> anyhow::Result<Self> {
        let address = settings.admin_address()?;
        let admin_endpoint = Endpoint::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for the admin door"))?;
        let own_admin = match settings.admin_external_url()? {
            Some(url) => url,
            None => default_url("http", admin_endpoint.address())?,
        };
        let mut plan = Self {
            settings,
            endpoints: Vec::new(),
            external: BTreeMap::new(),
            admin: BTreeMap::new(),
            admin_endpoint,
            own_admin,
        };
        for (service, listeners) in KNOWN {
            plan.elsewhere(service, listeners)?;
        }
        Ok(plan)
    }

    /// Binds the listeners of a service that this process serves.
    ///
    /// # Errors
    /// When an address is in use or the settings are wrong.
    pub async fn bind<S: Service>(&mut self) -> anyhow::Result<()> {
        let places = self.settings.places(S::NAME, S::LISTENERS, true)?;
        let config = self.settings.config::<S>()?;
        for listener in S::LISTENERS {
            let address = places.listen[listener.name];
            let endpoint = Endpoint::bind(address).await.with_context(|| {
                format!(
                    "cannot listen on {address} for {} {}",
                    S::NAME,
                    listener.name
                )
            })?;
            let mut listener = *listener;
            if S::speaks_tls(&config, &listener) {
                listener.scheme = "https";
            }
            self.name(S::NAME, &listener, &places, endpoint.address())?;
            self.endpoints.push((S::NAME, listener.name, endpoint));
        }
        let admin = places.admin_url.unwrap_or_else(|| self.own_admin.clone());
        self.admin.insert(S::NAME.to_owned(), admin);
        Ok(())
    }

    /// Learns the URLs of a service that another process serves.
    fn elsewhere(
        &mut self,
        service: &'static str,
        listeners: &'static [Listener],
    ) -> anyhow::Result<()> {
        let places = self.settings.places(service, listeners, false)?;
        for listener in listeners {
            self.name(service, listener, &places, places.listen[listener.name])?;
        }
        let admin = match places.admin_url {
            Some(url) => url,
            None => Url::parse(&format!("http://localhost:{ADMIN_PORT}"))?,
        };
        self.admin.insert(service.to_owned(), admin);
        Ok(())
    }

    fn name(
        &mut self,
        service: &'static str,
        listener: &Listener,
        places: &Places,
        address: SocketAddr,
    ) -> anyhow::Result<()> {
        let url = match places.external.get(listener.name) {
            Some(url) => url.clone(),
            None if places.certificate.is_some() => default_url("https", address)?,
            None => default_url(listener.scheme, address)?,
        };
        self.external
            .insert((service.to_owned(), listener.name.to_owned()), url);
        Ok(())
    }

    /// Ends the first phase.
    ///
    /// # Errors
    /// When the data directory cannot be used.
    pub fn bound(self, clock: Clock) -> anyhow::Result<Host> {
        let dir = &self.settings.data_dir;
        files::create_dirs(dir)
            .with_context(|| format!("cannot make the data directory {}", dir.display()))?;
        let instance = match &self.settings.instance {
            Some(instance) => instance.clone(),
            None => kept_instance(dir)?,
        };
        let peers_ca = self.settings.peers_ca()?;
        let roots = peers_ca
            .as_deref()
            .map(tls::certificates)
            .transpose()
            .context("[peers] ca cannot be used")?;
        if self.settings.public_names {
            tracing::warn!(
                "PLAYING THE PUBLIC SIGSTORE, for testing only: never on a network that is not sealed"
            );
        }
        Ok(Host {
            instance,
            http: crate::http::client(roots.as_deref())?,
            peers_ca,
            external: Arc::new(self.external),
            admin: Arc::new(self.admin),
            settings: self.settings,
            clock,
            endpoints: self.endpoints,
            admin_endpoint: self.admin_endpoint,
            own_admin: self.own_admin,
        })
    }
}

/// `http://localhost:PORT` for loopback and wildcard addresses, the address itself for others.
fn default_url(scheme: &str, address: SocketAddr) -> anyhow::Result<Url> {
    let ip = address.ip();
    let text = if ip.is_loopback() || ip.is_unspecified() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    };
    Url::parse(&text).with_context(|| format!("{text} is not a URL"))
}

fn kept_instance(dir: &std::path::Path) -> anyhow::Result<String> {
    let path = dir.join("instance");
    if let Some(bytes) = files::read_optional(&path)? {
        let text = String::from_utf8(bytes)
            .unwrap_or_default()
            .trim()
            .to_owned();
        anyhow::ensure!(!text.is_empty(), "{} is empty", path.display());
        return Ok(text);
    }
    let instance: String = crypto::random_bytes::<4>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    match files::write_new(&path, instance.as_bytes()) {
        // Another service of the same lab was faster.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => kept_instance(dir),
        other => {
            other.with_context(|| format!("cannot write {}", path.display()))?;
            Ok(instance)
        }
    }
}

/// Second phase: services are opened, nothing is served yet.
#[derive(Debug)]
pub struct Host {
    instance: String,
    http: reqwest::Client,
    peers_ca: Option<String>,
    external: Arc<BTreeMap<(String, String), Url>>,
    admin: Arc<BTreeMap<String, Url>>,
    settings: Settings,
    clock: Clock,
    endpoints: Vec<(&'static str, &'static str, Endpoint)>,
    admin_endpoint: Endpoint,
    own_admin: Url,
}

/// A service that is open, without its type.
pub struct Opened {
    name: &'static str,
    routers: BTreeMap<&'static str, (Router, Option<Arc<ServerConfig>>)>,
    admin: Router,
    inspect: Arc<dyn Inspect>,
    tasks: Tasks,
    lock: files::DirLock,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

struct Inspected<S>(Arc<S>);

impl<S: Service> Inspect for Inspected<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn trust(&self) -> Trust {
        self.0.trust()
    }

    fn readiness(&self) -> Result<(), String> {
        self.0.readiness()
    }

    fn figures(&self) -> Vec<Figure> {
        self.0.figures()
    }
}

impl Host {
    /// Opens a service whose listeners were bound. Several may be opened at once.
    ///
    /// # Errors
    /// Whatever the service refuses; a data directory that another process uses.
    pub async fn open<S: Service>(&self) -> anyhow::Result<Opened> {
        let config = self.settings.config::<S>()?;
        let dir = self.settings.data_dir.join(S::NAME);
        let lock = files::DirLock::take(&dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                anyhow::anyhow!("{} is in use by another process", dir.display())
            }
            _ => anyhow::Error::new(error).context(format!("cannot lock {}", dir.display())),
        })?;
        let tasks = Tasks::default();
        let context = Context {
            clock: self.clock.clone(),
            dir,
            instance: self.instance.clone(),
            urls: Urls::new(S::NAME, self.external.clone(), self.admin.clone()),
            http: self.http.clone(),
            tasks: tasks.clone(),
        };
        let service = S::open(config, context)
            .await
            .with_context(|| format!("{} cannot start", S::NAME))?;
        let mut routers = BTreeMap::new();
        for listener in S::LISTENERS {
            let router = service.clone().router(listener.name);
            let tls = self.tls::<S>(&service, listener.name)?;
            routers.insert(listener.name, (router, tls));
        }
        let given = self
            .settings
            .places(S::NAME, S::LISTENERS, true)?
            .certificate;
        if given.is_some() && routers.values().all(|(_, tls)| tls.is_none()) {
            anyhow::bail!(
                "{}: [{}] certificate: no external_url is an https one",
                self.settings,
                S::NAME
            );
        }
        Ok(Opened {
            name: S::NAME,
            routers,
            admin: service.clone().admin(),
            inspect: Arc::new(Inspected(service)),
            tasks,
            lock,
        })
    }

    /// What a listener shows: the service's own certificate, or that of the settings where its URL is an
    /// https one. An https URL without either is somebody's who ends TLS in front of the listener.
    fn tls<S: Service>(
        &self,
        service: &S,
        listener: &'static str,
    ) -> anyhow::Result<Option<Arc<ServerConfig>>> {
        let own = service.tls(listener);
        let url = &self.external[&(S::NAME.to_owned(), listener.to_owned())];
        let given = self
            .settings
            .places(S::NAME, S::LISTENERS, true)?
            .certificate;
        match (own, given) {
            (Some(_), Some(_)) => anyhow::bail!(
                "{}: [{}] certificate: the service has one of its own by other settings",
                self.settings,
                S::NAME
            ),
            (Some(_), None) if url.scheme() != "https" => anyhow::bail!(
                "{}: [{}] external_url: {url} is not an https URL, and the listener speaks TLS",
                self.settings,
                S::NAME
            ),
            (Some(own), None) => Ok(Some(own)),
            (None, Some((chain, key))) if url.scheme() == "https" => {
                tls::from_files(&chain, &key).map(Some)
            }
            (None, _) => Ok(None),
        }
    }

    /// Last phase: serves everything that was opened until [`Running::stop`].
    #[must_use]
    pub fn serve(self, opened: Vec<Opened>) -> Running {
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let inspects = opened
            .iter()
            .map(|service| service.inspect.clone())
            .collect();
        let admin = Admin::new(
            inspects,
            self.external.clone(),
            Seen {
                instance: self.instance.clone(),
                peers_ca: self.peers_ca,
                public_names: self.settings.public_names,
            },
            self.clock,
        );
        let mut door = admin.clone().router();
        let mut tasks = Vec::new();
        let mut locks = Vec::new();
        let mut routers = BTreeMap::new();
        for service in opened {
            door = door.nest(&format!("/{}", service.name), service.admin);
            tasks.push(service.tasks);
            locks.push(service.lock);
            for (listener, served) in service.routers {
                routers.insert((service.name, listener), served);
            }
        }
        for (service, listener, endpoint) in self.endpoints {
            let Some((router, tls)) = routers.remove(&(service, listener)) else {
                continue;
            };
            let address = endpoint.address();
            if tls.is_none() && !address.ip().is_loopback() {
                tracing::warn!(service, listener, %address, "plain HTTP beyond loopback");
            }
            tracker.spawn(endpoint.serve(router, tls, stop.clone()));
        }
        tracker.spawn(self.admin_endpoint.serve(door, None, stop.clone()));
        Running {
            admin,
            admin_url: self.own_admin,
            admin_urls: self.admin,
            urls: self.external,
            instance: self.instance,
            stop,
            tracker,
            tasks,
            locks,
        }
    }
}

/// Services that are being served.
#[derive(Debug)]
pub struct Running {
    /// The admin door's view.
    pub admin: Admin,
    /// Where the admin door is.
    pub admin_url: Url,
    /// Admin doors as the settings have each service found, by service.
    pub admin_urls: Arc<BTreeMap<String, Url>>,
    /// URLs by service and listener.
    pub urls: Arc<BTreeMap<(String, String), Url>>,
    /// The lab's name.
    pub instance: String,
    stop: CancellationToken,
    tracker: TaskTracker,
    tasks: Vec<Tasks>,
    locks: Vec<files::DirLock>,
}

impl Running {
    /// Waits until every service is ready.
    ///
    /// # Errors
    /// What is not ready when `limit` has passed.
    pub async fn ready(&self, limit: std::time::Duration) -> anyhow::Result<()> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let Err(reasons) = self.admin.readiness() else {
                return Ok(());
            };
            if tokio::time::Instant::now() > deadline {
                anyhow::bail!("not ready after {} s: {reasons}", limit.as_secs());
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Stops accepting, lets open requests finish, ends background work, gives up the directories.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        for tasks in &self.tasks {
            tasks.stop().await;
        }
        drop(self.locks);
    }
}
