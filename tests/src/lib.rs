//! What the cross-service suites stand on: the real program in a process of its own, and foreign clients,
//! each with a home of its own and no way out of this machine.

mod apart;
mod clients;
mod program;
mod run;

pub use clients::{Client, client};
pub use program::Siglab;
pub use run::{Outcome, Sandbox};
