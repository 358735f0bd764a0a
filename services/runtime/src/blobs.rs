//! The shape of an object store, over a directory, over memory, and with failures for tests.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use crate::files;

/// Why a blob was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// `put_if_absent` found another content.
    #[error("{key} exists with another content")]
    Exists {
        /// The key.
        key: String,
    },
    /// `compare_and_swap` found something else than expected.
    #[error("{key} is not what was expected")]
    Changed {
        /// The key.
        key: String,
    },
    /// The key leaves the store: it is empty, absolute, or has an empty, `.` or `..` segment.
    #[error("{key:?} is not a key")]
    Key {
        /// The key.
        key: String,
    },
    /// The store itself failed. What was being written may or may not be there.
    #[error("{key}")]
    Io {
        /// The key.
        key: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

/// Named byte strings. Every write is durable when it returns. Keys are relative paths with `/`.
pub trait Blobs: Debug + Send + Sync {
    /// The content, or `None`.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BlobError>;

    /// The first `bytes_max` bytes of the content, or all of it when it is shorter.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, BlobError> {
        let mut content = self.get(key)?;
        if let Some(bytes) = &mut content {
            bytes.truncate(bytes_max);
        }
        Ok(content)
    }

    /// Puts `bytes`, replacing what is there.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError>;

    /// Puts `bytes` where readers see the old or the new content, never a part; after a power cut it may be
    /// the old one again.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn publish(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.put(key, bytes)
    }

    /// Puts `bytes` over what is there, durable when it returns. A crash meanwhile may leave any mixture,
    /// and the end of a longer content may remain: for what carries its own length and digest.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn overwrite(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.put(key, bytes)
    }

    /// Puts `bytes` where nothing is. The same content again is fine (P5: immutable once written).
    ///
    /// # Errors
    /// [`BlobError::Exists`], [`BlobError::Key`], [`BlobError::Io`].
    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError>;

    /// [`Self::put_if_absent`] of several blobs, in this order. After a failure any of them may be there.
    ///
    /// # Errors
    /// Those of [`Self::put_if_absent`].
    fn put_all_if_absent(&self, blobs: &[(String, Vec<u8>)]) -> Result<(), BlobError> {
        blobs
            .iter()
            .try_for_each(|(key, bytes)| self.put_if_absent(key, bytes))
    }

    /// Puts `new` where exactly `expected` is (`None`: nothing). One writer at a time is assumed: the
    /// directory's lock sees to that.
    ///
    /// # Errors
    /// [`BlobError::Changed`], [`BlobError::Key`], [`BlobError::Io`].
    fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<(), BlobError> {
        if self.get(key)?.as_deref() != expected {
            return Err(BlobError::Changed {
                key: key.to_owned(),
            });
        }
        self.put(key, new)
    }

    /// All keys below `prefix` (a folder, or empty for all), sorted.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, BlobError>;

    /// Removes a blob; one that is not there is fine.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn delete(&self, key: &str) -> Result<(), BlobError>;

    /// Removes a blob that does no harm if it comes back after a crash.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Io`].
    fn discard(&self, key: &str) -> Result<(), BlobError> {
        self.delete(key)
    }
}

/// Blobs as files below a directory.
#[derive(Debug)]
pub struct DirectoryBlobs {
    root: PathBuf,
}

impl DirectoryBlobs {
    /// Over `root`, which is made when it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(root: PathBuf) -> io::Result<Self> {
        files::create_dirs(&root)?;
        Ok(Self { root })
    }

    fn path(&self, key: &str) -> Result<PathBuf, BlobError> {
        let good = key
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
            && !key.contains('\0');
        if good {
            Ok(self.root.join(key))
        } else {
            Err(BlobError::Key {
                key: key.to_owned(),
            })
        }
    }

    fn prepared(&self, key: &str) -> Result<PathBuf, BlobError> {
        let path = self.path(key)?;
        files::create_dirs(path.parent().expect("below root")).map_err(io_error(key))?;
        Ok(path)
    }
}

fn io_error(key: &str) -> impl FnOnce(io::Error) -> BlobError + '_ {
    move |source| BlobError::Io {
        key: key.to_owned(),
        source,
    }
}

impl Blobs for DirectoryBlobs {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BlobError> {
        files::read_optional(&self.path(key)?).map_err(io_error(key))
    }

