//! `siglab`: a whole Sigstore in one command.

mod admit;
mod airgap;
mod arguments;
mod bench;
mod client;
mod demo;
mod environment;
mod image;
mod log;
mod maintenance;
mod manifests;
mod output;
mod progress;
mod sign;
mod status;
mod token;
mod trust;
mod up;
mod verify;

use std::process::ExitCode;

use arguments::{Arguments, Command, RegistryCommand};
use clap::{CommandFactory as _, Parser as _};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let reactor = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(reactor) => reactor,
        Err(error) => return output::fail(&error.into()),
    };
    match reactor.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) => output::fail(&error),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let lab = arguments.lab;
    let done = match arguments.command {
        Command::Admit(options) => return admit::run(&lab, &options).await,
        Command::Demo(options) => return demo::run(&options).await,
        Command::BenchSign(options) => bench::run(&lab, &options).await,
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "siglab", &mut std::io::stdout());
            Ok(())
        }
        Command::Export(options) => airgap::run_export(&lab, &options).await,
        Command::Fsck(options) => maintenance::fsck(&options),
        Command::Health(options) => up::health(options).await,
        Command::Import(options) => airgap::run_import(&lab, &options).await,
        Command::Log(options) => log::run(&lab, &options).await,
        Command::Man { dir } => {
            runtime::files::create_dirs(&dir)?;
            Ok(clap_mangen::generate_to(Arguments::command(), dir)?)
        }
        Command::Registry(options) => match options.command {
            RegistryCommand::Gc(options) => maintenance::gc(&options),
        },
        Command::Env(options) => environment::run(&lab, &options).await,
        Command::Sign(options) => sign::run(&lab, &options).await,
        Command::Status(options) => status::run(&lab, &options).await,
        Command::Token(options) => token::run(&lab, &options).await,
        Command::Manifests(command) => manifests::run(&lab, &command).await,
        Command::Trust(options) => trust::run(&lab, &options).await,
        Command::Up(options) => up::run(options).await,
        Command::Verify(options) => return verify::run(&lab, &options).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}
