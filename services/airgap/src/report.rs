//! What an export or import did, and what somebody should look at.

use std::fmt;

use oci::{Digest, RepositoryName, Tag};

/// What is in an archive.
#[derive(Clone, Debug, Default)]
pub struct ExportReport {
    /// The images that were asked for, by name.
    pub images: Vec<ExportedImage>,
    /// Manifests in the archive.
    pub manifests: u64,
    /// Blobs in the archive, manifests not counted.
    pub blobs: u64,
    /// Bytes of the archive.
    pub bytes: u64,
    /// What somebody should look at.
    pub warnings: Vec<Warning>,
}

impl ExportReport {
    /// Images that nothing signs.
    pub fn unsigned(&self) -> impl Iterator<Item = &ExportedImage> {
        self.images.iter().filter(|image| image.signatures == 0)
    }
}

/// One image in an archive.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExportedImage {
    /// The full reference.
    pub reference: String,
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// Signatures of that digest.
    pub signatures: u64,
    /// Attestations about that digest.
    pub attestations: u64,
}

/// What was imported, or for a check what would be.
#[derive(Clone, Debug, Default)]
pub struct ImportReport {
    /// Images that have a name now.
    pub images: Vec<ImportedImage>,
    /// Images that were left out because nothing says where they belong.
    pub nameless: Vec<Nameless>,
    /// Manifests pushed.
    pub manifests_pushed: u64,
    /// Manifests that the registry had already.
    pub manifests_present: u64,
    /// Blobs pushed or mounted.
    pub blobs_pushed: u64,
    /// Blobs that the registry had already.
    pub blobs_present: u64,
    /// Bytes of the blobs pushed.
    pub bytes_pushed: u64,
    /// `siglab/trusted_root.json` of the archive, checked to be one.
    pub trusted_root: Option<Vec<u8>>,
    /// `siglab/signing_config.json` of the archive, checked to be one.
    pub signing_config: Option<Vec<u8>>,
    /// What somebody should look at.
    pub warnings: Vec<Warning>,
}

impl ImportReport {
    /// Images that nothing signs.
    pub fn unsigned(&self) -> impl Iterator<Item = &ImportedImage> {
        self.images.iter().filter(|image| image.signatures == 0)
    }
}

/// One image of an archive and where it went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ImportedImage {
    /// Repository, without a registry.
    pub repository: String,
    /// Tag; without one the image is found by digest.
    pub tag: Option<Tag>,
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// Signatures of that digest.
    pub signatures: u64,
    /// Attestations about that digest.
    pub attestations: u64,
}

/// An image that nothing gives a repository.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Nameless {
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// What the archive calls it, if anything: a lone tag.
    pub tag: Option<Tag>,
}

/// Something that is not an error and that somebody should know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Warning {
    /// An index names manifests that are not there; some registries refuse such an index.
    SparseIndex {
        /// The index.
        index: Digest,
        /// How many are missing.
        missing: usize,
    },
    /// The registry refused a sparse index, so its only image has the name instead. Signatures of the
    /// index do not verify it.
    SparseIndexReplaced {
        /// The index.
        index: Digest,
        /// The image that has its tags now.
        image: Digest,
    },
    /// A layer that may be fetched from elsewhere only, and is not there.
    ForeignLayer {
        /// The layer.
        digest: Digest,
    },
    /// A referrers list names a manifest that the registry does not have.
    ReferrerGone {
        /// The referrer.
        digest: Digest,
        /// What it should be about.
        subject: Digest,
    },
    /// A referrers list names a manifest that is not about the subject.
    ReferrerUnrelated {
        /// The listed manifest.
        digest: Digest,
        /// What it should be about.
        subject: Digest,
    },
    /// A referrer of a kind that is not understood, and is left out.
    ReferrerUnknown {
        /// The referrer.
        digest: Digest,
    },
    /// A manifest about something that is not in the archive, and is left out.
    Orphan {
        /// The manifest.
        digest: Digest,
        /// What it is about.
        subject: Digest,
    },
    /// A manifest that nothing lists and that is not complete, and is left out.
    Incomplete {
        /// The manifest.
        digest: Digest,
    },
    /// An entry of `index.json` that is not a manifest, and is left out.
    NotAManifest {
        /// The entry.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// A legacy archive has no manifests: this one was made, so its digest is not the original's and
    /// signatures of the original do not verify it.
    Synthesised {
        /// The manifest that was made.
        digest: Digest,
    },
    /// A tag was on something else before the import.
    TagMoved {
        /// The repository in the target registry.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What had it.
        before: Digest,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SparseIndex { index, missing } => {
                write!(
                    f,
                    "index {index} names {missing} manifests that are not there"
                )
            }
            Self::SparseIndexReplaced { index, image } => write!(
                f,
                "the registry refuses the incomplete index {index}, its tags are on {image} instead"
            ),
            Self::ForeignLayer { digest } => {
                write!(
                    f,
                    "layer {digest} may only be fetched from elsewhere and is not there"
                )
            }
            Self::ReferrerGone { digest, subject } => {
                write!(
                    f,
                    "referrer {digest} of {subject} is listed and does not exist"
                )
            }
            Self::ReferrerUnrelated { digest, subject } => {
                write!(
                    f,
                    "{digest} is listed as a referrer of {subject} and is about something else"
                )
            }
            Self::ReferrerUnknown { digest } => {
                write!(
                    f,
                    "referrer {digest} is not an image manifest or index and is left out"
                )
            }
            Self::Orphan { digest, subject } => {
                write!(
                    f,
                    "{digest} is about {subject}, which is not there, and is left out"
                )
            }
            Self::Incomplete { digest } => {
                write!(
                    f,
                    "manifest {digest} is not listed, not complete, and left out"
                )
            }
            Self::NotAManifest { digest, media_type } => {
                write!(
                    f,
                    "{digest} of type {media_type:?} is not a manifest and is left out"
                )
            }
            Self::Synthesised { digest } => write!(
                f,
                "manifest {digest} was made from a legacy archive, signatures of the original do \
                 not verify it"
            ),
            Self::TagMoved {
                repository,
                tag,
                before,
            } => write!(f, "{repository}:{tag} was on {before} before"),
        }
    }
}
