//! Sigstore's documents as JSON: bundle, log entry, trusted root, signing config, client trust config.
//!
//! A serde model of the protobuf-specs messages that siglab writes and reads, exact to protobuf's JSON
//! mapping: camelCase names, 64-bit integers as strings, bytes as base64, enumerations by name. Reading
//! takes what that mapping takes (snake_case names, integers as numbers, URL-safe or unpadded base64,
//! `null` for absent) and refuses unknown names, as the Go and Python clients do. Nothing here verifies
//! anything.

mod bundle;
mod encoding;
mod enums;
mod error;
mod log_entry;
mod signing_config;
mod trust_root;
mod trusted_root;

pub use bundle::{
    Bundle, Content, DsseEnvelope, DsseSignature, HashOutput, MessageSignature, SigningMaterial,
    VerificationMaterial, Version,
};
pub use enums::{HashAlgorithm, KeyDetails, ServiceSelector};
pub use error::Error;
pub use log_entry::{InclusionProof, KindVersion, LogId, TransparencyLogEntry};
pub use signing_config::{ClientTrustConfig, Service, ServiceConfiguration, SigningConfig};
pub use trust_root::trust_root_head;
pub use trusted_root::{
    CertificateAuthority, DistinguishedName, PublicKey, TransparencyLog, TrustedRoot,
    ValidityPeriod,
};
