//! What a client can be told, and its one mapping to OAuth's `error` and `error_description`.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::preset::Preset;

/// A request refused, or a fault of this service.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The person said no.
    #[error("the person at the sign-in page refused")]
    AccessDenied,
    /// Nobody has answered at the device page yet (RFC 8628 §3.5).
    #[error("nobody has answered at the verification page yet")]
    AuthorizationPending,
    /// The request has more than 64 KiB.
    #[error("the request has more than {max} bytes")]
    BodyTooLarge {
        /// Bytes allowed.
        max: usize,
    },
    /// The `claims` parameter, or the body of `POST /token/claims`, is not what it should be.
    #[error("claims must be a JSON object: {0}")]
    Claims(#[source] serde_json::Error),
    /// An unknown, spent, expired or foreign authorization code.
    #[error("the authorization code is unknown, spent, expired or another client's")]
    Code,
    /// The token's text would be longer than HTTP headers may be.
    #[error("the token would have {bytes} bytes, {max} are allowed")]
    TokenTooLarge {
        /// Bytes it would have.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The device code is over.
    #[error("the device code has expired or was used")]
    ExpiredDeviceCode,
    /// An issuer that is neither this lab's nor in `oidc.impersonate_issuers`.
    #[error(
        "issuer {issuer} is not one of this lab's; list it under oidc.impersonate_issuers to play it"
    )]
    Issuer {
        /// The issuer asked for.
        issuer: String,
    },
    /// A parameter whose value cannot be used.
    #[error("parameter {name} {problem}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// What its value must be.
        problem: &'static str,
    },
    /// A parameter that is not there.
    #[error("parameter {name} is missing")]
    ParameterMissing {
        /// The parameter.
        name: &'static str,
    },
    /// A parameter that is there twice (RFC 6749 §3.1).
    #[error("parameter {name} is given more than once")]
    ParameterRepeated {
        /// The parameter.
        name: String,
    },
    /// A preset that does not exist.
    #[error("unknown preset {name}; there are {}", presets())]
    Preset {
        /// The name asked for.
        name: String,
    },
    /// A code verifier that does not belong to the challenge (RFC 7636 §4.6).
    #[error("code_verifier does not match the code_challenge")]
    Verifier,
    /// A redirect URI that is neither on loopback nor configured.
    #[error("redirect_uri {uri} is neither on loopback nor in oidc.redirect_uris")]
    RedirectUri {
        /// The URI asked for.
        uri: String,
    },
    /// The ambient endpoint was called without a request token of this service.
    #[error("the request token is missing or not one of this service's")]
    RequestToken,
    /// Polled faster than the interval (RFC 8628 §3.5).
    #[error("poll more slowly")]
    SlowDown,
    /// So many sign-ins are waiting that no more are taken.
    #[error("too many sign-ins are waiting, try again later")]
    TooManyPending,
    /// The access token is missing, expired or not one of this service's (RFC 6750 §3.1).
    #[error("the access token is missing, expired or not one of this service's")]
    AccessToken,
    /// A grant type that is not offered.
    #[error("grant type {grant_type} is not offered")]
    UnsupportedGrantType {
        /// The one asked for.
        grant_type: String,
    },
    /// A response type that is not offered.
    #[error("response type {response_type} is not offered, only code")]
    UnsupportedResponseType {
        /// The one asked for.
        response_type: String,
    },
    /// A code at the device page that no device waits with.
    #[error("no device waits with this code; it may have expired")]
    UserCode,
    /// A fault of this service.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

fn presets() -> String {
    Preset::ALL.map(Preset::name).join(", ")
}

impl Error {
    /// Status and OAuth error code (RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1, RFC 8628 §3.5).
    pub(crate) fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::AccessDenied => (StatusCode::BAD_REQUEST, "access_denied"),
            Self::AuthorizationPending => (StatusCode::BAD_REQUEST, "authorization_pending"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request"),
            Self::Code | Self::Verifier => (StatusCode::BAD_REQUEST, "invalid_grant"),
            Self::ExpiredDeviceCode => (StatusCode::BAD_REQUEST, "expired_token"),
            Self::SlowDown => (StatusCode::BAD_REQUEST, "slow_down"),
            Self::TooManyPending => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable"),
            Self::AccessToken | Self::RequestToken => (StatusCode::UNAUTHORIZED, "invalid_token"),
            Self::UnsupportedGrantType { .. } => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type")
            }
            Self::UnsupportedResponseType { .. } => {
                (StatusCode::BAD_REQUEST, "unsupported_response_type")
            }
            Self::Claims(_)
            | Self::Issuer { .. }
            | Self::Parameter { .. }
            | Self::ParameterMissing { .. }
            | Self::ParameterRepeated { .. }
            | Self::Preset { .. }
            | Self::RedirectUri { .. }
            | Self::TokenTooLarge { .. }
            | Self::UserCode => (StatusCode::BAD_REQUEST, "invalid_request"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        }
    }

    /// What the client reads: the rule broken, or the id under which a fault was logged.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Internal(cause) => {
                format!("internal error, request {}", runtime::log_internal(cause))
            }
            refused => refused.to_string(),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.code();
        let body = json!({ "error": code, "error_description": self.description() });
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("no-store"),
        );
        if status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
