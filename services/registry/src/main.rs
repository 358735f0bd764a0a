//! The registry as a binary of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main::<registry::Service>()
}
