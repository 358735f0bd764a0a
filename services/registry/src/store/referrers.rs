//! The referrers index: what is about a subject, without reading the manifests of its repository.
//!
//! The index holds nothing that is not in the files. While it may differ from them there is no seal
//! beside it; the seal, written when the process stops in order, says how many entries there are and
//! what they add up to. An index without a fitting seal is built anew, so it need not be synced with
//! every push.

use std::{
    fs, io,
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use anyhow::Context as _;
use jiff::Timestamp;
use oci::{Descriptor, Digest, Manifest, Opaque, RepositoryName, referrer_descriptor};
use runtime::{Index, files};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Layout, manifests::Link};

/// Entries per write of a rebuild.
const BATCH: usize = 500;

/// Entries of one subject that a list shows. A list of this length is some 50 MB.
const LIST_MAX: usize = 100_000;

#[derive(Debug)]
pub(super) struct Referrers {
    index: Index,
    seal_path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sealed: bool,
    sum: Sum,
}

/// What all entries add up to, in any order.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Sum {
    entries: u64,
    digest: [u8; 32],
}

impl Sum {
    fn toggle(&mut self, key: &[u8], value: &[u8]) {
        let length = (key.len() as u64).to_be_bytes();
        let digest = crypto::sha256(&[&length[..], key, value].concat());
        self.digest
            .iter_mut()
            .zip(digest)
            .for_each(|(mine, theirs)| *mine ^= theirs);
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        self.toggle(key, value);
        self.entries += 1;
    }

    fn subtract(&mut self, key: &[u8], value: &[u8]) {
        self.toggle(key, value);
        self.entries = self.entries.saturating_sub(1);
    }
}

/// One entry of a list, its descriptor as JSON.
#[derive(Debug)]
pub(crate) struct Referrer {
    pushed_at: i64,
    digest: Box<str>,
    pub(crate) descriptor: Box<RawValue>,
}

impl Referrer {
    /// An entry that a client listed, without a time of its own.
    pub(super) fn listed(descriptor: &Descriptor) -> anyhow::Result<Self> {
        let json = serde_json::to_string(descriptor)?;
        Ok(Self {
            pushed_at: 0,
            digest: descriptor.digest.to_string().into(),
            descriptor: RawValue::from_string(json)?,
        })
    }

    /// Its digest.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// The artifact type, for filters.
    pub(crate) fn is_of_type(&self, types: &[String]) -> bool {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Typed {
            artifact_type: Option<String>,
        }
        serde_json::from_str::<Typed>(self.descriptor.get()).is_ok_and(|typed| {
            typed
                .artifact_type
                .is_some_and(|found| types.contains(&found))
        })
    }
}

impl Referrers {
    /// Opens the index, and builds it from the files if it is missing, older than they are, or damaged.
    pub(super) fn open(layout: &Layout) -> anyhow::Result<Self> {
        let seal_path = layout.index_seal();
        let index = Index::open(&layout.index())?;
        let sum = match (read_seal(&seal_path)?, sum_of(&index)) {
            (Some(sealed), Ok(found)) if sealed == found => {
                let state = Mutex::new(State {
                    sealed: true,
                    sum: found,
                });
                return Ok(Self {
                    index,
                    seal_path,
                    state,
                });
            }
            (_, Ok(_)) => {
                index.clear()?;
                rebuild(layout, &index)?
            }
            (_, Err(error)) => {
                tracing::warn!("the referrers index is damaged: {error:#}");
                drop(index);
                fs::remove_dir_all(layout.index())?;
                let index = Index::open(&layout.index())?;
                let sum = rebuild(layout, &index)?;
                let state = Mutex::new(State { sealed: false, sum });
                remove_seal(&seal_path)?;
                return Ok(Self {
                    index,
                    seal_path,
                    state,
                });
            }
        };
        remove_seal(&seal_path)?;
        Ok(Self {
            index,
            seal_path,
            state: Mutex::new(State { sealed: false, sum }),
        })
    }

    /// Enters a manifest that has a subject.
    pub(super) fn insert(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        descriptor: &Descriptor,
        pushed_at: Timestamp,
    ) -> anyhow::Result<()> {
        let key = key(name, subject, &descriptor.digest);
        let mut state = self.unsealed()?;
        if self.index.get(&key)?.is_some() {
            return Ok(());
        }
        let value = value(descriptor, pushed_at)?;
        state.sum.add(&key, &value);
        self.index.write([(key, Some(value))], None)
    }

    /// Forgets a manifest that had a subject.
    pub(super) fn remove(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        digest: &Digest,
    ) -> anyhow::Result<()> {
        let key = key(name, subject, digest);
        let mut state = self.unsealed()?;
        let Some(value) = self.index.get(&key)? else {
            return Ok(());
        };
        state.sum.subtract(&key, &value);
        self.index.write([(key, None)], None)
    }

    /// What is about the subject whose digest starts with `subject`, oldest first.
    pub(super) fn list(
        &self,
        name: &RepositoryName,
        subject: &str,
    ) -> anyhow::Result<Vec<Referrer>> {
        let prefix = [name.as_str().as_bytes(), b"\0", subject.as_bytes()].concat();
        let entries = self.index.prefix(&prefix, LIST_MAX)?;
        let mut referrers = entries
            .into_iter()
            .map(|(key, value)| read_entry(&key, &value))
            .collect::<anyhow::Result<Vec<_>>>()?;
        referrers.sort_by(|a, b| (a.pushed_at, &a.digest).cmp(&(b.pushed_at, &b.digest)));
        Ok(referrers)
    }

