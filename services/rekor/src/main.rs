//! The lone binary.

fn main() -> std::process::ExitCode {
    runtime::main::<rekor::Service>()
}
