//! The public door: discovery, keys, tokens by one request, and the OAuth endpoints of [`oauth`].

mod oauth;
mod pages;

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use crate::{Error, Service, params::Params, preset::Preset, token::TokenRequest};

/// More than any form or claim set that fits into a header could need.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// One issuer of the service: what a handler serves depends on the path it was found under.
#[derive(Clone, Debug)]
struct Issuer {
    service: Arc<Service>,
    preset: Preset,
}

/// All paths: those of each preset below its own issuer URL.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new();
    for preset in Preset::ALL {
        let issuer = Issuer {
            service: service.clone(),
            preset,
        };
        router = match preset {
            Preset::Email => router.merge(issuer_router(issuer)),
            Preset::GithubActions => {
                let ambient = Router::new()
                    .route("/idtoken", get(id_token).post(id_token))
                    .route("/request-token", get(request_token))
                    .with_state(issuer.clone());
                router.nest(&preset.path(), issuer_router(issuer).merge(ambient))
            }
            other => router.nest(&other.path(), issuer_router(issuer)),
        };
    }
    router.fallback(async || (StatusCode::NOT_FOUND, "404 page not found\n"))
}

fn issuer_router(issuer: Issuer) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/jwks", get(keys))
        .route("/keys", get(keys))
        .route("/token", get(token).post(oauth::token))
        .route("/token/claims", post(token_claims))
        .route("/auth", get(pages::authorize).post(pages::answer_authorize))
        .route("/device", get(pages::device).post(pages::answer_device))
        .route("/device/code", post(oauth::device_code))
        .route("/userinfo", get(oauth::userinfo).post(oauth::userinfo))
        .with_state(issuer)
}

/// OpenID Connect Discovery 1.0 §3, RFC 8414 §2, RFC 8628 §4.
async fn discovery(State(issuer): State<Issuer>) -> Response {
    let url = issuer.service.issuer(issuer.preset);
    // The real document of GitHub names this path for its keys.
    let keys = if issuer.preset == Preset::GithubActions {
        ".well-known/jwks"
    } else {
        "keys"
    };
    let document = json!({
        "issuer": url,
        "authorization_endpoint": format!("{url}/auth"),
        "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/{keys}"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "device_authorization_endpoint": format!("{url}/device/code"),
        "grant_types_supported": [
            "authorization_code",
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "response_types_supported": ["code", "id_token"],
        "response_modes_supported": ["query"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "email", "profile"],
        "token_endpoint_auth_methods_supported":
            ["none", "client_secret_basic", "client_secret_post"],
        "claims_supported": issuer.service.claims_supported(issuer.preset),
    });
    shared(Json(document).into_response())
}

/// RFC 7517 §5.
async fn keys(State(issuer): State<Issuer>) -> Result<Response, Error> {
    let key = issuer.service.key().await?;
    Ok(shared(Json(key.jwks()).into_response()))
}

/// Public documents may be read by pages of any origin.
fn shared(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

/// `GET /token`: the token itself, without a newline.
async fn token(State(issuer): State<Issuer>, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let request = TokenRequest::from_params(&params)?;
    Ok(bare(
        issuer
            .service
            .identity_token(issuer.preset, request)
            .await?,
    ))
}

/// `POST /token/claims`: the same by JSON or form.
async fn token_claims(
    State(issuer): State<Issuer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let body = read(body).await?;
    let request = if content_type(&headers) == "application/json" {
        TokenRequest::from_json(&body)?
    } else {
        TokenRequest::from_params(&Params::parse(&body))?
    };
    Ok(bare(
        issuer
            .service
            .identity_token(issuer.preset, request)
            .await?,
    ))
}

/// A token as the whole body: clients put it into a header as it is (spec/fulcio.md §11.17).
fn bare(token: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, token).into_response()
}

/// What a runner's `ACTIONS_ID_TOKEN_REQUEST_URL` names. Its query must not be empty, because cosign adds
/// `&audience=` to it as text.
async fn id_token(
    State(issuer): State<Issuer>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let service = &issuer.service;
    let job = service
        .job(bearer(&headers).ok_or(Error::RequestToken)?)
        .await?;
    let query = Params::parse(query.unwrap_or_default().as_bytes());
    let audience = match query.get("audience") {
        Some(audience) => audience.to_owned(),
        None => service.default_actions_audience(&job),
    };
    let request = TokenRequest {
        claims: job,
        ..TokenRequest::default()
    };
    let request = request.with_audience(&audience);
    let value = service
        .identity_token(Preset::GithubActions, request)
        .await?;
    Ok(Json(json!({ "count": value.len(), "value": value })).into_response())
}

/// A request token for a job with the claims of the query: `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
async fn request_token(
    State(issuer): State<Issuer>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let request = TokenRequest::from_params(&params)?;
    let mut claims = request.claims;
    if let Some(subject) = request.subject {
        claims.insert("sub".to_owned(), json!(subject));
    }
    Ok(bare(issuer.service.request_token(claims).await?))
}

impl Service {
    /// GitHub's default audience is the URL of the repository's owner.
    fn default_actions_audience(&self, job: &Map<String, Value>) -> String {
        let request = TokenRequest {
            claims: job.clone(),
            ..TokenRequest::default()
        };
        let claims = self.issuers().claims(
            Preset::GithubActions,
            request,
            self.clock.now(),
            String::new(),
        );
        let owner = claims
            .ok()
            .and_then(|mut claims| claims.shift_remove("repository_owner"));
        let owner = owner
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        format!("https://github.com/{owner}")
    }

    /// The names of the claims that a preset's tokens have by default.
    fn claims_supported(&self, preset: Preset) -> Vec<String> {
        let request = TokenRequest::default();
        let claims = self
            .issuers()
            .claims(preset, request, self.clock.now(), String::new());
        claims
            .unwrap_or_default()
            .into_iter()
            .map(|(name, _)| name)
            .collect()
    }
}

/// The credential of an `Authorization` header; the scheme in any case (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The media type without its parameters, in lower case.
fn content_type(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

async fn read(body: Body) -> Result<axum::body::Bytes, Error> {
    axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Error::BodyTooLarge {
            max: BODY_BYTES_MAX,
        })
}
