//! What the cross-service suites stand on: the whole stack in this process, the real program in a process
//! of its own, and foreign clients, each with a home of its own and no way out of this machine.

mod apart;
mod clients;
pub mod documents;
mod keyless;
mod lab;
mod program;
mod run;
mod terminal;
mod world;

pub use clients::{Client, client, tool};
pub use lab::{Lab, Log, fsck};
pub use program::{Siglab, siglab};
pub use run::{Outcome, Sandbox, Started};
pub use terminal::Terminal;
