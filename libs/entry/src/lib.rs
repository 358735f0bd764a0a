//! Rekor's entry kinds: what a client proposes, what is verified, and the canonical bytes that are logged.
//!
//! [`v1`] knows `hashedrekord`, `dsse`, `intoto` and `rekord` as Rekor v1 takes them, [`v2`] knows
//! `hashedrekord` and `dsse` as rekor-tiles takes them. Both end in a canonical body (RFC 8785), whose
//! leaf hash names the entry. [`Body`] reads such a body back and writes it again, for a verifier that
//! compares it with a bundle. Messages of [`Error`] are the ones that clients of the real logs see.
//! Nothing here reads a clock, a file or the network, and no certificate is checked for trust or expiry.

pub mod body;
mod bounds;
mod canonical;
mod envelope;
mod error;
mod go;
mod pem;
mod signed;
pub mod v1;
pub mod v2;
mod verifier;

pub use body::{Body, Kind};
pub use bounds::json_is_bounded;
pub use canonical::{canonicalize, leaf_hash, set_payload};
pub use envelope::{Envelope, EnvelopeSignature, pae};
pub use error::Error;
pub use go::{decode_base64, decode_base64_url};
pub use verifier::Verifier;
