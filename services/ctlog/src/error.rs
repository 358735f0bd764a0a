//! What a client can be told, in the words and form of upstream's log: plain text, status first.

use axum::{
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use sequencer::AppendError;

use crate::ChainError;

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The path has another method.
    #[error("method not allowed: {method}")]
    Method {
        /// Method of the request.
        method: Method,
    },
    /// The body is longer than the limit.
    #[error(
        "ctlog: certificate chain exceeds {bytes_max}-byte limit: http: request body too large"
    )]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The body is not the JSON that RFC 6962 §4.1 asks for.
    #[error("ctlog: failed to parse add-chain body: {0}")]
    Body(#[source] BodyError),
    /// The chain is not accepted.
    #[error("failed to verify add-chain contents: {0}")]
    Chain(#[source] ChainError),
    /// The certificate is too long for a log entry.
    #[error("failed to build MerkleTreeLeaf: certificate has more than 65535 bytes")]
    LeafTooLong,
    /// `get-sth-consistency` with a bad parameter.
    #[error("failed to parse consistency range: {0}")]
    ConsistencyRange(#[source] ParameterError),
    /// A tree that is larger than the log's.
    #[error("need tree size: {need} for proof but only got: {got}")]
    TreeTooSmall {
        /// Size asked for.
        need: u64,
        /// Size of the log.
        got: u64,
    },
    /// `get-proof-by-hash` with a bad parameter.
    #[error("get-proof-by-hash: {0}")]
    ProofByHash(#[source] ParameterError),
    /// `get-proof-by-hash` beyond the log's tree.
    #[error("log returned tree size: {got} but we expected: {need}")]
    ProofBeyondTree {
        /// Size asked for.
        need: u64,
        /// Size of the log.
        got: u64,
    },
    /// No leaf with this hash in a tree of this size.
    #[error("get-proof-by-hash: backend did not return a proof")]
    NoProof,
    /// `get-entries` with a bad parameter.
    #[error("bad range on get-entries request: {0}")]
    EntriesRange(#[source] ParameterError),
    /// `get-entries` beyond the log's tree.
    #[error("need tree size: {need} to get leaves but only got: {got}")]
    NoEntries {
        /// Size that would have the first entry asked for.
        need: u64,
        /// Size of the log.
        got: u64,
    },
    /// `get-entry-and-proof` with a bad parameter.
    #[error("failed to parse get-entry-and-proof params: {0}")]
    EntryAndProof(#[source] ParameterError),
    /// The log cannot take entries at the moment.
    #[error("backend QueueLeaves request failed: {0}")]
    Append(#[source] AppendError),
    /// A fault of ours; the client sees only the id under which it was logged.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

/// What is wrong with a body.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not JSON of this shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A certificate is not base64.
    #[error("illegal base64 data: {0}")]
    Base64(#[from] base64::DecodeError),
    /// `chain` is missing or has nothing in it.
    #[error("cert chain was empty")]
    Empty,
    /// It did not arrive.
    #[error(transparent)]
    Unread(#[from] runtime::http::BodyError),
}

/// What is wrong with a query parameter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// Not given.
    #[error("parameter '{name}' is required")]
    Required {
        /// Name of the parameter.
        name: &'static str,
    },
    /// Not a number.
    #[error("parameter '{name}' is malformed")]
    Malformed {
        /// Name of the parameter.
        name: &'static str,
    },
    /// Not a number, in the words of Go's parser.
    #[error("strconv.ParseInt: parsing {text:?}: {reason}")]
    Number {
        /// The parameter.
        text: String,
        /// `invalid syntax` or `value out of range`.
        reason: &'static str,
    },
    /// Below zero.
    #[error("first and second params cannot be <0: {first} {second}")]
    ConsistencyNegative {
        /// Parameter `first`.
        first: i64,
        /// Parameter `second`.
        second: i64,
    },
    /// In the wrong order.
    #[error("invalid first, second params: {first} {second}")]
    ConsistencyOrder {
        /// Parameter `first`.
        first: i64,
        /// Parameter `second`.
        second: i64,
    },
    /// Below zero.
    #[error("start ({start}) and end ({end}) parameters must be >= 0")]
    EntriesNegative {
        /// Parameter `start`.
        start: i64,
        /// Parameter `end`.
        end: i64,
    },
    /// In the wrong order.
    #[error("start ({start}) and end ({end}) is not a valid range")]
    EntriesOrder {
        /// Parameter `start`.
        start: i64,
        /// Parameter `end`.
        end: i64,
    },
    /// No hash.
    #[error("missing / empty hash param for get-proof-by-hash")]
    HashMissing,
    /// A hash that is not base64 of 32 bytes.
    #[error("invalid base64 hash: {text}")]
    Hash {
        /// The parameter.
        text: String,
    },
    /// No tree size, or none above zero.
    #[error("missing or invalid tree_size: {text}")]
    TreeSize {
        /// The parameter.
        text: String,
    },
    /// A tree size of zero or less.
    #[error("tree_size must be > 0, got: {tree_size}")]
    TreeSizeZero {
        /// The parameter.
        tree_size: i64,
    },
    /// A leaf index below zero; the number is the tree size, as upstream has it.
    #[error("leaf_index must be >= 0, got: {tree_size}")]
    LeafIndexNegative {
        /// Parameter `tree_size`.
        tree_size: i64,
    },
    /// A leaf that is not in the tree.
    #[error("leaf_index {leaf_index} out of range for tree of size {tree_size}")]
    LeafIndexRange {
        /// Parameter `leaf_index`.
        leaf_index: i64,
        /// Parameter `tree_size`.
        tree_size: i64,
    },
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::EntryTooLong { .. } | AppendError::ExtraTooLong { .. } => {
                Self::LeafTooLong
            }
            other => Self::Append(other),
        }
    }
}

impl From<sequencer::ReadError> for Error {
    fn from(error: sequencer::ReadError) -> Self {
        Self::Internal(error.into())
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_)
            | Self::Chain(_)
            | Self::LeafTooLong
            | Self::ConsistencyRange(_)
            | Self::TreeTooSmall { .. }
            | Self::ProofByHash(_)
            | Self::EntriesRange(_)
            | Self::NoEntries { .. }
            | Self::EntryAndProof(_) => StatusCode::BAD_REQUEST,
            Self::ProofBeyondTree { .. } | Self::NoProof => StatusCode::NOT_FOUND,
            Self::Append(AppendError::QueueFull) => StatusCode::TOO_MANY_REQUESTS,
            Self::Append(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let reason = match status {
            // Go's spelling of RFC 9110's "Content Too Large".
            StatusCode::PAYLOAD_TOO_LARGE => "Request Entity Too Large",
            other => other.canonical_reason().unwrap_or_default(),
        };
        let text = match &self {
            Self::Internal(error) => format!("request {}", runtime::log_internal(error)),
            told => told.to_string(),
        };
        let mut response = (status, format!("{reason}\n{text}\n")).into_response();
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, plain);
        let nosniff = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
        if matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
