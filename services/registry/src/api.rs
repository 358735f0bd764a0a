//! The wire: routing, limits, authentication, and what all answers have in common.

mod blobs;
mod lists;
mod manifests;
mod request;
mod route;
mod token;
mod uploads;

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http_body_util::BodyExt as _;
use serde::Deserialize;

pub(crate) use request::Incoming;
use route::Route;

use crate::{
    Error, GcOptions, Service,
    auth::{Caller, Origin},
    config::Action,
};

/// Bytes of path and query. Ten tags of 128 characters and a sha512 digest are under 2 KiB.
const URI_BYTES_MAX: usize = 16 << 10;

/// Bytes of header fields. Tokens with many scopes are the largest.
const HEADER_BYTES_MAX: usize = 32 << 10;

/// What is read of a refused request's body, so that the client gets to see the answer: many send all
/// of it before they look, and take a reset connection for a network fault.
const DRAINED_BYTES_MAX: usize = 8 << 20;

/// How long that is done.
const DRAINED_TIME: Duration = Duration::from_secs(5);

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(crate) const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
pub(crate) const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// The public door: everything below `/v2/`, and the token endpoint.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new().fallback(serve).with_state(service)
}

/// What the admin door shows below `/registry`.
pub(crate) fn admin(service: Arc<Service>) -> Router {
    Router::new()
        .route("/gc", post(collect_garbage))
        .route("/tls-authority.pem", get(tls_authority))
        .with_state(service)
}

