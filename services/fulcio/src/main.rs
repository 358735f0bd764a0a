//! The lone binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main::<fulcio::Service>()
}