    /// Breaks the seal. To be done before a manifest becomes visible or goes: if the process ends
    /// between that and the index, the next start must not take the index for right.
    pub(super) fn unseal(&self) -> anyhow::Result<()> {
        self.unsealed().map(drop)
    }

    /// Writes the seal. Nothing may be inserted or removed any more.
    pub(super) fn seal(&self) -> anyhow::Result<()> {
        let state = self.state.lock().expect("no holder panics");
        if !state.sealed {
            files::replace(&self.seal_path, &serde_json::to_vec(&state.sum)?)?;
        }
        Ok(())
    }

    /// Whether an entry is there as the files say.
    pub(super) fn has(&self, key: &[u8], value: &[u8]) -> anyhow::Result<bool> {
        Ok(self.index.get(key)?.is_some_and(|found| found == value))
    }

    /// Number of entries.
    pub(super) fn count(&self) -> u64 {
        self.state.lock().expect("no holder panics").sum.entries
    }

    fn unsealed(&self) -> anyhow::Result<MutexGuard<'_, State>> {
        let mut state = self.state.lock().expect("no holder panics");
        if state.sealed {
            remove_seal(&self.seal_path)?;
            state.sealed = false;
        }
        Ok(state)
    }
}

fn key(name: &RepositoryName, subject: &Digest, digest: &Digest) -> Vec<u8> {
    format!("{name}\0{subject}\0{digest}").into_bytes()
}

fn value(descriptor: &Descriptor, pushed_at: Timestamp) -> anyhow::Result<Vec<u8>> {
    let mut value = pushed_at.as_microsecond().to_be_bytes().to_vec();
    serde_json::to_writer(&mut value, descriptor)?;
    Ok(value)
}

fn read_entry(key: &[u8], value: &[u8]) -> anyhow::Result<Referrer> {
    let digest = key.rsplit(|byte| *byte == 0).next().unwrap_or_default();
    let digest = String::from_utf8_lossy(digest).into();
    let (time, descriptor) = value
        .split_first_chunk()
        .context("an index entry is too short")?;
    let descriptor = RawValue::from_string(String::from_utf8(descriptor.to_vec())?)?;
    Ok(Referrer {
        pushed_at: i64::from_be_bytes(*time),
        digest,
        descriptor,
    })
}

fn read_seal(path: &std::path::Path) -> anyhow::Result<Option<Sum>> {
    let bytes = files::read_optional(path)?;
    Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
}

fn remove_seal(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => {
            result?;
            files::sync_dir(path.parent().expect("the seal has a folder"))
        }
    }
}

fn sum_of(index: &Index) -> anyhow::Result<Sum> {
    let mut sum = Sum::default();
    for (key, value) in index.prefix(b"", usize::MAX)? {
        sum.add(&key, &value);
    }
    Ok(sum)
}

/// Reads every manifest that has a subject.
fn rebuild(layout: &Layout, index: &Index) -> anyhow::Result<Sum> {
    let mut sum = Sum::default();
    let mut batch = Vec::new();
    let names = layout.repository_names()?;
    for (done, name) in names.iter().enumerate() {
        for digest in layout.manifest_links(name)? {
            let entry = entry_of(layout, name, &digest).unwrap_or_else(|error| {
                // One manifest that cannot be read is no reason to withhold all others.
                tracing::error!(repository = %name, %digest, "not in the index: {error:#}");
                None
            });
            let Some((key, value)) = entry else { continue };
            sum.add(&key, &value);
            batch.push((key, Some(value)));
            if batch.len() >= BATCH {
                index.write(std::mem::take(&mut batch), None)?;
                tracing::info!(
                    entries = sum.entries,
                    repositories = done,
                    of = names.len(),
                    "rebuilding the referrers index"
                );
            }
        }
    }
    index.write(batch, None)?;
    if sum.entries > 0 {
        tracing::info!(
            entries = sum.entries,
            "the referrers index was rebuilt from the manifests"
        );
    }
    Ok(sum)
}

/// The entry that a stored manifest must have, if any.
pub(super) fn entry_of(
    layout: &Layout,
    name: &RepositoryName,
    digest: &Digest,
) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
    let Some(link) = Link::read(layout, name, digest)? else {
        return Ok(None);
    };
    let Some(subject) = &link.subject else {
        return Ok(None);
    };
    let Some(bytes) = files::read_optional(&layout.blob(digest))? else {
        return Ok(None);
    };
    if !digest.matches(&bytes) {
        tracing::error!(repository = %name, %digest, "a manifest does not have its digest");
        return Ok(None);
    }
    let manifest = Manifest::parse(&bytes, Some(&link.media_type), Opaque::Accept)
        .with_context(|| format!("stored manifest {digest} cannot be read"))?;
    let descriptor = referrer_descriptor(&manifest, digest.clone(), bytes.len() as u64);
    let value = value(&descriptor, link.pushed_at())?;
    Ok(Some((key(name, subject, digest), value)))
}
