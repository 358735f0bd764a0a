//! Files of Kubernetes objects, as they are given on the command line.

use std::{io::Read as _, path::Path};

use anyhow::Context as _;
use serde_json::Value;

/// The text of a file; `-` is standard input.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// All objects of a YAML or JSON file, at least one; those in lists one by one.
///
/// # Errors
/// When it cannot be read, or holds none.
pub(crate) fn objects(path: &Path) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text(path)?)
        .with_context(|| format!("{} is not YAML", path.display()))?;
    let mut objects = Vec::new();
    for mut document in documents {
        let is_list = document["kind"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("List"));
        match document.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) if is_list => objects.extend(items),
            _ if document.is_null() => {}
            _ => objects.push(document),
        }
    }
    anyhow::ensure!(!objects.is_empty(), "{} has no object", path.display());
    Ok(objects)
}

/// `kind/name`, as kubectl prints it.
pub(crate) fn name(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or_default().to_lowercase();
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    format!("{kind}/{name}")
}
