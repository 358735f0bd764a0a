//! Key files: one per role, PEM PKCS#8, mode 0600.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use crypto::{KeyKind, SigningKey};

use crate::files;

/// Where the key of `role` is kept below a service's directory.
#[must_use]
pub fn path(dir: &Path, role: &str) -> PathBuf {
    dir.join("keys").join(format!("{role}.pem"))
}

/// The key of `role`, made and written durably when there is none.
///
/// # Errors
/// One line that names the file, when it is readable by others, truncated, or of another kind.
pub fn load_or_generate(dir: &Path, role: &str, kind: KeyKind) -> anyhow::Result<SigningKey> {
    let path = path(dir, role);
    if let Some(key) = load(&path)? {
        if key.kind() != kind {
            bail!(
                "key {} is {:?}, this role needs {kind:?}",
                path.display(),
                key.kind()
            );
        }
        return Ok(key);
    }
    let key = SigningKey::generate(kind)?;
    files::create_dirs(path.parent().expect("keys/ is its parent"))?;
    files::write_new(&path, key.to_pkcs8_pem().as_bytes())
        .with_context(|| format!("cannot write key {}", path.display()))?;
    Ok(key)
}

/// The key at `path`, or `None` when there is no such file.
///
/// # Errors
/// As [`load_or_generate`].
pub fn load(path: &Path) -> anyhow::Result<Option<SigningKey>> {
    let Some(bytes) = files::read_optional(path)
        .with_context(|| format!("cannot read key {}", path.display()))?
    else {
        return Ok(None);
    };
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        bail!(
            "key {} has mode {mode:04o}, only its owner may read it: chmod 600 {0}",
            path.display()
        );
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| anyhow::anyhow!("key {} is not PEM text", path.display()))?;
    let key = SigningKey::from_pem(&text, None)
        .with_context(|| format!("key {} cannot be used", path.display()))?;
    Ok(Some(key))
}
