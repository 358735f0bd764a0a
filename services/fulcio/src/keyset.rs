//! Keys of issuers: found by discovery, fetched when first needed, kept, and fetched again once when a
//! token does not fit them. Only configured issuers are ever asked.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::{HashAlgorithm, PublicKey, PublicKeyKind};
use serde::Deserialize;
use tokio::sync::Mutex as AsyncMutex;
use url::Url;

use crate::issuers::Issuer;

/// Issuers whose keys are kept; configured patterns may match any number.
const MAX_ISSUERS: usize = 100;

/// The longest discovery document or key set.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// Redirects followed, all on the same host.
const MAX_REDIRECTS: usize = 5;

/// Keys of one issuer that are kept.
const MAX_KEYS: usize = 256;

/// Why keys could not be had. Clients never learn it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum KeySetError {
    #[error("oidc: cannot reach {url}: {reason}")]
    Unreachable {
        url: String,
        reason: Arc<reqwest::Error>,
    },
    #[error("oidc: {url} answers {status}")]
    Status { url: String, status: u16 },
    #[error("oidc: {url} answers more than {max} bytes")]
    TooLong { url: String, max: usize },
    #[error("oidc: redirect to different host {host:?} blocked")]
    Redirect { host: String },
    #[error("oidc: {url} is not the expected JSON: {reason}")]
    NotJson {
        url: String,
        reason: Arc<serde_json::Error>,
    },
    #[error("oidc: {text:?} is not an HTTP URL")]
    Url { text: String },
    #[error(
        "oidc: issuer did not match the issuer returned by provider, expected {want:?} got {got:?}"
    )]
    Issuer { want: String, got: String },
    #[error("the issuer's CA certificate cannot be used: {reason}")]
    CaCert { reason: Arc<anyhow::Error> },
}

/// Algorithms of JSON web signatures that are verified (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Algorithm {
    EdDsa,
    Es256,
    Es384,
    Es512,
    Rs256,
    Rs384,
    Rs512,
}

impl Algorithm {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "EdDSA" => Self::EdDsa,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            _ => return None,
        })
    }

    /// Whether `key` is of this algorithm's kind and made `signature` over `message`.
    fn verifies(self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        // A signature of a curve is `r ‖ s` in JOSE, and nothing else.
        let (fits, hash) = match self {
            Self::EdDsa => (key.kind() == PublicKeyKind::Ed25519, HashAlgorithm::Sha512),
            Self::Es256 => {
                let fits = key.kind() == PublicKeyKind::P256 && signature.len() == 64;
                (fits, HashAlgorithm::Sha256)
            }
            Self::Es384 => {
                let fits = key.kind() == PublicKeyKind::P384 && signature.len() == 96;
                (fits, HashAlgorithm::Sha384)
            }
            Self::Es512 => {
                let fits = key.kind() == PublicKeyKind::P521 && signature.len() == 132;
                (fits, HashAlgorithm::Sha512)
            }
            Self::Rs256 => (is_rsa(key), HashAlgorithm::Sha256),
            Self::Rs384 => (is_rsa(key), HashAlgorithm::Sha384),
            Self::Rs512 => (is_rsa(key), HashAlgorithm::Sha512),
        };
        fits && key.verify(hash, message, signature).is_ok()
    }
}

const fn is_rsa(key: &PublicKey) -> bool {
    matches!(key.kind(), PublicKeyKind::Rsa { .. })
}

/// Keys and algorithms of one issuer.
#[derive(Debug)]
pub(crate) struct KeySet {
    algorithms: Vec<Algorithm>,
    keys: Vec<(String, PublicKey)>,
}

