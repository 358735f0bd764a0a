//! ClusterImagePolicy: its model, defaults, validation, conversion, and what it applies to.

mod convert;
mod default;
mod glob;
mod model;
mod select;
mod validate;

pub(crate) use convert::convert;
pub(crate) use default::{default_policy, default_trust_root, patch};
pub(crate) use glob::Glob;
pub(crate) use model::{
    Attestation, Authority, ClusterImagePolicy, Document, KeyRef, Keyless, Policy, Spec,
    decode_leniently, decode_strictly, null_is_default,
};
pub(crate) use select::{Subject, applies};
pub(crate) use validate::{Limits, go_url_error, validate};
