//! The one shape that all services share.

use std::{fmt::Debug, future::Future, sync::Arc};

use axum::Router;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Context, Trust};

/// A socket that a service listens on, when nothing else is configured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Listener {
    /// Name inside the service: `http`, `grpc`, `v1`.
    pub name: &'static str,
    /// Default port, the one that upstream's own end-to-end suites expect.
    pub port: u16,
    /// `http` or `https`: the scheme of the default external URL.
    pub scheme: &'static str,
}

impl Listener {
    /// A plain HTTP listener.
    #[must_use]
    pub const fn http(name: &'static str, port: u16) -> Self {
        Self {
            name,
            port,
            scheme: "http",
        }
    }

    /// A TLS listener: [`Service::tls`] must answer for it.
    #[must_use]
    pub const fn https(name: &'static str, port: u16) -> Self {
        Self {
            name,
            port,
            scheme: "https",
        }
    }
}

/// All services of siglab and what they listen on by default: how a lone service finds its peers. The
/// stack's tests compare it with each service's own [`Service::LISTENERS`].
pub const KNOWN: [(&str, &[Listener]); 8] = [
    ("oidc", &[Listener::http("http", 8080)]),
    (
        "fulcio",
        &[Listener::http("http", 5555), Listener::http("grpc", 5554)],
    ),
    ("ctlog", &[Listener::http("http", 6962)]),
    (
        "rekor",
        &[Listener::http("v1", 3000), Listener::http("v2", 3003)],
    ),
    ("tsa", &[Listener::http("http", 3004)]),
    ("tuf", &[Listener::http("http", 8088)]),
    ("registry", &[Listener::http("http", 5000)]),
    ("admission", &[Listener::https("https", 8443)]),
];

/// A service: state and operations, without sockets. It knows no other service but by URL.
pub trait Service: Send + Sync + Sized + 'static {
    /// Name in settings, URLs, directories and logs.
    const NAME: &'static str;

    /// What it listens on; the first is the one that peers call.
    const LISTENERS: &'static [Listener];

    /// Its settings table. `Default` must give a working lab; unknown keys must be refused.
    type Config: Clone + Debug + Default + DeserializeOwned + Serialize + Send + 'static;

    /// Reads or makes keys and state. Nothing is served before it returns.
    ///
    /// # Errors
    /// Whatever makes the service unable to serve rightly; the text names file, key and reason.
    fn open(
        config: Self::Config,
        context: Context,
    ) -> impl Future<Output = anyhow::Result<Arc<Self>>> + Send;

    /// The public door: only paths that the real service has.
    fn router(self: Arc<Self>, listener: &'static str) -> Router;

    /// What the admin door shows of this service, below `/NAME`.
    fn admin(self: Arc<Self>) -> Router {
        Router::new()
    }

    /// What a trusted root and a signing config must say of this service.
    fn trust(&self) -> Trust {
        Trust::default()
    }

    /// Whether it can serve now.
    ///
    /// # Errors
    /// The reason why not, for `/readyz`.
    fn readiness(&self) -> Result<(), String> {
        Ok(())
    }

    /// Whether its own settings make a listener speak TLS, which is known before it is opened: then its
    /// URL is an https one by default, and must not be another.
    fn speaks_tls(config: &Self::Config, listener: &Listener) -> bool {
        let _ = config;
        listener.scheme == "https"
    }

    /// The TLS configuration of a listener. `None` serves plain HTTP, unless the settings give a
    /// `certificate`.
    fn tls(&self, listener: &'static str) -> Option<Arc<rustls::ServerConfig>> {
        let _ = listener;
        None
    }

    /// Numbers for `/metrics` and `siglab status`.
    fn figures(&self) -> Vec<Figure> {
        Vec::new()
    }
}

/// One number that a service reports, in the Prometheus text format without labels.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Metric name, `siglab_…` or upstream's.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: FigureKind,
    /// Its value now.
    pub value: f64,
}

/// Prometheus metric types in use.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FigureKind {
    /// Only grows while the process runs.
    Counter,
    /// Goes up and down.
    Gauge,
}
