//! Archives of `docker save` without an OCI layout: `manifest.json`, configurations and uncompressed
//! layers. They have no manifests, so each image gets one here.
//!
//! The same list beside an OCI layout lets `docker load` take an archive of ours.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use bytes::Bytes;
use oci::{Algorithm, Descriptor, Digest, DigestHasher, ImageReference, Opaque, media_type};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Limits, Warning,
    archive::{Archive, Entry},
    content::{CHUNK, Content},
    layout::{self, Kind, Listing, Name, Root},
    options::{LIST_BYTES_MAX, MANIFEST_BYTES_MAX},
    walk::Found,
};

pub(crate) const MANIFEST: &str = "manifest.json";

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<Digest>,
}

/// An image manifest in the order of fields of image-spec, so that the same archive always gives the
/// same digest.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Makes a manifest for every image of the archive.
pub(crate) fn read(
    archive: &Archive,
    limits: &Limits,
    warnings: &mut Vec<Warning>,
) -> Result<Listing, Error> {
    let images: Vec<Image> = archive
        .json(MANIFEST, LIST_BYTES_MAX)?
        .ok_or(Error::NoImages)?;
    let mut listing = Listing {
        contents: BTreeMap::new(),
        roots: Vec::new(),
    };
    for image in &images {
        let manifest = manifest(archive, image, limits, &mut listing.contents)?;
        let bytes = Bytes::from(serde_json::to_vec(&manifest).expect("strings and numbers"));
        let digest = Digest::of(Algorithm::Sha256, &bytes);
        let size = bytes.len() as u64;
        listing
            .contents
            .insert(digest.clone(), (Content::Memory(bytes), true));
        let descriptor = Descriptor::new(media_type::IMAGE_MANIFEST, digest.clone(), size);
        let mut named = false;
        for text in image.repo_tags.iter().flatten() {
            let reference: ImageReference = text.parse().map_err(|source| Error::Reference {
                text: text.clone(),
                source,
            })?;
            let repository = reference.repository().clone();
            let name = Name::Full {
                repository,
                tag: reference.tag().cloned(),
            };
            let descriptor = descriptor.clone();
            listing.roots.push(Root {
                descriptor,
                name,
                kind: Kind::Image,
            });
            named = true;
        }
        if !named {
            listing.roots.push(Root {
                descriptor,
                name: Name::Nothing,
                kind: Kind::Image,
            });
        }
        warnings.push(Warning::Synthesised { digest });
    }
    Ok(listing)
}

/// The list of the images that docker can hold, each made of blobs of the layout; `None` when there are
/// none. An index stands for its image of [`PLATFORMS`], or else for its first.
pub(crate) fn list(found: &Found) -> Option<Vec<u8>> {
    let mut images: Vec<Image> = Vec::new();
    for exported in &found.images {
        let Some(image) = loadable(found, &exported.digest) else {
            continue;
        };
        let name = exported
            .reference
            .replacen("index.docker.io/", "docker.io/", 1);
        let tag = (!name.contains('@')).then_some(name);
        let same =
            |other: &&mut Image| other.config == image.config && other.layers == image.layers;
        match images.iter_mut().find(same) {
            Some(same) => same.repo_tags.get_or_insert_default().extend(tag),
            None => images.push(Image {
                repo_tags: tag.map(|tag| vec![tag]),
                ..image
            }),
        }
    }
    if images.is_empty() {
        return None;
    }
    Some(serde_json::to_vec(&images).expect("strings"))
}

/// Platforms in the order in which one is chosen.
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn loadable(found: &Found, digest: &Digest) -> Option<Image> {
    let parse = |digest: &Digest| {
        let bytes = found.manifests.get(digest)?;
        oci::Manifest::parse(bytes, None, Opaque::Refuse).ok()
    };
    let top = parse(digest)?;
    let mut children: Vec<&Descriptor> = top.manifests().iter().collect();
    children.sort_by_key(|child| {
        let platform = child
            .platform()
            .map(|it| format!("{}/{}", it.os(), it.architecture()));
        PLATFORMS
            .iter()
            .position(|known| platform.as_deref() == Some(known))
            .unwrap_or(usize::MAX)
    });
    std::iter::once(digest)
        .chain(children.iter().map(|child| &child.digest))
        .filter_map(parse)
        .find_map(|manifest| image(found, &manifest))
}

