//! What can be wrong with TUF metadata.

use crate::RoleType;

/// One rule of the specification broken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is longer than a client reads.
    #[error("{role} metadata has {got} bytes, at most {max} are read")]
    TooLarge {
        /// Role of the file.
        role: RoleType,
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// The file is not JSON of its role's shape.
    #[error("{role} metadata cannot be read")]
    Json {
        /// Role of the file.
        role: RoleType,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// Canonical JSON has no floating-point numbers.
    #[error("canonical JSON has no number {number}")]
    Number {
        /// The number as written.
        number: serde_json::Number,
    },
    /// The specification version is not 1.x.
    #[error("{role} metadata has specification version {got}, only 1.x is understood")]
    SpecVersion {
        /// Role of the file.
        role: RoleType,
        /// The version found.
        got: String,
    },
    /// Root names no keys for a role.
    #[error("root delegates nothing to {role}")]
    RoleMissing {
        /// The role.
        role: RoleType,
    },
    /// A threshold of 0 would trust anything.
    #[error("threshold of {role} is 0")]
    ThresholdZero {
        /// The role.
        role: RoleType,
    },
    /// Too few of the role's keys have signed.
    #[error("{role} metadata has {valid} valid signatures, {threshold} are needed")]
    Threshold {
        /// Role of the file.
        role: RoleType,
        /// Distinct keys whose signature verifies.
        valid: usize,
        /// Distinct keys needed.
        threshold: usize,
    },
    /// A root must be the successor of the trusted one.
    #[error("root has version {got}, {want} must come next")]
    RootVersion {
        /// Version of the file.
        got: u64,
        /// Version of the successor.
        want: u64,
    },
    /// The version went back: a rollback attack, or a repository restored from an older copy.
    #[error("{role} metadata went back from version {trusted} to {got}")]
    Rollback {
        /// Role of the file.
        role: RoleType,
        /// Version already trusted.
        trusted: u64,
        /// Version of the file.
        got: u64,
    },
    /// The version is another than the parent role lists.
    #[error("{role} metadata has version {got}, its parent lists {want}")]
    Version {
        /// Role of the file.
        role: RoleType,
        /// Version of the file.
        got: u64,
        /// Version listed.
        want: u64,
    },
    /// A file listed before is not listed any more.
    #[error("snapshot no longer lists {name}")]
    FileMissing {
        /// Name of the metadata file.
        name: String,
    },
    /// The length is another than listed.
    #[error("{name} has {got} bytes, {want} are listed")]
    Length {
        /// Name of the file.
        name: String,
        /// Its length.
        got: u64,
        /// Length listed.
        want: u64,
    },
    /// The SHA-256 digest is another than listed, or none is listed.
    #[error("{name} does not have the sha256 digest that is listed")]
    Digest {
        /// Name of the file.
        name: String,
    },
    /// The metadata is no longer valid.
    #[error("{role} metadata expired at {expires}")]
    Expired {
        /// Role of the file.
        role: RoleType,
        /// End of its validity.
        expires: jiff::Timestamp,
    },
    /// A step of the client workflow came before the one it stands on.
    #[error("{role} metadata is needed first")]
    Order {
        /// The role that is missing.
        role: RoleType,
    },
    /// No such target.
    #[error("no target {name}")]
    TargetMissing {
        /// Name asked for.
        name: String,
    },
    /// A key of the signer cannot be used.
    #[error("{role} metadata cannot be signed")]
    Sign {
        /// Role of the file.
        role: RoleType,
        /// Why.
        #[source]
        source: crypto::Error,
    },
}
