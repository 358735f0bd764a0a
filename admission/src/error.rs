//! What the API server can be told when a request cannot be answered with a review.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A request that gets no AdmissionReview as its answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is no AdmissionReview or ConversionReview.
    #[error("could not decode body:{reason}")]
    Body {
        /// The decoder's text.
        reason: serde_json::Error,
    },
    /// The body is longer than any review.
    #[error("could not decode body:http: request body too large")]
    BodyTooLarge,
    /// The body did not arrive.
    #[error("could not decode body:unexpected EOF")]
    BodyBroken,
    /// The review has no request.
    #[error("could not decode body:request is missing")]
    NoRequest,
    /// Anything but exactly `application/json`.
    #[error("invalid Content-Type, want `application/json`")]
    ContentType,
    /// A path that is none of the webhook's.
    #[error("no controller registered for: {path}")]
    Path {
        /// The path asked for.
        path: String,
    },
    /// The service is stopping.
    #[error("shutting down")]
    ShuttingDown,
    /// A fault of ours; the client is told an id that the log has too.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Body { .. } | Self::BodyBroken | Self::NoRequest | Self::Path { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let text = match &self {
            Self::Internal(error) => {
                format!(
                    "internal error, request id {}\n",
                    runtime::log_internal(error)
                )
            }
            told => format!("{told}\n"),
        };
        let headers: [(HeaderName, &str); 2] = [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ];
        (status, headers, text).into_response()
    }
}
