//! Both logs, and the operations of Rekor in its own words.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use axum::Router;
use entry::{
    Body,
    v1::{Entry, Proposal},
    v2::{self, Algorithms, Request},
};
use jiff::Timestamp;
use runtime::{
    BlobError, Clock, Context, Figure, FigureKind, Listener, ServiceRole, ServiceUrl,
    TransparencyLog, Trust,
};
use sequencer::{AppendError, Appended, TreeHead};
use serde_json::Value;

use crate::{
    Config, Error, api,
    config::{EntryType, algorithms},
    error::V2Error,
    ids::{EntryName, TreeId, entry_id},
    intake::Intake,
    search::{Follower, SearchIndex},
    store::{Attestations, Beside},
    tree::{V1Log, V2Log},
    work::{Busy, Work},
};

/// A hashedrekord in a body of this length is verified where it arrives: it has one signature and at
/// most ten certificates, and handing it to another thread and back takes as long as half its work.
const SHORT_BYTES: usize = 16 << 10;

/// Both logs of one lab.
#[derive(Debug)]
pub struct Service {
    pub(crate) config: Config,
    pub(crate) v1: V1Log,
    pub(crate) v2: V2Log,
    pub(crate) grpc: api::Grpc,
    v1_algorithms: Algorithms,
    v2_algorithms: Algorithms,
    attestations: Attestations,
    search: Arc<SearchIndex>,
    follower: Follower,
    pub(crate) intake: Intake,
    work: Work,
    clock: Clock,
    urls: [String; 2],
    since: Timestamp,
    new_entries: [AtomicU64; 2],
}

/// An entry of Rekor v1 with its proof against one tree head.
#[derive(Debug)]
pub(crate) struct LoggedEntry {
    pub(crate) entry_id: String,
    pub(crate) body: Vec<u8>,
    pub(crate) integrated_time: i64,
    pub(crate) leaf_index: u64,
    pub(crate) head: TreeHead,
    pub(crate) inclusion_proof: Vec<[u8; 32]>,
    pub(crate) inclusion_promise: Vec<u8>,
    pub(crate) attestation: Option<Vec<u8>>,
}

/// Things to look up in Rekor v1, already within bounds.
#[derive(Debug, Default)]
pub(crate) struct LogQuery {
    pub(crate) entry_uuids: Vec<String>,
    pub(crate) log_indexes: Vec<u64>,
    /// Proposed or canonical entries, as JSON.
    pub(crate) entries: Vec<Value>,
}

/// Keys to search the index by: each group must, or any may, match.
#[derive(Debug)]
pub(crate) struct IndexQuery {
    pub(crate) groups: Vec<Vec<String>>,
    pub(crate) all: bool,
}

impl runtime::Service for Service {
    const NAME: &'static str = "rekor";

    const LISTENERS: &'static [Listener] =
        &[Listener::http("v1", 3000), Listener::http("v2", 3003)];

    type Config = Config;

    async fn open(config: Config, context: Context) -> anyhow::Result<Arc<Self>> {
        config.check()?;
        let opening = context.clone();
        let key = config.v2.key;
        let (v1, v2, attestations, search) = tokio::task::spawn_blocking(move || {
            let v1 = V1Log::open(&opening)?;
            let v2 = V2Log::open(&opening, key)?;
            let attestations = Attestations::open(&opening.dir.join("attestations"))?;
            let log_id = v1.public_key().key_id();
            let search = SearchIndex::open(&opening.dir.join("index"), v1.log.clone(), log_id)?;
            anyhow::Ok((v1, v2, attestations, search))
        })
        .await
        .context("the logs could not be opened")??;
        let search = Arc::new(search);
        Ok(Arc::new(Self {
            grpc: api::Grpc::new().await,
            v1_algorithms: algorithms(&config.v1.client_signing_algorithms),
            v2_algorithms: algorithms(&config.v2.client_signing_algorithms),
            attestations,
            follower: Follower::start(Arc::clone(&search))?,
            search,
            intake: Intake::new(),
            work: Work::new(),
            urls: ["v1", "v2"].map(|name| context.urls.text(Self::NAME, name)),
            since: valid_since(&context)?,
            clock: context.clock.clone(),
            new_entries: Default::default(),
            config,
            v1,
            v2,
        }))
    }

    fn router(self: Arc<Self>, listener: &'static str) -> Router {
        if listener == "v1" {
            api::v1_router(self)
        } else {
            api::v2_router(self)
        }
    }

