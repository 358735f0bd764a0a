//! Folders whose entries have to be durable.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use super::Store;
use crate::Error;

/// An open folder. It is opened before an entry in it is made or removed, so that syncing it after can
/// fail only for the disk's reasons, not for want of a file descriptor.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    file: File,
}

impl Folder {
    /// Opens a folder that is there.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        match File::open(path) {
            Ok(file) => Ok(Self {
                path: path.to_owned(),
                file,
            }),
            Err(error) => Err(Error::storage(error, path)),
        }
    }

    /// The folder of a file.
    pub(super) fn of(path: &Path) -> Result<Self, Error> {
        Self::open(path.parent().expect("files have a folder"))
    }
}

impl Store {
    /// Makes what was made or removed in a folder durable. It is visible already, so a failure ends
    /// this store's service.
    pub(super) fn sync(&self, folder: &Folder) -> Result<(), Error> {
        self.durable(folder.file.sync_all(), &folder.path)
    }

    /// The folder of a file, made durably if it is not there.
    pub(super) fn make_folder(&self, path: &Path) -> Result<Folder, Error> {
        // Nobody may rely on a folder whose own entry is not synced yet.
        let _making = self.dirs.lock().expect("no holder panics");
        self.make(path.parent().expect("files have a folder"))
    }

    fn make(&self, dir: &Path) -> Result<Folder, Error> {
        match File::open(dir) {
            Ok(file) => {
                return Ok(Folder {
                    path: dir.to_owned(),
                    file,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::storage(error, dir)),
        }
        let parent = self.make(dir.parent().expect("folders are below the registry's"))?;
        fs::DirBuilder::new()
            .mode(0o700)
            .create(dir)
            .map_err(|error| Error::storage(error, dir))?;
        self.sync(&parent)?;
        Folder::open(dir)
    }
}
