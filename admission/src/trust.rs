//! Where trust comes from: the lab's TUF repository, a file, or a TrustRoot that a policy names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use bundle::TrustedRoot;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tuf_metadata::{Limits, RoleType, Updater};
use url::Url;
use verify::Trust;

use crate::store::Objects;
use crate::trust_root;

/// A trusted root.
#[derive(Clone, Debug)]
pub(crate) struct Trusted {
    pub(crate) root: Arc<TrustedRoot>,
    /// The same with its certificates and keys read, or why they cannot be.
    pub(crate) read: Result<Arc<Trust>, String>,
    /// Over its JSON.
    pub(crate) hash: crypto::Sha256Digest,
}

/// Looks trusted roots up, and keeps them for a while.
#[derive(Debug)]
pub(crate) struct TrustStore {
    http: reqwest::Client,
    default: Source,
    refresh: SignedDuration,
    /// By name of the TrustRoot, `""` for the default.
    kept: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    /// The lab's repository and the file of the root that is started from, pinned on first use.
    Tuf {
        mirror: Url,
        pinned: PathBuf,
        given: Option<PathBuf>,
    },
}

/// Longest use of a trusted root that can no longer be looked up.
const OUTAGE_MAX: SignedDuration = SignedDuration::from_hours(1);

/// What a look-up found.
struct Found {
    root: TrustedRoot,
    /// The metadata that it was verified with.
    floor: Option<Floor>,
}

/// Timestamp and snapshot of the last update: no later one may be older.
#[derive(Clone, Debug)]
struct Floor {
    timestamp: Vec<u8>,
    snapshot: Vec<u8>,
    expires: Timestamp,
}

#[derive(Clone, Debug)]
struct Kept {
    trusted: Trusted,
    floor: Option<Floor>,
    /// When it was last found.
    found_at: Timestamp,
    /// What it was made from, so that a changed TrustRoot is not answered from here.
    made_from: String,
    until: Timestamp,
}

impl Kept {
    fn outlives_outage(&self, now: Timestamp) -> bool {
        let unexpired = self.floor.as_ref().is_some_and(|floor| now < floor.expires);
        unexpired && now.duration_since(self.found_at) < OUTAGE_MAX
    }
}

impl TrustStore {
    pub(crate) fn new(config: &crate::Config, context: &runtime::Context) -> Self {
        let default = match &config.trusted_root {
            Some(path) => Source::File(path.clone()),
            None => Source::Tuf {
                mirror: context.urls.of("tuf", "http"),
                pinned: context.dir.join("tuf-root.json"),
                given: config.tuf_root.clone(),
            },
        };
        let seconds = i64::try_from(config.trust_refresh_secs).unwrap_or(i64::MAX);
        Self {
            http: context.http.clone(),
            default,
            refresh: SignedDuration::from_secs(seconds),
            kept: Mutex::new(BTreeMap::new()),
        }
    }

