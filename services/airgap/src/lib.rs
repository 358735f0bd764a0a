#![doc = include_str!("../README.md")]

mod archive;
mod challenge;
mod content;
mod digests;
mod docker_archive;
mod endpoints;
mod error;
mod export;
mod graph;
mod import;
mod layout;
mod options;
mod plan;
mod platform;
mod progress;
mod push;
mod remote;
mod report;
mod source;
mod tar_reader;
mod tar_writer;
mod walk;

pub use endpoints::{Credentials, Endpoints};
pub use error::Error;
pub use export::export;
pub use import::{check, import};
pub use options::{ExportOptions, ImportOptions, Limits, NameRule};
pub use platform::{Platform, PlatformError};
pub use progress::{OnProgress, Phase, Progress};
pub use report::{ExportReport, ExportedImage, ImportReport, ImportedImage, Nameless, Warning};
