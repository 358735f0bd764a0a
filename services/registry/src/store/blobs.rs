//! Content and its visibility: one file per digest, one link per repository that may see it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use bytes::Bytes;
use oci::{Digest, DigestHasher, RepositoryName};

use super::{Store, folder::Folder};
use crate::Error;

/// Content that a repository may see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blob {
    /// Bytes.
    pub(crate) size: u64,
}

impl Store {
    /// The content of that digest, if this repository may see it, as a blob or as a manifest.
    pub(crate) fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob, Error> {
        self.check_sound()?;
        let unknown = || Error::BlobUnknown {
            digest: digest.clone(),
        };
        let visible = self.layout.blob_link(name, digest).exists()
            || self.layout.manifest_link(name, digest).exists();
        if !visible {
            return Err(unknown());
        }
        self.content_size(digest)?
            .map(|size| Blob { size })
            .ok_or_else(unknown)
    }

    /// Opens the content for reading; when it is read whole it is checked against its digest.
    pub(crate) fn open_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<BlobReader, Error> {
        self.blob(name, digest)?;
        let path = self.layout.blob(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::BlobUnknown {
                    digest: digest.clone(),
                });
            }
            Err(error) => return Err(Error::storage(error, &path)),
        };
        let size = file
            .metadata()
            .map_err(|error| Error::storage(error, &path))?
            .len();
        Ok(BlobReader::new(file, size, digest.clone()))
    }

    /// Size of content, whoever may see it.
    pub(crate) fn content_size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let path = self.layout.blob(digest);
        match fs::metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::storage(error, &path)),
        }
    }

    /// Moves a finished upload, whose bytes were hashed to `digest`, into place and links it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the file is synced before, the folder after"
    )]
    pub(crate) fn commit_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        file: &File,
        path: &Path,
    ) -> Result<(), Error> {
        self.check_sound()?;
        // Nothing is visible yet: a failure here costs this upload only.
        file.sync_data()
            .map_err(|error| Error::storage(error, path))?;
        let _adding = self.commit.read().expect("no holder panics");
        let to = self.layout.blob(digest);
        let folder = self.make_folder(&to)?;
        // What is there already may be a concurrent push whose folder is not synced yet, or damaged.
        fs::rename(path, &to).map_err(|error| Error::storage(error, path))?;
        self.sync(&folder)?;
        self.link_blob(name, digest)
    }

    /// Makes a blob of another repository visible here. `None`: of any repository in `from`.
    pub(crate) fn mount_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: &[RepositoryName],
    ) -> Result<bool, Error> {
        self.check_sound()?;
        let _adding = self.commit.read().expect("no holder panics");
        let visible = from
            .iter()
            .any(|other| self.layout.blob_link(other, digest).exists());
        if !visible || self.content_size(digest)?.is_none() {
            return Ok(false);
        }
        self.link_blob(name, digest)?;
        Ok(true)
    }

    /// Repositories where a blob is visible.
    pub(crate) fn repositories_of(&self, digest: &Digest) -> Result<Vec<RepositoryName>, Error> {
        let dir = self.layout.repositories();
        let names = self
            .layout
            .repository_names()
            .map_err(|error| Error::storage(error, &dir))?;
        Ok(names
            .into_iter()
            .filter(|n| self.layout.blob_link(n, digest).exists())
            .collect())
    }

    /// The link's content is only the time of the last push, of fixed width, so that it can be
    /// written in place: that the link exists is what counts, and the folder's fsync makes it durable.
    fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        self.note_linked(digest);
        let path = self.layout.blob_link(name, digest);
        let folder = self.make_folder(&path)?;
        let time = format!("{:020}\n", self.now().as_microsecond().max(0));
        let existed = path.exists();
        let written = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(time.as_bytes()));
        if written.is_err() && !existed {
            let _ = fs::remove_file(&path);
        }
        written.map_err(|error| Error::storage(error, &path))?;
        self.sync(&folder)
    }

    /// Ends a blob's visibility in this repository. Other repositories keep theirs.
    pub(crate) fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
        self.check_sound()?;
        let _removing = self.commit.write().expect("no holder panics");
        let path = self.layout.blob_link(name, digest);
        if !self.remove(&path)? {
            return Err(Error::BlobUnknown {
                digest: digest.clone(),
            });
        }
        Ok(())
    }

    /// Removes a file durably. Whether it was there.
    pub(super) fn remove(&self, path: &Path) -> Result<bool, Error> {
        if !path.exists() {
            return Ok(false);
        }
        let folder = Folder::of(path)?;
        let removed = self.unlink(path)?;
        self.sync(&folder)?;
        Ok(removed)
    }

    /// Removes a file that a power cut may bring back. Whether it was there.
    pub(super) fn unlink(&self, path: &Path) -> Result<bool, Error> {
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::storage(error, path)),
        }
    }

    /// Takes content out of service that no longer has its digest. If a power cut brings it back, it
    /// is found again.
    #[expect(clippy::disallowed_methods, reason = "need not be durable")]
    pub(crate) fn quarantine(&self, digest: &Digest) -> Result<(), Error> {
        tracing::error!(%digest, "content does not have its digest and is quarantined");
        let (from, to) = (self.layout.blob(digest), self.layout.quarantined(digest));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::storage(error, &from))
            }
            _ => Ok(()),
        }
    }
}

/// Reads content piece by piece. Read whole from the start, the last piece comes only when the digest
/// of all of them is right.
#[derive(Debug)]
pub(crate) struct BlobReader {
    file: File,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// What it is read as.
    pub(crate) digest: Digest,
    left: u64,
    hasher: Option<DigestHasher>,
}

/// Bytes per read.
const PIECE: usize = 256 << 10;

impl BlobReader {
    fn new(file: File, size: u64, digest: Digest) -> Self {
        let hasher = Some(DigestHasher::new(digest.algorithm()));
        Self {
            file,
            size,
            digest,
            left: size,
            hasher,
        }
    }

    /// Narrows to `length` bytes from `start`, which cannot be checked against the digest.
    pub(crate) fn narrow(&mut self, start: u64, length: u64) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(start))?;
        self.left = length;
        self.hasher = None;
        Ok(())
    }

    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] instead of the last piece when the bytes do not have the digest.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Bytes>> {
        if self.left == 0 {
            return Ok(None);
        }
        let length = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; length];
        self.file.read_exact(&mut piece)?;
        self.left -= length as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        if self.left == 0
            && let Some(hasher) = self.hasher.take()
            && hasher.finish() != self.digest
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "content has another digest",
            ));
        }
        Ok(Some(piece.into()))
    }
}
