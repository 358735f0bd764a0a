//! Paths below the registry's directory. Only checked names and digests become parts of a path.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use oci::{Algorithm, Digest, RepositoryName, Tag};
use uuid::Uuid;

const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";

/// The registry's directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    pub(crate) fn repositories(&self) -> PathBuf {
        self.root.join("repositories")
    }

    pub(crate) fn uploads(&self) -> PathBuf {
        self.root.join("uploads")
    }

    pub(crate) fn quarantine(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(crate) fn index_seal(&self) -> PathBuf {
        self.root.join("index.sealed")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.blobs()
            .join(digest.algorithm().name())
            .join(&hex[..2])
            .join(hex)
    }

    pub(crate) fn quarantined(&self, digest: &Digest) -> PathBuf {
        self.quarantine()
            .join(format!("{}-{}", digest.algorithm(), digest.hex()))
    }

    pub(crate) fn upload(&self, id: Uuid) -> PathBuf {
        self.uploads().join(id.to_string())
    }

    pub(crate) fn upload_owner(&self, id: Uuid) -> PathBuf {
        self.uploads().join(format!("{id}.json"))
    }

    pub(crate) fn repository(&self, name: &RepositoryName) -> PathBuf {
        self.repositories().join(name.as_str())
    }

    pub(crate) fn blob_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        link(self.repository(name).join(BLOBS), digest)
    }

    pub(crate) fn manifest_link(&self, name: &RepositoryName, digest: &Digest) -> PathBuf {
        link(self.repository(name).join(MANIFESTS), digest)
    }

    pub(crate) fn tags(&self, name: &RepositoryName) -> PathBuf {
        self.repository(name).join(TAGS)
    }

    pub(crate) fn tag(&self, name: &RepositoryName, tag: &Tag) -> PathBuf {
        self.tags(name).join(tag.as_str())
    }

    /// Whether anything was ever pushed there.
    pub(crate) fn repository_exists(&self, name: &RepositoryName) -> bool {
        let dir = self.repository(name);
        [MANIFESTS, BLOBS]
            .iter()
            .any(|folder| dir.join(folder).is_dir())
    }

    /// Digests of the blobs that are visible in a repository.
    pub(crate) fn blob_links(&self, name: &RepositoryName) -> io::Result<Vec<Digest>> {
        links(&self.repository(name).join(BLOBS))
    }

    /// Folders that hold links of a repository.
    pub(crate) fn link_folders(&self, name: &RepositoryName) -> Vec<PathBuf> {
        let dir = self.repository(name);
        let folders = [BLOBS, MANIFESTS].map(|folder| dir.join(folder));
        let each = folders
            .iter()
            .flat_map(|f| Algorithm::ALL.map(|a| f.join(a.name())));
        each.filter(|folder| folder.is_dir()).collect()
    }

    /// Digests of the manifests of a repository.
    pub(crate) fn manifest_links(&self, name: &RepositoryName) -> io::Result<Vec<Digest>> {
        links(&self.repository(name).join(MANIFESTS))
    }

    /// Tags of a repository in byte order.
    pub(crate) fn tag_names(&self, name: &RepositoryName) -> io::Result<Vec<Tag>> {
        let mut tags: Vec<Tag> = names(&self.tags(name))?
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        tags.sort_unstable();
        Ok(tags)
    }

    /// Repositories that hold at least one link, in byte order.
    pub(crate) fn repository_names(&self) -> io::Result<Vec<RepositoryName>> {
        let mut found = Vec::new();
        let mut below = vec![(self.repositories(), String::new())];
        while let Some((dir, prefix)) = below.pop() {
            let mut is_repository = false;
            for name in names(&dir)? {
                if name == MANIFESTS || name == BLOBS {
                    is_repository = true;
                } else if !name.starts_with('_') {
                    let nested = if prefix.is_empty() {
                        name.clone()
                    } else {
                        format!("{prefix}/{name}")
                    };
                    below.push((dir.join(name), nested));
                }
            }
            if is_repository && let Ok(name) = prefix.parse() {
                found.push(name);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Whether a repository has a manifest.
    pub(crate) fn has_manifests(&self, name: &RepositoryName) -> bool {
        Algorithm::ALL.iter().any(|algorithm| {
            let dir = self.repository(name).join(MANIFESTS).join(algorithm.name());
            names(&dir).is_ok_and(|names| !names.is_empty())
        })
    }

    /// Digests of all content, whoever links it, one folder at a time.
    pub(crate) fn contents(&self) -> io::Result<Vec<Digest>> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            let dir = self.blobs().join(algorithm.name());
            for folder in names(&dir)? {
                let files = names(&dir.join(folder))?;
                found.extend(
                    files
                        .iter()
                        .filter_map(|f| Digest::from_parts(algorithm, f).ok()),
                );
            }
        }
        Ok(found)
    }

    /// Files that a crash left half written, anywhere below.
    pub(crate) fn leftovers(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut below = vec![self.blobs(), self.repositories()];
        while let Some(dir) = below.pop() {
            for entry in fs::read_dir(&dir)? {
                let entry = entry?;
                let name = entry.file_name();
                if entry.file_type()?.is_dir() {
                    below.push(entry.path());
                } else if runtime::files::is_temporary(&name.to_string_lossy()) {
                    found.push(entry.path());
                }
            }
        }
        Ok(found)
    }
}

fn link(dir: PathBuf, digest: &Digest) -> PathBuf {
    dir.join(digest.algorithm().name()).join(digest.hex())
}

fn links(dir: &Path) -> io::Result<Vec<Digest>> {
    let mut found = Vec::new();
    for algorithm in Algorithm::ALL {
        let files = names(&dir.join(algorithm.name()))?;
        found.extend(
            files
                .iter()
                .filter_map(|f| Digest::from_parts(algorithm, f).ok()),
        );
    }
    found.sort_unstable();
    Ok(found)
}

/// Names in a directory, none when it does not exist, without files that are not finished.
pub(super) fn names(dir: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry?.file_name().into_string()
            && !runtime::files::is_temporary(&name)
        {
            names.push(name);
        }
    }
    Ok(names)
}