    /// The trusted root of the TrustRoot `name`, or the default for `""`.
    ///
    /// # Errors
    /// Why there is none: nothing is trusted then.
    pub(crate) async fn get(
        &self,
        name: &str,
        objects: &Objects,
        now: Timestamp,
    ) -> anyhow::Result<Trusted> {
        let spec = match name {
            "" => None,
            name => {
                let spec = objects.trust_roots.get(name);
                Some(spec.ok_or_else(|| anyhow!("trustRootRef {name} not found"))?)
            }
        };
        let made_from = serde_json::to_string(&spec)?;
        // One look-up at a time; the others wait for its answer.
        let mut kept = self.kept.lock().await;
        if let Some(known) = kept.get(name)
            && now < known.until
            && known.made_from == made_from
        {
            return Ok(known.trusted.clone());
        }
        let known = kept
            .get(name)
            .filter(|known| known.made_from == made_from)
            .cloned();
        let floor = known.as_ref().and_then(|known| known.floor.as_ref());
        let found = match spec {
            None => self.look_up_default(floor, now).await,
            Some(spec) => self.look_up(spec, floor, now).await,
        };
        let until = now.saturating_add(self.refresh).unwrap_or(now);
        let entry = match (found, known) {
            (Ok(found), _) => {
                let hash = crypto::sha256(found.root.to_json().as_bytes());
                let read = Trust::new(&found.root).map(Arc::new);
                let trusted = Trusted {
                    root: Arc::new(found.root),
                    read: read.map_err(|error| error.to_string()),
                    hash,
                };
                Kept {
                    trusted,
                    floor: found.floor,
                    found_at: now,
                    made_from,
                    until,
                }
            }
            // Verified metadata stays good until it expires, for a while also without its repository.
            (Err(error), Some(known)) if known.outlives_outage(now) => {
                tracing::warn!("the last trusted root stays in use: {error:#}");
                Kept { until, ..known }
            }
            (Err(error), _) => return Err(error),
        };
        let trusted = entry.trusted.clone();
        kept.insert(name.to_owned(), entry);
        Ok(trusted)
    }

    async fn look_up_default(
        &self,
        floor: Option<&Floor>,
        now: Timestamp,
    ) -> anyhow::Result<Found> {
        match &self.default {
            Source::File(path) => {
                let json = tokio::fs::read(path)
                    .await
                    .with_context(|| format!("cannot read {}", path.display()))?;
                let root =
                    TrustedRoot::from_json(&json).with_context(|| path.display().to_string())?;
                Ok(Found { root, floor: None })
            }
            Source::Tuf {
                mirror,
                pinned,
                given,
            } => {
                let files = Files::Http {
                    client: self.http.clone(),
                    base: mirror.clone(),
                };
                let root = match given {
                    Some(path) => tokio::fs::read(path)
                        .await
                        .with_context(|| format!("cannot read {}", path.display()))?,
                    None => pin(&files, pinned).await?,
                };
                let target = "trusted_root.json";
                let update = update(&files, &root, "targets", target, floor, now).await;
                update.with_context(|| format!("trust repository {mirror}"))
            }
        }
    }

    async fn look_up(
        &self,
        spec: &trust_root::Spec,
        floor: Option<&Floor>,
        now: Timestamp,
    ) -> anyhow::Result<Found> {
        let target = |name: &str| {
            if name.is_empty() {
                "trusted_root.json".to_owned()
            } else {
                name.to_owned()
            }
        };
        if let Some(keys) = &spec.sigstore_keys {
            let root = trust_root::inline(keys).map_err(|reason| anyhow!(reason))?;
            return Ok(Found { root, floor: None });
        }
        if let Some(remote) = &spec.remote {
            let mirror = remote.mirror.as_deref().unwrap_or_default();
            let base = Url::parse(mirror).with_context(|| format!("mirror {mirror:?}"))?;
            let files = Files::Http {
                client: self.http.clone(),
                base,
            };
            let root = trust_root::decode(remote.root.as_deref());
            let name = target(&remote.trusted_root_target);
            return update(&files, &root, &remote.targets, &name, floor, now).await;
        }
        if let Some(repository) = &spec.repository {
            let archive = trust_root::decode(repository.mirror_fs.as_deref());
            let unpacked = trust_root::unpack(&archive).map_err(|reason| anyhow!(reason))?;
            let files = Files::Memory(unpacked.into_iter().collect());
            let root = trust_root::decode(repository.root.as_deref());
            let name = target(&repository.trusted_root_target);
            return update(&files, &root, &repository.targets, &name, None, now).await;
        }
        bail!("the TrustRoot names nothing")
    }
}

/// The files of a TUF repository.
enum Files {
    Http { client: reqwest::Client, base: Url },
    Memory(BTreeMap<String, Vec<u8>>),
}

