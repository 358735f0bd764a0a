//! Checks an archive whole, and then pushes it.

use std::path::Path;

use crate::{
    Endpoints, Error, ImportOptions, ImportReport, OnProgress, Warning,
    archive::Archive,
    digests, docker_archive,
    graph::{self, Graph},
    layout::{self, Listing},
    options::MANIFEST_BYTES_MAX,
    plan::{self, Plan},
    push, source,
};

/// Bytes of the trusted root and the signing config.
const TRUST_BYTES_MAX: u64 = 4 << 20;

/// An archive that was read and found right, and what is to be done with it.
struct Prepared {
    graph: Graph,
    plan: Plan,
    report: ImportReport,
}

/// Reads the archive at `path` and says what an import would do, without a registry.
///
/// # Errors
/// The first rule that the archive breaks.
pub async fn check(
    path: &Path,
    options: &ImportOptions,
    progress: OnProgress,
) -> Result<ImportReport, Error> {
    let Prepared {
        plan, mut report, ..
    } = prepare(path, options, &progress).await?;
    describe(plan, &mut report);
    Ok(report)
}

/// Puts the images of the archive at `path` into `registry` (`host` or `host:port`). Everything is
/// checked before the first write; what the registry has already is skipped, so an import that was
/// interrupted is started again. A pipe such as `/dev/stdin` is an archive too, as long as it is a tar.
///
/// # Errors
/// The first rule that the archive breaks, with nothing written; or what the registry says.
pub async fn import(
    path: &Path,
    endpoints: &Endpoints,
    registry: &str,
    options: &ImportOptions,
    progress: OnProgress,
) -> Result<ImportReport, Error> {
    let Prepared {
        graph,
        plan,
        mut report,
    } = prepare(path, options, &progress).await?;
    push::push(&graph, &plan, endpoints, registry, &mut report, &progress).await?;
    describe(plan, &mut report);
    Ok(report)
}

async fn prepare(
    path: &Path,
    options: &ImportOptions,
    progress: &OnProgress,
) -> Result<Prepared, Error> {
    let (path, options, progress) = (path.to_owned(), options.clone(), progress.clone());
    let work = move || {
        let (listing, report) = read(&path, &options, &progress)?;
        let (graph, plan) = decide(listing, &options)?;
        Ok(Prepared {
            graph,
            plan,
            report,
        })
    };
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Error::Interrupted)?
}

fn describe(plan: Plan, report: &mut ImportReport) {
    report.images = plan.images;
    report.nameless = plan.nameless;
    report.warnings.extend(plan.warnings);
}

fn read(
    path: &Path,
    options: &ImportOptions,
    progress: &OnProgress,
) -> Result<(Listing, ImportReport), Error> {
    let archive = source::open(path, options, progress)?;
    let mut report = ImportReport::default();
    let listing = if archive.contains(layout::INDEX) {
        layout::read(&archive)?
    } else if archive.contains(docker_archive::MANIFEST) {
        docker_archive::read(&archive, &options.limits, &mut report.warnings)?
    } else {
        return Err(Error::NotAnArchive {
            path: path.to_owned(),
        });
    };
    trust(&archive, &mut report)?;
    Ok((listing, report))
}

/// What siglab puts beside the images.
fn trust(archive: &Archive, report: &mut ImportReport) -> Result<(), Error> {
    if let Some(bytes) = archive.read(layout::SHA256SUMS, MANIFEST_BYTES_MAX)? {
        let digests = archive
            .entries
            .iter()
            .map(|(name, entry)| (name.as_str(), &entry.digest));
        digests::check(&String::from_utf8_lossy(&bytes), &digests.collect())?;
    }
    if let Some(bytes) = archive.read(layout::TRUSTED_ROOT, TRUST_BYTES_MAX)? {
        check_trusted_root(layout::TRUSTED_ROOT, &bytes)?;
        report.trusted_root = Some(bytes.to_vec());
    }
    if let Some(bytes) = archive.read(layout::SIGNING_CONFIG, TRUST_BYTES_MAX)? {
        check_signing_config(layout::SIGNING_CONFIG, &bytes)?;
        report.signing_config = Some(bytes.to_vec());
    }
    Ok(())
}

pub(crate) fn check_trusted_root(item: &'static str, bytes: &[u8]) -> Result<(), Error> {
    bundle::TrustedRoot::from_json(bytes)
        .map(drop)
        .map_err(|source| Error::Trust { item, source })
}

pub(crate) fn check_signing_config(item: &'static str, bytes: &[u8]) -> Result<(), Error> {
    bundle::SigningConfig::from_json(bytes)
        .map(drop)
        .map_err(|source| Error::Trust { item, source })
}

fn decide(listing: Listing, options: &ImportOptions) -> Result<(Graph, Plan), Error> {
    let Listing { contents, roots } = listing;
    let mut graph = Graph::new(contents, &options.limits);
    let mut ignored = Vec::new();
    for root in &roots {
        let descriptor = root.descriptor.clone();
        if graph::is_manifest_type(&descriptor.media_type) {
            graph.add(descriptor, layout::INDEX)?;
        } else {
            let (digest, media_type) = (descriptor.digest, descriptor.media_type);
            ignored.push(Warning::NotAManifest { digest, media_type });
        }
    }
    graph.add_orphans()?;
    let mut plan = plan::plan(&graph, &roots, options)?;
    plan.warnings
        .splice(0..0, ignored.into_iter().chain(graph.warnings.drain(..)));
    Ok((graph, plan))
}
