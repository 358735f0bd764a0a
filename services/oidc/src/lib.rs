#![doc = include_str!("../README.md")]

mod api;
mod config;
mod error;
mod grant;
mod hostile;
mod jwt;
mod page;
mod params;
mod pending;
mod preset;
mod service;
mod token;

pub use config::{Config, Impersonation};
pub use error::Error;
pub use preset::Preset;
pub use service::Service;
