//! A registry client for what a decision needs: manifests, referrers and small blobs, all bounded.
//!
//! It contacts the registry of the image and no other host: redirects and token realms elsewhere are
//! refused.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use oci::{Digest, ImageReference};
use reqwest::header::{self, HeaderMap};
use reqwest::{Response, StatusCode};
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use url::Url;

use crate::budget::{Budget, Reserved};

/// Longest manifest or index, in bytes, as the distribution specification suggests.
const MANIFEST_MAX: usize = 4 << 20;
/// Longest token answer, in bytes.
const TOKEN_MAX: usize = 64 << 10;
const REDIRECTS_MAX: usize = 3;

const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// Where usual systems keep the authorities that they trust.
const SYSTEM_BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Why a registry gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RegistryError {
    #[error("GET {url}: {}", chain(source))]
    Transport { url: String, source: reqwest::Error },
    #[error("GET {url}: unexpected status code {status}{}", shown(detail))]
    Status {
        url: String,
        status: StatusCode,
        detail: String,
    },
    #[error("GET {url}: UNAUTHORIZED: authentication required")]
    Unauthorized { url: String },
    #[error("GET {url}: redirected to {target}, which is not the registry")]
    Redirect { url: String, target: String },
    #[error("GET {url}: token realm {realm} is not on the registry's host")]
    Realm { url: String, realm: String },
    #[error("GET {url}: answer is longer than {max} bytes")]
    TooLarge { url: String, max: usize },
    #[error("GET {url}: no more than {max} bytes of signatures are looked at at a time")]
    Full { url: String, max: usize },
    #[error("GET {url}: content has digest {got}")]
    Digest { url: String, got: Digest },
    #[error("GET {url}: answer is not the JSON that was asked for")]
    Json { url: String },
    #[error("{name:?} is not a registry and repository")]
    Name { name: String },
}

fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn shown(detail: &str) -> String {
    if detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    }
}

/// User name and password.
#[derive(Clone, PartialEq)]
pub(crate) struct Login {
    user: String,
    password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Logins by registry, in the form of Docker's configuration file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keychain(BTreeMap<String, Login>);

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Keychain {
    /// Adds the logins of a `.dockerconfigjson`; what cannot be read adds nothing.
    pub(crate) fn add(&mut self, config: &[u8]) {
        let Ok(config) = serde_json::from_slice::<DockerConfig>(config) else {
            return;
        };
        for (name, auth) in config.auths {
            let host = name.split_once("://").map_or(&*name, |(_, rest)| rest);
            let host = host.split('/').next().unwrap_or_default().to_owned();
            let host = if host == "docker.io" {
                "index.docker.io".to_owned()
            } else {
                host
            };
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(&auth.auth)
                .ok();
            let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let login = match decoded.as_deref().and_then(|text| text.split_once(':')) {
                Some((user, password)) => Login {
                    user: user.to_owned(),
                    password: password.to_owned(),
                },
                None => Login {
                    user: auth.username,
                    password: auth.password,
                },
            };
            if !login.user.is_empty() {
                self.0.entry(host).or_insert(login);
            }
        }
    }

    fn login(&self, registry: &str) -> Option<&Login> {
        self.0.get(registry)
    }
}

/// A repository and how to log in.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    registry: String,
    name: String,
    base: Url,
    login: Option<Login>,
}

impl Repository {
    /// Of an image.
    pub(crate) fn of(image: &ImageReference, keychain: &Keychain) -> Result<Self, RegistryError> {
        let registry = image.registry();
        let name = image.repository().as_str();
        let scheme = if image.is_plain_http() {
            "http"
        } else {
            "https"
        };
        let broken = || RegistryError::Name {
            name: image.context(),
        };
        let base = format!("{scheme}://{registry}/v2/{name}/");
        Ok(Self {
            registry: registry.to_owned(),
            name: name.to_owned(),
            base: Url::parse(&base).map_err(|_| broken())?,
            login: keychain.login(registry).cloned(),
        })
    }