impl KeySet {
    pub(crate) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether a key made `signature`: the one named `key_id`, or any when the token names none.
    pub(crate) fn verifies(
        &self,
        algorithm: Algorithm,
        key_id: &str,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        self.keys
            .iter()
            .filter(|(id, _)| key_id.is_empty() || id == key_id)
            .any(|(_, key)| algorithm.verifies(key, message, signature))
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
    #[serde(default)]
    id_token_signing_alg_values_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

type Fetched = Result<Arc<KeySet>, KeySetError>;

/// What is known of one issuer.
struct Slot {
    source: Source,
    /// Times fetched and the last outcome. Written under `fetching` only.
    state: RwLock<(u64, Option<Fetched>)>,
    /// One fetch at a time; who waits for it takes its outcome.
    fetching: AsyncMutex<()>,
}

impl Slot {
    fn state(&self) -> (u64, Option<Fetched>) {
        self.state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Keys of all issuers.
pub(crate) struct KeySets {
    http: reqwest::Client,
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    by_url: HashMap<String, Arc<Slot>>,
    /// URLs in the order they came.
    order: VecDeque<String>,
}

impl std::fmt::Debug for KeySets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySets").finish_non_exhaustive()
    }
}

impl KeySets {
    pub(crate) fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            slots: Mutex::default(),
        }
    }

    /// The keys of the issuer `url`, and how often they were fetched.
    pub(crate) async fn get(
        &self,
        issuer: &Issuer,
        url: &str,
    ) -> Result<(u64, Arc<KeySet>), KeySetError> {
        let slot = self.slot(issuer, url)?;
        if let (generation, Some(Ok(keys))) = slot.state() {
            return Ok((generation, keys));
        }
        let generation = slot.state().0;
        self.fetch(&slot, url, generation).await
    }

    /// Keys that are newer than `generation`.
    pub(crate) async fn newer(
        &self,
        issuer: &Issuer,
        url: &str,
        generation: u64,
    ) -> Result<Arc<KeySet>, KeySetError> {
        let slot = self.slot(issuer, url)?;
        Ok(self.fetch(&slot, url, generation).await?.1)
    }

    async fn fetch(
        &self,
        slot: &Slot,
        url: &str,
        seen: u64,
    ) -> Result<(u64, Arc<KeySet>), KeySetError> {
        let _only = slot.fetching.lock().await;
        if let (generation, Some(outcome)) = slot.state()
            && generation > seen
        {
            return outcome.map(|keys| (generation, keys));
        }
        let outcome = fetch_keys(&slot.source, url).await.map(Arc::new);
        let generation = {
            let mut state = slot.state.write().unwrap_or_else(PoisonError::into_inner);
            state.0 += 1;
            // Keys that worked stay in use while the issuer cannot be reached.
            if outcome.is_ok() || !matches!(state.1, Some(Ok(_))) {
                state.1 = Some(outcome.clone());
            }
            state.0
        };
        outcome.map(|keys| (generation, keys))
    }

    fn slot(&self, issuer: &Issuer, url: &str) -> Result<Arc<Slot>, KeySetError> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.by_url.get(url) {
            return Ok(Arc::clone(slot));
        }
        let client = match &issuer.ca_cert {
            None => self.http.clone(),
            Some(pem) => trusting(pem).map_err(|reason| KeySetError::CaCert {
                reason: Arc::new(reason),
            })?,
        };
        let slot = Arc::new(Slot {
            source: Source::new(client, url, issuer.asked_at.as_ref())?,
            state: RwLock::default(),
            fetching: AsyncMutex::default(),
        });
        if slots.order.len() == MAX_ISSUERS
            && let Some(oldest) = slots.order.pop_front()
        {
            slots.by_url.remove(&oldest);
        }
        slots.order.push_back(url.to_owned());
        slots.by_url.insert(url.to_owned(), Arc::clone(&slot));
        Ok(slot)
    }
}

fn trusting(pem: &str) -> anyhow::Result<reqwest::Client> {
    let roots: Vec<_> = crypto::from_pem_chain(pem)?
        .into_iter()
        .map(|(_, der)| rustls::pki_types::CertificateDer::from(der))
        .collect();
    runtime::http::client(Some(&roots))
}

/// Where the documents of an issuer come from.
struct Source {
    client: reqwest::Client,
    /// An issuer that the lab plays, and the lab's own issuer that is asked in its place.
    played: Option<(Url, Url)>,
}

impl Source {
    fn new(client: reqwest::Client, issuer: &str, at: Option<&Url>) -> Result<Self, KeySetError> {
        let played = match at {
            None => None,
            Some(at) => Some((parse(issuer)?, at.clone())),
        };
        Ok(Self { client, played })
    }

