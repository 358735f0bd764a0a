//! The registry: its store, its upload sessions, and who may use them.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use axum::Router;
use jiff::{SignedDuration, Timestamp};
use runtime::{Clock, Context, Figure, FigureKind, Listener, files};

use crate::{
    Config, Error, FsckReport, GcOptions, GcReport, Progress, ReferrersMode, api,
    auth::Auth,
    store::{Store, Uploads},
};

/// How often idle upload sessions are looked for.
const SWEEP: std::time::Duration = std::time::Duration::from_secs(60);

/// The registry.
#[derive(Debug)]
pub struct Service {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) uploads: Uploads,
    pub(crate) auth: Auth,
    pub(crate) pushed: Pushed,
    clock: Clock,
    tls: Option<Tls>,
    /// Scheme and authority for requests that do not say where they were sent.
    external: (&'static str, String),
}

#[derive(Debug)]
struct Tls {
    config: Arc<rustls::ServerConfig>,
    /// The authority to trust, where it is our own.
    authority_pem: Option<String>,
}

/// What was pushed since the start.
#[derive(Debug, Default)]
pub(crate) struct Pushed {
    pub(crate) blobs: AtomicU64,
    pub(crate) manifests: AtomicU64,
}

impl Service {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Scheme that clients use.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() {
            "https"
        } else {
            self.external.0
        }
    }

    /// Host and port that clients use when their request does not say.
    pub(crate) fn authority(&self) -> &str {
        &self.external.1
    }

    /// The certificate authority of the listener, where it is our own, PEM.
    pub(crate) fn tls_authority(&self) -> Option<&str> {
        self.tls.as_ref()?.authority_pem.as_deref()
    }

    /// Runs file work away from the reactor. It is finished even if the client goes away.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let service = self.clone();
        tokio::task::spawn_blocking(move || work(&service))
            .await
            .map_err(|error| Error::Internal(error.into()))?
    }

    /// Drops upload sessions that nobody touched for too long.
    pub(crate) fn expire_uploads(&self) -> usize {
        self.uploads.expire(&self.store.layout, self.now())
    }

    fn open_blocking(config: Config, context: &Context) -> anyhow::Result<Self> {
        let store = Store::open(&context.dir, context.clock.clone(), config.referrers)?;
        let idle = SignedDuration::from_secs(config.upload_idle_secs.into());
        let uploads = Uploads::open(&store.layout, config.uploads_max, idle, context.clock.now())
            .context("cannot read the unfinished uploads")?;
        let auth = Auth::open(config.auth.clone(), context)?;
        let tls = open_tls(&config, context)?;
        let url = context.urls.own("http");
        let scheme = if url.scheme() == "https" {
            "https"
        } else {
            "http"
        };
        let host = url.host_str().unwrap_or("localhost");
        let authority = url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self {
            config,
            store,
            uploads,
            auth,
            pushed: Pushed::default(),
            clock: context.clock.clone(),
            tls,
            external: (scheme, authority),
        })
    }
}

fn open_tls(config: &Config, context: &Context) -> anyhow::Result<Option<Tls>> {
    match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => {
            let config = runtime::tls::from_files(certificate, key)?;
            Ok(Some(Tls {
                config,
                authority_pem: None,
            }))
        }
        (None, None) if config.tls.own => {
            let url = context.urls.own("http");
            let host = url
                .host_str()
                .unwrap_or("localhost")
                .trim_matches(['[', ']'])
                .to_owned();
            let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"]
                .map(str::to_owned)
                .to_vec();
            names.extend(config.tls.names.iter().cloned());
            names.push(host);
            names.sort_unstable();
            names.dedup();
            let server = runtime::tls::server(context, &names)?;
            Ok(Some(Tls {
                config: server.config,
                authority_pem: Some(server.authority_pem),
            }))
        }
        (None, None) => Ok(None),
        _ => anyhow::bail!("[registry] tls.certificate and tls.key are needed together"),
    }
}

impl runtime::Service for Service {
    const NAME: &'static str = "registry";
    const LISTENERS: &'static [Listener] = &[Listener::http("http", 5000)];
    type Config = Config;

    async fn open(config: Config, context: Context) -> anyhow::Result<Arc<Self>> {
        let tasks = context.tasks.clone();
        let open = move || Self::open_blocking(config, &context);
        let service = Arc::new(tokio::task::spawn_blocking(open).await??);
        let swept = Arc::downgrade(&service);
        tasks.spawn(async move {
            let mut interval = tokio::time::interval(SWEEP);
            loop {
                interval.tick().await;
                let Some(service) = swept.upgrade() else {
                    return;
                };
                let _ = service
                    .blocking(|service| {
                        service.expire_uploads();
                        Ok(())
                    })
                    .await;
            }
        });
        Ok(service)
    }

    fn router(self: Arc<Self>, _listener: &'static str) -> Router {
        api::router(self)
    }

    fn admin(self: Arc<Self>) -> Router {
        api::admin(self)
    }

    fn readiness(&self) -> Result<(), String> {
        if self.store.is_sound() {
            Ok(())
        } else {
            Err("a write could not be made durable".to_owned())
        }
    }

    fn speaks_tls(config: &Config, _listener: &Listener) -> bool {
        config.tls.own || config.tls.certificate.is_some()
    }

    fn tls(&self, _listener: &'static str) -> Option<Arc<rustls::ServerConfig>> {
        self.tls.as_ref().map(|tls| tls.config.clone())
    }

    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    fn figures(&self) -> Vec<Figure> {
        let figure = |name, help, kind, value: u64| Figure {
            name,
            help,
            kind,
            value: value as f64,
        };
        let (counter, gauge) = (FigureKind::Counter, FigureKind::Gauge);
        let pushed = |count: &AtomicU64| count.load(Ordering::Relaxed);
        vec![
            figure(
                "siglab_registry_blobs_pushed_total",
                "Blobs pushed since the start.",
                counter,
                pushed(&self.pushed.blobs),
            ),
            figure(
                "siglab_registry_manifests_pushed_total",
                "Manifests pushed since the start.",
                counter,
                pushed(&self.pushed.manifests),
            ),
            figure(
                "siglab_registry_referrers",
                "Manifests that have a subject.",
                gauge,
                self.store.referrers_count(),
            ),
            figure(
                "siglab_registry_uploads_open",
                "Upload sessions that are not finished.",
                gauge,
                self.uploads.count() as u64,
            ),
        ]
    }
}

/// Collects garbage in the directory of a registry that is not running.
///
/// # Errors
/// When a process uses the directory, or files cannot be read or removed.
pub fn gc(
    dir: &Path,
    clock: Clock,
    options: &GcOptions,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<GcReport> {
    let _lock = lock(dir)?;
    let store = Store::open(dir, clock, ReferrersMode::On)?;
    Ok(store.gc(options, progress)?)
}

/// Checks everything in the directory of a registry that is not running: content against digests,
/// links and tags against content, the index against manifests.
///
/// # Errors
/// When a process uses the directory, or files cannot be read.
pub fn fsck(
    dir: &Path,
    clock: Clock,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<FsckReport> {
    let _lock = lock(dir)?;
    let store = Store::open(dir, clock, ReferrersMode::On)?;
    Ok(store.fsck(progress)?)
}

fn lock(dir: &Path) -> anyhow::Result<files::DirLock> {
    files::DirLock::take(dir)
        .with_context(|| format!("{} is in use, stop the registry first", dir.display()))
}
