//! The Update Framework 1.0: metadata of the roles root, timestamp, snapshot and targets, built and
//! verified. No files and no network: [`TrustedMetadata`] is fed the bytes that a client fetched, and time
//! is a parameter.
//!
//! Signatures are over OLPC canonical JSON (section 4.2 of the specification), as go-tuf, python-tuf and
//! tuf-js compute it: object members sorted, no white space, and in strings only `\` and `"` escaped, so
//! that the line breaks of a PEM key stay line breaks. It is not RFC 8785.

mod canonical;
mod envelope;
mod error;
mod key;
mod roles;
mod trusted;

pub use canonical::canonical_json;
pub use envelope::{Envelope, sign};
pub use error::Error;
pub use key::{Key, KeyId};
pub use roles::{
    FileMeta, Hashes, Role, RoleKeys, RoleType, Root, Snapshot, TargetFile, Targets, Timestamp,
    whole_seconds,
};
pub use trusted::{Limits, TrustedMetadata, Updater};
