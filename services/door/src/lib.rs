#![doc = include_str!("../README.md")]
// The one admin door of a lab whose services are processes of their own.

mod answers;
mod forward;
mod peers;

use std::sync::Arc;

use anyhow::Context as _;
use axum::{
    Router, middleware,
    routing::{any, get},
};
use runtime::{Endpoint, settings::Settings, tls};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use peers::Peers;

/// Requests and tunnels at a time; further ones are answered 503.
const OPEN_MAX: usize = 256;

/// A door that is being served.
#[derive(Debug)]
pub struct Door {
    stop: CancellationToken,
    tracker: TaskTracker,
    url: String,
}

/// What its handlers share.
#[derive(Debug)]
struct Shared {
    peers: Peers,
    http: reqwest::Client,
    /// PEM of the authorities that TLS in this lab is issued by.
    peers_ca: Option<String>,
    slots: Arc<Semaphore>,
    tunnels: TaskTracker,
    stop: CancellationToken,
}

impl Door {
    /// Opens the door that `[admin]` describes, to the admin doors and listeners that the tables of the
    /// services name.
    ///
    /// # Errors
    /// When its address is in use, or a table does not say where its service's admin door is.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let address = settings.admin_address()?;
        let endpoint = Endpoint::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address} for the admin door"))?;
        let url = match settings.admin_external_url()? {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://localhost:{}", endpoint.address().port()),
        };
        let peers_ca = settings.peers_ca()?;
        let roots = peers_ca
            .as_deref()
            .map(tls::certificates)
            .transpose()
            .context("[peers] ca cannot be used")?;
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let shared = Arc::new(Shared {
            peers: Peers::read(settings)?,
            http: runtime::http::client(roots.as_deref())?,
            peers_ca,
            slots: Arc::new(Semaphore::new(OPEN_MAX)),
            tunnels: tracker.clone(),
            stop: stop.clone(),
        });
        tracker.spawn(endpoint.serve(router(shared), None, stop.clone()));
        Ok(Self { stop, tracker, url })
    }

    /// Where it is, without a trailing slash.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops accepting, lets open requests finish, ends tunnels.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(answers::readyz))
        .route("/metrics", get(answers::metrics))
        .route("/status", get(answers::status))
        .route("/clock", any(answers::clock))
        .route("/ca.pem", get(answers::authorities))
        .route("/trust/{service}", get(answers::trust))
        .route("/{service}/{*rest}", any(answers::service))
        // Before any route: what is asked of it as a proxy is not for itself.
        .layer(middleware::from_fn_with_state(
            shared.clone(),
            forward::proxied,
        ))
        .with_state(shared)
}
