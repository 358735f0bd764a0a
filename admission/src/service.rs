//! The webhook's state and operations, without HTTP.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use futures::{FutureExt as _, StreamExt as _};
use oci::ImageReference;
use runtime::{Context, Figure, FigureKind, Listener};
use serde_json::Value;

use crate::budget::Reserved;
use crate::cache::Cache;
use crate::cluster::{self, Cluster};
use crate::config::Config;
use crate::decision::{Evaluation, IMAGES_PARALLEL};
use crate::documents;
use crate::field_error::{FieldErrors, Level};
use crate::record::{self, Decision, Ring};
use crate::registry::{ManifestBody, Registry, Repository};
use crate::review::{Answer, Request};
use crate::store::Objects;
use crate::tls::Tls;
use crate::trust::{TrustStore, Trusted};
use crate::workload::{Kind, Workload};

/// Longest config file of an image, in bytes.
const CONFIG_MAX: usize = 4 << 20;
/// Longest wait for the objects of the cluster before the webhook serves without.
const SYNC_MAX: Duration = Duration::from_secs(3);
/// Most platforms of an image whose config files are fetched.
const CONFIGS_MAX: usize = 64;

/// The admission webhook.
#[derive(Debug)]
pub struct Service {
    config: Config,
    context: Context,
    /// Directory of policies.
    policies: PathBuf,
    /// What was last read there.
    seen: tokio::sync::Mutex<Vec<documents::Origin>>,
    objects: RwLock<Arc<Objects>>,
    /// The cluster that objects come from, instead of the directory.
    cluster: Option<Arc<Cluster>>,
    /// Whether objects are known at all.
    synced: AtomicBool,
    /// Wakes who waits for that.
    known: tokio::sync::Notify,
    /// Whether each object of the cluster can be used, for whoever writes that into it.
    states: tokio::sync::watch::Sender<Vec<cluster::State>>,
    /// Why some or all objects are not in force, when they are not.
    problem: RwLock<Option<String>>,
    decisions: Ring,
    tls: Tls,
    registry: Registry,
    /// The process's own logins, Docker's configuration as it is.
    registry_config: Option<Vec<u8>>,
    trust: TrustStore,
    cache: Cache,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    denied: AtomicU64,
}

