//! Finds everything that belongs to images of registries: children, blobs, referrers and signature
//! tags, and what belongs to those.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use oci::{Descriptor, Digest, ImageReference, Manifest, ManifestError, Opaque, Reference, Tag};

use crate::{
    Endpoints, Error, ExportOptions, ExportedImage, OnProgress, Phase, Warning,
    graph::{Role, is_manifest_type, role},
    layout::{self, IMAGE_NAME, LEGACY_SUFFIXES, REF_NAME},
    platform::{is_image_for, is_wanted},
    progress::Meter,
    remote::{Pulled, Referrers, Remote},
};

/// Manifests that are fetched at the same time.
const AT_ONCE: usize = 8;

/// A blob and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) size: u64,
    pub(crate) remote: Remote,
    pub(crate) named_by: Digest,
    pub(crate) may_be_absent: bool,
}

/// Everything found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) manifests: BTreeMap<Digest, Bytes>,
    pub(crate) blobs: BTreeMap<Digest, Blob>,
    /// Entries of `index.json`: images and their tags first, then referrers.
    pub(crate) listed: Vec<Descriptor>,
    pub(crate) images: Vec<ExportedImage>,
    pub(crate) warnings: Vec<Warning>,
}

/// Why a manifest is fetched.
#[derive(Clone, Debug)]
enum Origin {
    Image(ImageReference),
    Child { size: u64, index: Digest },
    Referrer { subject: Digest, is_sibling: bool },
    Legacy { tag: Tag, subject: Digest },
}

#[derive(Clone, Debug)]
struct Visit {
    remote: Remote,
    reference: Reference,
    media_type: Option<String>,
    origin: Origin,
}

struct Visited {
    visit: Visit,
    pulled: Option<(Pulled, Manifest)>,
    related: Vec<Visit>,
    warning: Option<Warning>,
}

struct Walk<'a> {
    options: &'a ExportOptions,
    siblings: Vec<Remote>,
    meter: Meter,
    found: Found,
    bytes: u64,
    seen: BTreeSet<(String, String)>,
    /// Order in `index.json`, and the entry.
    listed: Vec<((bool, String), Descriptor)>,
    signed: BTreeMap<Digest, (u64, u64)>,
    missing: BTreeMap<Digest, usize>,
}

/// Walks from `images` to everything that is to be carried.
pub(crate) async fn walk(
    endpoints: &Endpoints,
    images: &[ImageReference],
    options: &ExportOptions,
    progress: &OnProgress,
) -> Result<Found, Error> {
    let mut siblings = Vec::new();
    for text in &options.signature_repositories {
        let reference: ImageReference = text.parse().map_err(|source| Error::Reference {
            text: text.clone(),
            source,
        })?;
        siblings.push(endpoints.remote(reference.registry(), reference.repository(), false)?);
    }
    let mut walk = Walk {
        options,
        siblings,
        meter: Meter::new(progress, Phase::Discover, 0),
        found: Found::default(),
        bytes: 0,
        seen: BTreeSet::new(),
        listed: Vec::new(),
        signed: BTreeMap::new(),
        missing: BTreeMap::new(),
    };
    let mut level = Vec::new();
    for image in images {
        let remote = endpoints.remote(image.registry(), image.repository(), false)?;
        let (reference, origin) = (image.reference(), Origin::Image(image.clone()));
        level.push(Visit {
            remote,
            reference,
            media_type: None,
            origin,
        });
    }
    while !level.is_empty() {
        level = walk.level(level).await?;
    }
    Ok(walk.finish())
}

