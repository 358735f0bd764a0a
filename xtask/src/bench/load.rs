//! A load generator: so many requests from so many connections, their rate and latencies.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use reqwest::{Client, Method, header::HeaderMap};

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

    /// Sends it and reads the whole answer.
    ///
    /// # Errors
    /// Another status than it wants.
    pub(crate) async fn send(&self, client: &Client) -> anyhow::Result<Answer> {
        let mut request = client
            .request(self.method.clone(), &self.url)
            .body(self.body.clone());
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let answer = request.send().await.with_context(|| self.url.clone())?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await?;
        anyhow::ensure!(
            status == self.status,
            "{} answered {status}: {}",
            self.url,
            String::from_utf8_lossy(&body[..body.len().min(200)])
        );
        Ok(Answer { headers, body })
    }

    /// With another header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
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
    let count = shots.len();
    let (client, shots) = (client.clone(), Arc::new(shots));
    drive(connections, count, move |number| {
        let (client, shots) = (client.clone(), shots.clone());
        async move { shots[number].send(&client).await.map(drop) }
    })
    .await
}

/// Does `act` `count` times, numbered from 0, at most `connections` at once: each worker its next when
/// its last is done.
///
/// # Errors
/// The first of `act`.
pub(crate) async fn drive<F>(
    connections: usize,
    count: usize,
    act: impl Fn(usize) -> F + Clone + Send + 'static,
) -> anyhow::Result<Figures>
where
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (act, next) = (act.clone(), next.clone());
            tokio::spawn(async move {
                let mut millis = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return anyhow::Ok(millis);
                    }
                    let started = Instant::now();
                    act(number).await?;
                    millis.push(started.elapsed().as_secs_f64() * 1000.0);
                }
            })
        })
        .collect();
    let mut millis = Vec::with_capacity(count);
    for worker in workers {
        millis.extend(worker.await??);
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
