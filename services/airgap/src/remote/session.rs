//! Requests with authorization, retries, redirects and bounded time and answers.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Body, Method, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE},
};
use serde::Deserialize;

use super::same_origin;
use crate::{
    Credentials, Error,
    challenge::{self, Challenge},
};

/// Longest silence while waiting for an answer or a piece of one.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// Longest time for one request; what bounds it in practice is [`IDLE`].
pub(super) const WHOLE: Duration = Duration::from_secs(24 * 60 * 60);

/// Tries of a request that got no answer or one that says "later".
pub(super) const TRIES: u32 = 4;

const REDIRECTS_MAX: usize = 5;

/// Bytes of an error's or a token's body.
const SMALL_BODY_MAX: u64 = 256 << 10;

/// Characters of an error that are shown.
const DETAIL_CHARS_MAX: usize = 300;

/// A registry and what is allowed there.
#[derive(Debug)]
pub(super) struct Session {
    http: reqwest::Client,
    base: String,
    name: String,
    scope: String,
    credentials: Option<Credentials>,
    /// The `Authorization` that the registry accepted last.
    authorization: Mutex<Option<HeaderValue>>,
}

/// Makes the same request again for each try.
type Build<'a> = &'a (dyn Fn(&reqwest::Client) -> RequestBuilder + Send + Sync);

impl Session {
    pub(super) fn new(
        http: reqwest::Client,
        scheme: &'static str,
        registry: &str,
        name: String,
        scope: String,
        credentials: Option<Credentials>,
    ) -> Self {
        let base = format!("{scheme}://{registry}");
        Self {
            http,
            base,
            name,
            scope,
            credentials,
            authorization: Mutex::new(None),
        }
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request whose body, if any, is in memory. With a body that is empty the length is
    /// sent too: some registries insist.
    pub(super) async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(HeaderName, String)],
        body: Option<Bytes>,
    ) -> Result<Response, Error> {
        let build = |http: &reqwest::Client| {
            let mut request = http.request(method.clone(), url);
            for (name, value) in headers {
                request = request.header(name, value);
            }
            match &body {
                Some(body) => request
                    .header(CONTENT_LENGTH, body.len())
                    .body(Body::from(body.clone())),
                None => request,
            }
        };
        self.send_with(&method, url, (TRIES, IDLE), &build).await
    }

    /// Sends what `build` makes, so many times at most, and waits so long for the answer to begin.
    pub(super) async fn send_with(
        &self,
        method: &Method,
        url: &str,
        (tries_max, patience): (u32, Duration),
        build: Build<'_>,
    ) -> Result<Response, Error> {
        let target = Url::parse(url).ok();
        let base = Url::parse(&self.base).ok();
        let is_ours =
            matches!((&target, &base), (Some(one), Some(other)) if same_origin(one, other));
        let mut is_challenged = false;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut request = build(&self.http).timeout(WHOLE);
            if let Some(value) = self.authorization().filter(|_| is_ours) {
                request = request.header(AUTHORIZATION, value);
            }
            let name = || format!("{method} {url}");
            let Ok(answer) = tokio::time::timeout(patience, request.send()).await else {
                return Err(Error::Stalled {
                    request: name(),
                    secs: patience.as_secs(),
                });
            };
            match answer {
                Ok(response)
                    if response.status() == StatusCode::UNAUTHORIZED
                        && is_ours
                        && !is_challenged =>
                {
                    is_challenged = true;
                    self.authorize(&response).await?;
                }
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED && is_ours => {
                    return Err(self.unauthorized());
                }
                Ok(response) if tries < tries_max && is_later(response.status()) => {
                    pause(tries).await
                }
                Ok(response) => return Ok(response),
                Err(_) if tries < tries_max => pause(tries).await,
                Err(source) => {
                    return Err(Error::Unreachable {
                        request: name(),
                        source,
                    });
                }
            }
        }
    }

    /// GET that follows redirects, as blobs are often served from elsewhere. Authorization stays with
    /// the registry, and TLS is never left.
    pub(super) async fn get(
        &self,
        url: &str,
        headers: &[(HeaderName, String)],
    ) -> Result<Response, Error> {
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS_MAX {
            let response = self.send(Method::GET, &url, headers, None).await?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let request = format!("GET {url}");
            let next = location(&request, &response)?;
            if response.url().scheme() == "https" && next.scheme() != "https" {
                return Err(Error::Answer {
                    request,
                    field: "Location with TLS",
                });
            }
            url = next.to_string();
        }
        Err(Error::Answer {
            request: format!("GET {url}"),
            field: "end of redirects",
        })
    }

    fn authorization(&self) -> Option<HeaderValue> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn unauthorized(&self) -> Error {
        Error::Unauthorized {
            registry: self.name.clone(),
            given: self.credentials.is_some(),
        }
    }

    /// Answers the challenge of a 401: RFC 7617, or a token as docker's "Token Authentication".
    async fn authorize(&self, response: &Response) -> Result<(), Error> {
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let texts = headers.iter().filter_map(|value| value.to_str().ok());
        let value = match challenge::parse(texts).ok_or_else(|| self.unauthorized())? {
            Challenge::Basic => {
                let given = self
                    .credentials
                    .as_ref()
                    .ok_or_else(|| self.unauthorized())?;
                basic(given)
            }
            Challenge::Bearer { realm, service } => {
                let token = self.token(&realm, service.as_deref()).await?;
                format!("Bearer {token}")
            }
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| self.unauthorized())?;
        value.set_sensitive(true);
        *self
            .authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(value);
        Ok(())
    }

    async fn token(&self, realm: &str, service: Option<&str>) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Answer {
            token: Option<String>,
            access_token: Option<String>,
        }
        let request = format!("GET {realm}");
        let mut url = Url::parse(realm).map_err(|_| Error::Answer {
            request: request.clone(),
            field: "realm",
        })?;
        if self.base.starts_with("https:") && url.scheme() != "https" {
            let (registry, realm) = (self.name.clone(), realm.to_owned());
            return Err(Error::InsecureRealm { registry, realm });
        }
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .append_pair("scope", &self.scope);
        let mut get = self.http.get(url).timeout(IDLE);
        if let Some(credentials) = &self.credentials {
            get = get.header(AUTHORIZATION, basic(credentials));
        }
        let response = get.send().await.map_err(|source| Error::Unreachable {
            request: request.clone(),
            source,
        })?;
        if matches!(response.status().as_u16(), 401 | 403) {
            return Err(self.unauthorized());
        }
        let response = expect(&request, response, &[StatusCode::OK]).await?;
        let bytes = read(&request, response, SMALL_BODY_MAX).await?;
        serde_json::from_slice::<Answer>(&bytes)
            .ok()
            .and_then(|answer| answer.token.or(answer.access_token))
            .ok_or(Error::Answer {
                request,
                field: "token",
            })
    }
}

