//! The certificates above the leaves, each kept once under its digest, as static-ct-api keeps them. Every
//! entry of a lab has the same ones; beside each they would be more than the entry itself.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::Context as _;
use merkle::Hash;
use runtime::files;
use x509::Certificate;

use crate::leaf;

/// DER by SHA-256.
#[derive(Debug)]
pub(crate) struct Issuers {
    dir: PathBuf,
    known: RwLock<HashMap<Hash, Arc<[u8]>>>,
}

impl Issuers {
    /// Reads those kept in `dir`.
    ///
    /// # Errors
    /// When a file does not have the digest of its name.
    pub(crate) fn open(dir: PathBuf) -> anyhow::Result<Self> {
        files::create_dirs(&dir)?;
        Self::read(dir)
    }

    fn read(dir: PathBuf) -> anyhow::Result<Self> {
        let mut known = HashMap::new();
        for entry in fs::read_dir(&dir)? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let name = name.to_string_lossy();
            if files::is_temporary(&name) {
                continue;
            }
            let der = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let digest = crypto::sha256(&der);
            anyhow::ensure!(
                *name == hex::encode(digest),
                "{} is damaged: it does not have the digest of its name",
                path.display()
            );
            known.insert(digest, der.into());
        }
        let known = RwLock::new(known);
        Ok(Self { dir, known })
    }

    /// The digest of a certificate that is durably here when this returns.
    pub(crate) fn keep(&self, certificate: &Certificate) -> anyhow::Result<Hash> {
        let digest = certificate.fingerprint();
        if self.get(&digest).is_some() {
            return Ok(digest);
        }
        // Held while it is written, so that nobody relies on a file that is not synced yet.
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(place) = known.entry(digest) {
            let path = self.dir.join(hex::encode(digest));
            files::replace(&path, certificate.der())
                .with_context(|| format!("cannot write {}", path.display()))?;
            place.insert(certificate.der().into());
        }
        Ok(digest)
    }

    /// The certificate of a digest.
    pub(crate) fn get(&self, digest: &Hash) -> Option<Arc<[u8]>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(digest).cloned()
    }
}

/// Compares what the entries of a log name with the certificates that are kept.
#[derive(Debug)]
pub struct IssuerCheck {
    issuers: Issuers,
    /// The first entry that names one which is not there.
    incomplete: Option<u64>,
}

impl IssuerCheck {
    /// Reads the certificates kept in `dir`.
    ///
    /// # Errors
    /// When one does not have the digest of its name.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            issuers: Issuers::read(dir.to_owned())?,
            incomplete: None,
        })
    }

    /// Looks at what is kept beside the entry at `index`.
    pub fn entry(&mut self, index: u64, kept: &[u8]) {
        if self.incomplete.is_none() && leaf::extra_data(kept, &self.issuers).is_none() {
            self.incomplete = Some(index);
        }
    }

    /// How many certificates there are, once all entries were looked at.
    ///
    /// # Errors
    /// When an entry names one that is not there.
    pub fn finish(self) -> anyhow::Result<usize> {
        if let Some(index) = self.incomplete {
            anyhow::bail!("entry {index} names a certificate that is not there");
        }
        let known = self.issuers.known.into_inner();
        Ok(known.unwrap_or_else(PoisonError::into_inner).len())
    }
}
