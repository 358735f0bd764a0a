//! Faults of ours: logged once with their whole chain, shown to the client as an id.

use std::{
    io::IsTerminal as _,
    sync::atomic::{AtomicU64, Ordering},
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _, util::SubscriberInitExt as _};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Logs `error` with its causes and returns the id that the client is told.
pub fn log_internal(error: &anyhow::Error) -> String {
    let id = format!(
        "{:x}-{:x}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    tracing::error!(request_id = %id, "{error:#}");
    id
}

/// Sends events to standard error, as text or as JSON lines. A second call does nothing, so that tests
/// may call it too.
pub fn init_tracing(filter: &str, json: bool) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    let mut layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if !std::io::stderr().is_terminal() {
        layer = layer.with_ansi(false);
    }
    let _ = if json {
        registry.with(layer.json().flatten_event(true)).try_init()
    } else {
        registry.with(layer.with_target(true)).try_init()
    };
}
