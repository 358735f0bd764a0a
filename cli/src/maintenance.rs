//! `siglab fsck` and `siglab registry gc`: work on a lab's directory while nothing serves it.

use stack::maintenance::{self, GcOptions};

use crate::{
    arguments, output,
    progress::{Bar, Unit},
};

pub(crate) fn fsck(options: &arguments::Fsck) -> anyhow::Result<()> {
    let bar = Bar::new();
    let checked = maintenance::fsck(&options.dir, &mut |step| {
        bar.show(step.stage, step.done, step.total, Unit::Items);
    });
    bar.finish();
    for part in checked? {
        output::good(&part.folder, part.text);
    }
    Ok(())
}

pub(crate) fn gc(options: &arguments::Gc) -> anyhow::Result<()> {
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
    for (kind, map) in [("manifest", &report.manifests), ("blob", &report.blobs)] {
        for (repository, digests) in map {
            for digest in digests {
                output::line(format!("{kind} {repository}@{digest}"));
            }
        }
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
