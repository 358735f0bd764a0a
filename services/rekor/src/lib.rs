#![doc = include_str!("../README.md")]

mod api;
mod config;
mod error;
mod ids;
mod intake;
mod search;
mod service;
mod store;
mod tree;
mod work;

pub use config::{Algorithm, Config, EntryType, LogKey, Operation, V1Config, V2Config};
pub use error::Error;
pub use search::IndexCheck;
pub use service::Service;
