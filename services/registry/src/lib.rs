#![doc = include_str!("../README.md")]

mod api;
mod auth;
mod config;
mod error;
mod service;
mod store;

pub use config::{
    Access, Action, AuthConfig, Config, Grant, ReferencesMode, ReferrersMode, Scheme, TlsConfig,
};
pub use error::Error;
pub use service::{Service, fsck, gc};
pub use store::{Fault, FsckReport, GcOptions, GcReport, Progress};
