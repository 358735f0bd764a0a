//! State and operations: the published repository, and publishing the next one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use anyhow::Context as _;
use axum::Router;
use crypto::KeyKind;
use jiff::Timestamp;
use runtime::{Clock, Context, Figure, FigureKind, Listener, Trust, keys::load_or_generate};
use tuf_metadata::whole_seconds;

use crate::{
    Config, api, collect,
    repository::{Keys, Repository, Validity},
    store::Store,
    trust::{self, Previous, Target},
};

/// The trust repository.
#[derive(Debug)]
pub struct Service {
    config: Config,
    clock: Clock,
    mirror: String,
    keys: Keys,
    /// Held while a version is made and written, so that there is one writer.
    store: Mutex<Store>,
    /// What is served. Replaced whole, after it is durable.
    published: RwLock<Option<Arc<Repository>>>,
    /// Why the peers' trust of this run is not in yet.
    waiting: RwLock<Option<String>>,
}

impl Service {
    /// Publishes a version with the trust of all peers, if it says something else than the version before
    /// or that one is half way to its expiry. Returns whether there is a new version; it is durable then.
    /// Blocks on the file system.
    ///
    /// # Errors
    /// When the trust is not complete, the root key is not the one clients know, or the file system fails;
    /// then the version before stays.
    pub fn publish(&self, trust: &Trust) -> anyhow::Result<bool> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let now = whole_seconds(self.clock.now());
        let current = self.repository();
        let previous = match &current {
            Some(repository) => repository.documents()?,
            None => Previous::default(),
        };
        let targets = trust::targets(trust, &previous, &self.config.operator, now)?;
        self.publish_targets(&store, current.as_deref(), &targets, now)
    }

    /// Signs what is published again, if it is half way to its expiry. Returns whether there is a new
    /// version. Blocks on the file system.
    ///
    /// # Errors
    /// When the root key is not the one clients know, or the file system fails; then the version before
    /// stays.
    pub fn renew(&self) -> anyhow::Result<bool> {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = self.repository() else {
            return Ok(false);
        };
        let now = whole_seconds(self.clock.now());
        self.publish_targets(&store, Some(&current), &current.targets(), now)
    }

    fn publish_targets(
        &self,
        store: &Store,
        current: Option<&Repository>,
        targets: &BTreeMap<String, Target>,
        now: Timestamp,
    ) -> anyhow::Result<bool> {
        let validity = Validity {
            root: self.config.root_validity(),
            others: self.config.validity(),
        };
        let Some(next) = Repository::next(current, &self.keys, targets, validity, now)? else {
            return Ok(false);
        };
        store.write(current, &next)?;
        let version = next.current().timestamp.version;
        tracing::info!(version, expires = %next.expires(), "published");
        *self
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(next));
        Ok(true)
    }

    pub(crate) fn repository(&self) -> Option<Arc<Repository>> {
        self.published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn mirror(&self) -> String {
        self.mirror.clone()
    }

    /// Readiness is about the first round: a peer that leaves later does not take the trust away.
    pub(crate) fn set_waiting(&self, reason: Option<String>) {
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_some() {
            *waiting = reason;
        }
    }
}

impl runtime::Service for Service {
    const NAME: &'static str = "tuf";
    const LISTENERS: &'static [Listener] = &[Listener::http("http", 8088)];
    type Config = Config;

    async fn open(config: Config, context: Context) -> anyhow::Result<Arc<Self>> {
        config.check()?;
        let key = |role| load_or_generate(&context.dir, role, KeyKind::EcdsaP256);
        let keys = Keys {
            root: key("root")?,
            targets: key("targets")?,
            snapshot: key("snapshot")?,
            timestamp: key("timestamp")?,
        };
        let store = Store::open(&context.dir)?;
        let published = store.read()?.map(Arc::new);
        if let Some(repository) = &published {
            repository.check_root_key(&keys).with_context(|| {
                let path = runtime::keys::path(&context.dir, "root");
                format!("key {} cannot be used", path.display())
            })?;
        }
        let refresh = Duration::from_secs(config.refresh_secs.into());
        let service = Arc::new(Self {
            config,
            clock: context.clock.clone(),
            mirror: context.urls.text("tuf", "http"),
            keys,
            store: Mutex::new(store),
            published: RwLock::new(published),
            waiting: RwLock::new(Some("waiting for peers".to_owned())),
        });
        let tasks = context.tasks.clone();
        tasks.spawn(collect::run(service.clone(), context, refresh));
        Ok(service)
    }

    fn router(self: Arc<Self>, _listener: &'static str) -> Router {
        api::router(self)
    }

    fn admin(self: Arc<Self>) -> Router {
        api::admin(self)
    }

    fn readiness(&self) -> Result<(), String> {
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        waiting.clone().map_or(Ok(()), Err)
    }

    fn figures(&self) -> Vec<Figure> {
        let Some(repository) = self.repository() else {
            return Vec::new();
        };
        let current = repository.current();
        let left = repository.expires().duration_since(self.clock.now());
        let gauge = |name, help, value| Figure {
            name,
            help,
            kind: FigureKind::Gauge,
            value,
        };
        #[expect(clippy::cast_precision_loss, reason = "versions are small")]
        let version = |number: u64| number as f64;
        vec![
            gauge(
                "siglab_tuf_timestamp_version",
                "Version of the timestamp role.",
                version(current.timestamp.version),
            ),
            gauge(
                "siglab_tuf_root_version",
                "Version of the root role.",
                version(current.root.version),
            ),
            gauge(
                "siglab_tuf_validity_seconds",
                "Seconds until the first role expires.",
                left.as_secs_f64(),
            ),
        ]
    }
}
