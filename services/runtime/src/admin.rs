//! The admin door: health, readiness, metrics, trust and status, on a listener of its own.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use jiff::Timestamp;
use serde::Serialize;

use crate::{Clock, Figure, FigureKind, Trust};

/// What the admin door asks of a service, whatever its type.
pub(crate) trait Inspect: Send + Sync {
    fn name(&self) -> &'static str;
    fn trust(&self) -> Trust;
    fn readiness(&self) -> Result<(), String>;
    fn figures(&self) -> Vec<Figure>;
}

/// One row of `siglab status`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceStatus {
    /// The service.
    pub name: &'static str,
    /// URL of each listener.
    pub urls: BTreeMap<String, String>,
    /// Whether it can serve.
    pub ready: bool,
    /// Why it cannot.
    pub reason: Option<String>,
    /// Its numbers.
    pub figures: BTreeMap<&'static str, f64>,
}

/// What the admin door says of the lab as a whole.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) instance: String,
    /// PEM of the authorities that TLS in this lab is issued by, where the settings name them.
    pub(crate) peers_ca: Option<String>,
    /// Whether the lab plays the public Sigstore.
    pub(crate) public_names: bool,
}

/// The services of a process, seen from its admin door.
#[derive(Clone)]
pub struct Admin {
    services: Arc<Vec<Arc<dyn Inspect>>>,
    urls: Arc<BTreeMap<(String, String), url::Url>>,
    seen: Arc<Seen>,
    clock: Clock,
    started: Timestamp,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin")
            .field("services", &self.services.len())
            .finish_non_exhaustive()
    }
}

impl Admin {
    pub(crate) fn new(
        services: Vec<Arc<dyn Inspect>>,
        urls: Arc<BTreeMap<(String, String), url::Url>>,
        seen: Seen,
        clock: Clock,
    ) -> Self {
        let started = clock.now();
        Self {
            services: Arc::new(services),
            urls,
            seen: Arc::new(seen),
            clock,
            started,
        }
    }

    /// What is not ready, and why.
    ///
    /// # Errors
    /// A line for each service that cannot serve.
    pub fn readiness(&self) -> Result<(), String> {
        let reasons: Vec<String> = self
            .services
            .iter()
            .filter_map(|s| {
                s.readiness()
                    .err()
                    .map(|reason| format!("{}: {reason}", s.name()))
            })
            .collect();
        if reasons.is_empty() {
            Ok(())
        } else {
            Err(reasons.join("\n"))
        }
    }

    /// A row for each service.
    #[must_use]
    pub fn status(&self) -> Vec<ServiceStatus> {
        self.services
            .iter()
            .map(|service| {
                let readiness = service.readiness();
                let urls = self
                    .urls
                    .iter()
                    .filter(|((name, _), _)| name == service.name());
                ServiceStatus {
                    name: service.name(),
                    urls: urls
                        .map(|((_, listener), url)| (listener.clone(), url.to_string()))
                        .collect(),
                    ready: readiness.is_ok(),
                    reason: readiness.err(),
                    figures: service
                        .figures()
                        .iter()
                        .map(|f| (f.name, f.value))
                        .collect(),
                }
            })
            .collect()
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/livez", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .route("/status", get(status))
            .route("/clock", get(clock))
            .route("/ca.pem", get(authorities))
            .route("/trust/{service}", get(trust))
            .with_state(self)
    }
}

async fn readyz(State(admin): State<Admin>) -> Response {
    match admin.readiness() {
        Ok(()) => "ok\n".into_response(),
        Err(reasons) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reasons}\n")).into_response(),
    }
}

async fn trust(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    let Some(service) = admin.services.iter().find(|service| service.name() == name) else {
        return (StatusCode::NOT_FOUND, format!("no service {name} here\n")).into_response();
    };
    match service.readiness() {
        Ok(()) => Json(service.trust()).into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// The authorities that TLS between the lab's containers is issued by, for clients.
async fn authorities(State(admin): State<Admin>) -> Response {
    match &admin.seen.peers_ca {
        Some(pem) => (
            [(header::CONTENT_TYPE, "application/x-pem-file")],
            pem.clone(),
        )
            .into_response(),
        None => (StatusCode::NOT_FOUND, "[peers] ca is not set\n").into_response(),
    }
}

async fn clock(State(admin): State<Admin>) -> Response {
    Json(serde_json::json!({ "now": admin.clock.now().to_string() })).into_response()
}

async fn status(State(admin): State<Admin>) -> Response {
    let uptime = admin.clock.now().duration_since(admin.started).as_secs();
    Json(serde_json::json!({
        "instance": admin.seen.instance,
        "public_names": admin.seen.public_names,
        "services": admin.status(),
        "uptime_secs": uptime,
        "resident_bytes": resident_bytes(),
        "process": std::process::id(),
    }))
    .into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    let mut line = |figure: &Figure| {
        let kind = match figure.kind {
            FigureKind::Counter => "counter",
            FigureKind::Gauge => "gauge",
        };
        let Figure {
            name, help, value, ..
        } = figure;
        let _ = write!(
            text,
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        );
    };
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    line(&Figure {
        name: "process_resident_memory_bytes",
        help: "Resident memory size in bytes.",
        kind: FigureKind::Gauge,
        value: resident_bytes() as f64,
    });
    for service in admin.services.iter() {
        service.figures().iter().for_each(&mut line);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// `VmRSS` of this process, 0 where there is no `/proc`.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| {
            rest.trim()
                .trim_end_matches(" kB")
                .trim()
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kibibytes| kibibytes * 1024)
}
