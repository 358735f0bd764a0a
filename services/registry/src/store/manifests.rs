//! Manifests and tags of a repository.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    hash::{Hash as _, Hasher as _},
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use anyhow::Context as _;
use bytes::Bytes;
use jiff::Timestamp;
use oci::{
    Algorithm, Descriptor, Digest, Manifest, ManifestKind, Opaque, Reference, RepositoryName, Tag,
    fallback_subject, fallback_tag, index_bytes, media_type, referrer_descriptor,
};
use runtime::files;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Layout, Store, TAG_LOCKS, folder::Folder, referrers::Referrer, staged::Staged};
use crate::{Error, config::ReferrersMode};

/// What a link says of its manifest.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Link {
    pub(super) media_type: String,
    pub(super) size: u64,
    /// When it was first pushed here, microseconds since the epoch: its place among referrers.
    pushed_at: i64,
    /// When it was last pushed here: what a grace period counts from.
    touched_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<Digest>,
}

impl Link {
    pub(super) fn read(
        layout: &Layout,
        name: &RepositoryName,
        digest: &Digest,
    ) -> anyhow::Result<Option<Self>> {
        let path = layout.manifest_link(name, digest);
        let bytes = files::read_optional(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let link = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Some(link))
    }

    pub(super) fn pushed_at(&self) -> Timestamp {
        Timestamp::from_microsecond(self.pushed_at).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    pub(super) fn touched_at(&self) -> Timestamp {
        Timestamp::from_microsecond(self.touched_at).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// A manifest as it is served.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// `None` when only the headers were asked for.
    pub(crate) bytes: Option<Bytes>,
}

/// A push.
#[derive(Debug)]
pub(crate) struct PutManifest<'a> {
    pub(crate) name: &'a RepositoryName,
    pub(crate) digest: &'a Digest,
    pub(crate) bytes: &'a [u8],
    pub(crate) manifest: &'a Manifest,
    pub(crate) tags: &'a [Tag],
    pub(crate) precondition: Precondition,
    /// What must exist.
    pub(crate) required: &'a [Descriptor],
}

/// What the first tag must be for the push to happen (RFC 9110 §13.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Precondition {
    /// Anything.
    None,
    /// One of these digests: `If-Match`. `None` is `*`, any.
    Match(Option<Vec<String>>),
    /// Not there: `If-None-Match: *`.
    Absent,
}

impl Store {
    /// Stores a manifest, enters it in the index and points the tags at it.
    pub(crate) fn put_manifest(&self, put: &PutManifest<'_>) -> Result<(), Error> {
        self.check_sound()?;
        let _adding = self.commit.read().expect("no holder panics");
        self.check_references(put)?;
        let tags = self.lock_tags(put.name, put.tags);
        self.check_precondition(put)?;
        self.store_manifest(put.name, put.digest, put.bytes, put.manifest, put.tags)?;
        drop(tags);
        if self.mode == ReferrersMode::Fallback {
            self.maintain_fallback_tags(put)?;
        }
        Ok(())
    }

    fn check_references(&self, put: &PutManifest<'_>) -> Result<(), Error> {
        let mut missing = BTreeSet::new();
        for descriptor in put.required {
            match self.blob(put.name, &descriptor.digest) {
                Ok(_) => {}
                Err(Error::BlobUnknown { digest }) => {
                    missing.insert(digest);
                }
                Err(error) => return Err(error),
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::ReferencesMissing {
                digests: missing.into_iter().collect(),
            })
        }
    }

    fn check_precondition(&self, put: &PutManifest<'_>) -> Result<(), Error> {
        let current = || -> Result<Option<Digest>, Error> {
            match put.tags.first() {
                Some(tag) => self.tag_digest(put.name, tag),
                None => {
                    let link = self.layout.manifest_link(put.name, put.digest);
                    Ok(link.exists().then(|| put.digest.clone()))
                }
            }
        };
        let holds = match &put.precondition {
            Precondition::None => true,
            Precondition::Absent => current()?.is_none(),
            Precondition::Match(wanted) => current()?.is_some_and(|digest| {
                wanted
                    .as_ref()
                    .is_none_or(|wanted| wanted.contains(&digest.to_string()))
            }),
        };
        if holds {
            Ok(())
        } else {
            Err(Error::PreconditionFailed)
        }
    }

