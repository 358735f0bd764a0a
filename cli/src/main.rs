//! `siglab`: a whole Sigstore in one command.

mod admit;
mod airgap;
mod arguments;
mod attest;
mod bench;
mod certificates;
mod client;
mod demo;
mod documents;
mod door;
mod environment;
mod explain;
mod image;
mod images;
mod lab;
mod log;
mod maintenance;
mod manifests;
mod output;
mod policy;
mod progress;
mod sign;
mod status;
mod token;
mod trust;
mod up;
mod verify;

use std::process::ExitCode;

use arguments::{Arguments, Command, RegistryCommand};
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};

fn main() -> ExitCode {
    let typed = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&typed).unwrap_or_else(|error| error.exit());
    let reactor = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(reactor) => reactor,
        Err(error) => return output::fail(&error.into(), "siglab help", false),
    };
    let as_json = arguments.common.json;
    let help = format!("siglab help {}", name_of_command(&typed));
    match reactor.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) => output::fail(&error, &help, as_json),
    }
}

/// The command that was typed, for its help.
fn name_of_command(typed: &ArgMatches) -> String {
    let mut names = Vec::new();
    let mut deeper = typed.subcommand();
    while let Some((name, options)) = deeper {
        names.push(name.to_owned());
        deeper = options.subcommand();
    }
    names.join(" ")
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let common = arguments.common;
    let done = match arguments.command {
        Command::Admit(options) => return admit::run(&common, &options).await,
        Command::Attest(options) => attest::run(&common, &options).await,
        Command::Demo(options) => return demo::run(&common, &options).await,
        Command::BenchSign(options) => bench::run(&common, &options).await,
        Command::Certificates(options) => certificates::run(&options),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "siglab", &mut std::io::stdout());
            Ok(())
        }
        Command::Door(options) => door::run(options).await,
        Command::Env(options) => environment::run(&common, &options).await,
        Command::Explain(options) => return explain::run(&common, &options).await,
        Command::Export(options) => airgap::run_export(&common, &options).await,
        Command::Fsck(options) => maintenance::fsck(&common, &options),
        Command::Health(options) => up::health(options).await,
        Command::Images(command) => images::run(&common, &command),
        Command::Import(options) => airgap::run_import(&common, &options).await,
        Command::Lab(command) => return lab::run(&common, &command).await,
        Command::Log(options) => log::run(&common, &options).await,
        Command::Man { dir } => {
            runtime::files::create_dirs(&dir)?;
            Ok(clap_mangen::generate_to(Arguments::command(), dir)?)
        }
        Command::Manifests(command) => manifests::run(&common, &command).await,
        Command::Policy(command) => return policy::run(&common, &command),
        Command::Registry(options) => match options.command {
            RegistryCommand::Gc(options) => maintenance::gc(&common, &options),
        },
        Command::Sign(options) => sign::run(&common, &options).await,
        Command::Status => status::run(&common).await,
        Command::Token(options) => token::run(&common, &options).await,
        Command::Trust(options) => trust::run(&common, &options).await,
        Command::Up(options) => up::run(&common, options).await,
        Command::Verify(options) => return verify::run(&common, &options).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}
