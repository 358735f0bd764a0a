//! `siglab export` and `siglab import`: images with their signatures in one file.

use std::{path::Path, sync::Arc};

use ::airgap::{
    Endpoints, ExportOptions, ImportOptions, ImportReport, OnProgress, Phase, Progress, export,
    import,
};
use anyhow::Context as _;
use oci::ImageReference;
use serde_json::json;

use crate::{
    arguments,
    client::Lab,
    output,
    progress::{Bar, Unit},
};

pub(crate) async fn run_export(admin: &str, options: &arguments::Export) -> anyhow::Result<()> {
    let images = options
        .images
        .iter()
        .map(|text| {
            text.parse()
                .with_context(|| format!("{text} is not an image"))
        })
        .collect::<anyhow::Result<Vec<ImageReference>>>()?;
    let mut carried = ExportOptions {
        referrers: !options.no_signatures,
        legacy_tags: !options.no_signatures,
        ..ExportOptions::default()
    };
    if !options.no_trust {
        let lab = Lab::find(admin)
            .await
            .context("cannot take the trusted root along; leave it out with --no-trust")?;
        carried.trusted_root = Some(lab.target("trusted_root.json").await?);
        carried.signing_config = Some(lab.target("signing_config.v0.2.json").await?);
    }
    let bar = Bar::new();
    let endpoints = Endpoints::new(runtime::http::client(None)?);
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

pub(crate) async fn run_import(admin: &str, options: &arguments::Import) -> anyhow::Result<()> {
    let registry = match &options.registry {
        Some(registry) => registry.clone(),
        None => Lab::find(admin).await?.registry_name()?,
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
    let endpoints = Endpoints::new(runtime::http::client(None)?);
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
    show(&registry, &report, options.json);
    Ok(())
}

/// Writes what the archive brings for verification offline.
fn write_trust(report: &ImportReport, dir: &Path) -> anyhow::Result<()> {
    runtime::files::create_dirs(dir)?;
    let files = [
        ("trusted_root.json", &report.trusted_root),
        ("signing_config.json", &report.signing_config),
    ];
    for (name, bytes) in files {
        if let Some(bytes) = bytes {
            runtime::files::replace_with_mode(&dir.join(name), bytes, 0o644)
                .with_context(|| format!("cannot write {}", dir.join(name).display()))?;
        }
    }
    Ok(())
}

fn show(registry: &str, report: &ImportReport, as_json: bool) {
    for image in &report.images {
        let tag = image
            .tag
            .as_ref()
            .map(|tag| format!(":{tag}"))
            .unwrap_or_default();
        let name = format!("{registry}/{}{tag}", image.repository);
        if as_json {
            output::line(json!({
                "image": name, "digest": image.digest.to_string(),
                "signatures": image.signatures, "attestations": image.attestations,
            }));
        } else {
            output::line(format!(
                "{name} {}: {} signatures, {} attestations",
                image.digest, image.signatures, image.attestations
            ));
        }
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
    if !as_json {
        output::line(format!(
            "{} blobs pushed, {} were there; {} manifests pushed, {} were there",
            report.blobs_pushed,
            report.blobs_present,
            report.manifests_pushed,
            report.manifests_present
        ));
    }
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
