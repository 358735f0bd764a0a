//! The variables that clients, scripts and continuous integration read, in one table. Those of
//! sigstore/scaffolding's actions `setup` (`TUF_MIRROR`, `FULCIO_URL`, `FULCIO_GRPC_URL`, `REKOR_URL`,
//! `CTLOG_URL`, `TSA_URL`, `ISSUER_URL`, `OIDC_TOKEN`) and `setup-sigstore-env` (`OIDC_URL`,
//! `CT_LOG_KEY`, `TRUSTED_ROOT`, `SIGNING_CONFIG`, `TRUST_CONFIG`) have their names.

use std::path::Path;

use anyhow::Context as _;

/// Writes `token` into the trust directory `dir` and returns all variables with their values.
///
/// `OIDC_TOKEN` is the path of the token's file, which `--identity-token` of cosign takes as well as the
/// token itself; `SIGSTORE_ID_TOKEN` is the token.
///
/// # Errors
/// Those of `url`, which finds the URL of a service's listener; a file that cannot be written.
pub fn write(
    dir: &Path,
    admin: &str,
    token: &str,
    url: impl Fn(&str, &str) -> anyhow::Result<String>,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    let token_path = dir.join("oidc-token");
    runtime::files::replace(&token_path, token.as_bytes())
        .with_context(|| format!("cannot write {}", token_path.display()))?;
    let file = |name: &str| dir.join(name).display().to_string();
    let (oidc, ctlog) = (url("oidc", "http")?, url("ctlog", "http")?);
    let registry = url("registry", "http")?;
    let registry = registry.split_once("://").map_or("", |(_, name)| name);
    Ok(vec![
        ("SIGLAB_ADMIN", admin.to_owned()),
        ("SIGSTORE_ID_TOKEN", token.to_owned()),
        ("OIDC_TOKEN", file("oidc-token")),
        ("OIDC_URL", oidc.clone()),
        ("ISSUER_URL", oidc),
        ("FULCIO_URL", url("fulcio", "http")?),
        ("FULCIO_GRPC_URL", url("fulcio", "grpc")?),
        ("CTLOG_URL", ctlog.clone()),
        ("CT_LOG_URL", ctlog),
        ("CT_LOG_KEY", file("ctlog.pub")),
        ("REKOR_URL", url("rekor", "v1")?),
        ("REKOR_V2_URL", url("rekor", "v2")?),
        ("TSA_URL", url("tsa", "http")?),
        ("TUF_MIRROR", url("tuf", "http")?),
        ("TUF_ROOT_JSON", file("root.json")),
        ("TRUSTED_ROOT", file("trusted_root.json")),
        ("SIGNING_CONFIG", file("signing_config.json")),
        (
            "SIGNING_CONFIG_REKOR_V1",
            file("signing_config_rekor_v1.json"),
        ),
        ("TRUST_CONFIG", file("trust_config.json")),
        ("REGISTRY", registry.to_owned()),
        ("ADMISSION_URL", url("admission", "https")?),
    ])
}
