//! The client workflow (section 5 of the specification): from a trusted root to verified targets.

use std::collections::BTreeMap;

use jiff::Timestamp as Time;

use crate::{
    Envelope, Error, FileMeta, Role, RoleType, Root, Snapshot, TargetFile, Targets, Timestamp,
};

/// Longest files that are read, in bytes. python-tuf has the same numbers.
#[derive(Debug)]
pub struct Limits;

impl Limits {
    /// New roots that one update follows, the specification's bound on step 5.3.
    pub const ROOT_ROTATIONS: usize = 256;

    /// Bytes in a file of `role`.
    #[must_use]
    pub const fn of(role: RoleType) -> usize {
        match role {
            RoleType::Root => 512_000,
            RoleType::Timestamp => 16_384,
            RoleType::Snapshot => 2_000_000,
            RoleType::Targets => 5_000_000,
        }
    }
}

/// An update in progress. Files go in, in the order root chain, timestamp, snapshot, targets; what an
/// earlier update stored goes in first and is the floor for versions. Nothing comes out before
/// [`Self::finish`] has checked that nothing has expired.
#[derive(Clone, Debug)]
pub struct Updater {
    root: Root,
    timestamp: Option<Timestamp>,
    snapshot: Option<Snapshot>,
    targets: Option<Targets>,
}

impl Updater {
    /// Starts from a root that the caller trusts. It must have signed itself.
    ///
    /// # Errors
    /// Those of [`Envelope::parse`] and [`Envelope::verify`].
    pub fn new(root: &[u8]) -> Result<Self, Error> {
        let envelope = Envelope::<Root>::parse(root)?;
        envelope.verify(envelope.role())?;
        Ok(Self {
            root: envelope.into_role(),
            timestamp: None,
            snapshot: None,
            targets: None,
        })
    }

    /// The root reached so far.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// Follows the root chain by one (step 5.3): `file` is version + 1, signed by the keys of both.
    ///
    /// # Errors
    /// [`Error::RootVersion`], and those of [`Self::new`].
    pub fn update_root(&mut self, file: &[u8]) -> Result<(), Error> {
        let envelope = Envelope::<Root>::parse(file)?;
        envelope.verify(&self.root)?;
        let want = self.root.version + 1;
        if envelope.role().version != want {
            return Err(Error::RootVersion {
                got: envelope.role().version,
                want,
            });
        }
        envelope.verify(envelope.role())?;
        let root = envelope.into_role();
        // Step 5.3.11: new timestamp or snapshot keys mean recovery from a compromise, after which the
        // versions seen so far may be an attacker's.
        let rotated = |role: RoleType| role.keys(&self.root) != role.keys(&root);
        if rotated(RoleType::Timestamp) || rotated(RoleType::Snapshot) {
            self.timestamp = None;
            self.snapshot = None;
        }
        self.root = root;
        Ok(())
    }

    /// Takes a timestamp (step 5.4).
    ///
    /// # Errors
    /// [`Error::Rollback`], [`Error::FileMissing`], and those of parsing and verifying.
    pub fn update_timestamp(&mut self, file: &[u8]) -> Result<(), Error> {
        let envelope = Envelope::<Timestamp>::parse(file)?;
        envelope.verify(&self.root)?;
        let new = envelope.into_role();
        let listed = meta(&new.meta, "snapshot.json")?;
        if let Some(old) = &self.timestamp {
            not_older::<Timestamp>(old.version, new.version)?;
            let trusted = meta(&old.meta, "snapshot.json")?.version;
            not_older::<Snapshot>(trusted, listed.version)?;
        }
        self.timestamp = Some(new);
        Ok(())
    }

    /// The snapshot to fetch: its version, length and digest.
    ///
    /// # Errors
    /// [`Error::Order`].
    pub fn snapshot_meta(&self) -> Result<&FileMeta, Error> {
        let role = RoleType::Timestamp;
        meta(
            &self.timestamp.as_ref().ok_or(Error::Order { role })?.meta,
            "snapshot.json",
        )
    }

    /// Takes the snapshot that the timestamp lists (step 5.5).
    ///
    /// # Errors
    /// [`Error::Order`], [`Error::Length`], [`Error::Digest`], [`Error::Version`], [`Error::Rollback`],
    /// [`Error::FileMissing`], and those of parsing and verifying.
    pub fn update_snapshot(&mut self, file: &[u8]) -> Result<(), Error> {
        let new = self.child::<Snapshot>(self.snapshot_meta()?, file)?;
        meta(&new.meta, "targets.json")?;
        if let Some(old) = &self.snapshot {
            for (name, trusted) in &old.meta {
                not_older::<Targets>(trusted.version, meta(&new.meta, name)?.version)?;
            }
        }
        self.snapshot = Some(new);
        Ok(())
    }

    /// Takes a snapshot stored by an earlier update as the floor for versions: the timestamp may list a
    /// later one already.
    ///
    /// # Errors
    /// Those of parsing and verifying.
    pub fn stored_snapshot(&mut self, file: &[u8]) -> Result<(), Error> {
        let envelope = Envelope::<Snapshot>::parse(file)?;
        envelope.verify(&self.root)?;
        self.snapshot = Some(envelope.into_role());
        Ok(())
    }

