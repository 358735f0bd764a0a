//! `siglab admit`: what the API server would answer to `kubectl apply`.

use std::{io::Read as _, process::ExitCode};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{arguments, client::Lab, output};

pub(crate) async fn run(admin: &str, options: &arguments::Admit) -> anyhow::Result<ExitCode> {
    let objects = objects(&options.filename)?;
    let lab = Lab::find(admin).await?;
    let mut all_allowed = true;
    for object in objects {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
        let review = lab.review(&object).await?;
        all_allowed &= review.allowed;
        if options.json {
            output::line(json!({
                "kind": kind, "name": name, "allowed": review.allowed,
                "message": review.message(), "warnings": review.warnings,
            }));
            continue;
        }
        for warning in &review.warnings {
            output::denial(format!("Warning: {warning}"));
        }
        if review.allowed {
            output::line(format!("{kind}/{name} created (server dry run)"));
        } else {
            output::denial(format!(
                "Error from server (BadRequest): error when creating {:?}: admission webhook \
                 \"policy.sigstore.dev\" denied the request: {}",
                options.filename.display().to_string(),
                review.message()
            ));
        }
    }
    Ok(if all_allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// All documents of a YAML or JSON file; `-` is standard input.
fn objects(path: &std::path::Path) -> anyhow::Result<Vec<Value>> {
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
    } else {
        text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
        .with_context(|| format!("{} is not YAML", path.display()))?;
    let objects: Vec<Value> = documents
        .into_iter()
        .filter(|document| !document.is_null())
        .collect();
    anyhow::ensure!(!objects.is_empty(), "{} has no object", path.display());
    Ok(objects)
}
