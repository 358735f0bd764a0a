//! One state of the repository: which files it has, and how the next state is signed. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use crypto::SigningKey;
use jiff::{SignedDuration, Timestamp as Time};
use tuf_metadata::{
    Envelope, Error, FileMeta, Key, Role, RoleKeys, RoleType, Root, Snapshot, TargetFile, Targets,
    Timestamp, TrustedMetadata, Updater, sign, whole_seconds,
};

use crate::trust::{Previous, SIGNING_CONFIG, TRUSTED_ROOT, Target};

/// One key for each role.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) root: SigningKey,
    pub(crate) targets: SigningKey,
    pub(crate) snapshot: SigningKey,
    pub(crate) timestamp: SigningKey,
}

impl Keys {
    fn of(&self, role: RoleType) -> &SigningKey {
        match role {
            RoleType::Root => &self.root,
            RoleType::Targets => &self.targets,
            RoleType::Snapshot => &self.snapshot,
            RoleType::Timestamp => &self.timestamp,
        }
    }

    fn sign<T: Role + Clone>(&self, role: &T) -> Result<Bytes, Error> {
        Ok(sign(role, &[self.of(T::TYPE)])?.into())
    }
}

/// How long metadata stays valid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Validity {
    pub(crate) root: SignedDuration,
    pub(crate) others: SignedDuration,
}

/// Why a repository cannot be read or continued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{path} is missing")]
    Missing { path: String },
    #[error("its files do not verify")]
    Metadata(#[from] Error),
    #[error("the root key is not the one that signed the published root; clients could not follow")]
    RootKey,
    #[error("published target {name} cannot be read")]
    Document {
        name: &'static str,
        #[source]
        source: bundle::Error,
    },
}

/// A repository with consistent snapshots: everything that is served, and the current metadata.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    /// By path. Files of the version before are kept, for clients in the middle of an update.
    files: BTreeMap<String, Bytes>,
    current: TrustedMetadata,
}

impl Repository {
    /// From the files of a repository directory, by path. Expiry is not looked at: [`Self::next`] re-signs.
    pub(crate) fn read(mut files: BTreeMap<String, Bytes>) -> Result<Self, Broken> {
        let roots = (1..)
            .map_while(|version| files.get(&root_path(version)))
            .count();
        // A crash can leave a new root beside metadata that is still signed by the keys before it.
        let verified = (1..=roots).rev().map(|last| verify(&files, last as u64));
        let mut outcome = Err(Broken::Missing { path: root_path(1) });
        for attempt in verified {
            let found = attempt.is_ok();
            outcome = attempt;
            if found {
                break;
            }
        }
        let current = outcome?;
        let newest = files.get(&root_path(roots as u64)).cloned();
        files.extend(newest.map(|bytes| ("root.json".to_owned(), bytes)));
        Ok(Self { files, current })
    }

    /// The file at `path`, without a leading slash.
    pub(crate) fn file(&self, path: &str) -> Option<Bytes> {
        self.files.get(path).cloned()
    }

    /// All files by path.
    pub(crate) const fn files(&self) -> &BTreeMap<String, Bytes> {
        &self.files
    }

    /// The verified metadata of this state.
    pub(crate) const fn current(&self) -> &TrustedMetadata {
        &self.current
    }

    /// The newest root.
    pub(crate) fn root_json(&self) -> &Bytes {
        &self.files["root.json"]
    }

    /// A target by name.
    pub(crate) fn target(&self, name: &str) -> Option<&Bytes> {
        let path = self.current.target_file_name(name).ok()?;
        self.files.get(&format!("targets/{path}"))
    }

    /// All targets by name.
    pub(crate) fn targets(&self) -> BTreeMap<String, Target> {
        let listed = self.current.targets.targets.iter();
        let read = listed.filter_map(|(name, listed)| {
            let bytes = self.target(name)?.to_vec();
            Some((
                name.clone(),
                Target {
                    bytes,
                    custom: listed.custom.clone(),
                },
            ))
        });
        read.collect()
    }

    /// Whether the chain of roots can be continued with these keys.
    pub(crate) fn check_root_key(&self, keys: &Keys) -> Result<(), Broken> {
        let newest = Envelope::<Root>::parse(self.root_json())?;
        let id = Key::ecdsa_p256(keys.root.public_key()).id();
        let listed = newest.role().roles.get(&RoleType::Root);
        if listed.is_some_and(|listed| listed.keyids == [id]) {
            Ok(())
        } else {
            Err(Broken::RootKey)
        }
    }

