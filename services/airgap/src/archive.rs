//! An archive whose files were all read once: names, sizes and digests are known and checked.

use std::collections::BTreeMap;

use bytes::Bytes;
use oci::{Algorithm, Digest, DigestHasher};
use serde::de::DeserializeOwned;

use crate::{Error, content::Content};

/// One file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) content: Content,
    /// Of its name when it is a blob, else SHA-256.
    pub(crate) digest: Digest,
    /// Whether the first byte is one that JSON objects start with.
    pub(crate) is_object: bool,
    /// Whether the first bytes are those of gzip.
    pub(crate) is_gzip: bool,
}

/// The files of an archive by name.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Symbolic links of legacy archives, and the names they point to.
    pub(crate) links: BTreeMap<String, String>,
}

impl Archive {
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The bytes of a file that is read whole, or `None` when there is no such file.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> Result<Option<Bytes>, Error> {
        let Some(entry) = self.entries.get(name) else {
            return Ok(None);
        };
        let size = entry.content.size();
        if size > bytes_max {
            let entry = name.to_owned();
            return Err(Error::EntryTooLarge {
                entry,
                size,
                size_max: bytes_max,
            });
        }
        entry
            .content
            .read()
            .map(Some)
            .map_err(Error::file("read", name))
    }

    /// A JSON file, or `None` when there is no such file.
    pub(crate) fn json<T: DeserializeOwned>(
        &self,
        name: &str,
        bytes_max: u64,
    ) -> Result<Option<T>, Error> {
        let Some(bytes) = self.read(name, bytes_max)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| Error::Json {
                entry: name.to_owned(),
                source,
            })
    }

    /// Adds a file.
    pub(crate) fn insert(&mut self, name: String, entry: Entry) -> Result<(), Error> {
        if self.contains(&name) || self.links.contains_key(&name) {
            return Err(Error::DuplicateEntry { entry: name });
        }
        self.entries.insert(name, entry);
        Ok(())
    }

    /// Adds a symbolic link if it has one of the two forms of legacy archives: `docker save` links the
    /// `layer.tar` of a layer to that of another, skopeo and podman link it to `HEX.tar`.
    pub(crate) fn link(&mut self, name: String, target: &str) -> Result<(), Error> {
        let points_to_layer = target
            .strip_prefix("../")
            .filter(|target| is_layer_file(&name) && is_layer_target(target));
        let Some(target) = points_to_layer.map(str::to_owned) else {
            return Err(Error::Link { entry: name });
        };
        if self.contains(&name) || self.links.contains_key(&name) {
            return Err(Error::DuplicateEntry { entry: name });
        }
        self.links.insert(name, target);
        Ok(())
    }
}

fn is_layer_file(name: &str) -> bool {
    name.strip_suffix("/layer.tar").is_some_and(is_hex)
}

fn is_layer_target(name: &str) -> bool {
    is_layer_file(name) || name.strip_suffix(".tar").is_some_and(is_hex)
}

fn is_hex(id: &str) -> bool {
    id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The digest that a blob's name promises, or `None` when the name is not below `blobs/`.
pub(crate) fn promised_digest(name: &str) -> Result<Option<Digest>, Error> {
    let Some(rest) = name.strip_prefix("blobs/") else {
        return Ok(None);
    };
    let wrong = |source| Error::BlobName {
        entry: name.to_owned(),
        source,
    };
    let (algorithm, hex) = rest.split_once('/').unwrap_or((rest, ""));
    let algorithm: Algorithm = algorithm.parse().map_err(wrong)?;
    Digest::from_parts(algorithm, hex).map(Some).map_err(wrong)
}

/// Digests a file while it is read, and looks at its start.
pub(crate) struct Inspector {
    name: String,
    promised: Option<Digest>,
    hasher: DigestHasher,
    start: Vec<u8>,
}

impl Inspector {
    pub(crate) fn new(name: &str) -> Result<Self, Error> {
        let promised = promised_digest(name)?;
        let algorithm = promised
            .as_ref()
            .map_or(Algorithm::Sha256, Digest::algorithm);
        let hasher = DigestHasher::new(algorithm);
        Ok(Self {
            name: name.to_owned(),
            promised,
            hasher,
            start: Vec::new(),
        })
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let wanted = 64_usize.saturating_sub(self.start.len()).min(bytes.len());
        self.start.extend_from_slice(&bytes[..wanted]);
        self.hasher.update(bytes);
    }

    /// The entry, if its content has the digest of its name.
    pub(crate) fn finish(self, content: Content) -> Result<Entry, Error> {
        let digest = self.hasher.finish();
        if let Some(expected) = self.promised.filter(|expected| *expected != digest) {
            let item = format!("entry {:?}", self.name);
            return Err(Error::DigestMismatch {
                item,
                expected,
                actual: digest,
            });
        }
        let is_object = self.start.trim_ascii_start().first() == Some(&b'{');
        let is_gzip = self.start.starts_with(&[0x1f, 0x8b]);
        Ok(Entry {
            content,
            digest,
            is_object,
            is_gzip,
        })
    }
}
