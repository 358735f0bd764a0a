#![doc = include_str!("../README.md")]

mod api;
mod authority;
mod budget;
mod cache;
mod cluster;
mod config;
mod decision;
mod discovery;
mod documents;
mod error;
mod field_error;
pub mod lint;
pub mod manifests;
mod policy;
mod record;
mod registry;
mod rego;
mod review;
mod service;
mod store;
mod tls;
mod trust;
mod trust_root;
mod workload;

pub use config::{Config, NoMatchPolicy, PolicyCombination};
pub use error::Error;
pub use record::{Attempt, AuthorityDecision, Decision, ImageDecision, PolicyDecision};
pub use service::Service;
