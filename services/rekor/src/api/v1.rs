//! Rekor v1 over HTTP: routing, and what upstream's framework does around every operation.

mod answer;
mod parameters;
mod queries;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use runtime::http::BodyError;

use crate::{Error, Service, config::Operation, intake::IntakeError};
use answer::{json, refuse};
use parameters::Query;

const HOME_PAGE: &str = include_str!("v1/home.html");

const JSON: &str = "application/json";
const PEM: &str = "application/x-pem-file";

/// What an operation writes, as the 406 message lists it.
const JSON_ONLY: &str = "application/json";
const PEM_ONLY: &str = "application/x-pem-file";

/// Headers that forbid caches to keep a GET's answer.
const NO_CACHE: [(HeaderName, &str); 4] = [
    (
        header::CACHE_CONTROL,
        "no-cache, no-store, no-transform, must-revalidate, private, max-age=0",
    ),
    (header::EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT"),
    (header::PRAGMA, "no-cache"),
    (HeaderName::from_static("x-accel-expires"), "0"),
];

/// The v1 listener.
pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new().fallback(dispatch).with_state(service)
}

/// Routes by hand: doubled and trailing slashes are accepted everywhere, which axum's router is not
/// made for.
async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = if is_preflight(&parts.method, &parts.headers) {
        preflight(&parts.headers)
    } else {
        match answer(&service, &parts.method, &parts.uri, &parts.headers, body).await {
            Ok(response) => response,
            Err(error) => refuse(&error),
        }
    };
    let headers = response.headers_mut();
    if parts.headers.contains_key(header::ORIGIN) {
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
    }
    if !headers.contains_key(header::VARY) {
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight(headers: &HeaderMap) -> Response {
    const VARY: &str = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    answer.insert(header::VARY, HeaderValue::from_static(VARY));
    for (asked, allowed) in [
        (
            header::ACCESS_CONTROL_REQUEST_METHOD,
            header::ACCESS_CONTROL_ALLOW_METHODS,
        ),
        (
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            header::ACCESS_CONTROL_ALLOW_HEADERS,
        ),
    ] {
        if let Some(value) = headers.get(asked) {
            answer.insert(allowed, value.clone());
        }
    }
    response
}

/// A path without doubled and trailing slashes.
fn clean(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    format!("/{}", parts.join("/"))
}

async fn answer(
    service: &Arc<Service>,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let path = clean(uri.path());
    let reads = method == Method::GET || method == Method::HEAD;
    match path.as_str() {
        "/" => return Ok(([(header::CONTENT_TYPE, "text/html")], HOME_PAGE).into_response()),
        "/ping" if reads => {
            return Ok(([(header::CONTENT_TYPE, "text/plain")], ".").into_response());
        }
        _ => {}
    }
    let (operation, uuid) = route(method, &path)?;
    if !service.config.v1.enabled_api_endpoints.contains(&operation) {
        return Err(Error::NotEnabled(operation));
    }
    let query = Query::new(uri.query().unwrap_or_default());
    let mut response = if method == Method::GET {
        get(
            service,
            operation,
            uuid.unwrap_or_default(),
            &query,
            headers,
        )
        .await
    } else {
        post(service, operation, &path, &query, headers, body).await
    }?;
    if method == Method::GET {
        for (name, value) in NO_CACHE {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
    }
    Ok(response)
}

/// The operation of a path, and the entry's name where the path has one.
fn route<'a>(method: &Method, path: &'a str) -> Result<(Operation, Option<&'a str>), Error> {
    const ENTRIES: &str = "/api/v1/log/entries";
    let uuid = path
        .strip_prefix(ENTRIES)
        .and_then(|rest| rest.strip_prefix('/'))
        .filter(|rest| !rest.contains('/'));
    let (get, post) = match (path, uuid) {
        (ENTRIES, _) => (
            Some(Operation::GetLogEntryByIndex),
            Some(Operation::CreateLogEntry),
        ),
        (_, Some("retrieve")) => (
            Some(Operation::GetLogEntryByUuid),
            Some(Operation::SearchLogQuery),
        ),
        (_, Some(_)) => (Some(Operation::GetLogEntryByUuid), None),
        ("/api/v1/index/retrieve", _) => (None, Some(Operation::SearchIndex)),
        ("/api/v1/log", _) => (Some(Operation::GetLogInfo), None),
        ("/api/v1/log/publicKey", _) => (Some(Operation::GetPublicKey), None),
        ("/api/v1/log/proof", _) => (Some(Operation::GetLogProof), None),
        _ => return Err(Error::Path(path.to_owned())),
    };
    let operation = match *method {
        Method::GET => get,
        Method::POST => post,
        _ => None,
    };
    let allowed = match (get, post) {
        (Some(_), Some(_)) => "GET,POST",
        (Some(_), None) => "GET",
        _ => "POST",
    };
    let method = method.as_str();
    let operation = operation.ok_or_else(|| Error::Method {
        method: method.to_owned(),
        allowed,
    })?;
    Ok((operation, uuid))
}

async fn get(
    service: &Arc<Service>,
    operation: Operation,
    uuid: &str,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    if operation == Operation::GetPublicKey {
        return get_public_key(service, query, headers);
    }
    accept(headers, JSON_ONLY)?;
    match operation {
        Operation::GetLogEntryByIndex => get_log_entry_by_index(service, query).await,
        Operation::GetLogEntryByUuid => get_log_entry_by_uuid(service, uuid).await,
        Operation::GetLogProof => get_log_proof(service, query).await,
        _ => Ok(get_log_info(service)),
    }
}

async fn post(
    service: &Arc<Service>,
    operation: Operation,
    path: &str,
    query: &Query,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Error> {
    let bytes_max = service.config.v1.max_request_body_size;
    let read = service.intake.read(headers, body, bytes_max).await;
    // The budget is held until the answer is there.
    let (body, _held) = read.map_err(|error| match error {
        IntakeError::Busy => Error::Busy,
        IntakeError::Body(BodyError::TooLarge { bytes_max }) => Error::BodyTooLarge { bytes_max },
        IntakeError::Body(BodyError::Timeout | BodyError::Broken) => Error::BodyBroken,
    })?;
    if !body.is_empty() {
        content_type(headers)?;
    }
    accept(headers, JSON_ONLY)?;
    match operation {
        Operation::CreateLogEntry => create_log_entry(service, path, query, &body).await,
        Operation::SearchLogQuery => search_log_query(service, &body).await,
        _ => search_index(service, &body).await,
    }
}

/// Refuses a body that is not JSON by its media type.
fn content_type(headers: &HeaderMap) -> Result<(), Error> {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = value.map_or("application/octet-stream", |value| {
        value.split(';').next().unwrap_or_default().trim()
    });
    if essence.eq_ignore_ascii_case(JSON) {
        Ok(())
    } else {
        Err(Error::MediaType(essence.to_owned()))
    }
}

/// Refuses a client that takes none of what the operation writes.
fn accept(headers: &HeaderMap, written: &'static str) -> Result<(), Error> {
    if accepts(headers, written) {
        Ok(())
    } else {
        Err(Error::NotAcceptable(written))
    }
}

fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    let family = media_type.split('/').next().unwrap_or_default();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| {
            let part = part.split(';').next().unwrap_or_default().trim();
            part == "*/*"
                || part.eq_ignore_ascii_case(media_type)
                || part
                    .strip_suffix("/*")
                    .is_some_and(|start| start.eq_ignore_ascii_case(family))
        })
}

