//! What a registry reads in a manifest: its kind, what it refers to, and what it is about.
//!
//! The order of the checks is that in which a client must see their errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{Descriptor, ManifestError, media_type};

/// Below the recursion limit of common JSON readers; real manifests have fewer than ten levels.
const LEVELS_MAX: usize = 100;

/// What to do with a JSON manifest of a media type that is none of the four known ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opaque {
    /// Accept any `application/…+json`.
    Accept,
    /// Refuse it.
    Refuse,
}

/// The two shapes of manifests, and everything else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ManifestKind {
    /// `config` and `layers`.
    Image,
    /// `manifests`.
    Index,
    /// JSON of another type, whose references are not known.
    Opaque,
}

/// A view of a manifest's bytes.
#[derive(Clone, Debug)]
pub struct Manifest {
    kind: ManifestKind,
    media_type: String,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    manifests: Vec<Descriptor>,
    subject: Option<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: Option<Value>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    config: Option<WireDescriptor>,
    layers: Option<Vec<WireDescriptor>>,
    manifests: Option<Vec<WireDescriptor>>,
    subject: Option<WireDescriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireDescriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: i64,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    other: serde_json::Map<String, Value>,
}

impl WireDescriptor {
    fn read(self) -> Result<Descriptor, ManifestError> {
        let digest = self
            .digest
            .parse()
            .map_err(ManifestError::DescriptorDigest)?;
        let size = u64::try_from(self.size).map_err(|_| ManifestError::DescriptorSize)?;
        Ok(Descriptor {
            media_type: self.media_type,
            digest,
            size,
            artifact_type: self.artifact_type,
            annotations: self.annotations,
            other: self.other,
        })
    }
}

impl Manifest {
    /// Reads `bytes` that came with `content_type` (parameters are ignored, empty means unknown).
    ///
    /// # Errors
    /// The first rule that the manifest breaks.
    pub fn parse(
        bytes: &[u8],
        content_type: Option<&str>,
        opaque: Opaque,
    ) -> Result<Self, ManifestError> {
        check_depth(bytes)?;
        let wire: Wire = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        let header = content_type
            .map(media_type::without_parameters)
            .filter(|h| !h.is_empty());
        let media_type = wire.media_type_given(header)?;
        let kind = kind_of(&media_type, opaque)?;
        if kind != ManifestKind::Opaque {
            wire.check_shape(kind, &media_type)?;
        }
        let many = |field: Option<Vec<WireDescriptor>>| {
            let descriptors = field.unwrap_or_default().into_iter();
            descriptors
                .map(WireDescriptor::read)
                .collect::<Result<Vec<_>, _>>()
        };
        let one = |field: Option<WireDescriptor>| field.map(WireDescriptor::read).transpose();
        let is_opaque = kind == ManifestKind::Opaque;
        Ok(Self {
            kind,
            media_type,
            artifact_type: wire.artifact_type.filter(|text| !text.is_empty()),
            annotations: wire.annotations,
            config: if is_opaque { None } else { one(wire.config)? },
            layers: if is_opaque {
                Vec::new()
            } else {
                many(wire.layers)?
            },
            manifests: if is_opaque {
                Vec::new()
            } else {
                many(wire.manifests)?
            },
            subject: one(wire.subject)?,
        })
    }

    /// Which shape it has.
    #[must_use]
    pub const fn kind(&self) -> ManifestKind {
        self.kind
    }

