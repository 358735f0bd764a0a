//! The whole of a lone service's binary.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use crate::{
    Clock, Plan, Service,
    settings::{self, Settings, Sources},
};

/// Serves one service alone, from the same settings file as the whole stack, until interrupted. Flags:
/// `--config FILE`, `--data-dir DIR`, `--set TABLE.KEY=VALUE`, `--port 0`.
#[must_use]
pub fn main<S: Service>() -> ExitCode {
    match arguments::<S>() {
        Ok(Some(sources)) => match run::<S>(&sources) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail::<S>(&error),
        },
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => fail::<S>(&error),
    }
}

#[expect(
    clippy::print_stderr,
    reason = "the one line that a failed start prints"
)]
fn fail<S: Service>(error: &anyhow::Error) -> ExitCode {
    eprintln!("siglab-{}: {error:#}", S::NAME);
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "the answer to --help and --version")]
fn arguments<S: Service>() -> anyhow::Result<Option<Sources>> {
    let mut sources = Sources {
        environment: settings::environment(),
        ..Sources::default()
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            arguments
                .next()
                .with_context(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--config" => sources.config = Some(PathBuf::from(value()?)),
            "--data-dir" => sources.data_dir = Some(PathBuf::from(value()?)),
            "--set" => sources.set.push(value()?),
            "--port" => {
                anyhow::ensure!(value()? == "0", "--port takes 0, for any free port");
                sources.any_port = true;
            }
            "--version" => {
                println!("siglab-{} {}", S::NAME, env!("CARGO_PKG_VERSION"));
                return Ok(None);
            }
            "--help" | "-h" => {
                println!(
                    "siglab-{}: one service of a siglab, for testing only\n\n\
                     usage: siglab-{0} [--config FILE] [--data-dir DIR] [--port 0] \
                     [--set TABLE.KEY=VALUE]...",
                    S::NAME
                );
                return Ok(None);
            }
            _ => anyhow::bail!("unknown argument {argument}; try --help"),
        }
    }
    Ok(Some(sources))
}

#[expect(
    clippy::print_stdout,
    reason = "the URLs that a started service prints"
)]
fn run<S: Service>(sources: &Sources) -> anyhow::Result<()> {
    let settings = Settings::load(sources)?;
    let (filter, json) = settings.log();
    crate::init_tracing(&filter, json);
    let reactor = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    reactor.block_on(async {
        let mut plan = Plan::new(settings).await?;
        plan.bind::<S>().await?;
        let host = plan.bound(Clock::system())?;
        let opened = host.open::<S>().await?;
        let running = host.serve(vec![opened]);
        println!("# siglab-{}, for testing only", S::NAME);
        for listener in S::LISTENERS {
            let url = &running.urls[&(S::NAME.to_owned(), listener.name.to_owned())];
            let name = format!("{}_{}_URL", S::NAME, listener.name).to_uppercase();
            println!("export {name}={}", url.as_str().trim_end_matches('/'));
        }
        println!(
            "export ADMIN_URL={}",
            running.admin_url.as_str().trim_end_matches('/')
        );
        interrupted().await?;
        running.stop().await;
        Ok(())
    })
}

/// Returns when the process is told to stop: SIGINT or SIGTERM.
///
/// # Errors
/// When signals cannot be watched.
pub async fn interrupted() -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        result = tokio::signal::ctrl_c() => result?,
    }
    Ok(())
}
