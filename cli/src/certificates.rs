//! `siglab certificates`: what services that are processes of their own show when they speak TLS.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use runtime::{
    Clock,
    certificates::{self, Server},
    settings::{Settings, Sources},
};

use crate::output;

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Where they are written
    dir: PathBuf,
    /// A service and the host names that it answers to
    #[arg(required = true, value_name = "NAME=HOST,HOST")]
    servers: Vec<String>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let servers = options
        .servers
        .iter()
        .map(|text| {
            let (name, hosts) = text
                .split_once('=')
                .with_context(|| format!("{text:?} is not NAME=HOST,HOST"))?;
            Ok(Server {
                name: name.to_owned(),
                hosts: hosts.split(',').map(str::to_owned).collect(),
            })
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    // The lab's name comes from where the services read it.
    let settings = Settings::load(&Sources {
        data_dir: Some(options.dir.clone()),
        environment: runtime::settings::environment(),
        ..Sources::default()
    })?;
    let instance = settings
        .instance
        .context("the lab has no name: set SIGLAB__INSTANCE")?;
    let made = certificates::issue(&options.dir, &instance, &servers, Clock::system().now())?;
    output::line(format!(
        "{}: {}",
        options.dir.display(),
        if made { "made" } else { "kept" }
    ));
    Ok(())
}
