//! Archives moved between registries, and archives that are refused.

mod credentials;
mod fixture;
mod foreign;
mod hostile;
mod transfer;
mod unreliable;
mod vectors;
