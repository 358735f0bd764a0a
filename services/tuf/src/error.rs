//! What a client can be told.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// Why a request is not answered with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such file; clients rely on it to find the end of the root chain.
    #[error("404 page not found")]
    NotFound,
    /// The first version is not published yet. Not 404, which a client would take for an answer.
    #[error("the repository is not published yet")]
    Unpublished,
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, text) = match &self {
            Self::NotFound => (StatusCode::NOT_FOUND, self.to_string()),
            Self::Unpublished => (StatusCode::SERVICE_UNAVAILABLE, self.to_string()),
            Self::Internal(error) => {
                let id = runtime::log_internal(error);
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("internal error {id}"),
                )
            }
        };
        let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
        (status, headers, text + "\n").into_response()
    }
}
