//! Offline verification of Sigstore signatures, with a reason for every answer.
//!
//! A signature (a bundle, or cosign's legacy annotations) is checked against a trusted root and against
//! who must have signed: the signature itself, the log entry and that it is about this signature, the
//! log's promise, inclusion proof and checkpoint, RFC 3161 timestamps, the certificate's chain at every
//! verified time, its SCT, its identity. Every step leaves a record of what was expected and what was
//! there. Nothing here reads a clock, a file or the network, and nothing is shared with what signs.

mod certificate;
mod claim;
mod error;
mod identity;
mod legacy;
mod log;
mod material;
mod regexp;
mod step;
mod timestamp;
mod trust;
mod verifier;

pub use certificate::SignerIdentity;
pub use claim::{SIGN_PREDICATE, Statement, predicate_type};
pub use error::{AuthorityGap, ClaimError, Error, LogError, SctGap, TimestampError, TrustError};
pub use identity::{Difference, Identity, Pattern};
pub use legacy::{
    Annotations, check_statement, verify_legacy_attestation, verify_legacy_signature,
};
pub use material::Artifact;
pub use regexp::{GoRegexp, RegexpError};
pub use step::{Outcome, Report, Step};
pub use trust::Trust;
pub use verifier::{Requirements, Signer, Verified, verify_bundle};
