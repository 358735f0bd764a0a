//! The client side of every service, over HTTP, as any client of the lab would speak.

mod admission;
mod fulcio;
mod oidc;
mod registry;
mod rekor;
mod tsa;
mod tuf;

pub(crate) use admission::{Decision, Door, PolicyDecision};
pub(crate) use fulcio::Issued;
pub(crate) use registry::Pushed;

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, bail};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use crate::{arguments::Common, output::Advise as _};

/// Where a running lab is, learned from its admin door.
#[derive(Clone, Debug)]
pub(crate) struct Lab {
    pub(crate) admin: String,
    pub(crate) status: Status,
    pub(crate) http: reqwest::Client,
}

/// The admin door's `/status`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    pub(crate) services: Vec<ServiceStatus>,
    pub(crate) uptime_secs: i64,
    pub(crate) resident_bytes: u64,
    pub(crate) instance: String,
}

/// One service's row.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct ServiceStatus {
    pub(crate) name: String,
    pub(crate) urls: BTreeMap<String, String>,
    pub(crate) ready: bool,
    pub(crate) reason: Option<String>,
    pub(crate) figures: BTreeMap<String, f64>,
}

impl Lab {
    /// Asks the admin door that was named on the command line.
    ///
    /// # Errors
    /// When no lab answers there, or the authorities cannot be read.
    pub(crate) async fn open(common: &Common) -> anyhow::Result<Self> {
        Self::ask(&common.lab, http(common)?).await
    }

    /// Asks the admin door at `admin`.
    ///
    /// # Errors
    /// When no lab answers there.
    pub(crate) async fn find(admin: &str) -> anyhow::Result<Self> {
        Self::ask(admin, runtime::http::client(None)?).await
    }

    async fn ask(admin: &str, http: reqwest::Client) -> anyhow::Result<Self> {
        let admin = admin.trim_end_matches('/').to_owned();
        let answer = http.get(format!("{admin}/status")).send().await.advise(
            format!("no lab answers at {admin}"),
            "siglab up    (or name a lab that runs: --lab URL)",
        )?;
        let other = || format!("{admin}/status is not a lab's admin door");
        let answer = answer
            .error_for_status()
            .advise(other(), "siglab status --lab URL")?;
        let status = answer
            .json::<Status>()
            .await
            .advise(other(), "siglab status --lab URL")?;
        Ok(Self {
            admin,
            status,
            http,
        })
    }

    /// URL of a listener, without a trailing slash.
    ///
    /// # Errors
    /// When the lab does not serve it.
    pub(crate) fn url(&self, service: &str, listener: &str) -> anyhow::Result<String> {
        let row = self.status.services.iter().find(|row| row.name == service);
        let url = row.and_then(|row| row.urls.get(listener));
        let url = url.with_context(|| format!("the lab at {} serves no {service}", self.admin))?;
        Ok(url.trim_end_matches('/').to_owned())
    }

    /// Host and port of the registry: the first part of its image names.
    ///
    /// # Errors
    /// When the lab has no registry.
    pub(crate) fn registry_name(&self) -> anyhow::Result<String> {
        let url = self.url("registry", "http")?;
        let name = url.split_once("://").map_or(url.as_str(), |(_, name)| name);
        Ok(name.to_owned())
    }
}

/// A client that trusts the authorities that were named on the command line.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn http(common: &Common) -> anyhow::Result<reqwest::Client> {
    let roots = common.ca.as_deref().map(authorities).transpose()?;
    runtime::http::client(roots.as_deref())
}

/// The certificates of a PEM file.
///
/// # Errors
/// When it cannot be read or has none.
fn authorities(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || format!("--ca: cannot read certificates from {}", path.display());
    let text = std::fs::read_to_string(path).with_context(read)?;
    let blocks = crypto::from_pem_chain(&text).with_context(read)?;
    let certificates: Vec<_> = blocks
        .into_iter()
        .filter(|(label, _)| label == "CERTIFICATE")
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    anyhow::ensure!(!certificates.is_empty(), "{}: there are none", read());
    Ok(certificates)
}

/// The body of an answer with a wanted status.
///
/// # Errors
/// What the service said instead, with its status.
pub(crate) async fn expect(
    what: &str,
    answer: Result<reqwest::Response, reqwest::Error>,
    statuses: &[u16],
) -> anyhow::Result<reqwest::Response> {
    let answer = answer.with_context(|| format!("{what} does not answer"))?;
    let status = answer.status().as_u16();
    if statuses.contains(&status) {
        return Ok(answer);
    }
    let body = answer.text().await.unwrap_or_default();
    bail!("{what} answered {status}: {}", body.trim());
}
