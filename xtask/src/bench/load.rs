//! A load generator: so many requests from so many connections, their rate and latencies.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Client, Method};

/// One request, made beforehand.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
    /// The only status that counts as done.
    pub(crate) status: u16,
}

impl Shot {
    /// A POST of JSON.
    pub(crate) fn json(url: &str, body: &serde_json::Value, status: u16) -> Self {
        Self {
            method: Method::POST,
            url: url.to_owned(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into(),
            status,
        }
    }

    /// A GET.
    pub(crate) fn get(url: String) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: Bytes::new(),
            status: 200,
        }
    }

    /// With another header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What came of a load.
#[derive(Clone, Debug)]
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

impl Figures {
    /// The figures as one line, after `name`.
    pub(crate) fn line(&self, name: &str) -> String {
        format!(
            "{name:<44} {:>9.0}/s   p50 {:>8.2} ms   p99 {:>8.2} ms",
            self.per_second, self.p50_ms, self.p99_ms
        )
    }
}

/// Fires all shots from `connections` connections, each its next when its last was answered.
///
/// # Errors
/// The first answer with another status than its shot wants.
pub(crate) async fn fire(
    client: &Client,
    connections: usize,
    shots: Vec<Shot>,
) -> anyhow::Result<Figures> {
    let shots = Arc::new(shots);
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let shooters: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(shooter(client.clone(), shots.clone(), next.clone())))
        .collect();
    let mut millis = Vec::with_capacity(shots.len());
    for shooter in shooters {
        millis.extend(shooter.await??);
    }
    let elapsed = started.elapsed().as_secs_f64();
    millis.sort_by(f64::total_cmp);
    let at = |share: usize| millis[(millis.len() * share / 100).min(millis.len() - 1)];
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = millis.len() as f64;
    Ok(Figures {
        per_second: count / elapsed,
        p50_ms: at(50),
        p99_ms: at(99),
    })
}

async fn shooter(
    client: Client,
    shots: Arc<Vec<Shot>>,
    next: Arc<AtomicUsize>,
) -> anyhow::Result<Vec<f64>> {
    let mut millis = Vec::new();
    while let Some(shot) = shots.get(next.fetch_add(1, Ordering::Relaxed)) {
        let started = Instant::now();
        let mut request = client
            .request(shot.method.clone(), &shot.url)
            .body(shot.body.clone());
        for (name, value) in &shot.headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.with_context(|| shot.url.clone())?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        anyhow::ensure!(
            status == shot.status,
            "{} answered {status}: {}",
            shot.url,
            String::from_utf8_lossy(&body[..body.len().min(200)])
        );
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(millis)
}

/// A client for loads: as many connections as are asked for, a minute for an answer.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn client() -> anyhow::Result<Client> {
    Ok(Client::builder()
        .tls_backend_preconfigured(tls()?)
        .no_proxy()
        .tcp_nodelay(true)
        .http1_only()
        .pool_max_idle_per_host(4096)
        .timeout(Duration::from_secs(60))
        .build()?)
}

/// Nothing is trusted but what the caller adds; loads go over loopback.
fn tls() -> anyhow::Result<rustls::ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}
