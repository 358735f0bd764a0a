//! X.509 certificates as Sigstore uses them: read, checked against a chain, and built.
//!
//! Reading keeps the bytes as they came (a signature and an SCT are over bytes, not over a model) and
//! is bounded in size and depth. Building writes exactly the profiles that siglab needs: certificate
//! authorities, end entities with a subject, and Fulcio's ten-minute leaf with its precertificate.
//! Nothing here reads a clock, a file or the network; every check takes the time as an argument.

mod authority;
mod certificate;
mod chain;
mod constraints;
mod error;
mod extensions;
mod fulcio;
mod leaf;
pub mod oid;
pub mod public_instance;
mod request;
mod san;
mod sct;
pub mod tlv;

pub use authority::{AuthorityBuilder, EndEntityBuilder, Name, random_serial};
pub use certificate::{Certificate, Extension, KeyUsage, MAX_DER_BYTES};
pub use chain::{MAX_CHAIN_LENGTH, verify_chain};
pub use der::asn1::ObjectIdentifier;
pub use error::Error;
pub use fulcio::{Encoding, FulcioExtensions, FulcioField};
pub use leaf::{LeafTemplate, Precertificate};
pub use request::CertificateRequest;
pub use san::San;
pub use sct::{Sct, SignedEntry};
