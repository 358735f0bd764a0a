#![doc = include_str!("../README.md")]

pub mod blocking;
mod lab;
mod reactor;

pub use lab::{Builder, Lab};
pub use runtime::Clock;
