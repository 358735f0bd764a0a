#![doc = include_str!("../README.md")]

mod api;
mod collect;
mod config;
mod directory;
mod error;
mod repository;
mod service;
mod store;
mod trust;

pub use config::Config;
pub use error::Error;
pub use service::Service;
