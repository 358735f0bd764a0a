//! The manifests of an archive and what they name, each checked to be there with the size it should
//! have.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use oci::{Descriptor, Digest, Manifest, ManifestKind, Opaque, media_type};

use crate::{Error, Limits, Warning, content::Content, options::MANIFEST_BYTES_MAX};

/// What a referrer says about its subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Attestation,
    Other,
    Signature,
}

const BUNDLE: &str = "application/vnd.dev.sigstore.bundle";
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";
const CONTENT: &str = "dev.sigstore.bundle.content";
const SIGNATURE_TYPES: [&str; 2] = [
    "application/vnd.dev.cosign.artifact.sig.v1+json",
    "application/vnd.cncf.notary.signature",
];
const ATTESTATION_TYPE: &str = "application/vnd.dev.cosign.artifact.att.v1+json";

/// What `manifest` is, by its artifact type and annotations.
pub(crate) fn role(manifest: &Manifest) -> Role {
    let artifact_type = manifest.artifact_type().unwrap_or_default();
    let annotation = |key: &str| manifest.annotations().and_then(|all| all.get(key));
    if artifact_type.starts_with(BUNDLE) {
        let signs = annotation(PREDICATE_TYPE).is_some_and(|value| value == SIGN_PREDICATE)
            || annotation(CONTENT).is_some_and(|value| value == "message-signature");
        if signs {
            Role::Signature
        } else {
            Role::Attestation
        }
    } else if SIGNATURE_TYPES.contains(&artifact_type) {
        Role::Signature
    } else if artifact_type == ATTESTATION_TYPE {
        Role::Attestation
    } else {
        Role::Other
    }
}

/// Whether descriptors of this type name manifests rather than blobs.
pub(crate) fn is_manifest_type(name: &str) -> bool {
    [
        media_type::IMAGE_MANIFEST,
        media_type::IMAGE_INDEX,
        media_type::DOCKER_MANIFEST,
        media_type::DOCKER_MANIFEST_LIST,
    ]
    .contains(&name)
}

/// One manifest.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) content: Content,
    pub(crate) media_type: String,
    pub(crate) is_index: bool,
    /// Manifests of an index that are there.
    pub(crate) children: Vec<Digest>,
    /// Manifests of an index that are not there.
    pub(crate) missing: usize,
    /// Children that say something about other children, as build tools write them.
    pub(crate) attached: BTreeSet<Digest>,
    pub(crate) blobs: Vec<Digest>,
    pub(crate) layers: usize,
    pub(crate) subject: Option<Digest>,
    pub(crate) role: Role,
}

/// Manifests by digest.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Every blob, and whether it may be JSON.
    pub(crate) contents: Arc<BTreeMap<Digest, (Content, bool)>>,
    pub(crate) nodes: BTreeMap<Digest, Node>,
    pub(crate) warnings: Vec<Warning>,
    bytes: u64,
    limits: Limits,
}

struct Wanted {
    descriptor: Descriptor,
    named_by: String,
}

impl Graph {
    pub(crate) fn new(contents: BTreeMap<Digest, (Content, bool)>, limits: &Limits) -> Self {
        Self {
            contents: Arc::new(contents),
            nodes: BTreeMap::new(),
            warnings: Vec::new(),
            bytes: 0,
            limits: limits.clone(),
        }
    }

    /// Adds a listed manifest and everything below it.
    pub(crate) fn add(&mut self, descriptor: Descriptor, named_by: &str) -> Result<(), Error> {
        let mut wanted = vec![Wanted {
            descriptor,
            named_by: named_by.to_owned(),
        }];
        while let Some(next) = wanted.pop() {
            let content = self.content(&next.descriptor, &next.named_by)?;
            let digest = &next.descriptor.digest;
            if self.nodes.contains_key(digest) {
                continue;
            }
            let bytes = self.read(digest, &content)?;
            let content_type = Some(next.descriptor.media_type.as_str());
            let manifest =
                Manifest::parse(&bytes, content_type, Opaque::Refuse).map_err(|source| {
                    Error::Manifest {
                        item: digest.to_string(),
                        source,
                    }
                })?;
            let node = self.node(digest, content, &manifest, &mut wanted)?;
            self.nodes.insert(next.descriptor.digest, node);
        }
        Ok(())
    }

