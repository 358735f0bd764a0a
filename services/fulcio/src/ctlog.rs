//! The client of the CT log: one operation, `add-pre-chain` (RFC 6962 §4.2).

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::PublicKey;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use x509::{Certificate, Sct};

/// Attempts when the log is busy.
const ATTEMPTS: u32 = 4;

/// First pause between attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause that a log may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The longest answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Where precertificates are logged.
#[derive(Debug)]
pub(crate) struct CtLog {
    http: reqwest::Client,
    url: String,
    key: Option<PublicKey>,
    /// The authority's chain, as it is sent with each precertificate.
    chain: Vec<String>,
}

#[derive(Serialize)]
struct AddChainRequest<'a> {
    chain: Vec<&'a str>,
}

#[derive(Deserialize)]
struct AddChainResponse {
    sct_version: u8,
    id: String,
    timestamp: u64,
    #[serde(default)]
    extensions: String,
    signature: String,
}

impl CtLog {
    pub(crate) fn new(
        http: reqwest::Client,
        base: &str,
        key: Option<PublicKey>,
        chain: &[Certificate],
    ) -> Self {
        let url = format!("{}/ct/v1/add-pre-chain", base.trim_end_matches('/'));
        let chain = chain
            .iter()
            .map(|certificate| STANDARD.encode(certificate.der()))
            .collect();
        Self {
            http,
            url,
            key,
            chain,
        }
    }

    /// Logs a precertificate. The SCT is checked with the log's key when it is known.
    pub(crate) async fn add_pre_chain(
        &self,
        precertificate: &Certificate,
        issuer: &Certificate,
    ) -> anyhow::Result<Sct> {
        let encoded = STANDARD.encode(precertificate.der());
        let mut chain = vec![encoded.as_str()];
        chain.extend(self.chain.iter().map(String::as_str));
        let body = serde_json::to_vec(&AddChainRequest { chain })?;
        let answer = self
            .post(body)
            .await
            .with_context(|| format!("CT log {}", self.url))?;
        let sct = read_sct(&answer).with_context(|| format!("CT log {}", self.url))?;
        if let Some(key) = &self.key {
            sct.verify_embedded(key, precertificate, issuer)
                .with_context(|| format!("CT log {}: the SCT does not verify", self.url))?;
        }
        Ok(sct)
    }

    async fn post(&self, body: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=ATTEMPTS {
            let response = self
                .http
                .post(&self.url)
                .header(reqwest::header::CONTENT_TYPE, "application/json")
                .body(body.clone())
                .send()
                .await?;
            let status = response.status();
            let busy = matches!(
                status,
                StatusCode::REQUEST_TIMEOUT
                    | StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::SERVICE_UNAVAILABLE
            );
            if busy && attempt < ATTEMPTS {
                let asked = response.headers().get(reqwest::header::RETRY_AFTER);
                let asked = asked.and_then(|value| value.to_str().ok()?.parse().ok());
                let wait = asked.map_or(pause, Duration::from_secs).min(PAUSE_MAX);
                tokio::time::sleep(wait).await;
                pause *= 2;
                continue;
            }
            return read_answer(response, status).await;
        }
        unreachable!("the last attempt returns")
    }
}

async fn read_answer(
    mut response: reqwest::Response,
    status: StatusCode,
) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        ensure!(
            answer.len() + chunk.len() <= ANSWER_BYTES_MAX,
            "the answer is too long"
        );
        answer.extend_from_slice(&chunk);
    }
    if status != StatusCode::OK {
        let text = String::from_utf8_lossy(&answer);
        bail!(
            "answers {status}: {}",
            text.chars().take(200).collect::<String>().trim_end()
        );
    }
    Ok(answer)
}

fn read_sct(answer: &[u8]) -> anyhow::Result<Sct> {
    let answer: AddChainResponse =
        serde_json::from_slice(answer).context("the answer is no AddChainResponse")?;
    ensure!(
        answer.sct_version == 0,
        "unsupported SCT version {}",
        answer.sct_version
    );
    let log_id = STANDARD.decode(&answer.id).context("id is no base64")?;
    let log_id = log_id.try_into().ok().context("id has not 32 bytes")?;
    let extensions = STANDARD
        .decode(&answer.extensions)
        .context("extensions are no base64")?;
    let signature = STANDARD
        .decode(&answer.signature)
        .context("signature is no base64")?;
    Ok(Sct::from_digitally_signed(
        log_id,
        answer.timestamp,
        &extensions,
        &signature,
    )?)
}
