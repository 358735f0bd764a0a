//! The public door: discovery, keys, tokens by one request, and the OAuth endpoints of [`oauth`].

mod oauth;
mod pages;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Body,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, uri::Authority},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Map, Value, json};

use tower::ServiceExt as _;
use url::Url;

use crate::{
    Error, Service,
    hostile::Flaw,
    params::Params,
    preset::Preset,
    token::{Issuer, TokenRequest},
};

/// More than any form or claim set that fits into a header could need.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// One issuer of the service: what a handler serves depends on the path and host it was found under.
#[derive(Clone, Debug)]
struct Door {
    service: Arc<Service>,
    issuer: Issuer,
}

/// All paths: those of each preset below its own issuer URL; those of a played issuer for requests to its
/// host.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new();
    for preset in Preset::ALL {
        let door = Door {
            service: service.clone(),
            issuer: service.issuer(preset),
        };
        router = match preset {
            Preset::Email => router.merge(issuer_router(door)),
            other => router.nest(&other.path(), issuer_router(door)),
        };
    }
    let router = router.fallback(not_found);
    let played = Arc::new(played_routers(&service));
    if played.is_empty() {
        return router;
    }
    router.layer(middleware::from_fn_with_state(played, by_host))
}

/// What the admin door has below `/oidc`.
pub(crate) fn admin(service: Arc<Service>) -> Router {
    Router::new()
        .route("/hostile-token", get(hostile_token))
        .with_state(service)
}

/// A token by the parameters of `GET /token`, with the flaw that `flaw` names.
async fn hostile_token(
    State(service): State<Arc<Service>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let mut params = Params::parse(query.unwrap_or_default().as_bytes());
    let flaw = params
        .remove("flaw")
        .ok_or(Error::ParameterMissing { name: "flaw" })?;
    let flaw = Flaw::from_name(&flaw)?;
    let request = TokenRequest::from_params(&params)?;
    Ok(bare(service.hostile_token(request, flaw).await?))
}

async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404 page not found\n")
}

fn issuer_router(door: Door) -> Router {
    let mut router = Router::new()
        .route("/.well-known/openid-configuration", get(discovery))
        .route("/.well-known/jwks", get(keys))
        .route("/keys", get(keys))
        .route("/token", get(token).post(oauth::token))
        .route("/token/claims", post(token_claims))
        .route("/auth", get(pages::authorize).post(pages::answer_authorize))
        .route("/device", get(pages::device).post(pages::answer_device))
        .route("/device/code", post(oauth::device_code))
        .route("/userinfo", get(oauth::userinfo).post(oauth::userinfo));
    if door.issuer.preset == Preset::GithubActions {
        router = router
            .route("/idtoken", get(id_token).post(id_token))
            .route("/request-token", get(request_token));
    }
    router.with_state(door)
}

/// One router for each host of a played issuer.
fn played_routers(service: &Arc<Service>) -> BTreeMap<String, Router> {
    let mut routers: BTreeMap<String, Router> = BTreeMap::new();
    for played in &service.config.impersonate_issuers {
        let Ok(url) = Url::parse(&played.issuer) else {
            continue;
        };
        let issuer = Issuer {
            preset: played.preset,
            url: played.issuer.clone(),
        };
        let door = Door {
            service: service.clone(),
            issuer,
        };
        let router = routers
            .remove(url.authority())
            .unwrap_or_else(|| Router::new().fallback(not_found));
        let router = match url.path().trim_end_matches('/') {
            "" => router.merge(issuer_router(door)),
            path => router.nest(path, issuer_router(door)),
        };
        routers.insert(url.authority().to_owned(), router);
    }
    routers
}

/// Hands a request to the issuer whose host it names.
async fn by_host(
    State(played): State<Arc<BTreeMap<String, Router>>>,
    request: Request,
    next: Next,
) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| request.uri().authority().map(Authority::as_str))
        .unwrap_or_default()
        .to_ascii_lowercase();
    // A URL does not carry the default port of its scheme, a Host header may.
    let bare = host
        .strip_suffix(":443")
        .or_else(|| host.strip_suffix(":80"))
        .unwrap_or(&host);
    match played.get(&host).or_else(|| played.get(bare)) {
        Some(router) => match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        None => next.run(request).await,
    }
}

/// OpenID Connect Discovery 1.0 §3, RFC 8414 §2, RFC 8628 §4.
async fn discovery(State(door): State<Door>) -> Response {
    let Issuer { preset, url } = &door.issuer;
    // The real document of GitHub names this path for its keys.
    let keys = if *preset == Preset::GithubActions {
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
        "claims_supported": door.service.claims_supported(&door.issuer),
    });
    shared(Json(document).into_response())
}

/// RFC 7517 §5.
async fn keys(State(door): State<Door>) -> Result<Response, Error> {
    let key = door.service.key().await?;
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
async fn token(State(door): State<Door>, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let request = TokenRequest::from_params(&params)?;
    Ok(bare(
        door.service.identity_token(&door.issuer, request).await?,
    ))
}

/// `POST /token/claims`: the same by JSON or form.
async fn token_claims(
    State(door): State<Door>,
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
        door.service.identity_token(&door.issuer, request).await?,
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
    State(door): State<Door>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let service = &door.service;
    let job = service
        .job(bearer(&headers).ok_or(Error::RequestToken)?)
        .await?;
    let query = Params::parse(query.unwrap_or_default().as_bytes());
    let audience = match query.get("audience") {
        Some(audience) => audience.to_owned(),
        None => service.default_actions_audience(&door.issuer, &job),
    };
    let request = TokenRequest {
        claims: job,
        ..TokenRequest::default()
    };
    let request = request.with_audience(&audience);
    let value = service.identity_token(&door.issuer, request).await?;
    Ok(Json(json!({ "count": value.len(), "value": value })).into_response())
}

/// A request token for a job with the claims of the query: `ACTIONS_ID_TOKEN_REQUEST_TOKEN`.
async fn request_token(
    State(door): State<Door>,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let request = TokenRequest::from_params(&params)?;
    let mut claims = request.claims;
    if let Some(subject) = request.subject {
        claims.insert("sub".to_owned(), json!(subject));
    }
    Ok(bare(door.service.request_token(claims).await?))
}

impl Service {
    /// GitHub's default audience is the URL of the repository's owner.
    fn default_actions_audience(&self, issuer: &Issuer, job: &Map<String, Value>) -> String {
        let request = TokenRequest {
            claims: job.clone(),
            ..TokenRequest::default()
        };
        let claims = self
            .issuers()
            .claims(issuer, request, self.clock.now(), String::new());
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

    /// The subject of an issuer's tokens when nobody asks for another.
    fn default_subject(&self, issuer: &Issuer) -> String {
        let request = TokenRequest::default();
        let claims = self
            .issuers()
            .claims(issuer, request, self.clock.now(), String::new());
        let subject = claims
            .ok()
            .and_then(|mut claims| claims.shift_remove("sub"));
        subject
            .as_ref()
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    /// The names of the claims that an issuer's tokens have by default.
    fn claims_supported(&self, issuer: &Issuer) -> Vec<String> {
        let request = TokenRequest::default();
        let claims = self
            .issuers()
            .claims(issuer, request, self.clock.now(), String::new());
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