    /// Content, then link, then index, then tags. The caller holds `commit` and the tags' locks.
    fn store_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        bytes: &[u8],
        manifest: &Manifest,
        tags: &[Tag],
    ) -> Result<(), Error> {
        self.note_linked(digest);
        // A link that cannot be read is written anew.
        let known = Link::read(&self.layout, name, digest).unwrap_or_default();
        let now = self.now().as_microsecond();
        let link = Link {
            media_type: manifest.media_type().to_owned(),
            size: bytes.len() as u64,
            pushed_at: known.as_ref().map_or(now, |known| known.pushed_at),
            touched_at: now,
            subject: manifest.subject().map(|subject| subject.digest.clone()),
        };
        let link_bytes =
            serde_json::to_vec(&link).map_err(|error| Error::Internal(error.into()))?;
        // Content that has a link is durable; whether it is still right is looked at.
        let is_kept = known.is_some()
            && files::read_optional(&self.layout.blob(digest))
                .is_ok_and(|kept| kept.as_deref() == Some(bytes));
        let mut parts = Vec::new();
        if !is_kept {
            parts.push(self.stage(self.layout.blob(digest), bytes)?);
        }
        parts.push(self.stage(self.layout.manifest_link(name, digest), &link_bytes)?);
        let tag_bytes = format!("{digest}\n");
        let tags = tags
            .iter()
            .map(|tag| self.stage(self.layout.tag(name, tag), tag_bytes.as_bytes()))
            .collect::<Result<Vec<_>, _>>()?;
        // Nothing is visible yet: a failure costs this push only.
        let all: Vec<&Staged> = parts
            .iter()
            .chain(&tags)
            .map(|(_, staged)| staged)
            .collect();
        Staged::sync(&all)
            .map_err(|error| Error::storage(error, &self.layout.manifest_link(name, digest)))?;
        if link.subject.is_some() {
            self.referrers.unseal()?;
        }
        for part in parts {
            self.publish(vec![part])?;
        }
        if let Some(subject) = &link.subject {
            let descriptor = referrer_descriptor(manifest, digest.clone(), link.size);
            self.referrers
                .insert(name, subject, &descriptor, link.pushed_at())?;
        }
        self.publish(tags)
    }

    fn stage(&self, path: PathBuf, bytes: &[u8]) -> Result<(Folder, Staged), Error> {
        let folder = self.make_folder(&path)?;
        let staged = Staged::write(&path, bytes).map_err(|error| Error::storage(error, &path))?;
        Ok((folder, staged))
    }

    /// Gives files of one folder their names, durably.
    fn publish(&self, staged: Vec<(Folder, Staged)>) -> Result<(), Error> {
        let mut folder = None;
        let mut published = Ok(());
        for (of_one, one) in staged {
            published = published.and_then(|()| one.publish());
            folder = Some(of_one);
        }
        folder.map_or(Ok(()), |folder| self.sync(&folder))?;
        published
    }

    /// The digest that a tag was pushed under.
    pub(crate) fn tag_digest(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Digest>, Error> {
        let path = self.layout.tag(name, tag);
        let bytes = files::read_optional(&path).map_err(|error| Error::storage(error, &path))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let text = String::from_utf8_lossy(&bytes);
        let digest = text
            .trim_end()
            .parse()
            .with_context(|| format!("{} holds no digest", path.display()))?;
        Ok(Some(digest))
    }

    /// A manifest, checked against its digest when `with_bytes`.
    pub(crate) fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        with_bytes: bool,
    ) -> Result<Stored, Error> {
        self.check_sound()?;
        let unknown = || Error::ManifestUnknown {
            reference: reference.clone(),
        };
        let digest = match reference {
            Reference::Digest(digest) => digest.clone(),
            Reference::Tag(tag) => self.tag_digest(name, tag)?.ok_or_else(unknown)?,
        };
        let link = Link::read(&self.layout, name, &digest)?.ok_or_else(unknown)?;
        if !with_bytes {
            let size = self.content_size(&digest)?.ok_or_else(unknown)?;
            return Ok(Stored {
                media_type: link.media_type,
                digest,
                size,
                bytes: None,
            });
        }
        let path = self.layout.blob(&digest);
        let bytes = files::read_optional(&path).map_err(|error| Error::storage(error, &path))?;
        let bytes = bytes.ok_or_else(unknown)?;
        if !digest.matches(&bytes) {
            self.quarantine(&digest)?;
            return Err(unknown());
        }
        let size = bytes.len() as u64;
        Ok(Stored {
            media_type: link.media_type,
            digest,
            size,
            bytes: Some(bytes.into()),
        })
    }

    /// The index that a fallback tag which nobody stored would hold. It is made anew for each answer.
    pub(crate) fn virtual_fallback(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Stored>, Error> {
        let Some(subject) = fallback_subject(tag) else {
            return Ok(None);
        };
        let referrers = self.referrers.list(name, &subject)?;
        if referrers.is_empty() {
            return Ok(None);
        }
        let bytes = index_of(&referrers)?;
        Ok(Some(Stored {
            media_type: media_type::IMAGE_INDEX.to_owned(),
            digest: Digest::of(Algorithm::Sha256, &bytes),
            size: bytes.len() as u64,
            bytes: Some(bytes.into()),
        }))
    }

    /// What is about a subject, oldest first.
    pub(crate) fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
    ) -> Result<Vec<Referrer>, Error> {
        self.check_sound()?;
        Ok(self.referrers.list(name, &subject.to_string())?)
    }

    /// Number of manifests that have a subject.
    pub(crate) fn referrers_count(&self) -> u64 {
        self.referrers.count()
    }

    /// Tags in byte order.
    pub(crate) fn tags(&self, name: &RepositoryName) -> Result<Vec<Tag>, Error> {
        self.check_sound()?;
        if !self.layout.repository_exists(name) {
            return Err(Error::NameUnknown);
        }
        let dir = self.layout.tags(name);
        self.layout
            .tag_names(name)
            .map_err(|error| Error::storage(error, &dir))
    }

    /// Repositories that hold a manifest, in byte order.
    pub(crate) fn catalog(&self) -> Result<Vec<RepositoryName>, Error> {
        self.check_sound()?;
        let dir = self.layout.repositories();
        let names = self
            .layout
            .repository_names()
            .map_err(|error| Error::storage(error, &dir))?;
        Ok(names
            .into_iter()
            .filter(|name| self.layout.has_manifests(name))
            .collect())
    }

    /// Removes a tag only, or a manifest with all tags that point at it.
    pub(crate) fn delete_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<(), Error> {
        self.check_sound()?;
        let _removing = self.commit.write().expect("no holder panics");
        let unknown = || Error::ManifestUnknown {
            reference: reference.clone(),
        };
        match reference {
            Reference::Tag(tag) => {
                if self.remove(&self.layout.tag(name, tag))? {
                    Ok(())
                } else {
                    Err(unknown())
                }
            }
            Reference::Digest(digest) => {
                if !self.unlink_manifest(name, digest)? {
                    return Err(unknown());
                }
                Ok(())
            }
        }
    }

    /// Tags first, so that none ever points at nothing. The caller holds `commit` exclusively.
    fn unlink_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
        let Some(link) = Link::read(&self.layout, name, digest)? else {
            return Ok(false);
        };
        let dir = self.layout.tags(name);
        for tag in self
            .layout
            .tag_names(name)
            .map_err(|error| Error::storage(error, &dir))?
        {
            if self.tag_digest(name, &tag)?.as_ref() == Some(digest) {
                self.remove(&self.layout.tag(name, &tag))?;
            }
        }
        if link.subject.is_some() {
            self.referrers.unseal()?;
        }
        self.remove(&self.layout.manifest_link(name, digest))?;
        if let Some(subject) = &link.subject {
            self.referrers.remove(name, subject, digest)?;
            if self.mode == ReferrersMode::Fallback {
                self.refresh_fallback(name, subject)?;
            }
        }
        Ok(true)
    }

    fn lock_tags(&self, name: &RepositoryName, tags: &[Tag]) -> Vec<MutexGuard<'_, ()>> {
        let shard = |tag: &Tag| {
            let mut hasher = DefaultHasher::new();
            (name, tag).hash(&mut hasher);
            usize::try_from(hasher.finish() % TAG_LOCKS as u64).expect("less than 64")
        };
        // In one order for everybody, or two pushes of the same tags could wait for each other.
        let shards: BTreeSet<usize> = tags.iter().map(shard).collect();
        shards
            .into_iter()
            .map(|shard| lock(&self.tags[shard]))
            .collect()
    }

    /// In fallback mode, brings the tag of the pushed manifest's subject up to date, and the tag
    /// itself when a client wrote it.
    fn maintain_fallback_tags(&self, put: &PutManifest<'_>) -> Result<(), Error> {
        if let Some(subject) = put.manifest.subject() {
            self.refresh_fallback(put.name, &subject.digest)?;
        }
        for tag in put.tags {
            if let Some(subject) = fallback_subject(tag)
                && put.manifest.kind() == ManifestKind::Index
            {
                self.merge_fallback(put.name, tag, &subject)?;
            }
        }
        Ok(())
    }

    fn refresh_fallback(&self, name: &RepositoryName, subject: &Digest) -> Result<(), Error> {
        self.merge_fallback(name, &fallback_tag(subject), &subject.to_string())
    }

    /// Makes the fallback tag hold every referrer, and whatever else it holds that exists.
    fn merge_fallback(&self, name: &RepositoryName, tag: &Tag, subject: &str) -> Result<(), Error> {
        let _tag = self.lock_tags(name, std::slice::from_ref(tag));
        let mut referrers = self.referrers.list(name, subject)?;
        let stored = match self.manifest(name, &Reference::Tag(tag.clone()), true) {
            Ok(stored) => Some(stored),
            Err(Error::ManifestUnknown { .. }) => None,
            Err(error) => return Err(error),
        };
        let mut others = Vec::new();
        if let Some(stored) = &stored {
            let bytes = stored.bytes.as_deref().unwrap_or_default();
            let parsed = Manifest::parse(bytes, Some(&stored.media_type), Opaque::Accept);
            // `cosign copy` points such a tag at the image itself, which must stay.
            let Ok(parsed) = parsed else { return Ok(()) };
            if parsed.kind() != ManifestKind::Index {
                return Ok(());
            }
            let exists = |d: &Descriptor| self.layout.manifest_link(name, &d.digest).exists();
            others = parsed
                .manifests()
                .iter()
                .filter(|d| exists(d))
                .cloned()
                .collect();
        }
        let known: BTreeSet<String> = referrers
            .iter()
            .map(|referrer| referrer.digest().to_owned())
            .collect();
        others.retain(|other| !known.contains(&other.digest.to_string()));
        for other in others {
            referrers.push(Referrer::listed(&other)?);
        }
        if stored.is_none() && referrers.is_empty() {
            return Ok(());
        }
        let bytes = index_of(&referrers)?;
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        if stored.is_some_and(|stored| stored.digest == digest) {
            return Ok(());
        }
        let manifest = Manifest::parse(&bytes, Some(media_type::IMAGE_INDEX), Opaque::Refuse)
            .context("an index of our own making")?;
        self.store_manifest(name, &digest, &bytes, &manifest, std::slice::from_ref(tag))
    }
}

/// The index of a referrers list.
pub(crate) fn index_of(referrers: &[Referrer]) -> Result<Vec<u8>, Error> {
    let descriptors: Vec<&RawValue> = referrers.iter().map(|r| &*r.descriptor).collect();
    index_bytes(&descriptors).map_err(|error| Error::Internal(error.into()))
}

fn lock(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().expect("no holder panics")
}
