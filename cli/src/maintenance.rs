//! `siglab fsck` and `siglab registry gc`: work on a lab's directory while nothing serves it.

use serde_json::json;
use stack::maintenance::{self, GcOptions};

use crate::{
    arguments::{self, Common},
    output,
    progress::{Bar, Unit},
};

pub(crate) fn fsck(common: &Common, options: &arguments::Fsck) -> anyhow::Result<()> {
    let bar = Bar::new();
    let checked = maintenance::fsck(&options.dir, &mut |step| {
        bar.show(step.stage, step.done, step.total, Unit::Items);
    });
    bar.finish();
    let checked = checked?;
    if common.json {
        let parts: Vec<_> = checked
            .iter()
            .map(|part| json!({ "folder": part.folder, "text": part.text }))
            .collect();
        output::object(true, json!({ "parts": parts }));
        return Ok(());
    }
    for part in checked {
        output::good(&part.folder, part.text);
    }
    Ok(())
}

pub(crate) fn gc(common: &Common, options: &arguments::Gc) -> anyhow::Result<()> {
    let bar = Bar::new();
    let wanted = GcOptions {
        dry_run: options.dry_run,
        grace_secs: options.grace,
        orphan_referrers: options.orphan_referrers,
    };
    let report = maintenance::registry_gc(&options.dir, &wanted, &mut |step| {
        bar.show(step.stage, step.done, step.total, Unit::Items);
    });
    bar.finish();
    let report = report?;
    let mut found = Vec::new();
    for (kind, map) in [("manifest", &report.manifests), ("blob", &report.blobs)] {
        for (repository, digests) in map {
            for digest in digests {
                found.push((kind, format!("{repository}@{digest}")));
            }
        }
    }
    if common.json {
        let of = |wanted: &str| -> Vec<&String> {
            let these = found.iter().filter(|(kind, _)| *kind == wanted);
            these.map(|(_, name)| name).collect()
        };
        output::object(
            true,
            json!({
                "removed": !options.dry_run, "contents": report.contents, "bytes": report.bytes,
                "manifests": of("manifest"), "blobs": of("blob"),
            }),
        );
        return Ok(());
    }
    for (kind, name) in &found {
        output::line(format!("{kind} {name}"));
    }
    let verb = if options.dry_run {
        "would be removed"
    } else {
        "removed"
    };
    output::line(format!(
        "{} contents of {} bytes {verb}",
        report.contents, report.bytes
    ));
    Ok(())
}
