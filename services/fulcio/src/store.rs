//! What is kept over restarts: the generated authority's certificates, beside its keys.
//!
//! `keys/root.pem`, `keys/intermediate.pem` (0600) and `chain.pem` (intermediate, root).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use runtime::files;
use x509::Certificate;

fn chain_path(dir: &Path) -> PathBuf {
    dir.join("chain.pem")
}

/// The kept chain, issuer first.
pub(crate) fn load_chain(dir: &Path) -> anyhow::Result<Option<Vec<Certificate>>> {
    let path = chain_path(dir);
    let Some(bytes) =
        files::read_optional(&path).with_context(|| format!("cannot read {}", path.display()))?
    else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes).with_context(|| format!("{} is no PEM", path.display()))?;
    let chain = Certificate::chain_from_pem(&text)
        .with_context(|| format!("{} cannot be used", path.display()))?;
    Ok(Some(chain))
}

/// Keeps a chain, durably.
pub(crate) fn save_chain(dir: &Path, chain: &[Certificate]) -> anyhow::Result<()> {
    let path = chain_path(dir);
    let text: String = chain.iter().map(Certificate::to_pem).collect();
    files::replace(&path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}