impl Files {
    /// `None` when there is no such file.
    async fn get(&self, name: &str, max: usize) -> anyhow::Result<Option<Vec<u8>>> {
        let (client, base) = match self {
            Self::Memory(files) => return Ok(files.get(name).cloned()),
            Self::Http { client, base } => (client, base),
        };
        let url = format!("{}/{name}", base.as_str().trim_end_matches('/'));
        let mut response = client
            .get(&url)
            .send()
            .await
            .with_context(|| format!("cannot fetch {url}"))?;
        if response.status() == reqwest::StatusCode::NOT_FOUND {
            return Ok(None);
        }
        if response.status() != reqwest::StatusCode::OK {
            bail!("{url} answers {}", response.status());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .with_context(|| format!("reading {url}"))?
        {
            if body.len() + chunk.len() > max {
                bail!("{url} is longer than {max} bytes");
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Some(body))
    }

    async fn require(&self, name: &str, max: usize) -> anyhow::Result<Vec<u8>> {
        self.get(name, max)
            .await?
            .with_context(|| format!("{name} is missing"))
    }
}

/// The root that is started from: the kept one, or the repository's first, which is kept then.
async fn pin(files: &Files, pinned: &Path) -> anyhow::Result<Vec<u8>> {
    if let Some(kept) = runtime::files::read_optional(pinned)? {
        return Ok(kept);
    }
    let root = files
        .require("1.root.json", Limits::of(RoleType::Root))
        .await?;
    Updater::new(&root)?;
    runtime::files::replace(pinned, &root)?;
    Ok(root)
}

/// The client workflow of the specification, from `root` to the trusted root among the targets.
async fn update(
    files: &Files,
    root: &[u8],
    targets: &str,
    target: &str,
    floor: Option<&Floor>,
    now: Timestamp,
) -> anyhow::Result<Found> {
    let mut updater = Updater::new(root)?;
    for _ in 0..Limits::ROOT_ROTATIONS {
        let next = format!("{}.root.json", updater.root().version + 1);
        match files.get(&next, Limits::of(RoleType::Root)).await? {
            Some(file) => updater.update_root(&file)?,
            None => break,
        }
    }
    if let Some(floor) = floor {
        // After a change of keys these are no longer signed, and no longer a floor.
        let mut with_floor = updater.clone();
        let stored = with_floor
            .update_timestamp(&floor.timestamp)
            .and_then(|()| with_floor.stored_snapshot(&floor.snapshot));
        if stored.is_ok() {
            updater = with_floor;
        }
    }
    let consistent = updater.root().consistent_snapshot;
    let named = |version: u64, name: &str| {
        if consistent {
            format!("{version}.{name}")
        } else {
            name.to_owned()
        }
    };
    let timestamp = files
        .require("timestamp.json", Limits::of(RoleType::Timestamp))
        .await?;
    updater.update_timestamp(&timestamp)?;
    let name = named(updater.snapshot_meta()?.version, "snapshot.json");
    let snapshot = files.require(&name, Limits::of(RoleType::Snapshot)).await?;
    updater.update_snapshot(&snapshot)?;
    let name = named(updater.targets_meta()?.version, "targets.json");
    updater.update_targets(&files.require(&name, Limits::of(RoleType::Targets)).await?)?;
    let metadata = updater.finish(now)?;
    let file = if consistent {
        metadata.target_file_name(target)?
    } else {
        target.to_owned()
    };
    let bytes = files
        .require(&format!("{targets}/{file}"), TrustedRoot::BYTES_MAX)
        .await?;
    metadata.verify_target(target, &bytes)?;
    let expires = [
        metadata.root.expires,
        metadata.timestamp.expires,
        metadata.snapshot.expires,
        metadata.targets.expires,
    ];
    let expires = expires.into_iter().min().unwrap_or(now);
    let floor = Some(Floor {
        timestamp,
        snapshot,
        expires,
    });
    Ok(Found {
        root: TrustedRoot::from_json(&bytes)?,
        floor,
    })
}