async fn serve(State(service): State<Arc<Service>>, request: Request<Body>) -> Response {
    let (parts, mut body) = request.into_parts();
    let expects = parts.headers.contains_key(header::EXPECT);
    let incoming = Incoming::new(&service, parts);
    let mut response = match answer(&service, &incoming, &mut body).await {
        Ok(response) => response,
        Err(error) => {
            // A client that waits for 100 has sent nothing, and asking for it now would start it.
            if !expects && !drain(&mut body).await {
                close(error.into_response())
            } else {
                error.into_response()
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Some(warning) = &service.config.warning
        && let Ok(value) =
            HeaderValue::from_str(&format!("299 - \"{}\"", warning.replace('"', "'")))
    {
        headers.insert(header::WARNING, value);
    }
    response
}

/// Reads the rest of a body. Whether it ended.
async fn drain(body: &mut Body) -> bool {
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return true };
            bytes += frame.data_ref().map_or(0, bytes::Bytes::len);
            if bytes > DRAINED_BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(DRAINED_TIME, read)
        .await
        .unwrap_or(false)
}

fn close(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn answer(
    service: &Arc<Service>,
    incoming: &Incoming,
    body: &mut Body,
) -> Result<Response, Error> {
    check_sizes(incoming)?;
    if incoming.parts.uri.path() == "/token" {
        return token::token(service, incoming, body).await;
    }
    let route = Route::read(incoming.parts.uri.path())?;
    let method = &incoming.parts.method;
    let allowed = route.methods();
    if method == Method::OPTIONS {
        return Ok(empty(StatusCode::NO_CONTENT, &[(header::ALLOW, allowed)]));
    }
    if !allowed.split(", ").any(|name| name == method.as_str()) {
        return Err(Error::MethodNotAllowed { allow: allowed });
    }
    let authorization = incoming.header(&header::AUTHORIZATION);
    let caller = service
        .auth
        .caller(authorization, service.now(), &incoming.origin)
        .await?;
    authorize(service, &route, method, &caller, &incoming.origin)?;
    let call = Call {
        service,
        incoming,
        caller: &caller,
    };
    match route {
        Route::Base => Ok(lists::base()),
        Route::Catalog => lists::catalog(&call).await,
        Route::Discover => Ok(lists::discover()),
        Route::Tags(name) => lists::tags(&call, name).await,
        Route::Referrers(name, digest) => lists::referrers(&call, name, &digest).await,
        Route::Manifest(name, reference) => match *method {
            Method::PUT => manifests::put(&call, name, &reference, body).await,
            Method::DELETE => manifests::delete(&call, name, &reference).await,
            _ => manifests::pull(&call, name, &reference).await,
        },
        Route::Blob(name, digest) => match *method {
            Method::DELETE => blobs::delete(&call, name, &digest).await,
            _ => blobs::pull(&call, name, &digest).await,
        },
        Route::UploadStart(name) => uploads::start(&call, name, body).await,
        Route::Upload(name, id) => match *method {
            Method::PATCH => uploads::patch(&call, name, &id, body).await,
            Method::PUT => uploads::put(&call, name, &id, body).await,
            Method::DELETE => uploads::cancel(&call, name, &id).await,
            _ => uploads::status(&call, name, &id).await,
        },
    }
}

/// A request whose caller may make it.
pub(crate) struct Call<'a> {
    pub(crate) service: &'a Arc<Service>,
    pub(crate) incoming: &'a Incoming,
    pub(crate) caller: &'a Caller,
}

fn check_sizes(incoming: &Incoming) -> Result<(), Error> {
    let uri = &incoming.parts.uri;
    if uri.path().len() + uri.query().map_or(0, str::len) > URI_BYTES_MAX {
        return Err(Error::UriTooLong {
            bytes_max: URI_BYTES_MAX,
        });
    }
    let headers = &incoming.parts.headers;
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(Error::HeadersTooLarge {
            bytes_max: HEADER_BYTES_MAX,
        });
    }
    Ok(())
}

fn authorize(
    service: &Service,
    route: &Route,
    method: &Method,
    caller: &Caller,
    origin: &Origin,
) -> Result<(), Error> {
    let auth = &service.auth;
    let (name, action) = match route {
        Route::Base | Route::Discover => return auth.require_credentials(caller, origin),
        Route::Catalog => return auth.require_catalog(caller, origin),
        Route::UploadStart(name) | Route::Upload(name, _) => (name, Action::Push),
        Route::Tags(name) | Route::Referrers(name, _) => (name, Action::Pull),
        Route::Manifest(name, _) | Route::Blob(name, _) => match *method {
            Method::DELETE => (name, Action::Delete),
            Method::PUT => (name, Action::Push),
            _ => (name, Action::Pull),
        },
    };
    auth.require(caller, name, action, origin)
}

/// An answer without a body.
pub(crate) fn empty<V: AsRef<str>>(status: StatusCode, headers: &[(HeaderName, V)]) -> Response {
    with_headers(status, headers, Body::empty())
}

/// An answer. Values come from checked names and digests, and from stored media types.
pub(crate) fn with_headers<V: AsRef<str>>(
    status: StatusCode,
    headers: &[(HeaderName, V)],
    body: Body,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Whether `If-None-Match` names this digest or everything.
pub(crate) fn is_cached(headers: &HeaderMap, digest: &oci::Digest) -> bool {
    let etag = format!("\"{digest}\"");
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .map(str::trim)
                .any(|one| one == "*" || one.trim_start_matches("W/") == etag)
        })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GcQuery {
    dry_run: bool,
    grace_secs: u32,
    orphan_referrers: bool,
}

impl Default for GcQuery {
    fn default() -> Self {
        let options = GcOptions::default();
        let grace_secs = u32::try_from(options.grace_secs).unwrap_or(u32::MAX);
        Self {
            dry_run: false,
            grace_secs,
            orphan_referrers: false,
        }
    }
}

async fn collect_garbage(
    State(service): State<Arc<Service>>,
    Query(query): Query<GcQuery>,
) -> Response {
    let options = GcOptions {
        dry_run: query.dry_run,
        grace_secs: query.grace_secs.into(),
        orphan_referrers: query.orphan_referrers,
    };
    let collected = service
        .blocking(move |service| service.store.gc(&options, &mut |_| {}))
        .await;
    match collected {
        Ok(report) => Json(report).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn tls_authority(State(service): State<Arc<Service>>) -> Response {
    match service.tls_authority() {
        Some(pem) => pem.to_owned().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
