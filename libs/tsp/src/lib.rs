//! RFC 3161 timestamps: requests, responses, and the checking of tokens.
//!
//! Time and serial numbers are arguments: nothing here reads a clock or draws randomness. Reading is strict
//! DER, bounded in size, and keeps the bytes that a signature covers as they came.

mod error;
mod imprint;
mod info;
mod oid;
mod request;
mod response;
mod time;
mod token;

pub use error::Error;
pub use imprint::MessageImprint;
pub use info::TstInfo;
pub use request::{REQUEST_BYTES_MAX, TimestampRequest};
pub use response::{Authority, Stamp};
pub use token::{TOKEN_BYTES_MAX, TimestampToken};