    /// Finds manifests that are about another one and that nothing lists: so `cosign save` keeps
    /// bundles.
    pub(crate) fn add_orphans(&mut self) -> Result<(), Error> {
        let blobs: BTreeSet<Digest> = self
            .nodes
            .values()
            .flat_map(|node| node.blobs.iter().cloned())
            .collect();
        for (digest, (content, is_object)) in self.contents.clone().iter() {
            let is_candidate = *is_object
                && content.size() <= MANIFEST_BYTES_MAX
                && !self.nodes.contains_key(digest)
                && !blobs.contains(digest);
            if !is_candidate {
                continue;
            }
            let bytes = content
                .read()
                .map_err(Error::file("read", digest.to_string()))?;
            let Ok(manifest) = Manifest::parse(&bytes, None, Opaque::Refuse) else {
                continue;
            };
            if manifest.subject().is_none() {
                continue;
            }
            let descriptor = Descriptor::new(manifest.media_type(), digest.clone(), content.size());
            match self.add(descriptor, "the archive") {
                Ok(()) => {}
                Err(Error::Missing { .. }) => {
                    self.warnings.push(Warning::Incomplete {
                        digest: digest.clone(),
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self, digest: &Digest, content: &Content) -> Result<Bytes, Error> {
        let (size, size_max) = (content.size(), MANIFEST_BYTES_MAX);
        if size > size_max {
            return Err(Error::ManifestTooLarge {
                item: digest.to_string(),
                size,
                size_max,
            });
        }
        self.bytes += size;
        let (manifests_max, bytes_max) =
            (self.limits.manifests_max, self.limits.manifests_bytes_max);
        if self.bytes > bytes_max || self.nodes.len() >= manifests_max {
            return Err(Error::TooManyManifests {
                manifests_max,
                bytes_max,
            });
        }
        content
            .read()
            .map_err(Error::file("read", digest.to_string()))
    }

    fn content(&self, descriptor: &Descriptor, named_by: &str) -> Result<Content, Error> {
        let digest = &descriptor.digest;
        let Some((content, _)) = self.contents.get(digest) else {
            let named_by = named_by.to_owned();
            return Err(Error::Missing {
                digest: digest.clone(),
                named_by,
            });
        };
        if content.size() != descriptor.size {
            return Err(Error::SizeMismatch {
                digest: digest.clone(),
                named_by: named_by.to_owned(),
                declared: descriptor.size,
                actual: content.size(),
            });
        }
        Ok(content.clone())
    }

    fn node(
        &mut self,
        digest: &Digest,
        content: Content,
        manifest: &Manifest,
        wanted: &mut Vec<Wanted>,
    ) -> Result<Node, Error> {
        let named_by = digest.to_string();
        let mut node = Node {
            content,
            media_type: manifest.media_type().to_owned(),
            is_index: manifest.kind() == ManifestKind::Index,
            children: Vec::new(),
            missing: 0,
            attached: BTreeSet::new(),
            blobs: Vec::new(),
            layers: manifest.layers().len(),
            subject: manifest.subject().map(|subject| subject.digest.clone()),
            role: role(manifest),
        };
        for blob in manifest.blobs() {
            match self.content(blob, &named_by) {
                Ok(_) => node.blobs.push(blob.digest.clone()),
                Err(Error::Missing { digest, .. }) if blob.may_be_absent() => {
                    self.warnings.push(Warning::ForeignLayer { digest });
                }
                Err(error) => return Err(error),
            }
        }
        for child in manifest.manifests() {
            match self.content(child, &named_by) {
                Ok(_) if is_manifest_type(&child.media_type) => {
                    node.children.push(child.digest.clone());
                    if child.annotation("vnd.docker.reference.type").is_some() {
                        node.attached.insert(child.digest.clone());
                    }
                    let (descriptor, named_by) = (child.clone(), named_by.clone());
                    wanted.push(Wanted {
                        descriptor,
                        named_by,
                    });
                }
                Ok(_) => node.blobs.push(child.digest.clone()),
                Err(Error::Missing { .. }) => node.missing += 1,
                Err(error) => return Err(error),
            }
        }
        if node.missing > 0 {
            let (index, missing) = (digest.clone(), node.missing);
            self.warnings.push(Warning::SparseIndex { index, missing });
        }
        Ok(node)
    }

    /// Manifests by what they are about.
    pub(crate) fn referrers(&self) -> BTreeMap<&Digest, Vec<&Digest>> {
        let mut referrers: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        for (digest, node) in &self.nodes {
            if let Some(subject) = &node.subject {
                referrers.entry(subject).or_default().push(digest);
            }
        }
        referrers
    }
}
