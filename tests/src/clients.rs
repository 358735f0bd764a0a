//! Where the pinned clients are: `tests/clients.toml` and the cache that `scripts/install-clients` fills.

use std::path::{Path, PathBuf};

const PINNED: &str = include_str!("../clients.toml");

/// A foreign client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Name of its table.
    pub name: String,
    /// The program; a bare name for those of Debian.
    pub program: PathBuf,
}

/// The client of that name.
///
/// # Panics
/// When `tests/clients.toml` does not name it or it is not installed: a missing client is a failure.
#[must_use]
pub fn client(name: &str) -> Client {
    let pinned: toml::Table = PINNED.parse().expect("tests/clients.toml is TOML");
    let table = pinned
        .get(name)
        .unwrap_or_else(|| panic!("tests/clients.toml names no {name}"));
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str);
    if let Some(package) = text("apt") {
        let name = name.to_owned();
        return Client {
            name,
            program: PathBuf::from(package),
        };
    }
    let version = text("version").unwrap_or_else(|| panic!("{name} has no version"));
    let folder = cache().join(format!("{name}-{version}"));
    let program = match (text("go"), text("pip")) {
        (Some(package), _) => folder.join(last(package)),
        (None, Some(_)) => folder.join("bin").join(name),
        (None, None) => folder.clone(),
    };
    let program = if text("pip") == Some("tuf") {
        folder.join("bin/python")
    } else {
        program
    };
    assert!(
        program.exists(),
        "{} is missing: scripts/install-clients {name}",
        program.display()
    );
    Client {
        name: name.to_owned(),
        program,
    }
}

/// Last part of a package path that is not a major version.
fn last(package: &str) -> &str {
    package
        .rsplit('/')
        .find(|part| !part.starts_with('v'))
        .unwrap_or(package)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the suite is told by its environment, as the script is"
)]
fn cache() -> PathBuf {
    let set = std::env::var("SIGLAB_CACHE")
        .ok()
        .filter(|dir| !dir.is_empty());
    set.map_or_else(
        || Path::new(&std::env::var("HOME").expect("HOME is set")).join(".cache/siglab"),
        PathBuf::from,
    )
}
