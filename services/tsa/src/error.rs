//! What a client can be told, and its one mapping to upstream's JSON errors.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// A request refused, or a fault of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client takes no timestamp replies. Upstream answers with an empty 500.
    #[error("the client accepts no application/timestamp-reply")]
    Accept {
        /// Whether it takes JSON; then the empty answer is called so.
        json: bool,
    },
    /// The clock shows a time before the last timestamp: stamping would turn back time (RELIABILITY A11).
    #[error("the clock is behind the last timestamp issued")]
    ClockBehind,
    /// The clock is outside the signing certificate's validity.
    #[error("the clock is outside the validity of the signing certificate")]
    ClockOutsideValidity,
    /// A digest of another length than its algorithm's.
    #[error("Message digest has incorrect length for specified algorithm")]
    DigestLength,
    /// No body.
    #[error("request in body is required")]
    EmptyBody,
    /// Extensions, of which none is known.
    #[error("unaccepted extension: requested extensions are not supported by the TSA")]
    Extension,
    /// A JSON request of more than 1,024 bytes.
    #[error("timestamp request is too large")]
    JsonTooLarge,
    /// A content type that is neither of the two.
    #[error(
        "unsupported media type {content_type:?}, only [application/json \
         application/timestamp-query] are allowed"
    )]
    MediaType {
        /// The one given, without parameters.
        content_type: String,
    },
    /// A method that the path does not know.
    #[error("method {method} is not allowed, but [{allowed}] are")]
    Method {
        /// The method used.
        method: String,
        /// The one that is allowed.
        allowed: &'static str,
    },
    /// A path that does not exist.
    #[error("path {path} was not found")]
    Path {
        /// The path asked for.
        path: String,
    },
    /// A policy that this authority does not follow.
    #[error("unaccepted policy: requested TSA policy is not supported by the TSA")]
    Policy,
    /// A policy that is no object identifier.
    #[error("OID should be comprised of at most 128 components")]
    PolicySyntax,
    /// Neither a request in DER nor one in JSON; what exactly is wrong is only logged.
    #[error("Error generating timestamp response")]
    Unreadable,
    /// A SHA-1.
    #[error("Weak hash algorithm in timestamp request")]
    WeakHash,
    /// A fault of this service.
    #[error("Error generating timestamp response")]
    Internal(#[from] anyhow::Error),
}

impl From<tsp::Error> for Error {
    /// What is wrong with a request that was read.
    fn from(error: tsp::Error) -> Self {
        match error {
            tsp::Error::WeakHash => Self::WeakHash,
            tsp::Error::DigestLength { .. } => Self::DigestLength,
            _ => Self::Unreadable,
        }
    }
}

impl Error {
    /// Status and the `code` of the body, which upstream's framework makes a different one for a missing
    /// body.
    fn codes(&self) -> (StatusCode, u16) {
        let status = match self {
            Self::EmptyBody => return (StatusCode::UNPROCESSABLE_ENTITY, 602),
            Self::DigestLength
            | Self::Extension
            | Self::JsonTooLarge
            | Self::Policy
            | Self::PolicySyntax
            | Self::Unreadable
            | Self::WeakHash => StatusCode::BAD_REQUEST,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path { .. } => StatusCode::NOT_FOUND,
            Self::ClockBehind | Self::ClockOutsideValidity => StatusCode::SERVICE_UNAVAILABLE,
            Self::Accept { .. } | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, status.as_u16())
    }
}

impl Error {
    /// Upstream's handler labels its JSON as a timestamp; the framework before it does not.
    const fn content_type(&self) -> &'static str {
        match self {
            Self::EmptyBody | Self::MediaType { .. } | Self::Method { .. } | Self::Path { .. } => {
                "application/json"
            }
            _ => "application/timestamp-reply",
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.codes();
        if let Self::Accept { json } = self {
            let content_type = if json { "application/json" } else { "" };
            return (status, [(header::CONTENT_TYPE, content_type)]).into_response();
        }
        let message = match &self {
            Self::Internal(cause) => format!("{self}, request {}", runtime::log_internal(cause)),
            refused => refused.to_string(),
        };
        let body = json!({ "code": code, "message": message }).to_string();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        let content_type = HeaderValue::from_static(self.content_type());
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Self::Method { allowed, .. } = self {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }
}