    fn trust(&self) -> Trust {
        let [v1_url, v2_url] = self.urls.clone();
        let service = |url: &str, major_api_version| ServiceUrl {
            role: ServiceRole::TransparencyLog,
            url: url.to_owned(),
            major_api_version,
            valid_from: self.since,
        };
        let log = |base_url: &str, key: &crypto::PublicKey, log_id: [u8; 32]| TransparencyLog {
            base_url: base_url.to_owned(),
            public_key: key.spki_der().to_vec(),
            key_details: match key.kind() {
                crypto::PublicKeyKind::Ed25519 => "PKIX_ED25519",
                _ => "PKIX_ECDSA_P256_SHA_256",
            }
            .to_owned(),
            log_id: log_id.to_vec(),
            valid_from: self.since,
        };
        Trust {
            tlogs: vec![
                log(&v1_url, self.v1.public_key(), self.v1.public_key().key_id()),
                log(&v2_url, self.v2.public_key(), self.v2.log_id()),
            ],
            services: vec![service(&v2_url, 2), service(&v1_url, 1)],
            ..Trust::default()
        }
    }

    fn readiness(&self) -> Result<(), String> {
        for (name, log) in [("v1", &self.v1.log), ("v2", &self.v2.log)] {
            if let Some(trouble) = log.trouble() {
                return Err(format!("{name}: {trouble}"));
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let counter = |name, help, value: &AtomicU64| Figure {
            name,
            help,
            kind: FigureKind::Counter,
            value: value.load(Ordering::Relaxed) as f64,
        };
        let gauge = |name, help, value: u64| Figure {
            name,
            help,
            kind: FigureKind::Gauge,
            value: value as f64,
        };
        let [v1, v2] = &self.new_entries;
        vec![
            counter(
                "rekor_new_entries",
                "Entries logged by Rekor v1 since the start.",
                v1,
            ),
            counter(
                "rekor_v2_new_hashedrekord_entries",
                "Entries logged by Rekor v2 since the start.",
                v2,
            ),
            gauge(
                "siglab_rekor_v1_tree_size",
                "Entries in the log of Rekor v1.",
                self.v1.log.head().tree_size,
            ),
            gauge(
                "siglab_rekor_v2_tree_size",
                "Entries in the log of Rekor v2.",
                self.v2.log.head().tree_size,
            ),
        ]
    }
}

/// Start of the validity of both keys: when the service was first opened here, kept so that a restart
/// does not move it past entries that were logged before.
fn valid_since(context: &Context) -> anyhow::Result<Timestamp> {
    let path = context.dir.join("since");
    if let Some(bytes) = runtime::files::read_optional(&path)? {
        let text = String::from_utf8(bytes).unwrap_or_default();
        return text
            .trim()
            .parse()
            .with_context(|| format!("{} is not a timestamp", path.display()));
    }
    // Whole seconds, as in entries: the first of them must not be older than the key.
    let now = Timestamp::from_second(context.clock.now().as_second())?;
    runtime::files::write_new(&path, now.to_string().as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(now)
}

impl Service {
    /// createLogEntry: verifies a proposed entry and logs it. Returns when a published checkpoint
    /// covers it.
    pub(crate) async fn create_log_entry(
        self: &Arc<Self>,
        proposal: Value,
        body_bytes: usize,
    ) -> Result<LoggedEntry, Error> {
        let is_short = body_bytes <= SHORT_BYTES && proposal["kind"] == "hashedrekord";
        let (leaf, index_keys) = if is_short {
            self.check(&proposal)?
        } else {
            let service = Arc::clone(self);
            let checked = self.work.run(move || service.check(&proposal)).await;
            checked.map_err(busy)??
        };
        let integrated_time = self.clock.now().as_second();
        let beside = Beside {
            integrated_time,
            index_keys,
        };
        let entry = sequencer::Entry {
            leaf: leaf.clone(),
            extra: beside.to_bytes(),
            dedup_key: None,
        };
        let appended = self.v1.log.append(entry).await?;
        let entry_id = entry_id(self.v1.tree, &entry::leaf_hash(&leaf));
        if appended.duplicate {
            return Err(Error::Duplicate { entry_id });
        }
        self.new_entries[0].fetch_add(1, Ordering::Relaxed);
        self.follower.wake(appended.head.tree_size);
        let Appended {
            leaf_index,
            head,
            inclusion_proof,
            ..
        } = appended;
        Ok(LoggedEntry {
            inclusion_promise: self.promise(&leaf, integrated_time, leaf_index)?,
            entry_id,
            body: leaf,
            integrated_time,
            leaf_index,
            head,
            inclusion_proof,
            attestation: None,
        })
    }

    /// Everything before the log: what the proposal's canonical body is, and its index keys.
    fn check(&self, proposal: &Value) -> Result<(Vec<u8>, Vec<String>), Error> {
        let proposal = Proposal::from_json(proposal).map_err(Error::Proposal)?;
        let entry = Entry::from_proposal(&proposal).map_err(Error::Entry)?;
        if !self
            .config
            .v1
            .enabled_entry_types
            .contains(&EntryType::of(entry.kind()))
        {
            return Err(Error::KindNotEnabled(entry.kind().name()));
        }
        entry.insertable().map_err(Error::Entry)?;
        if let Some((key, hash)) = entry.algorithm()
            && !self.v1_algorithms.allow(key, hash)
        {
            return Err(Error::Algorithm);
        }
        let body = entry.body().map_err(|error| {
            if error.is_input_validation() {
                Error::Entry(error)
            } else {
                Error::Canonicalize
            }
        })?;
        let leaf = body.to_canonical();
        if let Some(attestation) = entry.attestation()
            && self.config.v1.enable_attestation_storage
            && attestation.counted_bytes <= self.config.v1.max_attestation_size
        {
            self.attestations
                .put(&attestation.key, &attestation.payload)
                .map_err(unstored)?;
        }
        Ok((leaf, entry.index_keys().to_vec()))
    }

    fn promise(&self, body: &[u8], time: i64, index: u64) -> Result<Vec<u8>, Error> {
        let payload = entry::set_payload(body, time, &self.v1.log_id, index);
        self.v1.sign(&payload).map_err(Error::Internal)
    }

    /// getLogEntryByIndex.
    pub(crate) async fn log_entry_by_index(
        self: &Arc<Self>,
        index: u64,
    ) -> Result<LoggedEntry, Error> {
        self.blocking(move |service| service.entry_at(index, &service.v1.log.head()))
            .await
    }

    /// getLogEntryByUUID: `name` has 64 or 80 hex digits.
    pub(crate) async fn log_entry_by_uuid(
        self: &Arc<Self>,
        name: String,
    ) -> Result<LoggedEntry, Error> {
        self.blocking(move |service| {
            let parsed = EntryName::parse(&name).ok_or(Error::NotFound)?;
            if let Some(tree) = parsed.tree {
                let tree_id = TreeId::from_hex(tree).filter(|id| !id.is_zero());
                if tree_id.ok_or_else(|| Error::EntryTree(tree.to_owned()))? != service.v1.tree {
                    return Err(Error::NotFound);
                }
            }
            service.entry_of_hash(&parsed.leaf_hash)
        })
        .await
    }

    /// searchLogQuery: what is not found is left out.
    pub(crate) async fn search_log_query(
        self: &Arc<Self>,
        query: LogQuery,
    ) -> Result<Vec<LoggedEntry>, Error> {
        self.blocking(move |service| {
            let mut found = Vec::new();
            let mut hashes = Vec::new();
            for text in &query.entry_uuids {
                let name = EntryName::parse(text).ok_or_else(|| Error::EntryId(text.clone()))?;
                let Some(tree) = name.tree else {
                    hashes.push(name.leaf_hash);
                    continue;
                };
                let tree = TreeId::from_hex(tree).filter(|id| !id.is_zero());
                if tree.ok_or_else(|| Error::EntryId(text.clone()))? == service.v1.tree {
                    found.push(service.entry_of_hash(&name.leaf_hash));
                }
            }
            for proposal in &query.entries {
                let proposal = Proposal::from_json(proposal).map_err(Error::Proposal)?;
                let entry = Entry::from_proposal(&proposal).map_err(Error::Lookup)?;
                hashes.push(entry.body().map_err(Error::Lookup)?.leaf_hash());
            }
            found.extend(hashes.iter().map(|hash| service.entry_of_hash(hash)));
            let head = service.v1.log.head();
            found.extend(
                query
                    .log_indexes
                    .iter()
                    .map(|index| service.entry_at(*index, &head)),
            );
            found.retain(|entry| !matches!(entry, Err(Error::NotFound)));
            found.into_iter().collect()
        })
        .await
    }

    /// getLogProof: hashes, and the root of the published tree.
    pub(crate) async fn log_proof(
        self: &Arc<Self>,
        first: u64,
        last: u64,
        tree: Option<&str>,
    ) -> Result<(Vec<[u8; 32]>, [u8; 32]), Error> {
        if first > last {
            return Err(Error::ProofOrder { first, last });
        }
        if let Some(text) = tree {
            let tree: TreeId = text.parse().map_err(|_| Error::TreeId(text.to_owned()))?;
            if tree != self.v1.tree {
                return Err(Error::UnknownTree(text.to_owned()));
            }
        }
        self.blocking(move |service| {
            let head = service.v1.log.head();
            if last > head.tree_size {
                return Err(Error::ProofBeyond {
                    last,
                    size: head.tree_size,
                });
            }
            let proof = service
                .v1
                .log
                .consistency_proof(first, last)
                .map_err(internal)?;
            Ok((proof, head.root_hash))
        })
        .await
    }

    /// searchIndex: ids of entries.
    pub(crate) async fn search_index(
        self: &Arc<Self>,
        query: IndexQuery,
    ) -> Result<Vec<String>, Error> {
        self.blocking(move |service| {
            service.search.catch_up().map_err(Error::Internal)?;
            let mut sets: Vec<Vec<u64>> = Vec::new();
            for group in &query.groups {
                let mut set = Vec::new();
                for key in group {
                    set.extend(
                        service
                            .search
                            .find(&key.to_lowercase())
                            .map_err(Error::Internal)?,
                    );
                }
                sets.push(set);
            }
            let mut found: Vec<u64> = sets.concat();
            found.sort_unstable();
            found.dedup();
            if query.all {
                found.retain(|index| sets.iter().all(|set| set.contains(index)));
            }
            let id = |index: u64| {
                let hash = service.v1.log.leaf_hash(index).map_err(internal)?;
                Ok(entry_id(service.v1.tree, &hash))
            };
            found.into_iter().map(id).collect()
        })
        .await
    }

    fn entry_of_hash(&self, leaf_hash: &[u8; 32]) -> Result<LoggedEntry, Error> {
        let index = self.v1.log.leaf_index(leaf_hash).map_err(internal)?;
        self.entry_at(index.ok_or(Error::NotFound)?, &self.v1.log.head())
    }

    fn entry_at(&self, index: u64, head: &TreeHead) -> Result<LoggedEntry, Error> {
        if index >= head.tree_size {
            return Err(Error::NotFound);
        }
        let (body, extra) = self.v1.log.leaf(index).map_err(internal)?;
        let proof = self
            .v1
            .log
            .inclusion_proof(index, head.tree_size)
            .map_err(internal)?;
        let beside = Beside::from_bytes(&extra).map_err(Error::Internal)?;
        let attestation = Body::from_canonical(&body)
            .ok()
            .filter(|_| self.config.v1.enable_attestation_storage)
            .and_then(|body| entry::v1::attestation_key(&body))
            .and_then(|key| self.attestations.get(&key));
        Ok(LoggedEntry {
            entry_id: entry_id(self.v1.tree, &entry::leaf_hash(&body)),
            inclusion_promise: self.promise(&body, beside.integrated_time, index)?,
            body,
            integrated_time: beside.integrated_time,
            leaf_index: index,
            head: head.clone(),
            inclusion_proof: proof,
            attestation,
        })
    }

    /// Runs what reads files off the reactor.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        job: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let service = Arc::clone(self);
        self.work.run(move || job(&service)).await.map_err(busy)?
    }

    /// CreateEntry of Rekor v2: verifies a request and logs it. Returns when a published checkpoint
    /// covers it.
    pub(crate) async fn create_entry(
        self: &Arc<Self>,
        request: Request,
        body_bytes: usize,
    ) -> Result<(v2::Entry, Vec<u8>, Appended), V2Error> {
        if self.config.v2.read_only {
            return Err(V2Error::Frozen);
        }
        if !self.config.v2.accept_dsse && !matches!(request, Request::HashedRekord(_)) {
            return Err(V2Error::DsseNotAccepted);
        }
        let checked = if matches!(request, Request::HashedRekord(_)) && body_bytes <= SHORT_BYTES {
            v2::Entry::from_request(&request, &self.v2_algorithms)
        } else {
            let service = Arc::clone(self);
            let check = move || v2::Entry::from_request(&request, &service.v2_algorithms);
            self.work.run(check).await.map_err(|Busy| V2Error::Busy)?
        };
        let entry = checked.map_err(V2Error::Entry)?;
        let leaf = entry.body().to_canonical();
        let appended = self
            .v2
            .log
            .append(sequencer::Entry::new(leaf.clone()))
            .await?;
        if appended.duplicate {
            return Err(V2Error::Duplicate {
                index: appended.leaf_index,
            });
        }
        self.new_entries[1].fetch_add(1, Ordering::Relaxed);
        Ok((entry, leaf, appended))
    }

    /// A tile or entry bundle of Rekor v2.
    pub(crate) async fn tile(
        self: &Arc<Self>,
        tile: merkle::tile::Tile,
    ) -> Result<Vec<u8>, V2Error> {
        let service = Arc::clone(self);
        let read = self.work.run(move || service.v2.log.tile(tile)).await;
        let read = read.map_err(|Busy| V2Error::Busy)?;
        read.map_err(|error| V2Error::Internal(error.into()))?
            .ok_or(V2Error::NotFound)
    }
}

fn busy(_: Busy) -> Error {
    Error::Busy
}

fn internal(error: sequencer::ReadError) -> Error {
    Error::Internal(error.into())
}

/// An attestation that is not kept: with a full disk the client may come back.
fn unstored(error: BlobError) -> Error {
    match &error {
        BlobError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
            Error::Unavailable(AppendError::NoSpace)
        }
        _ => Error::Internal(error.into()),
    }
}