    /// A request for `url`. Of a played issuer nothing is asked in the world outside: the lab's own is,
    /// under the host of the other.
    fn get(&self, url: &Url) -> Result<reqwest::RequestBuilder, KeySetError> {
        let invalid = || KeySetError::Url {
            text: url.to_string(),
        };
        let Some((issuer, at)) = &self.played else {
            if !matches!(url.scheme(), "http" | "https") {
                return Err(invalid());
            }
            return Ok(self.client.get(url.clone()));
        };
        if url.origin() != issuer.origin() {
            return Err(invalid());
        }
        let host = url.host_str().ok_or_else(invalid)?;
        let host = url
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let mut asked = at.clone();
        asked.set_path(url.path());
        asked.set_query(url.query());
        Ok(self.client.get(asked).header(reqwest::header::HOST, host))
    }
}

fn parse(text: &str) -> Result<Url, KeySetError> {
    Url::parse(text).map_err(|_| KeySetError::Url {
        text: text.to_owned(),
    })
}

async fn fetch_keys(source: &Source, issuer: &str) -> Result<KeySet, KeySetError> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let discovery: Discovery =
        get_json(source, &format!("{base}/.well-known/openid-configuration")).await?;
    if discovery.issuer != issuer {
        return Err(KeySetError::Issuer {
            want: issuer.to_owned(),
            got: discovery.issuer,
        });
    }
    let mut algorithms: Vec<Algorithm> = discovery
        .id_token_signing_alg_values_supported
        .iter()
        .flatten()
        .filter_map(|name| Algorithm::named(name))
        .collect();
    if algorithms.is_empty() {
        algorithms.push(Algorithm::Rs256);
    }
    let jwks: Jwks = get_json(source, &discovery.jwks_uri).await?;
    // A key that siglab does not know must not hide the others.
    let keys = jwks
        .keys
        .into_iter()
        .filter_map(public_key)
        .take(MAX_KEYS)
        .collect();
    Ok(KeySet { algorithms, keys })
}

fn public_key(value: serde_json::Value) -> Option<(String, PublicKey)> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let key = match (jwk.kty.as_str(), jwk.crv.as_str()) {
        ("RSA", _) => PublicKey::from_rsa_components(&bytes(&jwk.n)?, &bytes(&jwk.e)?),
        ("EC", curve) => {
            let width = match curve {
                "P-256" => 32,
                "P-384" => 48,
                "P-521" => 66,
                _ => return None,
            };
            let (x, y) = (bytes(&jwk.x)?, bytes(&jwk.y)?);
            if x.len() != width || y.len() != width {
                return None;
            }
            PublicKey::from_ec_point(&[&[4], x.as_slice(), &y].concat())
        }
        ("OKP", "Ed25519") => PublicKey::from_ed25519(&bytes(&jwk.x)?),
        _ => return None,
    };
    Some((jwk.kid, key.ok()?))
}

async fn get_json<T: serde::de::DeserializeOwned>(
    source: &Source,
    text: &str,
) -> Result<T, KeySetError> {
    let invalid = || KeySetError::Url {
        text: text.to_owned(),
    };
    let mut url = parse(text)?;
    for _ in 0..=MAX_REDIRECTS {
        let unreachable = |reason: reqwest::Error| KeySetError::Unreachable {
            url: text.to_owned(),
            reason: Arc::new(reason.without_url()),
        };
        let mut response = source.get(&url)?.send().await.map_err(unreachable)?;
        if response.status().is_redirection() {
            let location = response
                .headers()
                .get("location")
                .and_then(|l| l.to_str().ok());
            let next = location
                .and_then(|location| url.join(location).ok())
                .ok_or_else(invalid)?;
            if next.host_str() != url.host_str() {
                let host = next.host_str().unwrap_or_default().to_owned();
                return Err(KeySetError::Redirect { host });
            }
            url = next;
            continue;
        }
        if response.status() != 200 {
            let status = response.status().as_u16();
            return Err(KeySetError::Status {
                url: text.to_owned(),
                status,
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                return Err(KeySetError::TooLong {
                    url: text.to_owned(),
                    max: DOCUMENT_BYTES_MAX,
                });
            }
            body.extend_from_slice(&chunk);
        }
        return serde_json::from_slice(&body).map_err(|reason| KeySetError::NotJson {
            url: text.to_owned(),
            reason: Arc::new(reason),
        });
    }
    Err(KeySetError::Status {
        url: text.to_owned(),
        status: 310,
    })
}
