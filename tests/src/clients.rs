//! Where the pinned clients are: `tests/clients.toml` and the cache that `scripts/install-clients` fills.

use std::path::{Path, PathBuf};

const PINNED: &str = include_str!("../clients.toml");

/// A foreign client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Name of its table.
    pub name: String,
    /// The program; a bare name for those of Debian, the interpreter for libraries.
    pub program: PathBuf,
    /// Variables that it needs.
    pub variables: Vec<(&'static str, PathBuf)>,
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
    let name = name.to_owned();
    if let Some(package) = text("apt") {
        return Client {
            name,
            program: PathBuf::from(text("program").unwrap_or(package)),
            variables: Vec::new(),
        };
    }
    let version = text("version").unwrap_or_else(|| panic!("{name} has no version"));
    let folder = cache().join(format!("{name}-{version}"));
    let complete = folder.join(".complete");
    assert!(
        complete.exists(),
        "{name} {version} is missing: scripts/install-clients {name}"
    );
    let mut variables = Vec::new();
    let program = match (text("go"), text("pip"), text("npm")) {
        (Some(package), _, _) => folder.join(last(package)),
        (_, Some("tuf"), _) => folder.join("bin/python"),
        (_, Some(_), _) => folder.join("bin").join(&name),
        (_, _, Some(_)) => {
            variables.push(("NODE_PATH", folder.join("node_modules")));
            PathBuf::from("node")
        }
        _ if text("script").is_some() => folder.join(&name),
        _ if text("cargo").is_some() => {
            let program = text("example").unwrap_or(&name);
            folder.join("bin").join(program)
        }
        _ => panic!("tests/clients.toml does not say where {name} comes from"),
    };
    Client {
        name,
        program,
        variables,
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

/// A program of the machine that is no client: a shell, a language's tool.
///
/// # Panics
/// When it is not on the `PATH` of the suite.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "languages are where the suite's own PATH has them"
)]
pub fn tool(name: &str) -> Client {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|program| program.is_file());
    Client {
        name: name.to_owned(),
        program: found.unwrap_or_else(|| panic!("{name} is not on the PATH")),
        variables: Vec::new(),
    }
}
