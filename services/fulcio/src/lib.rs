#![doc = include_str!("../README.md")]
//! The crate is the certificate authority alone: the issuer of tokens and the log are other services,
//! known by URL.

mod api;
mod authority;
mod config;
mod ctlog;
mod error;
mod go_url;
mod grpc;
mod guard;
mod identity;
mod issuers;
mod json;
mod keyset;
mod proof;
mod service;
mod store;
mod template;
mod token;

pub use config::Config;
pub use error::Error;
pub use service::Service;
