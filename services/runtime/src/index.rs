//! sled, for what can be rebuilt from files and for nothing else.
//!
//! sled's own `flush` does not survive a power cut (RELIABILITY 5.1), so an index carries a stamp that
//! says how much of the truth it covers. The owner compares the stamp with its files at start and rebuilds
//! what is missing; an index that cannot be opened or fails its checksums is removed and built anew.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

const STAMP: &[u8] = b"\0stamp";

/// An index in a directory of its own. Clones share it.
#[derive(Clone, Debug)]
pub struct Index {
    db: sled::Db,
    dir: PathBuf,
}

impl Index {
    /// Opens the index in `dir`, or makes an empty one (without a stamp) when there is none or it is
    /// damaged. The owner then looks at [`Self::stamp`] and fills in what is missing.
    ///
    /// # Errors
    /// When the directory cannot be used at all.
    pub fn open(dir: &Path) -> anyhow::Result<Self> {
        crate::files::create_dirs(dir)?;
        match Self::open_checked(dir) {
            Ok(index) => Ok(index),
            Err(error) => {
                tracing::warn!(dir = %dir.display(), "index is damaged and built anew: {error:#}");
                fs::remove_dir_all(dir)
                    .with_context(|| format!("cannot remove the index {}", dir.display()))?;
                crate::files::create_dirs(dir)?;
                Self::open_checked(dir)
            }
        }
    }

    fn open_checked(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.to_owned();
        // sled panics on some damage instead of returning it.
        let opened = std::panic::catch_unwind(|| {
            let db = sled::Config::new()
                .path(&dir)
                .cache_capacity(8 << 20)
                .flush_every_ms(Some(500))
                .open()?;
            db.get(STAMP)?;
            sled::Result::Ok(db)
        });
        let db = opened
            .map_err(|_| anyhow::anyhow!("it cannot be opened"))?
            .context("it cannot be opened")?;
        Ok(Self { db, dir })
    }

    /// How much of the truth the index covers, as last given to [`Self::write`].
    ///
    /// # Errors
    /// When sled finds damage.
    pub fn stamp(&self) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.db.get(STAMP)?.map(|value| value.to_vec()))
    }

    /// Inserts (`Some`) and removes (`None`) keys and sets the stamp, all or nothing.
    ///
    /// # Errors
    /// When sled cannot write.
    pub fn write(
        &self,
        changes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>,
        stamp: Option<&[u8]>,
    ) -> anyhow::Result<()> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        if let Some(stamp) = stamp {
            batch.insert(STAMP, stamp);
        }
        Ok(self.db.apply_batch(batch)?)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// When sled finds damage.
    pub fn get(&self, key: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        Ok(self.db.get(key)?.map(|value| value.to_vec()))
    }

    /// Keys and values below a prefix in byte order, at most `max`.
    ///
    /// # Errors
    /// When sled finds damage.
    pub fn prefix(&self, prefix: &[u8], max: usize) -> anyhow::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.db
            .scan_prefix(prefix)
            .take(max)
            .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .context("the index cannot be read")
    }

    /// Removes everything, the stamp too.
    ///
    /// # Errors
    /// When sled cannot write.
    pub fn clear(&self) -> anyhow::Result<()> {
        Ok(self.db.clear()?)
    }

    /// Where the index is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}
