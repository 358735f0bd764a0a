//! `siglab images`: the programs as container images in one file that docker loads, without a docker here.
//!
//! What is written has both tables of contents: `manifest.json` for docker, an OCI image layout for others.
//! The same programs give the same bytes.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use oci::{Algorithm, Digest};
use serde_json::{Value, json};

use crate::{arguments::Common, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Images {
    /// Write them into one file that docker, podman and skopeo load
    Save {
        /// File to write, gzipped if it ends in .gz
        file: PathBuf,
        /// Folder of the static programs [default: this program's own]
        #[arg(long, value_name = "DIR")]
        programs: Option<PathBuf>,
    },
    /// Hand them to the docker of this machine
    Load {
        /// Folder of the static programs [default: this program's own]
        #[arg(long, value_name = "DIR")]
        programs: Option<PathBuf>,
    },
}

/// Who owns the files of an image, and runs its program: nobody of any host.
const USER: u64 = 65532;

/// When everything in an image was made, so that nothing depends on the time.
const MADE: &str = "1970-01-01T00:00:00Z";

pub(crate) fn run(common: &Common, command: &Images) -> anyhow::Result<()> {
    let (programs, file) = match command {
        Images::Save { file, programs } => (programs, Some(file)),
        Images::Load { programs } => (programs, None),
    };
    let folder = match programs {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?
            .parent()
            .context("this program has no folder")?
            .to_owned(),
    };
    let images = found(&folder)?;
    match file {
        Some(path) => save(&images, path)?,
        None => load(&images)?,
    }
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    if common.json {
        output::object(true, json!({ "images": names, "file": file }));
    } else if let Some(path) = file {
        output::line(format!(
            "{}: {} images; in the other room: docker load --input {0}",
            path.display(),
            names.len()
        ));
    } else {
        output::line(names.join("\n"));
    }
    Ok(())
}

/// A program that becomes an image.
struct Image {
    /// `siglab/NAME`.
    name: String,
    program: Vec<u8>,
}

/// The programs of a folder: `siglab` and those of single services that are beside it.
fn found(folder: &Path) -> anyhow::Result<Vec<Image>> {
    let mut images = Vec::new();
    let services = runtime::KNOWN.iter().map(|(name, _)| *name);
    for name in std::iter::once("siglab").chain(services) {
        let file = match name {
            "siglab" => PathBuf::from(name),
            service => PathBuf::from(format!("siglab-{service}")),
        };
        let path = folder.join(file);
        let Some(program) = runtime::files::read_optional(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
        else {
            continue;
        };
        ensure!(
            is_static(&program),
            "{} needs libraries that an image from nothing does not have\n\
             build the programs with: scripts/images binaries\n\
             and name their folder: --programs target/static/images",
            path.display()
        );
        images.push(Image {
            name: format!("siglab/{name}"),
            program,
        });
    }
    ensure!(
        !images.is_empty(),
        "no program of siglab in {}",
        folder.display()
    );
    Ok(images)
}

/// Whether a program is a 64-bit ELF file that asks for no loader (`PT_INTERP`).
fn is_static(program: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let number = |at: usize, bytes: usize| {
        let field = program.get(at..at + bytes)?;
        Some(
            field
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    let headers = || {
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count)
            .map(|index| {
                let at = table.checked_add(index * size)?;
                number(usize::try_from(at).ok()?, 4)
            })
            .collect::<Option<Vec<u64>>>()
    };
    program.starts_with(b"\x7fELF\x02\x01")
        && headers().is_some_and(|kinds| !kinds.contains(&u64::from(INTERPRETER)))
}

fn save(images: &[Image], path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = std::fs::File::create(path).with_context(cannot)?;
    let gzipped = path.extension().is_some_and(|end| end == "gz");
    let written = if gzipped {
        let mut zip = flate2::write::GzEncoder::new(&mut file, flate2::Compression::default());
        write(images, &mut zip).and_then(|()| Ok(zip.try_finish()?))
    } else {
        write(images, &mut file)
    };
    written
        .and_then(|()| Ok(file.sync_all()?))
        .inspect_err(|_| {
            // A part of an archive is of no use to anybody.
            let _ = std::fs::remove_file(path);
        })
        .with_context(cannot)
}

fn load(images: &[Image]) -> anyhow::Result<()> {
    let mut docker = Command::new("docker")
        .args(["load", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("docker cannot be started")?;
    let mut pipe = docker.stdin.take().expect("it is piped");
    let written = write(images, &mut pipe);
    drop(pipe);
    // What docker said is on standard error already, and is why it stopped reading.
    if !docker.wait()?.success() {
        bail!("docker load failed");
    }
    written
}

/// Writes the archive.
fn write(images: &[Image], to: impl Write) -> anyhow::Result<()> {
    let mut archive = Archive(tar::Builder::new(to));
    let mut docker = Vec::new();
    let mut index = Vec::new();
    for image in images {
        let tag = format!("{}:latest", image.name);
        let layer = layer(&image.program)?;
        let layer = archive.blob("application/vnd.oci.image.layer.v1.tar", &layer)?;
        let config = serde_json::to_vec(&config(&layer["digest"]))?;
        let config = archive.blob("application/vnd.oci.image.config.v1+json", &config)?;
        docker.push(json!({
            "Config": blob_path(&config), "RepoTags": [tag], "Layers": [blob_path(&layer)],
        }));
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer],
        }))?;
        let mut manifest = archive.blob(kind, &manifest)?;
        manifest["annotations"] = json!({
            "io.containerd.image.name": format!("docker.io/{tag}"),
            "org.opencontainers.image.ref.name": tag,
        });
        index.push(manifest);
    }
    archive.file("manifest.json", &serde_json::to_vec(&docker)?)?;
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.file("index.json", &oci::index_bytes(&index)?)?;
    archive.0.finish()?;
    Ok(())
}

/// The one layer: a directory for state and the program.
fn layer(program: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::with_capacity(program.len() + (8 << 10)));
    let mut folder = header(0, 0o700);
    folder.set_entry_type(tar::EntryType::Directory);
    layer.append_data(&mut folder, "data/", std::io::empty())?;
    let mut file = header(program.len(), 0o755);
    layer.append_data(&mut file, "siglab", program)?;
    Ok(layer.into_inner()?)
}

