//! The public door: upstream's three paths and its errors for all others.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use tsp::TimestampRequest;

use crate::{Error, Service, json};

const REPLY: &str = "application/timestamp-reply";
const QUERY: &str = "application/timestamp-query";
const JSON: &str = "application/json";
const CHAIN: &str = "application/pem-certificate-chain";

/// Upstream's middleware against caches, name by name.
const NO_CACHE: [(&str, &str); 4] = [
    ("expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
    (
        "cache-control",
        "no-cache, no-store, no-transform, must-revalidate, private, max-age=0",
    ),
    ("pragma", "no-cache"),
    ("x-accel-expires", "0"),
];

/// Headers that a page may send.
const SHARED_HEADERS: [&str; 3] = ["accept", "content-type", "x-requested-with"];

/// All paths.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/api/v1/timestamp", any(get_timestamp_response))
        .route("/api/v1/timestamp/", any(get_timestamp_response))
        .route("/api/v1/timestamp/certchain", any(get_timestamp_cert_chain))
        .route(
            "/api/v1/timestamp/certchain/",
            any(get_timestamp_cert_chain),
        )
        .route("/ping", any(ping))
        .fallback(not_found)
        .layer(middleware::from_fn(share))
        .with_state(service)
}

async fn ping(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_found(request).await.into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain")], ".").into_response()
}

async fn not_found(request: Request) -> Error {
    Error::Path {
        path: request.uri().path().chars().take(1024).collect(),
    }
}

/// `POST /api/v1/timestamp`.
async fn get_timestamp_response(
    State(service): State<Arc<Service>>,
    method: Method,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if method != Method::POST {
        return refused_method(&method, "POST");
    }
    let mut response = match answer(&service, &headers, body).await {
        Ok(der) => {
            let status = if service.config.use_http_201 {
                StatusCode::CREATED
            } else {
                StatusCode::OK
            };
            (status, [(header::CONTENT_TYPE, REPLY)], der).into_response()
        }
        Err(error) => error.into_response(),
    };
    for (name, value) in NO_CACHE {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn answer(service: &Service, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Error> {
    let body = runtime::http::read_body(body, tsp::REQUEST_BYTES_MAX).await;
    let empty = body.as_ref().is_ok_and(|body| body.is_empty());
    let content_type = content_type(headers);
    // A body that is not there has no type to be wrong.
    if !empty && content_type != JSON && content_type != QUERY {
        return Err(Error::MediaType { content_type });
    }
    if !accepts(headers, REPLY) {
        return Err(Error::Accept {
            json: accepts(headers, JSON),
        });
    }
    let body = body.map_err(|_| Error::Unreadable)?;
    if empty {
        return Err(Error::EmptyBody);
    }
    let request = if content_type == JSON {
        json::read(&body)?
    } else {
        TimestampRequest::from_der(&body)?
    };
    service.timestamp(request).await
}

/// `GET /api/v1/timestamp/certchain`.
async fn get_timestamp_cert_chain(
    State(service): State<Arc<Service>>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    if method != Method::GET {
        return refused_method(&method, "GET");
    }
    if !accepts(&headers, CHAIN) {
        return Error::Accept {
            json: accepts(&headers, JSON),
        }
        .into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, CHAIN),
        (header::CACHE_CONTROL, "max-age=86400, immutable"),
    ];
    (headers, service.chain_pem.clone()).into_response()
}

fn refused_method(method: &Method, allowed: &'static str) -> Response {
    Error::Method {
        method: method.to_string(),
        allowed,
    }
    .into_response()
}

/// The media type without its parameters; a missing one reads as upstream's framework reads it.
fn content_type(headers: &HeaderMap) -> String {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return "application/octet-stream".to_owned();
    };
    let value = value.to_str().unwrap_or_default();
    value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

/// Whether the `Accept` header, if any, has a range that `offer` is in (RFC 9110 §12.5.1).
fn accepts(headers: &HeaderMap, offer: &str) -> bool {
    let mut ranges = headers.get_all(header::ACCEPT).iter().peekable();
    if ranges.peek().is_none() {
        return true;
    }
    let family = offer.split('/').next().unwrap_or_default();
    ranges
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|range| {
            range
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        })
        .any(|range| range == "*/*" || range == offer || range.strip_suffix("/*") == Some(family))
}

/// Upstream's CORS: pages of any origin may ask and read.
async fn share(request: Request, next: Next) -> Response {
    let from_page = request.headers().contains_key(header::ORIGIN);
    if request.method() == Method::OPTIONS
        && let Some(wish) = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return preflight(from_page, wish, &request);
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if from_page {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
    }
    response
}

/// An empty 204 that allows what is asked for, or says nothing.
fn preflight(from_page: bool, wish: &HeaderValue, request: &Request) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.insert(header::VARY, HeaderValue::from_static(vary));
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let names = asked
        .and_then(|names| names.to_str().ok())
        .unwrap_or_default();
    let known = names
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .all(|name| {
            SHARED_HEADERS
                .iter()
                .any(|shared| name.eq_ignore_ascii_case(shared))
        });
    if from_page && known && matches!(wish.as_bytes(), b"GET" | b"HEAD" | b"POST") {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, wish.clone());
        if let Some(asked) = asked {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        }
    }
    response
}