    /// `registry/repository`.
    pub(crate) fn context(&self) -> String {
        format!("{}/{}", self.registry, self.name)
    }

    fn url(&self, path: &str) -> Result<Url, RegistryError> {
        self.base.join(path).map_err(|_| RegistryError::Name {
            name: self.context(),
        })
    }

    fn is_same_host(&self, url: &Url) -> bool {
        url.scheme() == self.base.scheme()
            && url.host_str() == self.base.host_str()
            && url.port_or_known_default() == self.base.port_or_known_default()
    }
}

/// A manifest as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: Digest,
}

/// A descriptor, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    /// In bytes.
    #[serde(default)]
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) artifact_type: String,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// An image manifest or index, as far as it is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManifestBody {
    #[serde(default)]
    pub(crate) config: Option<Descriptor>,
    #[serde(default)]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default)]
    pub(crate) manifests: Vec<Descriptor>,
}

/// The client.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    http: reqwest::Client,
    budget: Arc<Budget>,
}

/// Content of a blob, and its share of what may be in memory.
#[derive(Debug)]
pub(crate) struct Blob {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reserved: Reserved,
}

impl Registry {
    /// Trusts the authorities in `ca`, or else the machine's; holds at most `bytes_max` of blobs at a time.
    ///
    /// # Errors
    /// When `ca` cannot be read or holds no certificate.
    pub(crate) fn new(ca: Option<&Path>, bytes_max: usize) -> anyhow::Result<Self> {
        let roots = match ca {
            Some(path) => {
                let pem = std::fs::read_to_string(path)
                    .with_context(|| format!("registry_ca: cannot read {}", path.display()))?;
                let roots = certificates(&pem);
                anyhow::ensure!(
                    !roots.is_empty(),
                    "registry_ca: {} holds no certificate",
                    path.display()
                );
                roots
            }
            None => SYSTEM_BUNDLES
                .iter()
                .find_map(|path| std::fs::read_to_string(path).ok())
                .map(|pem| certificates(&pem))
                .unwrap_or_default(),
        };
        Ok(Self {
            http: runtime::http::client(Some(&roots))?,
            budget: Budget::new(bytes_max),
        })
    }

    /// A manifest by tag or digest; `None` when there is none.
    pub(crate) async fn manifest(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> Result<Option<Manifest>, RegistryError> {
        let url = repository.url(&format!("manifests/{reference}"))?;
        let Some(bytes) = self
            .get(repository, &url, MANIFEST_TYPES, MANIFEST_MAX)
            .await?
        else {
            return Ok(None);
        };
        let expected = reference.parse::<Digest>().ok();
        let algorithm = expected
            .as_ref()
            .map_or(oci::Algorithm::Sha256, Digest::algorithm);
        let digest = Digest::of(algorithm, &bytes);
        if expected.is_some_and(|expected| expected != digest) {
            return Err(RegistryError::Digest {
                url: url.into(),
                got: digest,
            });
        }
        Ok(Some(Manifest { bytes, digest }))
    }

    /// A manifest, parsed.
    pub(crate) async fn manifest_body(
        &self,
        repository: &Repository,
        reference: &str,
    ) -> Result<Option<ManifestBody>, RegistryError> {
        let Some(manifest) = self.manifest(repository, reference).await? else {
            return Ok(None);
        };
        let body = serde_json::from_slice(&manifest.bytes).map_err(|_| RegistryError::Json {
            url: format!("{}manifests/{reference}", repository.base),
        })?;
        Ok(Some(body))
    }

    /// A blob of at most `max` bytes and not more than its descriptor says, checked against its digest.
    pub(crate) async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        max: usize,
    ) -> Result<Option<Blob>, RegistryError> {
        let digest = &descriptor.digest;
        let url = repository.url(&format!("blobs/{digest}"))?;
        // Nothing said is the most that it may be.
        let size = match usize::try_from(descriptor.size) {
            Ok(0) => max,
            Ok(size) if size <= max => size,
            _ => {
                return Err(RegistryError::TooLarge {
                    url: url.into(),
                    max,
                });
            }
        };
        let full = || RegistryError::Full {
            url: url.to_string(),
            max: self.budget.whole,
        };
        let reserved = self.budget.reserve(size).ok_or_else(full)?;
        let Some(bytes) = self.get(repository, &url, "*/*", size).await? else {
            return Ok(None);
        };
        if digest.matches(&bytes) {
            return Ok(Some(Blob { bytes, reserved }));
        }
        let got = Digest::of(digest.algorithm(), &bytes);
        Err(RegistryError::Digest {
            url: url.into(),
            got,
        })
    }