impl Walk<'_> {
    /// Fetches manifests and returns what they lead to.
    async fn level(&mut self, visits: Vec<Visit>) -> Result<Vec<Visit>, Error> {
        let fresh: Vec<Visit> = visits
            .into_iter()
            .filter(|visit| {
                let name = match &visit.origin {
                    // Two tags of one digest are two names.
                    Origin::Image(image) => format!("{image} {:?}", image.tag()),
                    _ => visit.reference.to_string(),
                };
                self.seen.insert((visit.remote.name(), name))
            })
            .collect();
        self.meter.add_total(fresh.len() as u64);
        let (this, mut next) = (&*self, Vec::new());
        let visited: Vec<Visited> = stream::iter(fresh)
            .map(|visit| this.fetch(visit))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        for visited in visited {
            self.take(visited, &mut next)?;
        }
        Ok(next)
    }

    async fn fetch(&self, visit: Visit) -> Result<Visited, Error> {
        self.meter
            .item(format!("{} {}", visit.remote.name(), visit.reference));
        let pulled = visit.remote.pull_manifest(&visit.reference).await?;
        self.meter.add(1);
        let Some(pulled) = pulled else {
            let warning = match &visit.origin {
                Origin::Image(image) => {
                    return Err(Error::NoSuchImage {
                        reference: image.to_string(),
                    });
                }
                Origin::Referrer { subject, .. } => match &visit.reference {
                    Reference::Digest(digest) => {
                        let (digest, subject) = (digest.clone(), subject.clone());
                        Some(Warning::ReferrerGone { digest, subject })
                    }
                    Reference::Tag(_) => None,
                },
                Origin::Child { .. } | Origin::Legacy { .. } => None,
            };
            return Ok(Visited {
                visit,
                pulled: None,
                related: Vec::new(),
                warning,
            });
        };
        let manifest = match parse(&visit, &pulled) {
            Ok(manifest) => manifest,
            Err(ManifestError::UnsupportedMediaType { .. })
                if matches!(visit.origin, Origin::Referrer { .. }) =>
            {
                let warning = Some(Warning::ReferrerUnknown {
                    digest: pulled.digest,
                });
                return Ok(Visited {
                    visit,
                    pulled: None,
                    related: Vec::new(),
                    warning,
                });
            }
            Err(source) => {
                let item = format!("{}@{}", visit.remote.name(), pulled.digest);
                return Err(Error::Manifest { item, source });
            }
        };
        if let Origin::Referrer { subject, .. } = &visit.origin {
            let actual = manifest.subject().map(|it| &it.digest);
            if actual != Some(subject) {
                let (digest, subject) = (pulled.digest, subject.clone());
                let warning = Some(Warning::ReferrerUnrelated { digest, subject });
                return Ok(Visited {
                    visit,
                    pulled: None,
                    related: Vec::new(),
                    warning,
                });
            }
        }
        let related = self.related(&visit.remote, &pulled.digest).await?;
        Ok(Visited {
            visit,
            pulled: Some((pulled, manifest)),
            related,
            warning: None,
        })
    }

    /// What is about `subject`, in its own repository and in those that only hold signatures.
    async fn related(&self, home: &Remote, subject: &Digest) -> Result<Vec<Visit>, Error> {
        let name = home.name();
        let siblings = self
            .siblings
            .iter()
            .filter(|sibling| sibling.name() != name);
        let mut related = Vec::new();
        for (remote, is_sibling) in
            std::iter::once((home, false)).chain(siblings.map(|sibling| (sibling, true)))
        {
            if self.options.referrers {
                let listed = match remote.referrers(subject).await? {
                    Referrers::Listed(listed) => listed,
                    Referrers::NoApi => remote.fallback(subject).await?,
                };
                related.extend(listed.into_iter().map(|descriptor| Visit {
                    remote: remote.clone(),
                    reference: Reference::Digest(descriptor.digest),
                    media_type: Some(descriptor.media_type),
                    origin: Origin::Referrer {
                        subject: subject.clone(),
                        is_sibling,
                    },
                }));
            }
            if self.options.legacy_tags {
                let tags = LEGACY_SUFFIXES
                    .iter()
                    .filter_map(|suffix| layout::legacy_tag(subject, suffix));
                related.extend(tags.map(|tag| Visit {
                    remote: remote.clone(),
                    reference: Reference::Tag(tag.clone()),
                    media_type: None,
                    origin: Origin::Legacy {
                        tag,
                        subject: subject.clone(),
                    },
                }));
            }
        }
        Ok(related)
    }

    fn take(&mut self, visited: Visited, next: &mut Vec<Visit>) -> Result<(), Error> {
        let Visited {
            visit,
            pulled,
            related,
            warning,
        } = visited;
        self.found.warnings.extend(warning);
        let Some((pulled, manifest)) = pulled else {
            if let Origin::Child { index, .. } = visit.origin {
                *self.missing.entry(index).or_default() += 1;
            }
            return Ok(());
        };
        let size = pulled.bytes.len() as u64;
        if let Origin::Child {
            size: declared,
            index,
        } = &visit.origin
            && *declared != size
        {
            return Err(Error::SizeMismatch {
                digest: pulled.digest,
                named_by: index.to_string(),
                declared: *declared,
                actual: size,
            });
        }
        self.list(&visit, &pulled, &manifest);
        next.extend(related);
        self.contents(&visit.remote, &pulled.digest, &manifest, next)?;
        if self
            .found
            .manifests
            .insert(pulled.digest, pulled.bytes)
            .is_none()
        {
            self.bytes += size;
        }
        let limits = &self.options.limits;
        let (manifests_max, bytes_max) = (limits.manifests_max, limits.manifests_bytes_max);
        if self.found.manifests.len() > manifests_max || self.bytes > bytes_max {
            return Err(Error::TooManyManifests {
                manifests_max,
                bytes_max,
            });
        }
        Ok(())
    }

    /// Adds children to what comes next, and blobs to what was found.
    fn contents(
        &mut self,
        remote: &Remote,
        digest: &Digest,
        manifest: &Manifest,
        next: &mut Vec<Visit>,
    ) -> Result<(), Error> {
        let wanted = self.options.platforms.as_slice();
        let has_platforms = |child: &Descriptor| child.platform().is_some();
        if !wanted.is_empty()
            && manifest.manifests().iter().any(has_platforms)
            && !manifest
                .manifests()
                .iter()
                .any(|child| is_image_for(wanted, child))
        {
            return Err(Error::NoPlatform {
                index: digest.clone(),
                wanted: wanted.to_vec(),
            });
        }
        for child in manifest.manifests() {
            if !is_wanted(wanted, child) {
                *self.missing.entry(digest.clone()).or_default() += 1;
            } else if is_manifest_type(&child.media_type) {
                next.push(Visit {
                    remote: remote.clone(),
                    reference: Reference::Digest(child.digest.clone()),
                    media_type: Some(child.media_type.clone()),
                    origin: Origin::Child {
                        size: child.size,
                        index: digest.clone(),
                    },
                });
            } else {
                self.blob(remote, digest, child, true)?;
            }
        }
        for blob in manifest.blobs() {
            self.blob(remote, digest, blob, blob.may_be_absent())?;
        }
        Ok(())
    }

    fn blob(
        &mut self,
        remote: &Remote,
        named_by: &Digest,
        descriptor: &Descriptor,
        may_be_absent: bool,
    ) -> Result<(), Error> {
        let (size, size_max) = (descriptor.size, self.options.limits.entry_bytes_max);
        if size > size_max {
            let entry = descriptor.digest.to_string();
            return Err(Error::EntryTooLarge {
                entry,
                size,
                size_max,
            });
        }
        let known = self
            .found
            .blobs
            .entry(descriptor.digest.clone())
            .or_insert_with(|| Blob {
                size,
                remote: remote.clone(),
                named_by: named_by.clone(),
                may_be_absent,
            });
        known.may_be_absent &= may_be_absent;
        if known.size == size {
            return Ok(());
        }
        Err(Error::SizeMismatch {
            digest: descriptor.digest.clone(),
            named_by: named_by.to_string(),
            declared: size,
            actual: known.size,
        })
    }

    /// Adds the entry of `index.json`, if the manifest gets one.
    fn list(&mut self, visit: &Visit, pulled: &Pulled, manifest: &Manifest) {
        let size = pulled.bytes.len() as u64;
        let digest = pulled.digest.clone();
        let mut descriptor = Descriptor::new(manifest.media_type(), digest.clone(), size);
        let (is_referrer, name, tag) = match &visit.origin {
            Origin::Child { .. } => return,
            Origin::Image(image) => {
                let (signatures, attestations) = (0, 0);
                let reference = match image.tag() {
                    Some(tag) => format!("{}:{tag}", image.context()),
                    None => format!("{}@{digest}", image.context()),
                };
                self.found.images.push(ExportedImage {
                    reference: reference.clone(),
                    digest: digest.clone(),
                    signatures,
                    attestations,
                });
                (false, Some(reference), image.tag())
            }
            Origin::Legacy { tag, subject } => {
                let count = manifest.layers().len() as u64;
                let signed = self.signed.entry(subject.clone()).or_default();
                match tag.as_str().rsplit('.').next() {
                    Some("sig") => signed.0 += count,
                    Some("att") => signed.1 += count,
                    _ => {}
                }
                (
                    false,
                    Some(format!("{}:{tag}", visit.remote.name())),
                    Some(tag),
                )
            }
            Origin::Referrer {
                subject,
                is_sibling,
            } => {
                let signed = self.signed.entry(subject.clone()).or_default();
                match role(manifest) {
                    Role::Signature => signed.0 += 1,
                    Role::Attestation => signed.1 += 1,
                    Role::Other => {}
                }
                descriptor.artifact_type = manifest.artifact_type().map(str::to_owned);
                // In its subject's repository it needs no name: it is found there.
                let name = is_sibling.then(|| format!("{}@{digest}", visit.remote.name()));
                (true, name, None)
            }
        };
        let name = name.map(|name| match name.strip_prefix("index.docker.io/") {
            Some(rest) => format!("docker.io/{rest}"),
            None => name,
        });
        let tag = tag.map(|tag| (REF_NAME.to_owned(), tag.to_string()));
        let full = name.clone().map(|name| (IMAGE_NAME.to_owned(), name));
        let annotations: BTreeMap<_, _> = tag.into_iter().chain(full).collect();
        descriptor.annotations = Some(annotations).filter(|all| !all.is_empty());
        let order = format!("{} {digest}", name.unwrap_or_default());
        self.listed.push(((is_referrer, order), descriptor));
    }

    fn finish(mut self) -> Found {
        self.listed.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.listed.dedup();
        let mut found = self.found;
        found.listed = self
            .listed
            .into_iter()
            .map(|(_, descriptor)| descriptor)
            .collect();
        for image in &mut found.images {
            let signed = self.signed.get(&image.digest).copied().unwrap_or_default();
            (image.signatures, image.attestations) = signed;
        }
        found.images.sort_by(|a, b| a.reference.cmp(&b.reference));
        for (index, missing) in self.missing {
            found.warnings.push(Warning::SparseIndex { index, missing });
        }
        found
    }
}

/// By the type that the registry gives if it is a manifest's, else by that of the descriptor.
fn parse(visit: &Visit, pulled: &Pulled) -> Result<Manifest, ManifestError> {
    let given = pulled
        .media_type
        .as_deref()
        .filter(|given| is_manifest_type(given));
    let content_type = given
        .or(visit.media_type.as_deref())
        .or(pulled.media_type.as_deref());
    Manifest::parse(&pulled.bytes, content_type, Opaque::Refuse)
}
