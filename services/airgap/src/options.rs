//! What the caller decides, and the limits.

use std::path::PathBuf;

use oci::{RepositoryName, Tag};

use crate::Platform;

/// Bytes of a manifest that registries must accept, distribution-spec "Pushing Manifests".
pub(crate) const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// Bytes of `index.json` and `manifest.json`, which list everything and are not pushed.
pub(crate) const LIST_BYTES_MAX: u64 = 64 << 20;

/// Bounds of what is read. Reaching one is an error before anything is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Files and directories in an archive.
    pub entries_max: usize,
    /// Bytes of one file in an archive.
    pub entry_bytes_max: u64,
    /// Bytes of a whole archive, decompressed.
    pub bytes_max: u64,
    /// How many times more bytes may come out of a compressed archive than go in. Layers are
    /// compressed already, so real archives are far below it.
    pub ratio_max: u64,
    /// Manifests in an archive or an export.
    pub manifests_max: usize,
    /// Bytes of all of them together; their parsed form is kept in memory.
    pub manifests_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries_max: 200_000,
            entry_bytes_max: 64 << 30,
            bytes_max: 256 << 30,
            ratio_max: 200,
            manifests_max: 100_000,
            manifests_bytes_max: 256 << 20,
        }
    }
}

/// What goes into an archive.
#[derive(Clone, Debug)]
pub struct ExportOptions {
    /// Carries referrers, and referrers of them.
    pub referrers: bool,
    /// Carries `sha256-HEX.sig`, `.att` and `.sbom` tags.
    pub legacy_tags: bool,
    /// Platforms whose images are carried out of an index; all when there are none here.
    pub platforms: Vec<Platform>,
    /// Further repositories, `host/name`, in which signatures are looked for (`COSIGN_REPOSITORY`).
    pub signature_repositories: Vec<String>,
    /// The trusted root that verifies the signatures, JSON.
    pub trusted_root: Option<Vec<u8>>,
    /// The signing config that belongs to it, JSON.
    pub signing_config: Option<Vec<u8>>,
    /// Bounds; `entry_bytes_max` and `bytes_max` bound blobs and the archive.
    pub limits: Limits,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self {
            referrers: true,
            legacy_tags: true,
            platforms: Vec::new(),
            signature_repositories: Vec::new(),
            trusted_root: None,
            signing_config: None,
            limits: Limits::default(),
        }
    }
}

/// Another repository for images of one name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameRule {
    /// Repository in the archive, without a registry: `library/alpine`.
    pub from: RepositoryName,
    /// Repository in the target registry.
    pub to: RepositoryName,
}

/// How an archive is read and where its images go.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Where images go that have no repository in their name. Without it they are not imported.
    pub repository: Option<RepositoryName>,
    /// Tag of the image in [`Self::repository`], when the archive has one image without a name.
    pub tag: Option<Tag>,
    /// Other repositories than the names say.
    pub rename: Vec<NameRule>,
    /// Where a compressed archive is unpacked, in one file that is gone afterwards. `None` takes the
    /// system's directory for temporary files.
    pub scratch_dir: Option<PathBuf>,
    /// Bounds.
    pub limits: Limits,
}