fn basic(credentials: &Credentials) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = format!("{}:{}", credentials.username, credentials.password);
    format!("Basic {}", STANDARD.encode(text))
}

fn is_later(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

pub(super) async fn pause(tries: u32) {
    tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(tries)).await;
}

/// `Location`, relative to the request.
pub(super) fn location(request: &str, response: &Response) -> Result<Url, Error> {
    let header = response
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    header
        .and_then(|text| response.url().join(text).ok())
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| Error::Answer {
            request: request.to_owned(),
            field: "Location",
        })
}

/// The response if its status is one of `accepted`, else what the registry says is wrong.
pub(super) async fn expect(
    request: &str,
    response: Response,
    accepted: &[StatusCode],
) -> Result<Response, Error> {
    let status = response.status();
    if accepted.contains(&status) {
        return Ok(response);
    }
    let body = read(request, response, SMALL_BODY_MAX)
        .await
        .unwrap_or_default();
    let (request, status) = (request.to_owned(), status.as_u16());
    Err(Error::Refused {
        request,
        status,
        detail: detail(&body),
    })
}

/// Code and message of the first error, distribution-spec "Error Codes", on one line.
fn detail(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        errors: Vec<Fault>,
    }
    #[derive(Deserialize)]
    struct Fault {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let text = match serde_json::from_slice::<Body>(body) {
        Ok(Body { errors }) => {
            let lines = errors
                .iter()
                .map(|fault| format!("{} {}", fault.code, fault.message));
            lines.collect::<Vec<_>>().join("; ")
        }
        Err(_) => String::new(),
    };
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable
        .take(DETAIL_CHARS_MAX)
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The whole body, if it is not longer than `size_max` and comes without long silences.
pub(super) async fn read(
    request: &str,
    mut response: Response,
    size_max: u64,
) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = chunk(request, &mut response).await? {
        if (whole.len() + chunk.len()) as u64 > size_max {
            return Err(Error::AnswerTooLarge {
                request: request.to_owned(),
                size_max,
            });
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The next piece of a body.
pub(super) async fn chunk(request: &str, response: &mut Response) -> Result<Option<Bytes>, Error> {
    match tokio::time::timeout(IDLE, response.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(source)) => Err(Error::Unreachable {
            request: request.to_owned(),
            source,
        }),
        Err(_) => Err(Error::Stalled {
            request: request.to_owned(),
            secs: IDLE.as_secs(),
        }),
    }
}
