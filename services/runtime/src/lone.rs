//! The whole of a lone service's binary.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;

use crate::{
    Clock, Plan, Running, Service,
    settings::{self, Settings, Sources},
};

/// Serves one service alone, from the same settings file as the whole stack, until interrupted. Flags:
/// `--config FILE`, `--data-dir DIR`, `--set TABLE.KEY=VALUE`, `--port 0`; `--health` asks the one that runs.
#[must_use]
pub fn main<S: Service>() -> ExitCode {
    let done = arguments::<S>().and_then(|task| match task {
        Task::Serve(sources) => run::<S>(&sources),
        Task::Health(sources) => reactor()?.block_on(health(&sources)),
        Task::Done => Ok(()),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail::<S>(&error),
    }
}

fn reactor() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// What the arguments ask for.
enum Task {
    Serve(Sources),
    Health(Sources),
    /// Already answered.
    Done,
}

/// Asks the admin door that these settings describe whether everything is ready: the health check of a
/// container that has no other program.
///
/// # Errors
/// What is not ready, or that nothing answers.
pub async fn health(sources: &Sources) -> anyhow::Result<()> {
    let port = Settings::load(sources)?.admin_address()?.port();
    let url = format!("http://127.0.0.1:{port}/readyz");
    let answer = crate::http::client(None)?
        .get(&url)
        .send()
        .await
        .with_context(|| format!("nothing answers at {url}"))?;
    anyhow::ensure!(
        answer.status().is_success(),
        "{}",
        answer.text().await?.trim()
    );
    Ok(())
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
fn arguments<S: Service>() -> anyhow::Result<Task> {
    let mut health = false;
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
            "--health" => health = true,
            "--version" => {
                println!("siglab-{} {}", S::NAME, env!("CARGO_PKG_VERSION"));
                return Ok(Task::Done);
            }
            "--help" | "-h" => {
                println!(
                    "siglab-{}: one service of a siglab, for testing only\n\n\
                     usage: siglab-{0} [--config FILE] [--data-dir DIR] [--port 0] \
                     [--health] [--set TABLE.KEY=VALUE]...",
                    S::NAME
                );
                return Ok(Task::Done);
            }
            _ => anyhow::bail!("unknown argument {argument}; try --help"),
        }
    }
    Ok(if health {
        Task::Health(sources)
    } else {
        Task::Serve(sources)
    })
}

fn run<S: Service>(sources: &Sources) -> anyhow::Result<()> {
    let settings = Settings::load(sources)?;
    let (filter, json) = settings.log();
    crate::init_tracing(&filter, json);
    reactor()?.block_on(async {
        let mut plan = Plan::new(settings).await?;
        plan.bind::<S>().await?;
        let host = plan.bound(Clock::system())?;
        let opened = host.open::<S>().await?;
        let running = host.serve(vec![opened]);
        // Nobody may be reading: a start is not undone by a closed standard output.
        let _ = announce::<S>(&running);
        interrupted().await?;
        running.stop().await;
        Ok(())
    })
}

/// Prints the URLs as lines for a shell.
fn announce<S: Service>(running: &Running) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "# siglab-{}, for testing only", S::NAME)?;
    for listener in S::LISTENERS {
        let url = &running.urls[&(S::NAME.to_owned(), listener.name.to_owned())];
        let name = format!("{}_{}_URL", S::NAME, listener.name).to_uppercase();
        writeln!(out, "export {name}={}", url.as_str().trim_end_matches('/'))?;
    }
    writeln!(
        out,
        "export ADMIN_URL={}",
        running.admin_urls[S::NAME].as_str().trim_end_matches('/')
    )?;
    out.flush()
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
