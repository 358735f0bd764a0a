//! Files that are made durable side by side and become visible one after the other.
//!
//! Each fsync waits for the disk; those of contents that nobody sees yet can wait together.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    thread,
};

use runtime::files;

use crate::Error;

/// Threads that wait for the disk at the same time.
const WAITING_MAX: usize = 4;

/// A file under a temporary name. Dropped before it is published it is removed.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    published: bool,
}

impl Staged {
    /// Writes `bytes` beside `path`, whose folder must be there.
    pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let temporary = files::temporary_name(path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let mut staged = Self {
            file,
            temporary,
            path: path.to_owned(),
            published: false,
        };
        staged.file.write_all(bytes)?;
        Ok(staged)
    }

    /// Makes the contents of all of them durable.
    pub(super) fn sync(all: &[&Self]) -> io::Result<()> {
        let sync = |some: &[&Self]| some.iter().try_for_each(|staged| staged.file.sync_data());
        let share = all.len().div_ceil(WAITING_MAX).max(1);
        let mut shares = all.chunks(share);
        let first = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            let others: Vec<_> = shares
                .map(|share| scope.spawn(move || sync(share)))
                .collect();
            let mut result = sync(first);
            for other in others {
                let other = other
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("a thread ended")));
                result = result.and(other);
            }
            result
        })
    }

    /// Gives the file its name. It stays so once the folder is synced.
    #[expect(
        clippy::disallowed_methods,
        reason = "synced before, and the caller syncs the folder"
    )]
    pub(super) fn publish(mut self) -> Result<(), Error> {
        fs::rename(&self.temporary, &self.path)
            .map_err(|error| Error::storage(error, &self.path))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
