//! The house rules that a program can check.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::layers;

/// Lines in a source file, at most.
const FILE_LINES_MAX: usize = 800;

/// What each service's README must have.
const README_HEADINGS: [&str; 1] = ["## Divergences"];

/// What `libs/` may not say: it has no I/O, clock, environment or threads.
const NOT_IN_LIBS: [&str; 6] = [
    "std::fs",
    "std::env",
    "std::net::Tcp",
    "std::thread",
    "SystemTime::now",
    "Timestamp::now",
];

/// One line for each rule broken.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = layers::check(root)?;
    let sources = sources(root)?;
    for path in &sources {
        let text =
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path
            .strip_prefix(root)
            .unwrap_or(path)
            .display()
            .to_string();
        source(&name, &text, &mut problems);
        if !is_root(path) && !is_declared(path) {
            problems.push(format!("{name}: no file declares it as a module"));
        }
    }
    readmes(root, &mut problems)?;
    adrs(root, &mut problems)?;
    Ok(problems)
}

fn source(name: &str, text: &str, problems: &mut Vec<String>) {
    if !text.starts_with("//!") && !text.starts_with("#![doc") {
        problems.push(format!("{name}: does not open with a `//!` sentence"));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        problems.push(format!("{name}: {lines} lines, at most {FILE_LINES_MAX}"));
    }
    if name.starts_with("libs/") && name.contains("/src/") {
        for word in NOT_IN_LIBS {
            if text.contains(word) {
                problems.push(format!("{name}: libs/ may not use {word}"));
            }
        }
    }
    if name.starts_with("xtask/") {
        return;
    }
    for (number, line) in text.lines().enumerate() {
        if line.contains("TODO") && !line.contains("TODO(#") {
            problems.push(format!("{name}:{}: TODO without an issue", number + 1));
        }
        if line.contains("#[ignore") || line.contains("#[should_panic") {
            problems.push(format!("{name}:{}: a test that says nothing", number + 1));
        }
    }
}

/// Whether cargo finds the file by itself: crate roots, binaries, tests, examples, build scripts.
fn is_root(path: &Path) -> bool {
    let file = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    matches!(file, "lib.rs" | "main.rs" | "build.rs" | "mod.rs")
        || matches!(
            folder,
            "tests" | "benches" | "examples" | "bin" | "fuzz_targets"
        )
}

/// Whether a file of the same module tree says `mod name;`.
fn is_declared(path: &Path) -> bool {
    let (Some(stem), Some(folder)) = (path.file_stem().and_then(|s| s.to_str()), path.parent())
    else {
        return false;
    };
    let declaration = format!("mod {stem};");
    let mut parents = vec![
        folder.join("lib.rs"),
        folder.join("main.rs"),
        folder.join("mod.rs"),
        folder.with_extension("rs"),
    ];
    if let Ok(entries) = fs::read_dir(folder) {
        parents.extend(entries.flatten().map(|entry| entry.path()));
    }
    parents
        .iter()
        .filter(|parent| parent.as_path() != path)
        .filter_map(|parent| fs::read_to_string(parent).ok())
        .any(|text| {
            text.lines()
                .any(|line| line.trim_end().ends_with(&declaration))
        })
}

fn readmes(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let top = fs::read_to_string(root.join("README.md")).unwrap_or_default();
    let differences = fs::read_to_string(root.join("docs/differences.md")).unwrap_or_default();
    for service in services(root)? {
        let folder = if service == "admission" {
            root.join("admission")
        } else {
            root.join("services").join(&service)
        };
        let text = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
        for heading in README_HEADINGS {
            if !text.contains(heading) {
                problems.push(format!("{service}: README.md has no section {heading}"));
            }
        }
        if !differences.contains(&format!("{service}/README.md#divergences")) {
            problems.push(format!(
                "docs/differences.md does not lead to the divergences of {service}"
            ));
        }
        if !top.contains(&format!("`{service}`")) {
            problems.push(format!("README.md does not list the service `{service}`"));
        }
    }
    Ok(())
}

/// Folders that are services: they have a binary.
fn services(root: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::from(["admission".to_owned()]);
    for entry in fs::read_dir(root.join("services"))? {
        let path = entry?.path();
        if path.join("src/main.rs").exists() {
            names.extend(
                path.file_name()
                    .and_then(|name| name.to_str())
                    .map(str::to_owned),
            );
        }
    }
    Ok(names)
}

/// ADRs are numbered from 1 without a gap or a double, and each has a status.
fn adrs(root: &Path, problems: &mut Vec<String>) -> anyhow::Result<()> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(root.join("docs/adr"))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
            .to_owned();
        match name
            .split_once('-')
            .and_then(|(number, _)| number.parse::<usize>().ok())
        {
            Some(number) => numbers.push(number),
            None => problems.push(format!(
                "docs/adr/{name}: the name is not NNNN-verb-noun.md"
            )),
        }
        if !fs::read_to_string(&path)?.contains("Status:") {
            problems.push(format!("docs/adr/{name}: no line `Status: …`"));
        }
    }
    numbers.sort_unstable();
    if numbers
        .iter()
        .enumerate()
        .any(|(index, number)| index + 1 != *number)
    {
        problems.push(format!(
            "docs/adr: numbers are not 1 to {}: {numbers:?}",
            numbers.len()
        ));
    }
    Ok(())
}

/// All Rust files of the repository.
fn sources(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = [
        "admission",
        "cli",
        "labs",
        "libs",
        "services",
        "testing",
        "tests",
        "xtask",
    ]
    .map(|f| root.join(f))
    .into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let problems = super::check(&crate::root()).expect("the repository can be read");
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }
}