impl Service {
    pub(crate) fn objects(&self) -> Arc<Objects> {
        self.objects
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn system_namespace(&self) -> &str {
        &self.config.system_namespace
    }

    pub(crate) const fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.context.clock.now()
    }

    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_deref()
    }

    pub(crate) const fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) const fn signatures_max(&self) -> usize {
        self.config.signatures_max
    }

    /// Whether a registry may be contacted: it is the lab's, or a policy's, or one of `registries` where those
    /// are given.
    pub(crate) fn may_contact(&self, registry: &str, objects: &Objects) -> bool {
        if !self.config.registries.is_empty() {
            return self.config.registries.iter().any(|known| known == registry);
        }
        let own = self.context.urls.of("registry", "http");
        let own = own.as_str().trim_end_matches('/');
        own.split_once("://")
            .is_some_and(|(_, own)| own == registry)
            || objects
                .policies
                .values()
                .any(|policy| policy.names_registry(registry))
    }

    /// The trusted root of a TrustRoot, or the default for `""`.
    pub(crate) async fn trusted(&self, name: &str, objects: &Objects) -> anyhow::Result<Trusted> {
        self.trust
            .get(name, objects, self.context.clock.now())
            .await
    }

    /// Where this webhook is.
    pub(crate) fn own_url(&self) -> String {
        self.context.urls.text("admission", "https")
    }

    pub(crate) fn authority_pem(&self) -> String {
        self.tls.authority_pem()
    }

    pub(crate) fn registry_config(&self) -> Option<&[u8]> {
        self.registry_config.as_deref()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.context.tasks.stopping().is_cancelled()
    }

    /// The latest decisions, newest first.
    pub(crate) fn decisions(&self, count: usize) -> Vec<Decision> {
        self.decisions.newest(count)
    }

    /// Decides about a workload, within the time that a decision may take, and keeps the record.
    pub(crate) async fn decide(&self, request: &Request, workload: &Workload) -> Answer {
        if !self.synced.load(Ordering::Acquire) {
            let message = "validation failed: the policies of the cluster are not known yet";
            return Answer::denied(message.to_owned());
        }
        let (answer, decision) = self.evaluate(&self.objects(), request, workload).await;
        let count = if decision.allowed {
            &self.counts.allowed
        } else {
            &self.counts.denied
        };
        count.fetch_add(1, Ordering::Relaxed);
        record::log(&decision);
        self.decisions.push(decision);
        answer
    }

    /// What the answer would be, with these objects. Whatever goes wrong is a denial.
    pub(crate) async fn evaluate(
        &self,
        objects: &Objects,
        request: &Request,
        workload: &Workload,
    ) -> (Answer, Decision) {
        let namespace = namespace(request, workload);
        let evaluation = Evaluation::new(self, objects, workload, &namespace);
        let limit = Duration::from_secs(self.config.decision_secs);
        let decided = std::panic::AssertUnwindSafe(evaluation.images()).catch_unwind();
        let failed = |message: &str| {
            let mut errors = FieldErrors::default();
            errors.push(Level::Error, message.to_owned(), &[], "");
            (errors, Vec::new())
        };
        let (errors, images) = match tokio::time::timeout(limit, decided).await {
            Ok(Ok(decided)) => decided,
            Ok(Err(_)) => {
                tracing::error!(
                    uid = request.uid,
                    "the decision ended in a panic, and denies"
                );
                failed("internal error")
            }
            Err(_) => failed("context was canceled before validation completed"),
        };
        let denial = errors
            .denial()
            .map(|text| format!("validation failed: {text}"));
        let answer = Answer {
            denial,
            warnings: errors.warnings(),
            patch: None,
        };
        let decision = Decision {
            time: self.context.clock.now(),
            uid: request.uid.clone(),
            operation: request.operation.clone(),
            kind: request.kind.kind.clone(),
            namespace,
            name: object_name(request),
            allowed: answer.denial.is_none(),
            message: answer.denial.clone().unwrap_or_default(),
            warnings: answer.warnings.clone(),
            images,
        };
        (answer, decision)
    }

    /// What would be decided about `object` once its tags are resolved, under the policies in force or under
    /// those of a text.
    ///
    /// # Errors
    /// What is wrong with the object or the policies.
    pub(crate) async fn explain(
        &self,
        object: &Value,
        policies: Option<&str>,
    ) -> Result<Decision, String> {
        let objects = match policies {
            None => self.objects(),
            Some(text) => {
                let documents =
                    documents::parse("policies", text).map_err(|error| error.to_string())?;
                let compiled = Objects::compile_all(&documents, &self.config);
                Arc::new(compiled.map_err(|error| error.to_string())?)
            }
        };
        let request = Request::creating(object);
        let kind = &request.kind;
        let kind = Kind::find(&kind.group, &kind.version, &kind.kind)
            .ok_or_else(|| format!("unhandled kind: {}", request.kind_text()))?;
        let workload = Workload::decode(kind, object)?;
        let mut resolved = object.clone();
        for (pointer, image) in self.resolve(&request, &workload).await {
            if let Some(place) = resolved.pointer_mut(&pointer) {
                *place = image.into();
            }
        }
        let workload = Workload::decode(kind, &resolved)?;
        let request = Request::creating(&resolved);
        Ok(self.evaluate(&objects, &request, &workload).await.1)
    }

    /// Decisions as they are made.
    pub(crate) fn follow_decisions(&self) -> tokio::sync::broadcast::Receiver<Decision> {
        self.decisions.follow()
    }

    /// The images of a workload that are tags, with what they resolve to: JSON pointer and reference.
    /// What cannot be resolved is left out, and validation denies it.
    pub(crate) async fn resolve(
        &self,
        request: &Request,
        workload: &Workload,
    ) -> Vec<(String, String)> {
        let objects = self.objects();
        let namespace = namespace(request, workload);
        let evaluation = Evaluation::new(self, &objects, workload, &namespace);
        let keychain = match evaluation.keychain().await {
            Ok(keychain) => keychain,
            Err(error) => {
                tracing::debug!("tags are not resolved: {error}");
                return Vec::new();
            }
        };
        let limit = Duration::from_secs(self.config.decision_secs);
        let resolved = workload.images.iter().map(|used| async {
            let reference: ImageReference = used.image.parse().ok()?;
            let tag = reference.tag().filter(|_| reference.digest().is_none())?;
            let repository = evaluation.repository(&reference, keychain);
            let repository = repository
                .inspect_err(|error| {
                    tracing::debug!(image = used.image, "the tag cannot be resolved: {error}");
                })
                .ok()?;
            let fetched = self.registry.manifest(&repository, tag.as_str());
            let manifest = match tokio::time::timeout(limit, fetched).await {
                Ok(Ok(manifest)) => manifest?,
                Ok(Err(error)) => {
                    tracing::debug!(image = used.image, "the tag cannot be resolved: {error}");
                    return None;
                }
                Err(_) => {
                    tracing::debug!(image = used.image, "the tag cannot be resolved in time");
                    return None;
                }
            };
            let pinned = format!("{}:{tag}@{}", reference.context(), manifest.digest);
            Some((used.pointer.clone(), pinned))
        });
        let resolved: Vec<_> = resolved.collect();
        futures::stream::iter(resolved)
            .buffered(IMAGES_PARALLEL)
            .filter_map(std::future::ready)
            .collect()
            .await
    }

    /// The config files of an image by platform, for policies that ask.
    pub(crate) async fn configs(
        &self,
        evaluation: &Evaluation<'_>,
        reference: &ImageReference,
    ) -> Result<Value, String> {
        let keychain = evaluation.keychain().await?;
        let repository = evaluation.repository(reference, keychain)?;
        let missing = || format!("MANIFEST_UNKNOWN: manifest unknown: {reference}");
        let digest = reference.digest().ok_or_else(missing)?.to_string();
        let mut pending = vec![digest];
        let mut configs = serde_json::Map::new();
        let mut reserved = Vec::new();
        let mut children = false;
        while let Some(digest) = pending.pop() {
            let body = self.registry.manifest_body(&repository, &digest).await;
            let body = body
                .map_err(|error| error.to_string())?
                .ok_or_else(missing)?;
            if !children {
                children = true;
                let listed = body.manifests.iter().take(CONFIGS_MAX);
                pending.extend(listed.map(|child| child.digest.to_string()));
            }
            if let Some((config, share)) = self.config_file(&repository, &body).await? {
                configs.insert(platform(&config), config);
                reserved.push(share);
            }
        }
        Ok(Value::Object(configs))
    }

    async fn config_file(
        &self,
        repository: &Repository,
        manifest: &ManifestBody,
    ) -> Result<Option<(Value, Reserved)>, String> {
        let Some(config) = &manifest.config else {
            return Ok(None);
        };
        let blob = self.registry.blob(repository, config, CONFIG_MAX).await;
        let blob = blob.map_err(|error| error.to_string())?;
        let blob = blob.ok_or_else(|| format!("config {} is missing", config.digest))?;
        serde_json::from_slice(&blob.bytes)
            .map(|value| Some((value, blob.reserved)))
            .map_err(|_| format!("config {} is not JSON", config.digest))
    }

    /// Puts the objects on disk in force when they changed, all or none.
    ///
    /// # Errors
    /// Why they are not in force; the last good ones stay.
    pub(crate) async fn reload(&self) -> Result<(), String> {
        let mut seen = self.seen.lock().await;
        let read = read(&self.policies).await;
        let loaded = match read {
            Ok(documents) if *seen == documents => {
                let problem = self.problem.read().unwrap_or_else(PoisonError::into_inner);
                return problem.clone().map_or(Ok(()), Err);
            }
            Ok(documents) => {
                let loaded = Objects::compile_all(&documents, &self.config);
                *seen = documents;
                loaded.map_err(anyhow::Error::from)
            }
            Err(error) => Err(error),
        };
        let mut problem = self.problem.write().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(objects) => {
                tracing::info!(policies = objects.policies.len(), "policies are in force");
                *self.objects.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(objects);
                *problem = None;
                Ok(())
            }
            Err(error) => {
                let error = format!("{error:#}");
                if problem.as_ref() != Some(&error) {
                    tracing::error!("policies are refused, the last good ones stay: {error}");
                }
                *problem = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Puts the objects of the cluster in force. What cannot be used denies.
    fn apply(&self, documents: &[documents::Origin]) {
        let objects = Objects::compile(documents, &self.config);
        self.states
            .send_replace(cluster::states(documents, &objects.problems));
        let problems: Vec<String> = objects
            .problems
            .iter()
            .map(|problem| format!("{problem}"))
            .collect();
        for problem in &problems {
            tracing::error!("cannot be used, and denies: {problem}");
        }
        tracing::info!(policies = objects.policies.len(), "policies are in force");
        *self.objects.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(objects);
        *self.problem.write().unwrap_or_else(PoisonError::into_inner) =
            (!problems.is_empty()).then(|| problems.join("\n"));
        self.synced.store(true, Ordering::Release);
        self.known.notify_one();
    }

    /// Takes objects from the cluster from now on, and writes into it what belongs there. Returns when they are
    /// known, or after a while: the definitions may not be installed yet, and the webhook has to be there for
    /// them.
    async fn follow_cluster(self: &Arc<Self>, cluster: &Arc<Cluster>) {
        let tasks = &self.context.tasks;
        let (states, clock) = (self.states.subscribe(), self.context.clock.clone());
        tasks.spawn(Arc::clone(cluster).keep_status(states, move || clock.now()));
        let follower = Arc::clone(self);
        let apply = move |documents: Vec<documents::Origin>| follower.apply(&documents);
        tasks.spawn(Arc::clone(cluster).follow(apply));
        let _ = tokio::time::timeout(SYNC_MAX, self.known.notified()).await;
        let source = Arc::clone(self);
        let pem = move || source.authority_pem();
        let period = Duration::from_secs(self.config.authority_check_secs.max(1));
        tasks.spawn(Arc::clone(cluster).keep_authority(period, pem));
    }

    async fn watch(self: Arc<Self>) {
        let period = Duration::from_secs(self.config.policies_poll_secs.max(1));
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // A refusal is logged and kept where it happens.
            let _ = self.reload().await;
        }
    }
}

