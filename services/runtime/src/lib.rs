//! What every service stands on: one trait, one context, one way to be bound, opened and served.
//!
//! Phases are always bind → open → serve. [`Endpoint`]s are bound first, so that with port 0 every
//! URL is known before any service is built; then each [`Service`] is opened with a [`Context`], and
//! last its routers are served until the caller stops them. The caller owns listeners and shutdown.

mod admin;
mod blobs;
pub mod certificates;
mod clock;
mod context;
mod endpoint;
pub mod files;
mod host;
pub mod http;
mod index;
pub mod jwt;
pub mod keys;
mod lone;
mod problems;
mod service;
pub mod settings;
pub mod tls;
mod trust;

pub use admin::{Admin, ServiceStatus};
pub use blobs::{BlobError, Blobs, DirectoryBlobs, Failure, FaultyBlobs, MemoryBlobs};
pub use clock::Clock;
pub use context::{Context, Tasks, Urls};
pub use endpoint::Endpoint;
pub use host::{Host, Opened, Plan, Running};
pub use index::Index;
pub use lone::{health, interrupted, main};
pub use problems::{init_tracing, log_internal};
pub use service::{Figure, FigureKind, KNOWN, Listener, Service};
pub use trust::{CertificateAuthority, ServiceRole, ServiceUrl, TransparencyLog, Trust};
