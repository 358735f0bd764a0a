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
    /// PEM of the authorities that TLS in the lab is issued by, where it has them.
    pub(crate) ca_pem: Option<String>,
}

/// The admin door's `/status`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    pub(crate) services: Vec<ServiceStatus>,
    pub(crate) uptime_secs: i64,
    pub(crate) resident_bytes: u64,
    pub(crate) instance: String,
    /// Whether the lab plays the public Sigstore.
    #[serde(default)]
    pub(crate) public_names: bool,
    /// Whether services are reached through the admin door, since their names mean nothing here.
    #[serde(default)]
    pub(crate) proxy: bool,
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
        Self::ask(&common.lab, given_roots(common)?).await
    }

    /// Asks the admin door at `admin`.
    ///
    /// # Errors
    /// When no lab answers there.
    pub(crate) async fn find(admin: &str) -> anyhow::Result<Self> {
        Self::ask(admin, Vec::new()).await
    }

    async fn ask(admin: &str, mut roots: Vec<CertificateDer<'static>>) -> anyhow::Result<Self> {
        let admin = admin.trim_end_matches('/').to_owned();
        let http = runtime::http::client(Some(&roots))?;
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
        let mut lab = Self {
            admin,
            status,
            http,
            ca_pem: None,
        };
        lab.ca_pem = lab.authorities().await?;
        if let Some(pem) = &lab.ca_pem {
            roots.extend(runtime::tls::certificates(pem)?);
        }
        lab.http = lab.client(&roots)?;
        Ok(lab)
    }

    /// The authorities that the admin door names, asked for only when a service speaks TLS that does not
    /// show its own, as the webhook does.
    async fn authorities(&self) -> anyhow::Result<Option<String>> {
        let mut rows = self.status.services.iter();
        let is_tls = |url: &String| url.starts_with("https:");
        if !rows.any(|row| row.name != "admission" && row.urls.values().any(is_tls)) {
            return Ok(None);
        }
        let answer = self.http.get(format!("{}/ca.pem", self.admin)).send().await;
        let answer = expect("the admin door", answer, &[200, 404]).await?;
        if answer.status() == 404 {
            return Ok(None);
        }
        Ok(Some(answer.text().await?))
    }

    /// A client for the lab's services, by the way that leads to them, which trusts `roots`.
    pub(crate) fn client(
        &self,
        roots: &[CertificateDer<'static>],
    ) -> anyhow::Result<reqwest::Client> {
        if !self.status.proxy {
            return runtime::http::client(Some(roots));
        }
        let urls = self
            .status
            .services
            .iter()
            .flat_map(|row| row.urls.values());
        let services = urls.filter_map(|url| url.parse().ok()).collect();
        runtime::http::client_through(&self.admin.parse()?, services, Some(roots))
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
    runtime::http::client(Some(&given_roots(common)?))
}

fn given_roots(common: &Common) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let given = common.ca.as_deref().map(authorities).transpose()?;
    Ok(given.unwrap_or_default())
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