impl runtime::Service for Service {
    const NAME: &'static str = "admission";
    const LISTENERS: &'static [Listener] = &[Listener::https("https", 8443)];
    type Config = Config;

    async fn open(config: Config, context: Context) -> anyhow::Result<Arc<Self>> {
        let dir = config
            .policies
            .clone()
            .unwrap_or_else(|| context.dir.join("policies"));
        if config.policies.is_none() && !config.uses_cluster() {
            runtime::files::create_dirs(&dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let cluster = Cluster::connect(&config).await?.map(Arc::new);
        let documents = match &cluster {
            Some(_) => Vec::new(),
            None => read(&dir).await?,
        };
        let objects = match &cluster {
            // Nothing is known yet, and nothing is decided before it is.
            Some(_) => Objects::default(),
            None => Objects::compile_all(&documents, &config)?,
        };
        let registry = Registry::new(config.registry_ca.as_deref(), config.signature_bytes_max)?;
        let trust = TrustStore::new(&config, &context);
        let registry_config = match &config.registry_config {
            Some(path) => Some(
                std::fs::read(path)
                    .with_context(|| format!("registry_config: cannot read {}", path.display()))?,
            ),
            None => None,
        };
        let tls = Tls::new(&context, tls_names(&config, &context))?;
        let service = Arc::new(Self {
            decisions: Ring::new(config.decisions_max),
            policies: dir,
            seen: tokio::sync::Mutex::new(documents),
            objects: RwLock::new(Arc::new(objects)),
            problem: RwLock::new(None),
            states: tokio::sync::watch::Sender::new(Vec::new()),
            synced: AtomicBool::new(cluster.is_none()),
            known: tokio::sync::Notify::new(),
            cluster,
            counts: Counts::default(),
            registry,
            registry_config,
            trust,
            cache: Cache::new(config.cache_secs),
            config,
            context: context.clone(),
            tls,
        });
        let renewed = Arc::clone(&service);
        let again = context.clone();
        context
            .tasks
            .spawn(async move { renewed.tls.keep_fresh(&again).await });
        match &service.cluster {
            Some(cluster) => service.follow_cluster(cluster).await,
            None => context.tasks.spawn(Arc::clone(&service).watch()),
        }
        Ok(service)
    }

    fn router(self: Arc<Self>, _listener: &'static str) -> axum::Router {
        crate::api::router(self)
    }

    fn admin(self: Arc<Self>) -> axum::Router {
        crate::api::admin(self)
    }

    fn tls(&self, _listener: &'static str) -> Option<Arc<rustls::ServerConfig>> {
        Some(self.tls.config())
    }

    fn figures(&self) -> Vec<Figure> {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let problem = self
            .problem
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some();
        vec![
            Figure {
                name: "siglab_admission_allowed_total",
                help: "Objects that were admitted after a look at their images.",
                kind: FigureKind::Counter,
                value: count(&self.counts.allowed),
            },
            Figure {
                name: "siglab_admission_denied_total",
                help: "Objects that were denied.",
                kind: FigureKind::Counter,
                value: count(&self.counts.denied),
            },
            Figure {
                name: "siglab_admission_policies",
                help: "Policies in force.",
                kind: FigureKind::Gauge,
                value: self.objects().policies.len() as f64,
            },
            Figure {
                name: "siglab_admission_policies_refused",
                help: "1 while the policies on disk cannot be used and older ones are in force.",
                kind: FigureKind::Gauge,
                value: f64::from(u8::from(problem)),
            },
        ]
    }
}

async fn read(dir: &Path) -> anyhow::Result<Vec<documents::Origin>> {
    let dir = dir.to_owned();
    Ok(tokio::task::spawn_blocking(move || documents::read_directory(&dir)).await??)
}

fn tls_names(config: &Config, context: &Context) -> Vec<String> {
    let namespace = &config.system_namespace;
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
        format!("webhook.{namespace}"),
        format!("webhook.{namespace}.svc"),
        format!("webhook.{namespace}.svc.cluster.local"),
    ];
    let own = context.urls.own("https");
    names.extend(
        own.host_str()
            .map(|host| host.trim_matches(['[', ']']).to_owned()),
    );
    names.extend(config.tls_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// `os[/arch[/variant]][:version]`.
fn platform(config: &Value) -> String {
    let text = |field: &str| {
        config
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let mut platform = text("os").to_owned();
    for field in ["architecture", "variant"] {
        if !text(field).is_empty() {
            platform = format!("{platform}/{}", text(field));
        }
    }
    match text("os.version") {
        "" => platform,
        version => format!("{platform}:{version}"),
    }
}

fn namespace(request: &Request, workload: &Workload) -> String {
    let metadata = workload.metadata();
    let own = metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let namespace = if own.is_empty() {
        &request.namespace
    } else {
        own
    };
    if namespace.is_empty() {
        "default".to_owned()
    } else {
        namespace.to_owned()
    }
}

fn object_name(request: &Request) -> String {
    let metadata = |field: &str| {
        let value = request.object.pointer(&format!("/metadata/{field}"));
        value
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
    };
    metadata("name")
        .or_else(|| metadata("generateName"))
        .unwrap_or_else(|| request.name.clone())
}
