//! Rekor v2: HTTP/JSON as grpc-gateway has it, gRPC on the same port, and the files of tlog-tiles.

mod grpc;
mod messages;

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use merkle::tile::Tile;
use runtime::http::BodyError;
use serde::Serialize;

use crate::{Service, error::V2Error, intake::IntakeError};
pub(crate) use grpc::Grpc;

const ENTRIES: &str = "/api/v2/log/entries";
const CHECKPOINT: &str = "/api/v2/checkpoint";

/// Where the tiles begin, without the slash that [`Tile::parse`] wants to see.
const TILES: &str = "/api/v2/";

const DUPLICATE_INDEX: HeaderName = HeaderName::from_static("x-log-index");

/// Seconds after which a client that was sent away may try again.
const RETRY_AFTER: &str = "1";

/// The v2 listener.
pub(crate) fn router(service: Arc<Service>) -> Router {
    grpc::routes(&service)
        .fallback(dispatch)
        .with_state(service)
}

async fn dispatch(State(service): State<Arc<Service>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let is_get = parts.method == Method::GET || parts.method == Method::HEAD;
    let answer = if path == ENTRIES {
        if parts.method == Method::POST {
            create_entry(&service, &parts.headers, body).await
        } else {
            Err(V2Error::Method)
        }
    } else if path == CHECKPOINT {
        if is_get {
            get_checkpoint(&service)
        } else {
            Err(V2Error::Method)
        }
    } else if let Some(tile) = path
        .strip_prefix(TILES)
        .filter(|rest| rest.starts_with("tile/"))
    {
        if is_get {
            get_tile(&service, tile).await
        } else {
            Err(V2Error::Method)
        }
    } else if path == "/healthz" && is_get {
        Ok(json(
            StatusCode::OK,
            &serde_json::json!({ "status": "SERVING" }),
        ))
    } else {
        Err(V2Error::NotFound)
    };
    answer.unwrap_or_else(|error| refuse(&error))
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    let text = serde_json::to_vec(body).expect("answers have string keys");
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[derive(Serialize)]
struct Status {
    code: i32,
    message: String,
    details: [(); 0],
}

fn refuse(error: &V2Error) -> Response {
    let (status, code) = error.status();
    if matches!(error, V2Error::Frozen) {
        return (status, format!("{error}\n")).into_response();
    }
    let body = Status {
        code: code as i32,
        message: message(error),
        details: [],
    };
    let mut response = json(status, &body);
    match error {
        V2Error::Duplicate { index } => {
            response
                .headers_mut()
                .insert(DUPLICATE_INDEX, HeaderValue::from(*index));
        }
        V2Error::Busy | V2Error::Unavailable(_) => {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        _ => {}
    }
    response
}

/// What the client is told; a refused entry's exact cause and a fault of ours go to our log.
fn message(error: &V2Error) -> String {
    match error {
        V2Error::Internal(cause) => {
            // Divergence: the message names the request in our log.
            return format!("{error} (request {})", runtime::log_internal(cause));
        }
        V2Error::Entry(cause) => {
            let why = std::error::Error::source(cause).map(ToString::to_string);
            tracing::info!(why = why.unwrap_or_default(), "{cause}");
        }
        _ => {}
    }
    error.to_string()
}

async fn create_entry(
    service: &Arc<Service>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, V2Error> {
    let bytes_max = service.config.v2.max_request_body_size;
    let read = service.intake.read(headers, body, bytes_max).await;
    // The budget is held until the answer is there.
    let (body, _held) = read.map_err(|error| match error {
        IntakeError::Busy => V2Error::Busy,
        IntakeError::Body(BodyError::TooLarge { .. }) => V2Error::BodyTooLarge,
        IntakeError::Body(BodyError::Timeout | BodyError::Broken) => V2Error::BodyBroken,
    })?;
    let request = entry::v2::Request::from_json(&body).map_err(V2Error::Json)?;
    let (entry, leaf, appended) = service.create_entry(request, body.len()).await?;
    let answer = messages::Answer::new(&service.v2.log_id(), entry.kind(), &leaf, &appended);
    Ok(json(StatusCode::CREATED, &answer))
}

fn get_checkpoint(service: &Arc<Service>) -> Result<Response, V2Error> {
    let text = checkpoint(service)?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, text).into_response())
}

fn checkpoint(service: &Service) -> Result<String, V2Error> {
    if service.config.v2.serve_reads {
        Ok(service.v2.log.head().checkpoint.to_string())
    } else {
        Err(V2Error::NotImplemented("GetCheckpoint"))
    }
}

async fn get_tile(service: &Arc<Service>, path: &str) -> Result<Response, V2Error> {
    let bytes = tile(service, path).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CACHE_CONTROL, "max-age=604800,immutable"),
    ];
    Ok((headers, bytes).into_response())
}

/// Bytes of `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
async fn tile(service: &Arc<Service>, path: &str) -> Result<Vec<u8>, V2Error> {
    if !service.config.v2.serve_reads {
        let is_bundle = path.starts_with("tile/entries/");
        let method = if is_bundle {
            "GetEntryBundle"
        } else {
            "GetTile"
        };
        return Err(V2Error::NotImplemented(method));
    }
    service
        .tile(Tile::parse(path).map_err(|_| V2Error::NotFound)?)
        .await
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use sequencer::AppendError;

    use super::refuse;
    use crate::error::V2Error;

    #[test]
    fn pushback_is_a_503_that_says_when_to_come_back() {
        for error in [AppendError::QueueFull, AppendError::NoSpace] {
            let response = refuse(&V2Error::from(error));
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }
}
