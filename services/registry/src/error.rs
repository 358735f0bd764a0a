//! What a client can be told, and its one mapping to the errors of distribution-spec.

use std::{io, path::Path};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use oci::{Digest, DigestError, ManifestError, NameError, Reference};
use serde_json::{Value, json};

/// A refused request, or a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The blob is not visible in this repository.
    #[error("blob {digest} is not known in this repository")]
    BlobUnknown {
        /// Its digest.
        digest: Digest,
    },
    /// The blob is larger than this registry takes.
    #[error("blob has more than {bytes_max} bytes")]
    BlobTooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// No such session, or not of this repository, or over.
    #[error("upload is not known in this repository")]
    BlobUploadUnknown,
    /// The client stopped sending in the middle of a body.
    #[error("request body ended early or stood still too long")]
    BodyBroken,
    /// Authenticated, and not allowed.
    #[error("{action} is not allowed in this repository")]
    Denied {
        /// What was asked for.
        action: &'static str,
    },
    /// Deleting is switched off.
    #[error("deleting is switched off in this registry")]
    DeleteDisabled,
    /// A digest that cannot be used.
    #[error(transparent)]
    DigestInvalid(#[from] DigestError),
    /// The content has another digest.
    #[error("content has digest {actual}, not {expected}")]
    DigestMismatch {
        /// As asked for.
        expected: Digest,
        /// As received.
        actual: Digest,
    },
    /// The request needs a digest and has none.
    #[error("the query has no digest")]
    DigestMissing,
    /// The request's header fields are too large.
    #[error("header fields have more than {bytes_max} bytes")]
    HeadersTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// A manifest that breaks a rule.
    #[error("manifest is refused: {0}")]
    ManifestInvalid(#[from] ManifestError),
    /// A manifest larger than this registry takes.
    #[error("manifest has more than {bytes_max} bytes")]
    ManifestTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// No such tag or digest in this repository.
    #[error("manifest {reference} is not known in this repository")]
    ManifestUnknown {
        /// The tag or digest.
        reference: Reference,
    },
    /// The path is there, the method is not.
    #[error("the method is not supported here, only {allow}")]
    MethodNotAllowed {
        /// Value of the Allow header.
        allow: &'static str,
    },
    /// A repository name that breaks the grammar.
    #[error(transparent)]
    NameInvalid(NameError),
    /// A repository that nothing was ever pushed to.
    #[error("repository is not known")]
    NameUnknown,
    /// The path is none of this registry's.
    #[error("there is nothing at this path")]
    PathUnknown,
    /// The page size is not a number from 0 up.
    #[error("n must be a whole number from 0 up")]
    PageSizeInvalid,
    /// `If-Match` or `If-None-Match` does not hold.
    #[error("the tag is not what the request's condition says")]
    PreconditionFailed,
    /// A range outside the blob.
    #[error("the blob has only {size} bytes")]
    RangeNotSatisfiable {
        /// Bytes of the blob.
        size: u64,
    },
    /// A manifest names what its repository does not hold.
    #[error("the manifest names {} blobs or manifests that are not known here", .digests.len())]
    ReferencesMissing {
        /// Their digests.
        digests: Vec<Digest>,
    },
    /// The referrers API is switched off.
    #[error("the referrers API is switched off in this registry")]
    ReferrersDisabled,
    /// The body is not as long as it was said to be.
    #[error("request body has {received} bytes, {declared} were declared")]
    SizeMismatch {
        /// As declared by Content-Range.
        declared: u64,
        /// As received or as Content-Length says.
        received: u64,
    },
    /// The disk is full.
    #[error("the registry has no space left")]
    StorageFull,
    /// A tag that breaks the grammar.
    #[error(transparent)]
    TagInvalid(NameError),
    /// `?tag=` with a push by tag.
    #[error("the tag parameter is for pushes by digest only")]
    TagParameter,
    /// More tags in one push than this registry takes.
    #[error("more than {tags_max} tags in one push")]
    TooManyTags {
        /// The limit.
        tags_max: usize,
    },
    /// More open sessions than this registry keeps.
    #[error("too many uploads are open")]
    TooManyUploads,
    /// No credentials, wrong ones, or a token that does not cover the request.
    #[error("authentication is required")]
    Unauthorized {
        /// Value of the WWW-Authenticate header.
        challenge: String,
    },
    /// A chunk that does not follow what was received, or whose range cannot be read.
    #[error("the chunk does not start at byte {offset}")]
    UploadOutOfOrder {
        /// Path of the session.
        location: String,
        /// Bytes received so far.
        offset: u64,
    },
    /// The path and query are too long.
    #[error("path and query have more than {bytes_max} bytes")]
    UriTooLong {
        /// The limit.
        bytes_max: usize,
    },
    /// A fault of ours, logged when it is answered.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// A failed file operation.
    pub(crate) fn storage(error: io::Error, path: &Path) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull,
            _ => Self::Internal(anyhow::Error::new(error).context(path.display().to_string())),
        }
    }

    fn wire(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::BlobUnknown { .. } => (S::NOT_FOUND, "BLOB_UNKNOWN"),
            Self::BlobTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "SIZE_INVALID"),
            Self::BlobUploadUnknown => (S::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN"),
            Self::BodyBroken => (S::BAD_REQUEST, "BLOB_UPLOAD_INVALID"),
            Self::Denied { .. } => (S::FORBIDDEN, "DENIED"),
            Self::DeleteDisabled | Self::MethodNotAllowed { .. } => {
                (S::METHOD_NOT_ALLOWED, "UNSUPPORTED")
            }
            Self::DigestInvalid(_) | Self::DigestMismatch { .. } | Self::DigestMissing => {
                (S::BAD_REQUEST, "DIGEST_INVALID")
            }
            Self::HeadersTooLarge { .. } => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "UNSUPPORTED"),
            Self::ManifestInvalid(_) | Self::TagInvalid(_) | Self::TagParameter => {
                (S::BAD_REQUEST, "MANIFEST_INVALID")
            }
            Self::ManifestTooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "MANIFEST_INVALID"),
            Self::ManifestUnknown { .. } => (S::NOT_FOUND, "MANIFEST_UNKNOWN"),
            Self::NameInvalid(_) => (S::BAD_REQUEST, "NAME_INVALID"),
            Self::NameUnknown => (S::NOT_FOUND, "NAME_UNKNOWN"),
            Self::PathUnknown | Self::ReferrersDisabled => (S::NOT_FOUND, "UNSUPPORTED"),
            Self::PageSizeInvalid => (S::BAD_REQUEST, "UNSUPPORTED"),
            Self::PreconditionFailed => (S::PRECONDITION_FAILED, "DENIED"),
            Self::RangeNotSatisfiable { .. } => (S::RANGE_NOT_SATISFIABLE, "SIZE_INVALID"),
            Self::ReferencesMissing { .. } => (S::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN"),
            Self::SizeMismatch { .. } => (S::BAD_REQUEST, "SIZE_INVALID"),
            Self::StorageFull => (S::INSUFFICIENT_STORAGE, "DENIED"),
            Self::TooManyTags { .. } | Self::UriTooLong { .. } => (S::URI_TOO_LONG, "UNSUPPORTED"),
            Self::TooManyUploads => (S::TOO_MANY_REQUESTS, "TOOMANYREQUESTS"),
            Self::Unauthorized { .. } => (S::UNAUTHORIZED, "UNAUTHORIZED"),
            Self::UploadOutOfOrder { .. } => (S::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID"),
            // Not in the specification's list, which is for 4xx only.
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "UNKNOWN"),
        }
    }

    fn headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        let mut insert = |name, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        match self {
            Self::Unauthorized { challenge } => insert(header::WWW_AUTHENTICATE, challenge),
            Self::MethodNotAllowed { allow } => insert(header::ALLOW, allow),
            Self::DeleteDisabled => insert(header::ALLOW, "GET, HEAD"),
            Self::TooManyUploads => insert(header::RETRY_AFTER, "10"),
            Self::RangeNotSatisfiable { size } => {
                insert(header::CONTENT_RANGE, &format!("bytes */{size}"));
            }
            Self::UploadOutOfOrder { location, offset } => {
                insert(header::LOCATION, location);
                insert(header::RANGE, &upload_range(*offset));
            }
            _ => {}
        }
    }
}

/// Range header of a session: `0-0` also stands for nothing received, by history.
pub(crate) fn upload_range(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.wire();
        let one = |message: String, detail: Value| {
            let mut error = json!({"code": code, "message": message});
            if !detail.is_null() {
                error["detail"] = detail;
            }
            error
        };
        let errors = match &self {
            Self::Internal(error) => {
                let id = runtime::log_internal(error);
                vec![one(self.to_string(), json!({"request": id}))]
            }
            Self::ReferencesMissing { digests } => digests
                .iter()
                .map(|digest| {
                    let message = format!("{digest} is not known in this repository");
                    one(message, json!({"digest": digest}))
                })
                .collect(),
            Self::BlobUnknown { digest } => vec![one(self.to_string(), json!({"digest": digest}))],
            Self::ManifestInvalid(error) => {
                let cause = std::error::Error::source(error).map(ToString::to_string);
                vec![one(
                    self.to_string(),
                    cause.map_or(Value::Null, Value::String),
                )]
            }
            _ => vec![one(self.to_string(), Value::Null)],
        };
        let body = json!({"errors": errors}).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        self.headers(&mut response);
        response
    }
}
