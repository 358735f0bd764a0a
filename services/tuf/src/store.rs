//! The repository on disk: `repository/` below the service's directory, laid out as it is served.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    thread,
};

use anyhow::Context as _;
use bytes::Bytes;
use runtime::files;

use crate::repository::Repository;

const TARGETS: &str = "targets";

/// Where the repository is kept.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
}

impl Store {
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.join("repository");
        files::create_dirs(&dir.join(TARGETS))
            .with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// The published repository; `None` before the first version was completed.
    pub(crate) fn read(&self) -> anyhow::Result<Option<Repository>> {
        let mut found = BTreeMap::new();
        read_dir(&self.dir, "", &mut found)
            .and_then(|()| read_dir(&self.dir.join(TARGETS), "targets/", &mut found))
            .with_context(|| format!("cannot read {}", self.dir.display()))?;
        // It is written last.
        if !found.contains_key("timestamp.json") {
            return Ok(None);
        }
        let repository = Repository::read(found)
            .with_context(|| format!("{} is damaged", self.dir.display()))?;
        Ok(Some(repository))
    }

    /// Writes what `next` adds to `previous`, the timestamp last: it is what makes the rest current. Then
    /// removes what `next` does not have.
    pub(crate) fn write(
        &self,
        previous: Option<&Repository>,
        next: &Repository,
    ) -> anyhow::Result<()> {
        let changed = next.files().iter().filter(|(path, bytes)| {
            previous.is_none_or(|old| old.files().get(*path) != Some(*bytes))
        });
        let (last, first): (Vec<_>, Vec<_>) =
            changed.partition(|(path, _)| *path == "timestamp.json");
        // Side by side, so that the file system syncs them together.
        thread::scope(|scope| {
            let writing: Vec<_> = first
                .into_iter()
                .map(|(path, bytes)| scope.spawn(|| self.replace(path, bytes)))
                .collect();
            let mut written = writing
                .into_iter()
                .map(|thread| thread.join().expect("no panic inside"));
            written.try_for_each(|result| result)
        })?;
        for (path, bytes) in last {
            self.replace(path, bytes)?;
        }
        let gone = previous.into_iter().flat_map(|old| old.files().keys());
        for path in gone.filter(|path| !next.files().contains_key(*path)) {
            // A file that stays does no harm.
            if let Err(error) = fs::remove_file(self.dir.join(path)) {
                tracing::warn!("cannot remove {path}: {error}");
            }
        }
        Ok(())
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let at = self.dir.join(path);
        files::replace(&at, bytes).with_context(|| format!("cannot write {}", at.display()))
    }
}

fn read_dir(dir: &Path, prefix: &str, into: &mut BTreeMap<String, Bytes>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_file() && !files::is_temporary(&name) {
            into.insert(format!("{prefix}{name}"), fs::read(entry.path())?.into());
        }
    }
    Ok(())
}