async fn create_log_entry(
    service: &Arc<Service>,
    path: &str,
    query: &Query,
    body: &Bytes,
) -> Result<Response, Error> {
    let proposal = queries::value(body, "proposedEntry")?;
    let location = |id: &str| format!("{path}/{id}{}", query.without_api_key());
    match service.create_log_entry(proposal, body.len()).await {
        Ok(entry) => {
            let mut response = json(StatusCode::CREATED, &answer::LogEntry::new(service, &entry));
            let id = entry.entry_id;
            let headers = response.headers_mut();
            // Without quotes: Go clients look the entry up by this header as it is.
            headers.insert(header::ETAG, text(&id));
            headers.insert(header::LOCATION, text(&location(&id)));
            Ok(response)
        }
        Err(error) => {
            let Error::Duplicate { entry_id } = &error else {
                return Err(error);
            };
            let mut response = refuse(&error);
            response
                .headers_mut()
                .insert(header::LOCATION, text(&location(entry_id)));
            Ok(response)
        }
    }
}

fn text(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

async fn get_log_entry_by_index(service: &Arc<Service>, query: &Query) -> Result<Response, Error> {
    let index = query
        .integer("logIndex", 0)?
        .ok_or_else(|| Query::required("logIndex"))?;
    let entry = service.log_entry_by_index(index).await?;
    Ok(json(
        StatusCode::OK,
        &answer::LogEntry::new(service, &entry),
    ))
}

async fn get_log_entry_by_uuid(service: &Arc<Service>, uuid: &str) -> Result<Response, Error> {
    queries::check_uuid(uuid, "entryUUID", "path")?;
    let entry = service.log_entry_by_uuid(uuid.to_owned()).await?;
    Ok(json(
        StatusCode::OK,
        &answer::LogEntry::new(service, &entry),
    ))
}

async fn search_log_query(service: &Arc<Service>, body: &Bytes) -> Result<Response, Error> {
    let query = queries::log_query(body)?;
    let found = service.search_log_query(query).await?;
    let entries: Vec<_> = found
        .iter()
        .map(|entry| answer::LogEntry::new(service, entry))
        .collect();
    Ok(json(StatusCode::OK, &entries))
}

async fn search_index(service: &Arc<Service>, body: &Bytes) -> Result<Response, Error> {
    let query = queries::index_query(body)?;
    Ok(json(StatusCode::OK, &service.search_index(query).await?))
}

fn get_log_info(service: &Arc<Service>) -> Response {
    json(StatusCode::OK, &answer::log_info(service))
}

async fn get_log_proof(service: &Arc<Service>, query: &Query) -> Result<Response, Error> {
    let first = query.integer("firstSize", 1)?.unwrap_or(1);
    let last = query
        .integer("lastSize", 1)?
        .ok_or_else(|| Query::required("lastSize"))?;
    let tree = query.tree_id()?;
    let (hashes, root) = service.log_proof(first, last, tree).await?;
    Ok(json(
        StatusCode::OK,
        &answer::consistency_proof(&hashes, &root),
    ))
}

fn get_public_key(
    service: &Arc<Service>,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let as_pem = accepts(headers, PEM);
    if !as_pem {
        accept(headers, JSON_ONLY).map_err(|_| Error::NotAcceptable(PEM_ONLY))?;
    }
    let tree = query.tree_id()?;
    if tree.is_some_and(|tree| tree.parse() != Ok(service.v1.tree)) {
        let mut response = refuse(&Error::UnknownTreeKey);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(PEM));
        return Ok(response);
    }
    let pem = service.v1.public_key().to_pem();
    if as_pem {
        Ok(([(header::CONTENT_TYPE, PEM)], pem).into_response())
    } else {
        Ok(json(StatusCode::OK, &pem))
    }
}
