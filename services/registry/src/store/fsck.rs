//! Checking the files against each other. Nothing is changed.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use oci::{Digest, DigestHasher, RepositoryName};
use serde::Serialize;

use super::{Progress, Store, manifests::Link, referrers::entry_of};
use crate::Error;

/// One thing that is not as it must be.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "fault")]
pub enum Fault {
    /// Content does not have the digest that it is kept under.
    ContentDamaged {
        /// That digest.
        digest: String,
    },
    /// A repository links content that is not there.
    ContentMissing {
        /// The repository.
        repository: String,
        /// What is missing.
        digest: String,
    },
    /// The referrers index lacks a manifest that has a subject.
    IndexIncomplete {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: String,
    },
    /// A manifest's link cannot be read, or does not fit its content.
    LinkDamaged {
        /// The repository.
        repository: String,
        /// The manifest.
        digest: String,
    },
    /// A tag does not hold the digest of a manifest of its repository.
    TagDangling {
        /// The repository.
        repository: String,
        /// The tag.
        tag: String,
    },
}

/// What was checked, and what was found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct FsckReport {
    /// Contents whose digest was computed.
    pub contents: u64,
    /// Repositories.
    pub repositories: u64,
    /// Manifests, blobs and tags of them.
    pub links: u64,
    /// Empty when all is well.
    pub faults: Vec<Fault>,
}

impl Store {
    /// Checks everything.
    pub(crate) fn fsck(&self, progress: &mut dyn FnMut(Progress)) -> Result<FsckReport, Error> {
        let mut report = FsckReport::default();
        let dir = self.layout.repositories();
        let at = |error| Error::storage(error, &dir);
        let names = self.layout.repository_names().map_err(at)?;
        let total = names.len() as u64;
        for name in &names {
            progress(Progress {
                stage: "repositories",
                done: report.repositories,
                total,
            });
            self.check_repository(name, &mut report).map_err(at)?;
            report.repositories += 1;
        }
        progress(Progress {
            stage: "repositories",
            done: total,
            total,
        });
        let contents = self.layout.contents().map_err(at)?;
        let total = contents.len() as u64;
        for digest in contents {
            progress(Progress {
                stage: "contents",
                done: report.contents,
                total,
            });
            if hash(&self.layout.blob(&digest), &digest).map_err(at)? != digest {
                report.faults.push(Fault::ContentDamaged {
                    digest: digest.to_string(),
                });
            }
            report.contents += 1;
        }
        progress(Progress {
            stage: "contents",
            done: total,
            total,
        });
        Ok(report)
    }

    fn check_repository(&self, name: &RepositoryName, report: &mut FsckReport) -> io::Result<()> {
        let repository = || name.as_str().to_owned();
        for digest in self.layout.blob_links(name)? {
            report.links += 1;
            if !self.layout.blob(&digest).exists() {
                let digest = digest.to_string();
                report.faults.push(Fault::ContentMissing {
                    repository: repository(),
                    digest,
                });
            }
        }
        for digest in self.layout.manifest_links(name)? {
            report.links += 1;
            report.faults.extend(self.check_manifest(name, &digest));
        }
        for tag in self.layout.tag_names(name)? {
            report.links += 1;
            let digest = self.tag_digest(name, &tag).ok().flatten();
            if !digest.is_some_and(|digest| self.layout.manifest_link(name, &digest).exists()) {
                let tag = tag.as_str().to_owned();
                report.faults.push(Fault::TagDangling {
                    repository: repository(),
                    tag,
                });
            }
        }
        Ok(())
    }

    fn check_manifest(&self, name: &RepositoryName, digest: &Digest) -> Option<Fault> {
        let (repository, text) = (name.as_str().to_owned(), digest.to_string());
        let Ok(size) = self
            .layout
            .blob(digest)
            .metadata()
            .map(|metadata| metadata.len())
        else {
            return Some(Fault::ContentMissing {
                repository,
                digest: text,
            });
        };
        let link = Link::read(&self.layout, name, digest).ok().flatten();
        if link.is_none_or(|link| link.size != size) {
            return Some(Fault::LinkDamaged {
                repository,
                digest: text,
            });
        }
        match entry_of(&self.layout, name, digest) {
            Ok(None) => None,
            Ok(Some((key, value))) if self.referrers.has(&key, &value).unwrap_or(false) => None,
            Ok(Some(_)) => Some(Fault::IndexIncomplete {
                repository,
                digest: text,
            }),
            Err(_) => Some(Fault::LinkDamaged {
                repository,
                digest: text,
            }),
        }
    }
}

fn hash(path: &Path, digest: &Digest) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hasher = DigestHasher::new(digest.algorithm());
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
