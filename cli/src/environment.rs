//! `siglab env`: variables for cosign, sigstore-python and scripts, named as in sigstore/scaffolding.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::{arguments, arguments::Format, client::Lab, output, trust};

pub(crate) async fn run(admin: &str, options: &arguments::Env) -> anyhow::Result<()> {
    let lab = Lab::find(admin).await?;
    let dir = match &options.dir {
        Some(dir) => dir.clone(),
        None => cache_dir()?.join("siglab").join(&lab.status.instance),
    };
    trust::write(&lab, &dir).await?;
    let token = lab
        .token(&[("audience".to_owned(), "sigstore".to_owned())])
        .await?;
    let token_path = dir.join("oidc-token");
    runtime::files::replace(&token_path, token.as_bytes())
        .with_context(|| format!("cannot write {}", token_path.display()))?;
    let variables = variables(&lab, &dir, &token)?;
    match options.format {
        Format::Json => {
            let map: Map<String, Value> = variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            output::line(serde_json::to_string_pretty(&map)?);
        }
        Format::Shell => {
            for (name, value) in variables {
                output::line(format!("export {name}='{}'", value.replace('\'', r"'\''")));
            }
        }
        Format::Dotenv | Format::Github => {
            for (name, value) in variables {
                output::line(format!("{name}={value}"));
            }
        }
    }
    Ok(())
}

fn variables(
    lab: &Lab,
    dir: &std::path::Path,
    token: &str,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let file = |name: &str| dir.join(name).display().to_string();
    let oidc = lab.url("oidc", "http")?;
    Ok(vec![
        ("SIGLAB_ADMIN", lab.admin.clone()),
        ("SIGSTORE_ID_TOKEN", token.to_owned()),
        ("OIDC_TOKEN", file("oidc-token")),
        ("OIDC_URL", oidc.clone()),
        ("ISSUER_URL", oidc),
        ("FULCIO_URL", lab.url("fulcio", "http")?),
        ("FULCIO_GRPC_URL", lab.url("fulcio", "grpc")?),
        ("CT_LOG_URL", lab.url("ctlog", "http")?),
        ("CT_LOG_KEY", file("ctlog.pub")),
        ("REKOR_URL", lab.url("rekor", "v1")?),
        ("REKOR_V2_URL", lab.url("rekor", "v2")?),
        ("TSA_URL", lab.url("tsa", "http")?),
        ("TUF_MIRROR", lab.url("tuf", "http")?),
        ("TUF_ROOT_JSON", file("root.json")),
        ("TRUSTED_ROOT", file("trusted_root.json")),
        ("SIGNING_CONFIG", file("signing_config.json")),
        (
            "SIGNING_CONFIG_REKOR_V1",
            file("signing_config_rekor_v1.json"),
        ),
        ("TRUST_CONFIG", file("trust_config.json")),
        ("REGISTRY", lab.registry_name()?),
        ("ADMISSION_URL", lab.url("admission", "https")?),
    ])
}

fn cache_dir() -> anyhow::Result<PathBuf> {
    let environment = runtime::settings::environment();
    let value = |name: &str| {
        let found = environment
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    };
    value("XDG_CACHE_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| value("HOME").map(|home| home.join(".cache")))
        .context("no HOME to keep files under, give --dir DIR")
}