    /// Media type, without parameters.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The artifact type that a referrers list shows: `artifactType`, else an image's
    /// `config.mediaType`, else nothing (distribution-spec "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&str> {
        self.artifact_type.as_deref().or_else(|| {
            let config = self
                .config
                .as_ref()
                .filter(|_| self.kind == ManifestKind::Image)?;
            Some(config.media_type.as_str()).filter(|media_type| !media_type.is_empty())
        })
    }

    /// Annotations of the manifest itself.
    #[must_use]
    pub const fn annotations(&self) -> Option<&BTreeMap<String, String>> {
        self.annotations.as_ref()
    }

    /// `config` of an image.
    #[must_use]
    pub const fn config(&self) -> Option<&Descriptor> {
        self.config.as_ref()
    }

    /// `layers` of an image.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// `manifests` of an index.
    #[must_use]
    pub fn manifests(&self) -> &[Descriptor] {
        &self.manifests
    }

    /// The blobs an image needs: `config` and `layers`.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        self.config.iter().chain(&self.layers)
    }

    /// The manifest that this one is about. It need not exist.
    #[must_use]
    pub const fn subject(&self) -> Option<&Descriptor> {
        self.subject.as_ref()
    }
}

impl Wire {
    fn media_type_given(&self, header: Option<&str>) -> Result<String, ManifestError> {
        let body = self.media_type.as_deref().filter(|text| !text.is_empty());
        // A foreign artifact may number its schema as it likes, or not at all.
        let is_two = self.schema_version.as_ref().and_then(Value::as_u64) == Some(2);
        let known = header
            .or(body)
            .is_none_or(|name| kind_of(name, Opaque::Refuse).is_ok());
        if !is_two && (known || self.schema_version.is_some()) {
            return Err(ManifestError::SchemaVersion);
        }
        match (header, body) {
            (Some(header), Some(body)) if header != body => {
                let (body, header) = (body.to_owned(), header.to_owned());
                Err(ManifestError::MediaTypeMismatch { body, header })
            }
            (Some(given), _) | (None, Some(given)) => Ok(given.to_owned()),
            (None, None) if self.manifests.is_some() => Ok(media_type::IMAGE_INDEX.to_owned()),
            (None, None) if self.layers.is_some() || self.config.is_some() => {
                Ok(media_type::IMAGE_MANIFEST.to_owned())
            }
            (None, None) => Err(ManifestError::UnknownMediaType),
        }
    }

    /// One kind must not carry the other's fields, or two clients read two images out of the same
    /// bytes (image-spec, GHSA-77vh-xpmg-72qh).
    fn check_shape(&self, kind: ManifestKind, media_type: &str) -> Result<(), ManifestError> {
        let foreign = |field| ManifestError::ForeignField {
            media_type: media_type.to_owned(),
            field,
        };
        let missing = |field| ManifestError::MissingField {
            media_type: media_type.to_owned(),
            field,
        };
        match kind {
            ManifestKind::Image if self.manifests.is_some() => Err(foreign("manifests")),
            ManifestKind::Image if self.config.is_none() => Err(missing("config")),
            ManifestKind::Index if self.config.is_some() => Err(foreign("config")),
            ManifestKind::Index if self.layers.is_some() => Err(foreign("layers")),
            ManifestKind::Index if self.manifests.is_none() => Err(missing("manifests")),
            _ => Ok(()),
        }
    }
}

/// Refuses deep nesting also in fields that are skipped here: whoever pulls the bytes reads them too.
fn check_depth(bytes: &[u8]) -> Result<(), ManifestError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > LEVELS_MAX {
            return Err(ManifestError::TooDeep {
                levels_max: LEVELS_MAX,
            });
        }
    }
    Ok(())
}

fn kind_of(media_type: &str, opaque: Opaque) -> Result<ManifestKind, ManifestError> {
    match media_type {
        media_type::IMAGE_MANIFEST | media_type::DOCKER_MANIFEST => Ok(ManifestKind::Image),
        media_type::IMAGE_INDEX | media_type::DOCKER_MANIFEST_LIST => Ok(ManifestKind::Index),
        other if opaque == Opaque::Accept && is_json(other) => Ok(ManifestKind::Opaque),
        other => Err(ManifestError::UnsupportedMediaType {
            media_type: other.to_owned(),
        }),
    }
}

fn is_json(name: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    name.strip_prefix("application/").is_some_and(|subtype| {
        subtype.ends_with("+json") && subtype.bytes().all(token) && !media_type::is_schema1(name)
    })
}

#[cfg(test)]
mod tests;
