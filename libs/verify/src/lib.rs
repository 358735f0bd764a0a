#![doc = include_str!("../README.md")]

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
