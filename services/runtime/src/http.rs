//! The client for peers, and bounded reading of request bodies.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use rustls::pki_types::CertificateDer;
use url::Url;

/// Longest silence inside a request body.
pub const BODY_IDLE: Duration = Duration::from_secs(30);

/// Longest time for a whole request body that is read into memory.
pub const BODY_WHOLE: Duration = Duration::from_secs(60);

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the limit, which is given in bytes.
    #[error("http: request body too large")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The client sent nothing for [`BODY_IDLE`], or took longer than [`BODY_WHOLE`].
    #[error("timeout while reading the request body")]
    Timeout,
    /// The connection broke.
    #[error("request body ended early")]
    Broken,
}

/// Reads a body of at most `bytes_max` bytes.
///
/// # Errors
/// [`BodyError`]; the rest of the body is not read.
pub async fn read_body(body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    tokio::time::timeout(BODY_WHOLE, read_frames(body, bytes_max))
        .await
        .map_err(|_| BodyError::Timeout)?
}

async fn read_frames(mut body: Body, bytes_max: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    loop {
        let frame = tokio::time::timeout(BODY_IDLE, body.frame())
            .await
            .map_err(|_| BodyError::Timeout)?;
        let Some(frame) = frame else {
            return Ok(whole.freeze());
        };
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > bytes_max {
            return Err(BodyError::TooLarge { bytes_max });
        }
        if whole.is_empty() && HttpBody::is_end_stream(&body) {
            return Ok(data);
        }
        whole.extend_from_slice(&data);
    }
}

/// A client for the other services of the lab: HTTP/1.1 and HTTP/2, no redirects, no proxy, five seconds
/// to connect and ten for the whole answer. TLS trusts only `roots`.
///
/// # Errors
/// When a root is not a certificate.
pub fn client(roots: Option<&[CertificateDer<'static>]>) -> anyhow::Result<reqwest::Client> {
    builder(roots)?
        .no_proxy()
        .build()
        .context("the HTTP client cannot be built")
}

/// As [`client`], but to the hosts and ports of `services` through the proxy of a lab's admin door: for
/// services whose names are known inside the lab's network only. Everything else is asked directly.
///
/// # Errors
/// When a root is not a certificate.
pub fn client_through(
    door: &Url,
    services: Vec<Url>,
    roots: Option<&[CertificateDer<'static>]>,
) -> anyhow::Result<reqwest::Client> {
    let door = door.origin().ascii_serialization();
    let place = |url: &Url| {
        (
            url.host_str().map(str::to_owned),
            url.port_or_known_default(),
        )
    };
    let proxy = reqwest::Proxy::custom(move |url| {
        let is_service = services.iter().any(|service| place(service) == place(url));
        is_service.then(|| door.clone())
    });
    builder(roots)?
        .proxy(proxy)
        .build()
        .context("the HTTP client cannot be built")
}

fn builder(roots: Option<&[CertificateDer<'static>]>) -> anyhow::Result<reqwest::ClientBuilder> {
    let mut store = rustls::RootCertStore::empty();
    for root in roots.unwrap_or_default() {
        store
            .add(root.clone())
            .context("a root certificate cannot be used")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("ring knows TLS 1.2 and 1.3")?
        .with_root_certificates(store)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(Duration::from_secs(10))
        .pool_idle_timeout(Duration::from_secs(20)))
}
