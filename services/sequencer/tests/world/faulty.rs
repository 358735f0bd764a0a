//! A store that fails with a chosen error, on writes or on reads.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use runtime::{BlobError, Blobs};

pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) prefix: &'static str,
    pub(crate) errno: i32,
    pub(crate) reads: bool,
}

#[derive(Debug)]
pub(crate) struct Troubled {
    inner: Arc<dyn Blobs>,
    trouble: Mutex<Option<Trouble>>,
}

impl Troubled {
    pub(crate) fn new(inner: Arc<dyn Blobs>) -> Self {
        Self {
            inner,
            trouble: Mutex::default(),
        }
    }

    pub(crate) fn set(&self, trouble: Option<Trouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn check(&self, key: &str, read: bool) -> Result<(), BlobError> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match &*trouble {
            Some(trouble) if trouble.reads == read && key.starts_with(trouble.prefix) => {
                let source = io::Error::from_raw_os_error(trouble.errno);
                Err(BlobError::Io {
                    key: key.to_owned(),
                    source,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Blobs for Troubled {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BlobError> {
        self.check(key, true)?;
        self.inner.get(key)
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.check(key, false)?;
        self.inner.put(key, bytes)
    }

    fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<(), BlobError> {
        self.check(key, false)?;
        self.inner.put_if_absent(key, bytes)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        self.inner.list(prefix)
    }

    fn delete(&self, key: &str) -> Result<(), BlobError> {
        self.inner.delete(key)
    }
}
