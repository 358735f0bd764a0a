//! `siglab trust`: the files that clients need to trust the lab.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;

use crate::{
    arguments::{self, Common},
    client::Lab,
    output,
};

pub(crate) async fn run(common: &Common, options: &arguments::Trust) -> anyhow::Result<()> {
    let lab = Lab::open(common).await?;
    let names = write(&lab, &options.dir).await?;
    if common.json {
        let files: Vec<String> = names
            .iter()
            .map(|name| options.dir.join(name).display().to_string())
            .collect();
        let instance = &lab.status.instance;
        output::object(true, json!({ "instance": instance, "files": files }));
        return Ok(());
    }
    output::heading(format!(
        "LAB TRUST ROOT of LAB-{}, for testing only",
        lab.status.instance
    ));
    for name in names {
        output::line(options.dir.join(name).display());
    }
    Ok(())
}

/// Writes trusted root, signing configs, TUF root, keys and chains into `dir`, and returns their names.
///
/// # Errors
/// When the lab does not give them or the directory cannot be written.
pub(crate) async fn write(lab: &Lab, dir: &Path) -> anyhow::Result<Vec<String>> {
    runtime::files::create_dirs(dir)?;
    let mut files = lab.trust_directory().await?;
    if let Some(pem) = &lab.ca_pem {
        files.insert("ca.pem".to_owned(), pem.clone());
    }
    for (name, text) in &files {
        let name = Path::new(name)
            .file_name()
            .context("the lab named a file that is none")?;
        let path = dir.join(name);
        runtime::files::replace_with_mode(&path, text.as_bytes(), 0o644)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(files.into_keys().collect())
}
