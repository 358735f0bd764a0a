//! Garbage collection: what no tag leads to, after a grace period.
//!
//! Roots are the tags. From a manifest everything it names is reached, and the manifests that are about
//! it, however they are found: a signature has no tag. A signature does not keep alive what it signs.
//! Manifests about something that is not in their repository stay unless asked for otherwise, because
//! signatures may be kept in a repository of their own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use jiff::Timestamp;
use oci::{Digest, Manifest, Opaque, RepositoryName};
use runtime::files;
use serde::Serialize;

use super::{Store, folder::Folder, manifests::Link};
use crate::Error;

/// Contents that are removed while pushes wait.
const BATCH: usize = 500;

/// What to collect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GcOptions {
    /// Only reports.
    pub dry_run: bool,
    /// Seconds since the last push within which nothing is removed.
    pub grace_secs: i64,
    /// Also removes manifests whose subject is not in their repository.
    pub orphan_referrers: bool,
}

impl Default for GcOptions {
    fn default() -> Self {
        Self {
            dry_run: false,
            grace_secs: 60 * 60,
            orphan_referrers: false,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub stage: &'static str,
    /// Repositories or contents done.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct GcReport {
    /// Manifests, by repository.
    pub manifests: BTreeMap<String, Vec<String>>,
    /// Blobs that are no longer visible, by repository.
    pub blobs: BTreeMap<String, Vec<String>>,
    /// Contents that no repository links any more.
    pub contents: u64,
    /// Bytes of those contents.
    pub bytes: u64,
    /// Half-written files of interrupted pushes.
    pub leftovers: u64,
}

impl Store {
    /// Collects garbage. Pushes may go on meanwhile: what is linked, pushed again or mounted before its
    /// turn stays.
    pub(crate) fn gc(
        &self,
        options: &GcOptions,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<GcReport, Error> {
        self.check_sound()?;
        let _collecting = self.collecting.lock().expect("no holder panics");
        let mut report = GcReport::default();
        let names = self.repository_names()?;
        let total = names.len() as u64;
        for (done, name) in names.iter().enumerate() {
            progress(Progress {
                stage: "repositories",
                done: done as u64,
                total,
            });
            self.gc_repository(name, options, &mut report)?;
        }
        progress(Progress {
            stage: "repositories",
            done: total,
            total,
        });
        let collected = self.gc_contents(options, &mut report, progress);
        *self.linked.lock().expect("no holder panics") = None;
        collected?;
        Ok(report)
    }

    fn repository_names(&self) -> Result<Vec<RepositoryName>, Error> {
        let dir = self.layout.repositories();
        self.layout
            .repository_names()
            .map_err(|error| Error::storage(error, &dir))
    }

    /// Nothing is added while a repository is marked and swept. What its manifests name never changes,
    /// so it is read before.
    fn gc_repository(
        &self,
        name: &RepositoryName,
        options: &GcOptions,
        report: &mut GcReport,
    ) -> Result<(), Error> {
        let mut read = BTreeMap::new();
        self.read_manifests(name, &mut read)?;
        let _removing = self.commit.write().expect("no holder panics");
        self.read_manifests(name, &mut read)?;
        let repository = self.read_repository(name, read)?;
        let kept = repository.mark(self.now(), options);
        let folders = self.layout.link_folders(name);
        let folders = folders
            .iter()
            .map(|dir| Folder::open(dir))
            .collect::<Result<Vec<_>, _>>()?;
        if !options.dry_run {
            self.referrers.unseal()?;
        }
        let mut manifests = Vec::new();
        for (digest, entry) in &repository.manifests {
            if kept.contains(digest) {
                continue;
            }
            if !options.dry_run {
                self.unlink(&self.layout.manifest_link(name, digest))?;
                if let Some(subject) = &entry.subject {
                    self.referrers.remove(name, subject, digest)?;
                }
            }
            manifests.push(digest.to_string());
        }
        let mut blobs = Vec::new();
        for (digest, pushed_at) in &repository.blobs {
            if kept.contains(digest) || is_young(*pushed_at, self.now(), options) {
                continue;
            }
            if !options.dry_run {
                self.unlink(&self.layout.blob_link(name, digest))?;
            }
            blobs.push(digest.to_string());
        }
        let is_changed = !manifests.is_empty() || !blobs.is_empty();
        if is_changed && !options.dry_run {
            // Before the content goes, or a power cut could leave a link to nothing.
            for folder in &folders {
                self.sync(folder)?;
            }
        }
        for (list, removed) in [
            (&mut report.manifests, manifests),
            (&mut report.blobs, blobs),
        ] {
            if !removed.is_empty() {
                list.insert(name.as_str().to_owned(), removed);
            }
        }
        Ok(())
    }

    /// What manifests name, of those that are not in `read` yet.
    fn read_manifests(
        &self,
        name: &RepositoryName,
        read: &mut BTreeMap<Digest, Vec<Digest>>,
    ) -> Result<(), Error> {
        let dir = self.layout.repository(name);
        let at = |error| Error::storage(error, &dir);
        for digest in self.layout.manifest_links(name).map_err(at)? {
            if read.contains_key(&digest) {
                continue;
            }
            let path = self.layout.blob(&digest);
            let bytes =
                files::read_optional(&path).map_err(|error| Error::storage(error, &path))?;
            let link = Link::read(&self.layout, name, &digest)?;
            let parsed = bytes.zip(link).and_then(|(bytes, link)| {
                Manifest::parse(&bytes, Some(&link.media_type), Opaque::Accept).ok()
            });
            let names = parsed.as_ref().map_or_else(Vec::new, |manifest| {
                let all = manifest.blobs().chain(manifest.manifests());
                all.map(|descriptor| descriptor.digest.clone()).collect()
            });
            read.insert(digest, names);
        }
        Ok(())
    }

    fn read_repository(
        &self,
        name: &RepositoryName,
        mut read: BTreeMap<Digest, Vec<Digest>>,
    ) -> Result<Repository, Error> {
        let dir = self.layout.repository(name);
        let at = |error| Error::storage(error, &dir);
        let mut repository = Repository::default();
        for tag in self.layout.tag_names(name).map_err(at)? {
            repository.roots.extend(self.tag_digest(name, &tag)?);
        }
        for digest in self.layout.manifest_links(name).map_err(at)? {
            let Some(link) = Link::read(&self.layout, name, &digest)? else {
                continue;
            };
            let names = read.remove(&digest).unwrap_or_default();
            let entry = Entry {
                touched_at: link.touched_at(),
                subject: link.subject,
                names,
            };
            repository.manifests.insert(digest, entry);
        }
        for digest in self.layout.blob_links(name).map_err(at)? {
            let path = self.layout.blob_link(name, &digest);
            let text = fs::read_to_string(&path).unwrap_or_default();
            // A time that cannot be read is that of a push which a power cut interrupted.
            let micros = text.trim().parse().ok();
            let pushed_at = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
            repository.blobs.insert(digest, pushed_at);
        }
        Ok(repository)
    }

    /// Removes content that no repository links, some at a time, so that pushes come through.
    fn gc_contents(
        &self,
        options: &GcOptions,
        report: &mut GcReport,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let loose = self.loose_contents(report)?;
        let total = loose.len() as u64;
        for some in loose.chunks(BATCH) {
            let _removing = self.commit.write().expect("no holder panics");
            progress(Progress {
                stage: "contents",
                done: report.contents,
                total,
            });
            for digest in some {
                if self.is_linked_since(digest) {
                    continue;
                }
                report.bytes += self.content_size(digest)?.unwrap_or(0);
                report.contents += 1;
                // What a power cut brings back is garbage again.
                if !options.dry_run {
                    self.unlink(&self.layout.blob(digest))?;
                }
            }
        }
        progress(Progress {
            stage: "contents",
            done: total,
            total,
        });
        let dir = self.layout.blobs();
        let _removing = self.commit.write().expect("no holder panics");
        for path in self
            .layout
            .leftovers()
            .map_err(|error| Error::storage(error, &dir))?
        {
            report.leftovers += 1;
            if !options.dry_run {
                self.unlink(&path)?;
            }
        }
        Ok(())
    }

    /// Content that nothing links now. From now on what is linked is remembered.
    fn loose_contents(&self, report: &GcReport) -> Result<Vec<Digest>, Error> {
        let _removing = self.commit.write().expect("no holder panics");
        let dir = self.layout.blobs();
        let at = |error| Error::storage(error, &dir);
        let mut linked: BTreeSet<Digest> = BTreeSet::new();
        for name in self.repository_names()? {
            // A dry run has removed no link.
            let gone = |list: &BTreeMap<String, Vec<String>>| -> BTreeSet<String> {
                list.get(name.as_str())
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect()
            };
            let (manifests, blobs) = (gone(&report.manifests), gone(&report.blobs));
            let links = self.layout.manifest_links(&name).map_err(at)?;
            linked.extend(
                links
                    .into_iter()
                    .filter(|d| !manifests.contains(&d.to_string())),
            );
            let links = self.layout.blob_links(&name).map_err(at)?;
            linked.extend(
                links
                    .into_iter()
                    .filter(|d| !blobs.contains(&d.to_string())),
            );
        }
        *self.linked.lock().expect("no holder panics") = Some(BTreeSet::new());
        let mut contents = self.layout.contents().map_err(at)?;
        contents.retain(|digest| !linked.contains(digest));
        Ok(contents)
    }

    fn is_linked_since(&self, digest: &Digest) -> bool {
        let linked = self.linked.lock().expect("no holder panics");
        linked
            .as_ref()
            .is_some_and(|linked| linked.contains(digest))
    }
}

#[derive(Debug, Default)]
struct Repository {
    roots: BTreeSet<Digest>,
    manifests: BTreeMap<Digest, Entry>,
    blobs: BTreeMap<Digest, Option<Timestamp>>,
}

#[derive(Debug)]
struct Entry {
    touched_at: Timestamp,
    subject: Option<Digest>,
    names: Vec<Digest>,
}

impl Repository {
    /// Everything that stays.
    fn mark(&self, now: Timestamp, options: &GcOptions) -> BTreeSet<Digest> {
        let mut about: BTreeMap<&Digest, Vec<&Digest>> = BTreeMap::new();
        let mut waiting: Vec<&Digest> = self.roots.iter().collect();
        for (digest, entry) in &self.manifests {
            let is_orphan = entry
                .subject
                .as_ref()
                .is_some_and(|s| !self.manifests.contains_key(s));
            if is_young(Some(entry.touched_at), now, options)
                || (is_orphan && !options.orphan_referrers)
            {
                waiting.push(digest);
            }
            if let Some(subject) = &entry.subject {
                about.entry(subject).or_default().push(digest);
            }
        }
        let mut kept = BTreeSet::new();
        while let Some(digest) = waiting.pop() {
            if !kept.insert(digest.clone()) {
                continue;
            }
            waiting.extend(about.get(digest).into_iter().flatten());
            waiting.extend(
                self.manifests
                    .get(digest)
                    .into_iter()
                    .flat_map(|entry| &entry.names),
            );
        }
        kept
    }
}

fn is_young(pushed_at: Option<Timestamp>, now: Timestamp, options: &GcOptions) -> bool {
    pushed_at.is_none_or(|at| now.duration_since(at).as_secs() < options.grace_secs)
}