    fn get_start(&self, key: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, BlobError> {
        files::read_start(&self.path(key)?, bytes_max).map_err(io_error(key))
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        files::replace(&self.prepared(key)?, bytes).map_err(io_error(key))
    }

    fn publish(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        files::publish(&self.prepared(key)?, bytes).map_err(io_error(key))
    }

    fn overwrite(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        files::overwrite(&self.prepared(key)?, bytes).map_err(io_error(key))
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        match files::write_new(&self.prepared(key)?, bytes) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if self.get(key)?.as_deref() == Some(bytes) {
                    // Whoever put it may have failed before the name was durable.
                    let path = self.path(key)?;
                    files::sync_dir(path.parent().expect("below root")).map_err(io_error(key))
                } else {
                    Err(BlobError::Exists {
                        key: key.to_owned(),
                    })
                }
            }
            other => other.map_err(io_error(key)),
        }
    }

    fn put_all_if_absent(&self, blobs: &[(String, Vec<u8>)]) -> Result<(), BlobError> {
        let mut paths = Vec::with_capacity(blobs.len());
        for (key, bytes) in blobs {
            paths.push((self.prepared(key)?, bytes.as_slice()));
        }
        match files::write_all_new(&paths) {
            // One of them is there already: one by one, each is compared with what is there.
            Err((_, error)) if error.kind() == io::ErrorKind::AlreadyExists => blobs
                .iter()
                .try_for_each(|(key, bytes)| self.put_if_absent(key, bytes)),
            Err((at, error)) => Err(io_error(&blobs[at].0)(error)),
            Ok(()) => Ok(()),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let start = if prefix.is_empty() {
            self.root.clone()
        } else {
            self.path(prefix)?
        };
        let mut keys = Vec::new();
        let mut folders = vec![start];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(io_error(prefix)(error)),
            };
            for entry in entries {
                let entry = entry.map_err(io_error(prefix))?;
                let name = entry.file_name();
                if entry.file_type().map_err(io_error(prefix))?.is_dir() {
                    folders.push(entry.path());
                } else if !files::is_temporary(&name.to_string_lossy()) {
                    let path = entry.path();
                    let key = path.strip_prefix(&self.root).expect("found below root");
                    keys.push(key.to_string_lossy().into_owned());
                }
            }
        }
        keys.sort();
        Ok(keys)
    }

    fn delete(&self, key: &str) -> Result<(), BlobError> {
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Ok(()) => files::sync_dir(path.parent().expect("below root")).map_err(io_error(key)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(io_error(key)(error)),
        }
    }

    fn discard(&self, key: &str) -> Result<(), BlobError> {
        match fs::remove_file(self.path(key)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(key)(error)),
            _ => Ok(()),
        }
    }
}

/// Blobs in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryBlobs(Mutex<BTreeMap<String, Vec<u8>>>);

impl MemoryBlobs {
    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs for MemoryBlobs {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BlobError> {
        Ok(self.map().get(key).cloned())
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.map().insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        let mut map = self.map();
        match map.get(key) {
            Some(there) if there == bytes => Ok(()),
            Some(_) => Err(BlobError::Exists {
                key: key.to_owned(),
            }),
            None => {
                map.insert(key.to_owned(), bytes.to_vec());
                Ok(())
            }
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let folder = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        Ok(self
            .map()
            .keys()
            .filter(|key| key.starts_with(&folder))
            .cloned()
            .collect())
    }

    fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.map().remove(key);
        Ok(())
    }
}

/// One failure that [`FaultyBlobs`] will produce.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// Start of the keys that it strikes.
    pub prefix: String,
    /// How many matching writes pass before it strikes.
    pub after: usize,
    /// How many matching writes it strikes.
    pub times: usize,
    /// Whether the bytes are stored all the same: the caller cannot know.
    pub stored: bool,
}

/// A store whose writes fail on demand, for tests of what happens then.
#[derive(Debug)]
pub struct FaultyBlobs {
    inner: Arc<dyn Blobs>,
    failures: Mutex<Vec<Failure>>,
}

impl FaultyBlobs {
    /// Over `inner`, without failures so far.
    #[must_use]
    pub fn new(inner: Arc<dyn Blobs>) -> Self {
        Self {
            inner,
            failures: Mutex::default(),
        }
    }

    /// Adds a failure.
    pub fn fail(&self, failure: Failure) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(failure);
    }

    /// Removes all failures.
    pub fn clear(&self) {
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Runs `write` unless a failure strikes.
    fn write(
        &self,
        key: &str,
        write: impl FnOnce() -> Result<(), BlobError>,
    ) -> Result<(), BlobError> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let struck = failures
            .iter_mut()
            .find(|f| key.starts_with(&f.prefix) && f.times > 0);
        let Some(failure) = struck else {
            return write();
        };
        if failure.after > 0 {
            failure.after -= 1;
            return write();
        }
        failure.times -= 1;
        if failure.stored {
            write()?;
        }
        Err(io_error(key)(io::Error::other(
            "failure asked for by a test",
        )))
    }
}

impl Blobs for FaultyBlobs {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BlobError> {
        self.inner.get(key)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.write(key, || self.inner.put(key, bytes))
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.write(key, || self.inner.put_if_absent(key, bytes))
    }

    fn compare_and_swap(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        new: &[u8],
    ) -> Result<(), BlobError> {
        self.write(key, || self.inner.compare_and_swap(key, expected, new))
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.write(key, || self.inner.delete(key))
    }
}