    /// The documents of this state.
    pub(crate) fn documents(&self) -> Result<Previous, Broken> {
        let target = |name: &'static str| {
            self.target(name).ok_or_else(|| Broken::Missing {
                path: name.to_owned(),
            })
        };
        let document = |name| move |source| Broken::Document { name, source };
        let root = target(TRUSTED_ROOT)?;
        let config = target(SIGNING_CONFIG)?;
        Ok(Previous {
            trusted_root: bundle::TrustedRoot::from_json(root).map_err(document(TRUSTED_ROOT))?,
            signing_config: bundle::SigningConfig::from_json(config)
                .map_err(document(SIGNING_CONFIG))?,
        })
    }

    /// First end of validity among the current metadata.
    pub(crate) fn expires(&self) -> Time {
        let TrustedMetadata {
            root,
            timestamp,
            snapshot,
            targets,
        } = &self.current;
        root.expires
            .min(timestamp.expires)
            .min(snapshot.expires)
            .min(targets.expires)
    }

    /// The state after `previous` with these targets, or `None` when nothing has to change.
    pub(crate) fn next(
        previous: Option<&Self>,
        keys: &Keys,
        targets: &BTreeMap<String, Target>,
        validity: Validity,
        now: Time,
    ) -> Result<Option<Self>, Broken> {
        let mut draft = Draft {
            previous,
            files: BTreeMap::new(),
            validity: validity.others,
            now,
        };
        let old = previous.map(Self::current);
        let roots = previous.map_or(0, Self::newest_root);
        let root_changed = draft.root(roots, keys, validity.root)?;
        // Whatever was verified by an older root than the newest is signed again too.
        let again = root_changed || old.is_some_and(|old| old.root.version != roots);

        let listed = listing(targets);
        let old_targets = old.map(|old| &old.targets);
        let changed = again || old_targets.is_none_or(|old| old.targets != listed);
        let (version, expires, targets_changed) = draft.version(old_targets, changed);
        let role = Targets {
            targets: listed,
            version,
            expires,
        };
        let meta = draft.put(
            format!("{version}.targets.json"),
            &role,
            keys,
            targets_changed,
        )?;

        let old_snapshot = old.map(|old| &old.snapshot);
        let (version, expires, snapshot_changed) =
            draft.version(old_snapshot, targets_changed || again);
        let meta = [("targets.json".to_owned(), meta)].into();
        let role = Snapshot {
            meta,
            version,
            expires,
        };
        let meta = draft.put(
            format!("{version}.snapshot.json"),
            &role,
            keys,
            snapshot_changed,
        )?;

        let old_timestamp = old.map(|old| &old.timestamp);
        let (version, expires, timestamp_changed) =
            draft.version(old_timestamp, snapshot_changed || again);
        if !timestamp_changed {
            return Ok(None);
        }
        let meta = [("snapshot.json".to_owned(), meta)].into();
        draft.put(
            "timestamp.json".to_owned(),
            &Timestamp {
                meta,
                version,
                expires,
            },
            keys,
            true,
        )?;
        for (name, target) in targets {
            draft.files.insert(
                target_path(name, target),
                Bytes::copy_from_slice(&target.bytes),
            );
        }
        let mut files = previous.map(Self::kept).unwrap_or_default();
        files.extend(draft.files);
        Self::read(files).map(Some)
    }

    /// Version of the newest root, which the current metadata need not be verified by yet.
    fn newest_root(&self) -> u64 {
        (1..)
            .take_while(|version| self.files.contains_key(&root_path(*version)))
            .count() as u64
    }

    /// The files that the next state keeps: all roots, and what the current metadata lists.
    fn kept(&self) -> BTreeMap<String, Bytes> {
        let TrustedMetadata {
            snapshot, targets, ..
        } = &self.current;
        let metadata = [
            format!("{}.snapshot.json", snapshot.version),
            format!("{}.targets.json", targets.version),
        ];
        let names = targets
            .targets
            .keys()
            .filter_map(|name| self.current.target_file_name(name).ok());
        let names = names.map(|name| format!("targets/{name}"));
        let roots = (1..=self.newest_root()).map(root_path);
        let paths = metadata.into_iter().chain(names).chain(roots);
        paths
            .filter_map(|path| self.file(&path).map(|bytes| (path, bytes)))
            .collect()
    }
}

