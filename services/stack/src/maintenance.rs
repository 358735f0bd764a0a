//! What is done to a lab's directory while nothing serves it: checking everything, collecting garbage.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use crypto::{PublicKey, SigningKey};
use ctlog::IssuerCheck;
use rekor::IndexCheck;
use runtime::Clock;
use sequencer::Watch;

pub use registry::{GcOptions, GcReport};

/// How far a check or a collection is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// What is being looked at.
    pub stage: &'static str,
    /// Items done.
    pub done: u64,
    /// Items in all, as far as they are known.
    pub total: u64,
}

/// One part of a lab in which everything holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checked {
    /// Its folder below the lab's directory.
    pub folder: String,
    /// What was read.
    pub text: String,
}

/// Reads everything below a lab's directory, recomputes trees from entries and digests from content.
/// `dir` may also be a single log or registry.
///
/// # Errors
/// The first file that does not hold, in one line; a directory that is no lab's; a registry that is being
/// served.
pub fn fsck(dir: &Path, progress: &mut dyn FnMut(Progress)) -> anyhow::Result<Vec<Checked>> {
    let mut checked = Vec::new();
    for place in folders(dir)? {
        let folder = place
            .strip_prefix(dir)
            .unwrap_or(&place)
            .display()
            .to_string();
        if place.join("head").join("record").is_file() {
            checked.push(log(&place, folder, progress)?);
        } else if place.join("blobs").is_dir() && place.join("repositories").is_dir() {
            checked.push(registry(&place, folder, progress)?);
        }
    }
    if checked.is_empty() {
        bail!(
            "{} has neither a log nor a registry of a lab",
            dir.display()
        );
    }
    Ok(checked)
}

/// Removes what no tag, digest, subject or referrer leads to.
///
/// # Errors
/// When the registry is being served, or files cannot be read or removed.
pub fn registry_gc(
    dir: &Path,
    options: &GcOptions,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<GcReport> {
    let folder = dir.join("registry");
    let folder = if folder.is_dir() {
        folder
    } else {
        dir.to_owned()
    };
    registry::gc(&folder, Clock::system(), options, &mut |step| {
        progress(of_registry(&step))
    })
}

/// `dir` and the folders below it, two levels deep: where logs and registries of a lab are.
fn folders(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = vec![dir.to_owned()];
    let mut level = vec![dir.to_owned()];
    for _ in 0..2 {
        let mut next = Vec::new();
        for folder in level {
            let entries = std::fs::read_dir(&folder)
                .with_context(|| format!("cannot read {}", folder.display()))?;
            for entry in entries {
                let path = entry?.path();
                if path.is_dir() {
                    next.push(path);
                }
            }
        }
        next.sort();
        found.extend(next.iter().cloned());
        level = next;
    }
    Ok(found)
}

/// Looks on while a log is read: shows progress, and compares a search index with the entries.
struct Looking<'a> {
    progress: &'a mut dyn FnMut(Progress),
    index: Option<IndexCheck>,
    issuers: Option<IssuerCheck>,
}

impl Watch for Looking<'_> {
    fn progress(&mut self, step: sequencer::Progress) {
        (self.progress)(Progress {
            stage: "entries",
            done: step.entries,
            total: step.total,
        });
    }

    fn extra(&mut self, index: u64, extra: &[u8]) {
        if let Some(check) = &mut self.index {
            check.entry(index, extra);
        }
        if let Some(check) = &mut self.issuers {
            check.entry(index, extra);
        }
    }
}

fn log(
    place: &Path,
    folder: String,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<Checked> {
    let index = place.with_file_name("index");
    // Only the log of Rekor v1 has one.
    let has_index = place.file_name() == Some("v1".as_ref()) && index.is_dir();
    // Only the CT log has these.
    let issuers = place.with_file_name("issuers");
    let mut looking = Looking {
        progress,
        index: has_index.then(|| IndexCheck::open(&index)).transpose()?,
        issuers: issuers
            .is_dir()
            .then(|| IssuerCheck::open(&issuers))
            .transpose()?,
    };
    let keys = keys(&place.with_file_name("keys"))?;
    let report = sequencer::fsck(place, &keys, &mut looking)
        .with_context(|| format!("{} is damaged", place.display()))?;
    let mut text = format!(
        "{} entries in {} files, root {} recomputed",
        report.tree_size,
        report.files,
        hex::encode(report.root_hash)
    );
    text.push_str(match report.signed_by {
        Some(_) => ", signatures verified",
        None => ", signatures not verified: its key is not beside it",
    });
    if let Some(check) = looking.index {
        let rows = check.finish(report.tree_size).with_context(|| {
            let index = index.display();
            format!(
                "the search index {index} is damaged; remove it, it is rebuilt at the next start"
            )
        })?;
        text.push_str(&format!(", {rows} rows of its search index compared"));
    }
    if let Some(check) = looking.issuers {
        let issuers = check
            .finish()
            .with_context(|| format!("{} is damaged", place.display()))?;
        text.push_str(&format!(", {issuers} issuers read"));
    }
    Ok(Checked { folder, text })
}

/// Public halves of the keys in a service's `keys/`; none when it is not there.
fn keys(dir: &Path) -> anyhow::Result<Vec<PublicKey>> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(Vec::new());
    };
    let mut keys = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension() == Some("pem".as_ref()) {
            let read = std::fs::read_to_string(&path)
                .map_err(anyhow::Error::from)
                .and_then(|pem| Ok(SigningKey::from_pem(&pem, None)?));
            let key = read.with_context(|| format!("{} is damaged", path.display()))?;
            keys.push(key.public_key().clone());
        }
    }
    Ok(keys)
}

fn registry(
    place: &Path,
    folder: String,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<Checked> {
    let report = registry::fsck(place, Clock::system(), &mut |step| {
        progress(of_registry(&step))
    })?;
    if let Some(fault) = report.faults.first() {
        bail!(
            "{} is damaged: {} ({} faults in all)",
            place.display(),
            describe(fault),
            report.faults.len()
        );
    }
    Ok(Checked {
        folder,
        text: format!(
            "{} contents, {} links in {} repositories",
            report.contents, report.links, report.repositories
        ),
    })
}

fn of_registry(step: &registry::Progress) -> Progress {
    Progress {
        stage: step.stage,
        done: step.done,
        total: step.total,
    }
}

/// A fault with the file to look at.
fn describe(fault: &registry::Fault) -> String {
    use registry::Fault;
    match fault {
        Fault::ContentDamaged { digest } => {
            format!("the content kept as {digest} has another digest")
        }
        Fault::ContentMissing { repository, digest } => {
            format!("{repository} links {digest}, which is not there")
        }
        Fault::IndexIncomplete { repository, digest } => {
            format!("the referrers index lacks {digest} of {repository}")
        }
        Fault::LinkDamaged { repository, digest } => {
            format!("the link of {repository} to {digest} cannot be read")
        }
        Fault::TagDangling { repository, tag } => {
            format!("tag {tag} of {repository} leads nowhere")
        }
    }
}
