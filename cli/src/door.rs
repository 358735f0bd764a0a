//! `siglab door`: the one admin door of a lab whose services are processes of their own.

use std::path::PathBuf;

use ::door::Door;
use clap::Args;
use runtime::settings::{Settings, Sources};

use crate::output;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Settings file (TOML), the one that the services read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Override one setting
    #[arg(long, value_name = "TABLE.KEY=VALUE")]
    set: Vec<String>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let settings = Settings::load(&Sources {
        config: options.config,
        set: options.set,
        environment: runtime::settings::environment(),
        ..Sources::default()
    })?;
    let (filter, json) = settings.log();
    runtime::init_tracing(&filter, json);
    let door = Door::start(&settings).await?;
    output::line("# siglab door, for testing only");
    output::line(format!("export ADMIN_URL={}", door.url()));
    runtime::interrupted().await?;
    door.stop().await;
    Ok(())
}