fn header(length: usize, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(length as u64);
    header.set_mode(mode);
    header.set_uid(USER);
    header.set_gid(USER);
    header.set_mtime(0);
    header
}

fn config(layer: &Value) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    json!({
        "created": MADE,
        "architecture": architecture,
        "os": "linux",
        "config": { "User": format!("{USER}:{USER}"), "Entrypoint": ["/siglab"] },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created": MADE, "created_by": "siglab images" }],
    })
}

fn blob_path(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}

/// The archive that is being written.
struct Archive<W: Write>(tar::Builder<W>);

impl<W: Write> Archive<W> {
    fn file(&mut self, path: &str, bytes: &[u8]) -> std::io::Result<()> {
        self.0
            .append_data(&mut header(bytes.len(), 0o644), path, bytes)
    }

    /// Writes a blob and returns its descriptor.
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> std::io::Result<Value> {
        let digest = Digest::of(Algorithm::Sha256, bytes);
        let descriptor = json!({
            "mediaType": media_type, "digest": digest, "size": bytes.len(),
        });
        self.file(&blob_path(&descriptor), bytes)?;
        Ok(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use super::*;

    /// The head of an ELF file with one program header of this kind.
    fn program(kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = kind;
        bytes
    }

    fn images() -> Vec<Image> {
        let image = |name: &str| Image {
            name: format!("siglab/{name}"),
            program: [program(1), name.as_bytes().to_vec()].concat(),
        };
        vec![image("siglab"), image("fulcio")]
    }

    fn archived(images: &[Image]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(images, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_program_that_needs_a_loader_is_no_image() {
        assert!(is_static(&program(1)));
        assert!(!is_static(&program(3)));
        assert!(!is_static(b"#!/bin/sh\n"));
        assert!(!is_static(&program(1)[..60]));
        let folder = tempfile::tempdir().unwrap();
        let refused = |folder: &Path| format!("{:#}", found(folder).err().unwrap());
        assert!(refused(folder.path()).contains("no program of siglab in"));
        runtime::files::replace(&folder.path().join("siglab-tsa"), &program(3)).unwrap();
        assert!(refused(folder.path()).contains("siglab-tsa needs libraries"));
    }

    #[test]
    fn the_same_programs_give_the_same_bytes() {
        assert_eq!(archived(&images()), archived(&images()));
    }

    #[test]
    fn both_tables_of_contents_lead_to_the_same_blobs() {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(&archived(&images())[..])
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), bytes);
        }
        let read = |path: &str| serde_json::from_slice::<Value>(&files[path]).unwrap();
        let docker = read("manifest.json");
        let index = read("index.json");
        for (number, name) in ["siglab/siglab:latest", "siglab/fulcio:latest"]
            .iter()
            .enumerate()
        {
            let descriptor = &index["manifests"][number];
            let named = &descriptor["annotations"]["org.opencontainers.image.ref.name"];
            assert_eq!(named, name);
            assert_eq!(docker[number]["RepoTags"], json!([name]));
            let manifest = read(&blob_path(descriptor));
            let config = &docker[number]["Config"];
            assert_eq!(config, &blob_path(&manifest["config"]));
            let layer = &manifest["layers"][0];
            assert_eq!(docker[number]["Layers"], json!([blob_path(layer)]));
            let config = read(config.as_str().unwrap());
            assert_eq!(config["rootfs"]["diff_ids"][0], layer["digest"]);
        }
        for (path, bytes) in files
            .iter()
            .filter(|(path, _)| path.starts_with("blobs/sha256/"))
        {
            assert!(
                path.ends_with(Digest::of(Algorithm::Sha256, bytes).hex()),
                "{path}"
            );
        }
    }
}