    /// The targets metadata to fetch: its version, length and digest.
    ///
    /// # Errors
    /// [`Error::Order`].
    pub fn targets_meta(&self) -> Result<&FileMeta, Error> {
        let role = RoleType::Snapshot;
        meta(
            &self.snapshot.as_ref().ok_or(Error::Order { role })?.meta,
            "targets.json",
        )
    }

    /// Takes the targets metadata that the snapshot lists (step 5.6).
    ///
    /// # Errors
    /// [`Error::Order`], [`Error::Length`], [`Error::Digest`], [`Error::Version`], and those of parsing
    /// and verifying.
    pub fn update_targets(&mut self, file: &[u8]) -> Result<(), Error> {
        self.targets = Some(self.child::<Targets>(self.targets_meta()?, file)?);
        Ok(())
    }

    /// Ends the update: every role must still be valid at `now`.
    ///
    /// # Errors
    /// [`Error::Expired`], [`Error::Order`].
    pub fn finish(self, now: Time) -> Result<TrustedMetadata, Error> {
        let timestamp = self.timestamp.ok_or(Error::Order {
            role: RoleType::Timestamp,
        })?;
        let snapshot = self.snapshot.ok_or(Error::Order {
            role: RoleType::Snapshot,
        })?;
        let targets = self.targets.ok_or(Error::Order {
            role: RoleType::Targets,
        })?;
        fresh(&self.root, now)?;
        fresh(&timestamp, now)?;
        fresh(&snapshot, now)?;
        fresh(&targets, now)?;
        Ok(TrustedMetadata {
            root: self.root,
            timestamp,
            snapshot,
            targets,
        })
    }

    fn child<T: Role>(&self, listed: &FileMeta, file: &[u8]) -> Result<T, Error> {
        let name = || format!("{}.json", T::TYPE);
        if let Some(want) = listed.length.filter(|want| *want != file.len() as u64) {
            return Err(Error::Length {
                name: name(),
                got: file.len() as u64,
                want,
            });
        }
        if listed
            .hashes
            .as_ref()
            .is_some_and(|hashes| !hashes.matches(file))
        {
            return Err(Error::Digest { name: name() });
        }
        let envelope = Envelope::<T>::parse(file)?;
        envelope.verify(&self.root)?;
        let got = envelope.role().version();
        if got != listed.version {
            return Err(Error::Version {
                role: T::TYPE,
                got,
                want: listed.version,
            });
        }
        Ok(envelope.into_role())
    }
}

/// Metadata of all four roles, verified and valid at the time that was given.
#[derive(Clone, Debug)]
pub struct TrustedMetadata {
    /// Root.
    pub root: Root,
    /// Timestamp.
    pub timestamp: Timestamp,
    /// Snapshot.
    pub snapshot: Snapshot,
    /// Targets.
    pub targets: Targets,
}

impl TrustedMetadata {
    /// What is listed of the target `name`.
    ///
    /// # Errors
    /// [`Error::TargetMissing`].
    pub fn target(&self, name: &str) -> Result<&TargetFile, Error> {
        let missing = || Error::TargetMissing {
            name: name.to_owned(),
        };
        self.targets.targets.get(name).ok_or_else(missing)
    }

    /// Checks a target's length and SHA-256 digest.
    ///
    /// # Errors
    /// [`Error::TargetMissing`], [`Error::Length`], [`Error::Digest`].
    pub fn verify_target(&self, name: &str, file: &[u8]) -> Result<(), Error> {
        let listed = self.target(name)?;
        if listed.length != file.len() as u64 {
            let (got, want) = (file.len() as u64, listed.length);
            return Err(Error::Length {
                name: name.to_owned(),
                got,
                want,
            });
        }
        if !listed.hashes.matches(file) {
            return Err(Error::Digest {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    /// File name below `targets/` of a repository with consistent snapshots.
    ///
    /// # Errors
    /// [`Error::TargetMissing`], [`Error::Digest`] when no SHA-256 digest is listed.
    pub fn target_file_name(&self, name: &str) -> Result<String, Error> {
        let digest = self.target(name)?.hashes.sha256.as_deref();
        let digest = digest.ok_or_else(|| Error::Digest {
            name: name.to_owned(),
        })?;
        Ok(match name.rsplit_once('/') {
            Some((folder, file)) => format!("{folder}/{digest}.{file}"),
            None => format!("{digest}.{name}"),
        })
    }
}

fn meta<'a>(map: &'a BTreeMap<String, FileMeta>, name: &str) -> Result<&'a FileMeta, Error> {
    map.get(name).ok_or_else(|| Error::FileMissing {
        name: name.to_owned(),
    })
}

const fn not_older<T: Role>(trusted: u64, got: u64) -> Result<(), Error> {
    if got < trusted {
        return Err(Error::Rollback {
            role: T::TYPE,
            trusted,
            got,
        });
    }
    Ok(())
}

fn fresh<T: Role>(role: &T, now: Time) -> Result<(), Error> {
    if role.expires() <= now {
        return Err(Error::Expired {
            role: T::TYPE,
            expires: role.expires(),
        });
    }
    Ok(())
}
