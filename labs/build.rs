//! Collects the files of all exercises, so that the program carries them into rooms without a network.

use std::{env, fmt::Write as _, fs, io, path::Path};

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells a build script by its environment, and has no use for durable files"
)]
fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    println!("cargo::rerun-if-changed={root}");
    let mut files = Vec::new();
    for entry in fs::read_dir(&root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && name.starts_with(|first: char| first.is_ascii_digit()) {
            collect(&entry.path(), &name, &mut files)?;
        }
    }
    files.sort();
    let mut source = String::from("&[\n");
    for (name, path) in files {
        let _ = writeln!(source, "    ({name:?}, include_str!({path:?})),");
    }
    source.push(']');
    fs::write(Path::new(&out).join("files.rs"), source)
}

/// Every file below `dir`, by its name below the folder of all exercises.
fn collect(dir: &Path, name: &str, files: &mut Vec<(String, String)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &name, files)?;
        } else {
            files.push((name, entry.path().display().to_string()));
        }
    }
    Ok(())
}
