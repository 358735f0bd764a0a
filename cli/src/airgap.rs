//! `siglab export` and `siglab import`: images with their signatures in one file.

use std::{path::Path, sync::Arc};

use ::airgap::{
    Endpoints, ExportOptions, ExportReport, ImportOptions, ImportReport, ImportedImage, OnProgress,
    Phase, Progress, export, import,
};
use anyhow::Context as _;
use oci::ImageReference;
use serde_json::{Value, json};

use crate::{
    arguments::{self, Common},
    client::{self, Lab},
    output,
    progress::{Bar, Unit},
};

pub(crate) async fn run_export(common: &Common, options: &arguments::Export) -> anyhow::Result<()> {
    let images = options
        .images
        .iter()
        .map(|text| arguments::image(text))
        .collect::<anyhow::Result<Vec<ImageReference>>>()?;
    let mut carried = ExportOptions {
        referrers: !options.no_signatures,
        legacy_tags: !options.no_signatures,
        platforms: options.platforms.clone(),
        signature_repositories: options.signature_repositories.clone(),
        ..ExportOptions::default()
    };
    let mut http = client::http(common)?;
    if !options.no_trust {
        let lab = Lab::open(common)
            .await
            .context("cannot take the trusted root along; leave it out with --no-trust")?;
        http = lab.http.clone();
        carried.trusted_root = Some(lab.target("trusted_root.json").await?);
        carried.signing_config = Some(lab.target("signing_config.v0.2.json").await?);
    }
    let bar = Bar::new();
    let endpoints = Endpoints::new(http);
    let report = export(
        &endpoints,
        &images,
        &carried,
        &options.output,
        on_progress(&bar),
    )
    .await;
    bar.finish();
    let report = report?;
    if common.json {
        output::object(true, exported(&options.output, &report));
        return Ok(());
    }
    for image in &report.images {
        output::line(format!(
            "{} {}: {} signatures, {} attestations",
            image.reference, image.digest, image.signatures, image.attestations
        ));
    }
    for warning in &report.warnings {
        output::denial(format!("warning: {warning}"));
    }
    output::line(format!(
        "{}: {} manifests, {} blobs, {} bytes; in the other room: siglab import {0}",
        options.output.display(),
        report.manifests,
        report.blobs,
        report.bytes
    ));
    Ok(())
}

pub(crate) async fn run_import(common: &Common, options: &arguments::Import) -> anyhow::Result<()> {
    let (registry, http) = match &options.registry {
        Some(registry) => (registry.clone(), client::http(common)?),
        None => {
            let lab = Lab::open(common).await?;
            (lab.registry_name()?, lab.http)
        }
    };
    let mut wanted = ImportOptions::default();
    if let Some(repository) = &options.repository {
        let parsed = repository.parse();
        wanted.repository =
            Some(parsed.with_context(|| format!("{repository} is not a repository"))?);
    }
    if let Some(tag) = &options.tag {
        wanted.tag = Some(tag.parse().with_context(|| format!("{tag} is not a tag"))?);
    }
    let bar = Bar::new();
    let endpoints = Endpoints::new(http);
    let report = import(
        &options.archive,
        &endpoints,
        &registry,
        &wanted,
        on_progress(&bar),
    )
    .await;
    bar.finish();
    let report = report?;
    if let Some(dir) = &options.trust_dir {
        write_trust(&report, dir)?;
    }
    if common.json {
        output::object(true, imported(&registry, &report));
    } else {
        show(&registry, &report);
    }
    Ok(())
}

/// Name of the TrustRoot object that an archive's trusted root becomes, another than the lab's own.
const TRUST_ROOT: &str = "imported";

/// Writes what the archive brings for verification offline.
fn write_trust(report: &ImportReport, dir: &Path) -> anyhow::Result<()> {
    runtime::files::create_dirs(dir)?;
    let trust_root = match &report.trusted_root {
        None => None,
        Some(json) => {
            let root = bundle::TrustedRoot::from_json(json)?;
            Some(root.to_trust_root_yaml(TRUST_ROOT).into_bytes())
        }
    };
    let files = [
        ("trusted_root.json", &report.trusted_root),
        ("signing_config.json", &report.signing_config),
        ("trust-root.yaml", &trust_root),
    ];
    for (name, bytes) in files {
        if let Some(bytes) = bytes {
            runtime::files::replace_with_mode(&dir.join(name), bytes, 0o644)
                .with_context(|| format!("cannot write {}", dir.join(name).display()))?;
        }
    }
    Ok(())
}

fn exported(path: &Path, report: &ExportReport) -> Value {
    let images = report.images.iter().map(|image| {
        json!({
            "image": image.reference.to_string(), "digest": image.digest.to_string(),
            "signatures": image.signatures, "attestations": image.attestations,
        })
    });
    json!({
        "file": path.display().to_string(), "images": images.collect::<Vec<_>>(),
        "manifests": report.manifests, "blobs": report.blobs, "bytes": report.bytes,
        "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn imported(registry: &str, report: &ImportReport) -> Value {
    let images = report.images.iter().map(|image| {
        json!({
            "image": name(registry, image), "digest": image.digest.to_string(),
            "signatures": image.signatures, "attestations": image.attestations,
        })
    });
    let nameless = report.nameless.iter().map(|one| one.digest.to_string());
    json!({
        "registry": registry, "images": images.collect::<Vec<_>>(),
        "nameless": nameless.collect::<Vec<_>>(),
        "blobs_pushed": report.blobs_pushed, "blobs_present": report.blobs_present,
        "manifests_pushed": report.manifests_pushed, "manifests_present": report.manifests_present,
        "warnings": report.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// `registry/repository:tag`.
fn name(registry: &str, image: &ImportedImage) -> String {
    let tag = image.tag.as_ref().map(|tag| format!(":{tag}"));
    format!("{registry}/{}{}", image.repository, tag.unwrap_or_default())
}

fn show(registry: &str, report: &ImportReport) {
    for image in &report.images {
        output::line(format!(
            "{} {}: {} signatures, {} attestations",
            name(registry, image),
            image.digest,
            image.signatures,
            image.attestations
        ));
    }
    for nameless in &report.nameless {
        output::denial(format!(
            "warning: {} has no name and was left out; give it one: --repository NAME",
            nameless.digest
        ));
    }
    for warning in &report.warnings {
        output::denial(format!("warning: {warning}"));
    }
    output::line(format!(
        "{} blobs pushed, {} were there; {} manifests pushed, {} were there",
        report.blobs_pushed,
        report.blobs_present,
        report.manifests_pushed,
        report.manifests_present
    ));
}

fn on_progress(bar: &Bar) -> OnProgress {
    let bar = bar.clone();
    Arc::new(move |step: Progress| {
        let (stage, unit) = match step.phase {
            Phase::Discover => ("reading", Unit::Items),
            Phase::Write => ("writing", Unit::Bytes),
            Phase::Verify => ("verifying", Unit::Bytes),
            Phase::Push => ("pushing", Unit::Bytes),
            Phase::Link => ("linking", Unit::Items),
        };
        bar.show(stage, step.done, step.total, unit);
    })
}
