//! OCI formats: names, digests, media types, descriptors, manifests and the referrers index.
//!
//! Everything here works on bytes and strings that somebody else read. Stored bytes are never
//! written again from a parsed form: a manifest is its bytes, and what is parsed is a view of them.

mod descriptor;
mod digest;
mod error;
mod image_reference;
mod index;
mod manifest;
pub mod media_type;
mod name;

pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestHasher};
pub use error::{DigestError, ImageReferenceError, ManifestError, NameError};
pub use image_reference::ImageReference;
pub use index::{fallback_subject, fallback_tag, index_bytes, referrer_descriptor};
pub use manifest::{Manifest, ManifestKind, Opaque};
pub use name::{Reference, ReferenceError, RepositoryName, Tag};
