#![doc = include_str!("../README.md")]

mod api;
mod config;
mod error;
mod json;
mod service;
mod store;

pub use config::Config;
pub use error::Error;
pub use service::Service;
