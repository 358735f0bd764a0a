//! Archives moved between registries, and archives that are refused.

mod credentials;
mod fixture;
mod foreign;
mod hostile;
mod selection;
mod transfer;
mod unreliable;
mod vectors;
