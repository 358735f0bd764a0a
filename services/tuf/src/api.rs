//! The public door: files of the repository, and nothing else.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{Method, StatusCode, Uri, header},
    response::{IntoResponse as _, Response},
    routing::get,
};

use crate::{Error, Service};

pub(crate) fn router(service: Arc<Service>) -> Router {
    Router::new().fallback(get_file).with_state(service)
}

pub(crate) fn admin(service: Arc<Service>) -> Router {
    Router::new()
        .route("/trust-directory", get(trust_directory))
        .with_state(service)
}

/// Any path: metadata or a target.
async fn get_file(
    State(service): State<Arc<Service>>,
    method: Method,
    uri: Uri,
) -> Result<Response, Error> {
    if !matches!(method, Method::GET | Method::HEAD) {
        let allow = [(header::ALLOW, "GET, HEAD")];
        return Ok((StatusCode::METHOD_NOT_ALLOWED, allow).into_response());
    }
    let repository = service.repository().ok_or(Error::Unpublished)?;
    let path = uri.path().trim_start_matches('/');
    let bytes = repository.file(path).ok_or(Error::NotFound)?;
    let kind = match path.rsplit_once('.') {
        Some((_, "json")) => "application/json",
        Some((_, "pem")) => "application/x-pem-file",
        _ => "application/octet-stream",
    };
    Ok(([(header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// File names and contents of the trust directory, for `siglab trust`.
async fn trust_directory(State(service): State<Arc<Service>>) -> Result<Response, Error> {
    let repository = service.repository().ok_or(Error::Unpublished)?;
    let mirror = service.mirror();
    Ok(Json(crate::directory::files(&repository, &mirror)?).into_response())
}
