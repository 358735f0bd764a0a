//! What is done to a lab's directory while nothing serves it: checking everything, collecting garbage.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runtime::Clock;

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

fn log(
    place: &Path,
    folder: String,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<Checked> {
    let step = |step: sequencer::Progress| {
        progress(Progress {
            stage: "entries",
            done: step.entries,
            total: step.total,
        });
    };
    let report =
        sequencer::fsck(place, step).with_context(|| format!("{} is damaged", place.display()))?;
    Ok(Checked {
        folder,
        text: format!(
            "{} entries in {} files, root {} recomputed",
            report.tree_size,
            report.files,
            hex::encode(report.root_hash)
        ),
    })
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