fn root_path(version: u64) -> String {
    format!("{version}.root.json")
}

fn target_path(name: &str, target: &Target) -> String {
    format!(
        "targets/{}.{name}",
        hex::encode(crypto::sha256(&target.bytes))
    )
}

/// What targets metadata says of these targets.
fn listing(targets: &BTreeMap<String, Target>) -> BTreeMap<String, TargetFile> {
    let of = |target: &Target| TargetFile::of(&target.bytes, target.custom.clone());
    targets
        .iter()
        .map(|(name, target)| (name.clone(), of(target)))
        .collect()
}

/// Follows the files as a client does, with the root chain up to `last`.
fn verify(files: &BTreeMap<String, Bytes>, last: u64) -> Result<TrustedMetadata, Broken> {
    let file = |path: String| files.get(&path).ok_or(Broken::Missing { path });
    let mut updater = Updater::new(file(root_path(1))?)?;
    for version in 2..=last {
        updater.update_root(file(root_path(version))?)?;
    }
    updater.update_timestamp(file("timestamp.json".to_owned())?)?;
    let version = updater.snapshot_meta()?.version;
    updater.update_snapshot(file(format!("{version}.snapshot.json"))?)?;
    let version = updater.targets_meta()?.version;
    updater.update_targets(file(format!("{version}.targets.json"))?)?;
    // At the epoch nothing has expired.
    let trusted = updater.finish(Time::UNIX_EPOCH)?;
    for name in trusted.targets.targets.keys() {
        let path = trusted.target_file_name(name)?;
        trusted.verify_target(name, file(format!("targets/{path}"))?)?;
    }
    Ok(trusted)
}

/// The files of a state that is being signed.
struct Draft<'a> {
    previous: Option<&'a Repository>,
    files: BTreeMap<String, Bytes>,
    validity: SignedDuration,
    now: Time,
}

impl Draft<'_> {
    fn expires(&self, validity: SignedDuration) -> Time {
        whole_seconds(self.now.checked_add(validity).unwrap_or(Time::MAX))
    }

    /// Whether less than half of the validity is left.
    fn due(&self, expires: Time, validity: SignedDuration) -> bool {
        expires.duration_since(self.now) < validity / 2
    }

    /// Version and expiry of a role, and whether it must be signed.
    fn version<T: Role>(&self, old: Option<&T>, changed: bool) -> (u64, Time, bool) {
        let expires = self.expires(self.validity);
        match old {
            None => (1, expires, true),
            Some(old) if changed || self.due(old.expires(), self.validity) => {
                (old.version() + 1, expires, true)
            }
            Some(old) => (old.version(), old.expires(), false),
        }
    }

    /// Signs a role if it changed, else takes its file from the state before. Returns what its parent
    /// says of it.
    fn put<T: Role + Clone>(
        &mut self,
        path: String,
        role: &T,
        keys: &Keys,
        changed: bool,
    ) -> Result<FileMeta, Broken> {
        let kept = self
            .previous
            .filter(|_| !changed)
            .and_then(|old| old.file(&path));
        let file = match kept {
            Some(file) => file,
            None => keys.sign(role)?,
        };
        let meta = FileMeta::of(role.version(), &file);
        self.files.insert(path, file);
        Ok(meta)
    }

    /// Signs a root when there is none, when the keys changed, or when it is due.
    fn root(&mut self, newest: u64, keys: &Keys, validity: SignedDuration) -> Result<bool, Broken> {
        let mut root = Root {
            consistent_snapshot: true,
            keys: BTreeMap::new(),
            roles: BTreeMap::new(),
            version: newest + 1,
            expires: self.expires(validity),
        };
        for role in RoleType::ALL {
            let key = Key::ecdsa_p256(keys.of(role).public_key());
            root.roles.insert(
                role,
                RoleKeys {
                    keyids: vec![key.id()],
                    threshold: 1,
                },
            );
            root.keys.insert(key.id(), key);
        }
        if let Some(previous) = self.previous {
            previous.check_root_key(keys)?;
            let old = Envelope::<Root>::parse(previous.root_json())?
                .role()
                .clone();
            if old.roles == root.roles && !self.due(old.expires, validity) {
                return Ok(false);
            }
        }
        self.files
            .insert(root_path(root.version), keys.sign(&root)?);
        Ok(true)
    }
}
