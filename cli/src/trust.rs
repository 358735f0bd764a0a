//! `siglab trust`: the files that clients need to trust the lab.

use std::path::Path;

use anyhow::Context as _;
use bundle::{ClientTrustConfig, SigningConfig};

use crate::{arguments, client::Lab, output};

/// Names of the files that [`write`] makes.
pub(crate) const FILES: [&str; 7] = [
    "root.json",
    "trusted_root.json",
    "signing_config.json",
    "signing_config_rekor_v1.json",
    "trust_config.json",
    "ctlog.pub",
    "trust-root.yaml",
];

pub(crate) async fn run(admin: &str, options: &arguments::Trust) -> anyhow::Result<()> {
    let lab = Lab::find(admin).await?;
    write(&lab, &options.dir).await?;
    output::heading(format!(
        "LAB TRUST ROOT of LAB-{}, for testing only",
        lab.status.instance
    ));
    for name in FILES {
        output::line(options.dir.join(name).display());
    }
    Ok(())
}

/// Writes [`FILES`] into `dir`.
///
/// # Errors
/// When the lab does not give them or the directory cannot be written.
pub(crate) async fn write(lab: &Lab, dir: &Path) -> anyhow::Result<()> {
    let root = lab.tuf_root().await?;
    let trusted_root = lab.trusted_root().await?;
    let signing_config = SigningConfig::from_json(&lab.target("signing_config.v0.2.json").await?)?;
    let rekor_v1 = only_rekor(&signing_config, 1);
    let ctlog = trusted_root
        .ctlogs
        .first()
        .context("the trusted root has no CT log")?;
    let ctlog = crypto::to_pem("PUBLIC KEY", &ctlog.public_key.raw_bytes);
    let trust_config = ClientTrustConfig::new(trusted_root.clone(), signing_config.clone());
    runtime::files::create_dirs(dir)?;
    let put = |name: &str, text: &str| {
        runtime::files::replace_with_mode(&dir.join(name), text.as_bytes(), 0o644)
            .with_context(|| format!("cannot write {}", dir.join(name).display()))
    };
    put("root.json", &root)?;
    put("trusted_root.json", &trusted_root.to_json())?;
    put("signing_config.json", &signing_config.to_json())?;
    put("signing_config_rekor_v1.json", &rekor_v1.to_json())?;
    put("trust_config.json", &trust_config.to_json())?;
    put("ctlog.pub", &ctlog)?;
    put("trust-root.yaml", &trust_root_yaml(lab, &root)?)
}

/// A signing config that knows only one major version of Rekor.
fn only_rekor(config: &SigningConfig, major: u32) -> SigningConfig {
    let mut config = config.clone();
    config
        .rekor_tlog_urls
        .retain(|service| service.major_api_version == major);
    config
}

/// A `TrustRoot` (policy.sigstore.dev/v1alpha1) that fetches from the lab's TUF repository.
fn trust_root_yaml(lab: &Lab, root: &str) -> anyhow::Result<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    Ok(format!(
        "apiVersion: policy.sigstore.dev/v1alpha1\nkind: TrustRoot\nmetadata:\n  name: siglab\n\
         spec:\n  remote:\n    mirror: {}\n    root: {}\n    targets: targets\n",
        lab.url("tuf", "http")?,
        STANDARD.encode(root)
    ))
}
