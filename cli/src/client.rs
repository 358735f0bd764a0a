//! The client side of every service, over HTTP, as any client of the lab would speak.

mod admission;
mod fulcio;
mod oidc;
mod registry;
mod rekor;
mod tsa;
mod tuf;

pub(crate) use fulcio::Issued;
pub(crate) use registry::Pushed;

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// Where a running lab is, learned from its admin door.
#[derive(Clone, Debug)]
pub(crate) struct Lab {
    pub(crate) admin: String,
    pub(crate) status: Status,
    pub(crate) http: reqwest::Client,
}

/// The admin door's `/status`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) services: Vec<ServiceStatus>,
    pub(crate) uptime_secs: i64,
    pub(crate) resident_bytes: u64,
    pub(crate) instance: String,
}

/// One service's row.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ServiceStatus {
    pub(crate) name: String,
    pub(crate) urls: BTreeMap<String, String>,
    pub(crate) ready: bool,
    pub(crate) reason: Option<String>,
    pub(crate) figures: BTreeMap<String, f64>,
}

impl Lab {
    /// Asks the admin door at `admin`.
    ///
    /// # Errors
    /// When no lab answers there; the text names the command that starts one.
    pub(crate) async fn find(admin: &str) -> anyhow::Result<Self> {
        let admin = admin.trim_end_matches('/').to_owned();
        let http = runtime::http::client(None)?;
        let answer = http
            .get(format!("{admin}/status"))
            .send()
            .await
            .with_context(|| {
                format!("no lab answers at {admin}\nstart one: siglab up\nor name it: --lab URL")
            })?;
        let status = answer
            .error_for_status()?
            .json::<Status>()
            .await
            .with_context(|| format!("{admin}/status is not a lab's admin door"))?;
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
