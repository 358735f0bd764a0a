//! One enum per kind of thing that can be wrong; each variant is one rule broken.

use crate::Algorithm;

/// A repository name or a tag that breaks the grammar of distribution-spec.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NameError {
    /// The repository name does not match the grammar.
    #[error("repository name does not match the grammar of distribution-spec")]
    RepositoryGrammar,
    /// The repository name has more than 255 characters.
    #[error("repository name has {length} characters, at most 255 are allowed")]
    RepositoryTooLong {
        /// Its length.
        length: usize,
    },
    /// The tag does not match `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
    #[error("tag does not match [a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}")]
    TagGrammar,
}

/// A digest that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:encoded`.
    #[error("digest is not of the form algorithm:encoded")]
    Grammar,
    /// The algorithm is neither `sha256` nor `sha512`.
    #[error("digest algorithm {algorithm:?} is not supported, sha256 and sha512 are")]
    UnsupportedAlgorithm {
        /// The algorithm as written.
        algorithm: String,
    },
    /// The encoded part is not lower-case hexadecimal of the algorithm's length.
    #[error("{algorithm} digest must have {} lower-case hexadecimal digits", .algorithm.hex_chars())]
    Encoding {
        /// The algorithm.
        algorithm: Algorithm,
    },
}

/// An image reference as a client writes it that cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ImageReferenceError {
    /// The reference is empty.
    #[error("image reference is empty")]
    Empty,
    /// The registry is not `host` or `host:port`.
    #[error("registry {registry:?} is not a host with an optional port")]
    Registry {
        /// The part that was taken for a registry.
        registry: String,
    },
    /// The repository or the tag breaks the grammar.
    #[error("image reference names no repository")]
    Name(#[from] NameError),
    /// The digest cannot be used.
    #[error("image reference has no usable digest")]
    Digest(#[from] DigestError),
}

/// A manifest that is refused before its references are looked at.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not a JSON object of the expected shape, or nested too deeply.
    #[error("manifest is not the JSON that its media type promises")]
    Json(#[source] serde_json::Error),
    /// Objects and arrays are nested more deeply than readers must follow.
    #[error("manifest is nested deeper than {levels_max} levels")]
    TooDeep {
        /// The limit.
        levels_max: usize,
    },
    /// `schemaVersion` is not 2.
    #[error("schemaVersion must be 2")]
    SchemaVersion,
    /// `mediaType` in the body and the Content-Type differ.
    #[error("mediaType {body:?} in the manifest differs from Content-Type {header:?}")]
    MediaTypeMismatch {
        /// `mediaType` of the body.
        body: String,
        /// Content-Type without parameters.
        header: String,
    },
    /// No Content-Type, no `mediaType`, and nothing in the body that tells.
    #[error("media type of the manifest is neither given nor recognisable")]
    UnknownMediaType,
    /// A media type that is not a manifest's.
    #[error("media type {media_type:?} is not accepted for manifests")]
    UnsupportedMediaType {
        /// The media type as given.
        media_type: String,
    },
    /// An image manifest that has `manifests`, or an index that has `config` or `layers`.
    #[error("{media_type} must not have the field {field:?}")]
    ForeignField {
        /// Media type of the manifest.
        media_type: String,
        /// The field that belongs to the other kind.
        field: &'static str,
    },
    /// A field that the kind must have is missing.
    #[error("{media_type} must have the field {field:?}")]
    MissingField {
        /// Media type of the manifest.
        media_type: String,
        /// The field.
        field: &'static str,
    },
    /// A descriptor's digest cannot be used.
    #[error("a descriptor of the manifest has no usable digest")]
    DescriptorDigest(#[source] DigestError),
    /// A descriptor's size is negative.
    #[error("a descriptor of the manifest has a negative size")]
    DescriptorSize,
}
