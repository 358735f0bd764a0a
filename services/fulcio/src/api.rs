//! The HTTP door: v2 JSON, v1 PEM, health, and the answers to everything else.

mod request;
mod response;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use runtime::http::{BodyError, read_body};

use crate::{
    error::{Error, REQUEST_BYTES_MAX},
    service::Service,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PEM_CHAIN: HeaderValue = HeaderValue::from_static("application/pem-certificate-chain");

/// Routes by exact path: the real server answers a wrong method with 501 and knows no trailing slash,
/// neither of which a router of patterns does.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .fallback(dispatch)
        .with_state(service)
        .layer(middleware::from_fn(cors))
}

async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Response {
    let outcome = match request.uri().path() {
        "/api/v2/signingCert" => match *request.method() {
            Method::POST => create_signing_certificate(&service, request).await,
            _ => Err(Error::MethodNotAllowed),
        },
        "/api/v1/signingCert" => match *request.method() {
            Method::POST => create_signing_certificate_v1(&service, request).await,
            _ => Err(Error::MethodNotAllowed),
        },
        "/api/v2/trustBundle" => read_only(&request).map(|()| get_trust_bundle(&service)),
        "/api/v2/configuration" => read_only(&request).map(|()| get_configuration(&service)),
        "/api/v1/rootCert" => read_only(&request).map(|()| get_root_certificate(&service)),
        "/healthz" => read_only(&request).map(|()| json(r#"{"status":"SERVING"}"#.to_owned())),
        _ => Err(Error::NotFound),
    };
    outcome.unwrap_or_else(Error::into_response)
}

/// GET, or a form POST, which the real gateway takes for a GET whatever the form says.
fn read_only(request: &Request) -> Result<(), Error> {
    let is_form = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| {
            kind.as_bytes()
                .starts_with(b"application/x-www-form-urlencoded")
        });
    if request.method() == Method::GET || (request.method() == Method::POST && is_form) {
        return Ok(());
    }
    Err(Error::MethodNotAllowed)
}

/// `CA.CreateSigningCertificate` of v2: 200 and JSON.
async fn create_signing_certificate(
    service: &Service,
    request: Request,
) -> Result<Response, Error> {
    let (headers, text) = read(request).await?;
    let request = request::signing_certificate(&text)?;
    let token = match request.identity_token {
        token if !token.is_empty() => token,
        _ => bearer(&headers),
    };
    let issued = service
        .create_signing_certificate(&token, &request.key)
        .await?;
    Ok(json(response::signing_certificate(&issued)))
}

/// `CA.CreateSigningCertificate` of v1beta: 201 and a PEM chain.
async fn create_signing_certificate_v1(
    service: &Service,
    request: Request,
) -> Result<Response, Error> {
    let (headers, text) = read(request).await?;
    let key = request::signing_certificate_v1(&text)?;
    let issued = service
        .create_signing_certificate(&bearer(&headers), &key)
        .await?;
    let mut response = pem_chain(issued.chain.join("\n"));
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// `CA.GetTrustBundle` of v2.
fn get_trust_bundle(service: &Service) -> Response {
    json(response::trust_bundle(&service.trust_bundle()))
}

/// `CA.GetConfiguration` of v2.
fn get_configuration(service: &Service) -> Response {
    json(response::configuration(service.issuers()))
}

/// `CA.GetRootCertificate` of v1beta: the whole chain, without a trailing newline.
fn get_root_certificate(service: &Service) -> Response {
    pem_chain(service.trust_bundle().concat().trim_end().to_owned())
}

async fn read(request: Request) -> Result<(HeaderMap, String), Error> {
    let (parts, body) = request.into_parts();
    let bytes = read_body(body, REQUEST_BYTES_MAX)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge { .. } => Error::BodyTooLarge,
            BodyError::Timeout | BodyError::Broken => Error::BodyBroken,
        })?;
    let text = String::from_utf8(bytes.into()).map_err(|_| Error::Utf8)?;
    Ok((parts.headers, text))
}

/// The token of an `Authorization` header: the first `Bearer ` is cut out, as it is spelled here, and
/// the rest is the token, whether there was one or not.
fn bearer(headers: &HeaderMap) -> String {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    value
        .unwrap_or_default()
        .replacen("Bearer ", "", 1)
        .trim()
        .to_owned()
}

fn json(body: String) -> Response {
    answer(body, JSON)
}

fn pem_chain(body: String) -> Response {
    answer(body, PEM_CHAIN)
}

fn answer(body: String, kind: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Cross-origin rules: any origin may GET, POST and HEAD; a pre-flight may ask for `content-type` and not
/// for `authorization`, so that a browser must send the token in the body.
async fn cors(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let asked_method = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned();
    let has_origin = headers.contains_key(header::ORIGIN);
    if request.method() == Method::OPTIONS
        && let Some(method) = asked_method
    {
        return preflight(headers, &method, has_origin);
    }
    let simple = matches!(*request.method(), Method::GET | Method::POST | Method::HEAD);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if has_origin && simple {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
    }
    response
}

fn preflight(headers: &HeaderMap, method: &HeaderValue, has_origin: bool) -> Response {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let names = asked
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let method_allowed = ["GET", "POST", "HEAD"].iter().any(|known| method == *known);
    let mut response = StatusCode::NO_CONTENT.into_response();
    let to = response.headers_mut();
    to.insert(
        header::VARY,
        HeaderValue::from_static(
            "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        ),
    );
    if has_origin && may_send(names) && method_allowed {
        to.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        to.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
            to.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
    response
}

/// Whether a page may send these headers. Browsers write them in lower case, sorted and once each (Fetch
/// "CORS-unsafe request-header names"), and nothing else is taken.
fn may_send(names: &str) -> bool {
    let mut allowed = ["accept", "content-type", "x-requested-with"].into_iter();
    names
        .split(',')
        .map(|name| name.trim_matches([' ', '\t']))
        .filter(|name| !name.is_empty())
        .all(|name| allowed.any(|known| known == name))
}