    /// What refers to `digest`: by the referrers API, or by the tag that stands in for it.
    pub(crate) async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let url = repository.url(&format!("referrers/{digest}"))?;
        let index_type = "application/vnd.oci.image.index.v1+json";
        if let Some(bytes) = self.get(repository, &url, index_type, MANIFEST_MAX).await? {
            let index: ManifestBody = serde_json::from_slice(&bytes)
                .map_err(|_| RegistryError::Json { url: url.into() })?;
            return Ok(index.manifests);
        }
        let tag = digest.to_string().replace(':', "-");
        let index = self.manifest_body(repository, &tag).await?;
        Ok(index.map(|index| index.manifests).unwrap_or_default())
    }

    /// The body of an answer 200; `None` for 404.
    async fn get(
        &self,
        repository: &Repository,
        url: &Url,
        accept: &str,
        max: usize,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let mut authorization = None;
        let mut target = url.clone();
        for _ in 0..=REDIRECTS_MAX + 1 {
            let response = self.send(&target, accept, authorization.as_deref()).await?;
            match response.status() {
                StatusCode::OK => return read(response, &target, max).await.map(Some),
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::UNAUTHORIZED if authorization.is_none() => {
                    let challenge = response.headers().clone();
                    authorization = Some(self.authorize(repository, &target, &challenge).await?);
                }
                StatusCode::UNAUTHORIZED => {
                    return Err(RegistryError::Unauthorized { url: target.into() });
                }
                status if status.is_redirection() => {
                    let location = response.headers().get(header::LOCATION);
                    let location = location.and_then(|value| value.to_str().ok());
                    let next = location.and_then(|location| target.join(location).ok());
                    match next {
                        Some(next) if repository.is_same_host(&next) => target = next,
                        _ => {
                            return Err(RegistryError::Redirect {
                                url: target.into(),
                                target: location.unwrap_or_default().to_owned(),
                            });
                        }
                    }
                }
                status => {
                    let detail = read(response, &target, TOKEN_MAX).await.unwrap_or_default();
                    let detail = error_text(&detail);
                    return Err(RegistryError::Status {
                        url: target.into(),
                        status,
                        detail,
                    });
                }
            }
        }
        Err(RegistryError::Redirect {
            url: url.clone().into(),
            target: target.into(),
        })
    }

    async fn send(
        &self,
        url: &Url,
        accept: &str,
        authorization: Option<&str>,
    ) -> Result<Response, RegistryError> {
        let mut request = self.http.get(url.clone()).header(header::ACCEPT, accept);
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request
            .send()
            .await
            .map_err(|source| RegistryError::Transport {
                url: url.to_string(),
                source,
            })
    }

    /// Answers a challenge: basic with the login, or bearer with a token from the registry's own realm.
    async fn authorize(
        &self,
        repository: &Repository,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<String, RegistryError> {
        let refused = || RegistryError::Unauthorized {
            url: url.to_string(),
        };
        let basic = repository.login.as_ref().map(|login| {
            let pair = format!("{}:{}", login.user, login.password);
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            )
        });
        let challenge = headers.get(header::WWW_AUTHENTICATE);
        let challenge = challenge
            .and_then(|value| value.to_str().ok())
            .ok_or_else(refused)?;
        let Some((scheme, parameters)) = challenge.split_once(' ') else {
            return basic.ok_or_else(refused);
        };
        if scheme.eq_ignore_ascii_case("basic") {
            return basic.ok_or_else(refused);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(refused());
        }
        let parameters = challenge_parameters(parameters);
        let realm = parameters.get("realm").ok_or_else(refused)?;
        let mut realm_url = Url::parse(realm).map_err(|_| refused())?;
        if !repository.is_same_host(&realm_url) {
            return Err(RegistryError::Realm {
                url: url.to_string(),
                realm: realm.clone(),
            });
        }
        let scope = format!("repository:{}:pull", repository.name);
        let asked = parameters.get("scope").unwrap_or(&scope);
        realm_url.query_pairs_mut().append_pair("scope", asked);
        if let Some(service) = parameters.get("service") {
            realm_url.query_pairs_mut().append_pair("service", service);
        }
        let response = self
            .send(&realm_url, "application/json", basic.as_deref())
            .await?;
        if response.status() != StatusCode::OK {
            return Err(refused());
        }
        let answer = read(response, &realm_url, TOKEN_MAX).await?;
        let answer: TokenAnswer = serde_json::from_slice(&answer).map_err(|_| refused())?;
        let token = if answer.token.is_empty() {
            answer.access_token
        } else {
            answer.token
        };
        if token.is_empty() {
            Err(refused())
        } else {
            Ok(format!("Bearer {token}"))
        }
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

async fn read(mut response: Response, url: &Url, max: usize) -> Result<Vec<u8>, RegistryError> {
    let too_large = || RegistryError::TooLarge {
        url: url.to_string(),
        max,
    };
    if response
        .content_length()
        .is_some_and(|length| length > max as u64)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    loop {
        let chunk = response
            .chunk()
            .await
            .map_err(|source| RegistryError::Transport {
                url: url.to_string(),
                source,
            })?;
        let Some(chunk) = chunk else { return Ok(body) };
        if body.len() + chunk.len() > max {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
}

/// `CODE: message` of the first error that a registry names.
fn error_text(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |field: &str| {
        let value = body.pointer(&format!("/errors/0/{field}"));
        value
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    match (text("code"), text("message")) {
        (code, message) if message.is_empty() => code,
        (code, message) => format!("{code}: {message}"),
    }
}

/// `name="value"` pairs of a challenge (RFC 9110 §11.2); values without escapes.
fn challenge_parameters(text: &str) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        parameters.insert(name, value.to_owned());
        rest = after;
    }
    parameters
}

/// The certificates of a bundle that can be used as authorities.
fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    let blocks = crypto::from_pem_chain(pem).unwrap_or_default();
    blocks
        .into_iter()
        .filter(|(label, _)| label == "CERTIFICATE")
        .map(|(_, der)| CertificateDer::from(der))
        .filter(|der| rustls::RootCertStore::empty().add(der.clone()).is_ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Keychain, challenge_parameters};

    #[test]
    fn challenges_are_taken_apart() {
        let parameters = challenge_parameters(
            r#"realm="https://r/token",service="r",scope="repository:a,b:pull",error=x"#,
        );
        assert_eq!(parameters["realm"], "https://r/token");
        assert_eq!(parameters["scope"], "repository:a,b:pull");
        assert_eq!(parameters["error"], "x");
    }

    #[test]
    fn logins_are_read_from_dockers_configuration() {
        let mut keychain = Keychain::default();
        keychain.add(
            br#"{"auths": {"https://docker.io/v1/": {"auth": "dTpwOnE="},
            "r:5000": {"username": "a", "password": "b"}, "empty": {}}}"#,
        );
        assert_eq!(
            keychain
                .login("index.docker.io")
                .map(|login| &*login.password),
            Some("p:q")
        );
        assert_eq!(
            keychain.login("r:5000").map(|login| &*login.user),
            Some("a")
        );
        assert_eq!(keychain.login("empty"), None);
        assert_eq!(keychain.login("other"), None);
    }
}
