#![doc = include_str!("../README.md")]

mod api;
mod chain;
mod config;
mod error;
mod issuers;
mod leaf;
mod roots;
mod service;

pub use chain::ChainError;
pub use config::Config;
pub use error::{BodyError, Error, ParameterError};
pub use issuers::IssuerCheck;
pub use service::Service;
