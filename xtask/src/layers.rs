//! Which crate may import which: the table of docs/ARCHITECTURE.md as data.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context as _;
use cargo_metadata::{DependencyKind, MetadataCommand};

/// Crates of ours that each crate may depend on, beside dev-dependencies.
const MAY_IMPORT: [(&str, &[&str]); 28] = [
    // libs: formats and mathematics
    ("crypto", &[]),
    ("merkle", &["crypto"]),
    ("note", &["crypto", "merkle"]),
    ("x509", &["crypto"]),
    ("tsp", &["crypto", "x509"]),
    ("entry", &["crypto", "x509"]),
    ("bundle", &[]),
    ("tuf-metadata", &["crypto"]),
    ("oci", &["crypto"]),
    (
        "verify",
        &[
            "crypto",
            "merkle",
            "note",
            "x509",
            "tsp",
            "entry",
            "bundle",
            "tuf-metadata",
            "oci",
        ],
    ),
    // what services stand on
    ("runtime", &["crypto"]),
    ("sequencer", &["runtime", "crypto", "merkle", "note"]),
    ("airgap", &["runtime", "crypto", "bundle", "oci"]),
    // services: none imports another
    ("oidc", &["runtime", "crypto", "x509"]),
    ("fulcio", &["runtime", "crypto", "x509"]),
    (
        "ctlog",
        &["runtime", "sequencer", "crypto", "merkle", "note", "x509"],
    ),
    (
        "rekor",
        &[
            "runtime",
            "sequencer",
            "crypto",
            "merkle",
            "note",
            "entry",
            "bundle",
            "x509",
        ],
    ),
    ("tsa", &["runtime", "crypto", "x509", "tsp"]),
    ("tuf", &["runtime", "crypto", "tuf-metadata", "bundle"]),
    ("registry", &["runtime", "crypto", "oci"]),
    (
        "admission",
        &[
            "runtime",
            "crypto",
            "verify",
            "bundle",
            "oci",
            "tuf-metadata",
            "x509",
        ],
    ),
    ("door", &["runtime"]),
    // composition and product
    ("labs", &[]),
    (
        "stack",
        &[
            "crypto",
            "runtime",
            "sequencer",
            "oidc",
            "fulcio",
            "ctlog",
            "rekor",
            "tsa",
            "tuf",
            "registry",
            "admission",
        ],
    ),
    (
        "cli",
        &[
            "runtime",
            "stack",
            "crypto",
            "x509",
            "bundle",
            "oci",
            "verify",
            "tsp",
            "entry",
            "merkle",
            "note",
            "airgap",
            "door",
            "tuf-metadata",
            "labs",
        ],
    ),
    ("siglab-testing", &["runtime", "stack"]),
    ("xtask", &["crypto", "runtime"]),
    ("tests", &["*"]),
];

/// Outside crates that a library may never have: they are I/O, clocks or randomness.
const NOT_IN_LIBS: [&str; 7] = [
    "axum",
    "hyper",
    "reqwest",
    "rustls",
    "sled",
    "tokio",
    "tracing-subscriber",
];

/// Outside crates that only one of ours may name.
const ONLY_IN: [(&str, &[&str]); 6] = [
    ("ring", &["crypto"]),
    ("p256", &["crypto"]),
    ("p384", &["crypto"]),
    ("p521", &["crypto"]),
    ("rsa", &["crypto"]),
    ("sled", &["runtime"]),
];

/// One line for each arrow that the table does not have.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo metadata does not answer")?;
    let table: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let name = package.name.as_str();
        let Some(may) = table.get(name) else {
            problems.push(format!(
                "{name} is not in the table of layers (xtask/src/layers.rs)"
            ));
            continue;
        };
        let is_lib = package.manifest_path.as_str().contains("/libs/");
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            if dependency.kind == DependencyKind::Development {
                continue;
            }
            let ours = table.contains_key(other);
            if ours && !may.contains(&other) && !may.contains(&"*") {
                problems.push(format!("{name} may not import {other}"));
            }
            if is_lib && NOT_IN_LIBS.contains(&other) {
                problems.push(format!("{name} is in libs/ and may not import {other}"));
            }
            let only = ONLY_IN.iter().find(|(outside, _)| *outside == other);
            if let Some((_, owners)) = only
                && !owners.contains(&name)
            {
                problems.push(format!(
                    "only {} may import {other}, not {name}",
                    owners.join(", ")
                ));
            }
        }
    }
    Ok(problems)
}
