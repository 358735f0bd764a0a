//! `siglab up`: the whole lab until it is interrupted.

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::Context as _;
use runtime::{
    Clock,
    settings::{Settings, Sources},
};
use serde_json::{Value, json};
use stack::Stack;

use crate::{
    arguments::{self, Common},
    client::Lab,
    output, trust,
};

pub(crate) async fn run(common: &Common, options: arguments::Up) -> anyhow::Result<()> {
    let started = Instant::now();
    let sources = Sources {
        config: options.config,
        data_dir: options.data_dir,
        any_port: options.port.is_some(),
        set: options.set,
        environment: runtime::settings::environment(),
    };
    let settings = Settings::load(&sources)?;
    let (filter, json) = settings.log();
    runtime::init_tracing(&filter, json);
    let data_dir = settings.data_dir.clone();
    let stack = Stack::start(settings, Clock::system()).await?;
    let lab = Lab::find(&stack.admin_url()).await?;
    let trust_dir = data_dir.join("trust");
    let files = trust::write(&lab, &trust_dir).await?;
    let ready = ready(&lab, &data_dir, &trust_dir, &files);
    if common.json {
        output::object(true, ready.clone());
    } else {
        announce(&lab, &data_dir, started);
    }
    if let Some(path) = &options.ready_file {
        runtime::files::replace(path, &serde_json::to_vec_pretty(&ready)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    runtime::interrupted().await?;
    if !common.json {
        output::line("stopping");
    }
    stack.stop().await;
    Ok(())
}

fn announce(lab: &Lab, data_dir: &Path, started: Instant) {
    let millis = started.elapsed().as_millis();
    output::heading(format!(
        "LAB-{} is up after {millis} ms; for testing only, nothing it signs is trusted elsewhere",
        lab.status.instance
    ));
    for service in &lab.status.services {
        for (listener, url) in &service.urls {
            output::detail(
                &format!("{} {listener}", service.name),
                url.trim_end_matches('/'),
            );
        }
    }
    output::detail("admin", &lab.admin);
    output::detail("state", data_dir.display());
    output::line("in another shell: eval \"$(siglab env)\"    stop with Ctrl-C");
}

/// What `--ready-file` says: every URL, and where the files are.
fn ready(lab: &Lab, data_dir: &Path, trust_dir: &Path, files: &[String]) -> Value {
    let urls: BTreeMap<&str, &BTreeMap<String, String>> = lab
        .status
        .services
        .iter()
        .map(|row| (row.name.as_str(), &row.urls))
        .collect();
    let files: BTreeMap<&str, String> = files
        .iter()
        .map(|name| (name.as_str(), trust_dir.join(name).display().to_string()))
        .collect();
    json!({
        "instance": lab.status.instance,
        "admin_url": lab.admin,
        "urls": urls,
        "data_dir": data_dir.display().to_string(),
        "files": files,
        "process": std::process::id(),
    })
}

/// `siglab health`: whether the lab that these settings describe is ready.
pub(crate) async fn health(options: arguments::Health) -> anyhow::Result<()> {
    let sources = Sources {
        config: options.config,
        environment: runtime::settings::environment(),
        ..Sources::default()
    };
    runtime::health(&sources).await
}