/// An image whose configuration is docker's or image-spec's and whose layers are all there.
fn image(found: &Found, manifest: &oci::Manifest) -> Option<Image> {
    let config = manifest.config()?;
    let is_runnable =
        [media_type::IMAGE_CONFIG, media_type::DOCKER_CONFIG].contains(&config.media_type.as_str());
    let is_there = |blob: &Descriptor| {
        found
            .blobs
            .get(&blob.digest)
            .is_some_and(|blob| !blob.may_be_absent)
    };
    if !is_runnable || !manifest.blobs().all(is_there) {
        return None;
    }
    let layers = manifest.layers().iter();
    Some(Image {
        config: layout::blob_name(&config.digest),
        repo_tags: None,
        layers: layers
            .map(|layer| layout::blob_name(&layer.digest))
            .collect(),
    })
}

fn manifest(
    archive: &Archive,
    image: &Image,
    limits: &Limits,
    contents: &mut BTreeMap<Digest, (Content, bool)>,
) -> Result<Manifest, Error> {
    let entry = file(archive, &image.config)?;
    check_name(&image.config, &entry.digest)?;
    let config: Config = archive
        .json(&image.config, MANIFEST_BYTES_MAX)?
        .ok_or(Error::NoImages)?;
    let diff_ids = config.rootfs.diff_ids;
    if diff_ids.len() != image.layers.len() {
        return Err(Error::LayerCount {
            config: image.config.clone(),
            listed: image.layers.len(),
            configured: diff_ids.len(),
        });
    }
    let mut keep = |media_type: &str, entry: &Entry| {
        let (digest, size) = (entry.digest.clone(), entry.content.size());
        contents.insert(digest.clone(), (entry.content.clone(), false));
        Descriptor::new(media_type, digest, size)
    };
    let config = keep(media_type::IMAGE_CONFIG, entry);
    let mut layers = Vec::new();
    for (name, diff_id) in image.layers.iter().zip(&diff_ids) {
        let layer = file(archive, name)?;
        check_layer(name, layer, diff_id, limits)?;
        layers.push(keep(if layer.is_gzip { LAYER_GZIP } else { LAYER }, layer));
    }
    let media_type = media_type::IMAGE_MANIFEST;
    Ok(Manifest {
        schema_version: 2,
        media_type,
        config,
        layers,
    })
}

fn file<'a>(archive: &'a Archive, name: &str) -> Result<&'a Entry, Error> {
    let target = archive.links.get(name).map_or(name, String::as_str);
    archive
        .entries
        .get(target)
        .ok_or_else(|| Error::MissingFile {
            entry: name.to_owned(),
        })
}

/// Configurations are named by their digest: `HEX.json`, `sha256:HEX` or `blobs/sha256/HEX`.
fn check_name(name: &str, actual: &Digest) -> Result<(), Error> {
    let stem = name.strip_suffix(".json").unwrap_or(name);
    let hex = stem.rsplit(['/', ':']).next().unwrap_or_default();
    match Digest::from_parts(Algorithm::Sha256, hex) {
        Ok(expected) if actual.algorithm() == Algorithm::Sha256 && expected != *actual => {
            let item = format!("entry {name:?}");
            Err(Error::DigestMismatch {
                item,
                expected,
                actual: actual.clone(),
            })
        }
        _ => Ok(()),
    }
}

/// A layer's digest uncompressed must be the one that the configuration lists.
fn check_layer(name: &str, layer: &Entry, diff_id: &Digest, limits: &Limits) -> Result<(), Error> {
    let is_known = !layer.is_gzip && layer.digest.algorithm() == diff_id.algorithm();
    let actual = if is_known {
        layer.digest.clone()
    } else {
        let reader = layer.content.reader().map_err(Error::file("read", name))?;
        if layer.is_gzip {
            let decoder = flate2::read::MultiGzDecoder::new(io::BufReader::new(reader));
            digest(name, decoder, diff_id.algorithm(), limits)?
        } else {
            digest(name, reader, diff_id.algorithm(), limits)?
        }
    };
    if actual == *diff_id {
        Ok(())
    } else {
        let item = format!("layer {name:?}");
        Err(Error::DigestMismatch {
            item,
            expected: diff_id.clone(),
            actual,
        })
    }
}

fn digest(
    name: &str,
    mut reader: impl Read,
    algorithm: Algorithm,
    limits: &Limits,
) -> Result<Digest, Error> {
    let mut hasher = DigestHasher::new(algorithm);
    let mut buffer = vec![0; CHUNK];
    let mut total = 0_u64;
    loop {
        let read = reader
            .read(&mut buffer)
            .map_err(|source| Error::Compression {
                path: name.into(),
                source,
            })?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        total += read as u64;
        let size_max = limits.entry_bytes_max;
        if total > size_max {
            return Err(Error::EntryTooLarge {
                entry: name.to_owned(),
                size: total,
                size_max,
            });
        }
        hasher.update(&buffer[..read]);
    }
}
