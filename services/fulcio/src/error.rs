//! What a client can be told, and how it is told.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::{go_url::UrlError, json::JsonError, template::TemplateError};

/// The largest request that is read, over HTTP and gRPC.
pub(crate) const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Everything that a request can be refused for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Missing, malformed, expired, of an unknown issuer, for another audience, with claims that do
    /// not make an identity: the client never learns which.
    #[error("There was an error processing the identity token")]
    IdentityToken,
    /// The proof of possession, or a request's own signature, does not verify.
    #[error("The signature supplied in the request could not be verified")]
    Signature,
    /// No key, or one that does not parse.
    #[error("The public key supplied in the request could not be parsed")]
    PublicKey,
    /// A certificate signing request that does not parse.
    #[error("The certificate signing request could not be parsed")]
    CertificateRequest,
    /// A key that is too weak or of a kind that is not certified.
    #[error("The public key supplied in the request is insecure")]
    InsecureKey,
    /// A key and hash outside of the allow-list.
    #[error("signing algorithm not permitted: {key}, {hash}")]
    AlgorithmNotPermitted {
        /// Go's name of the key's type.
        key: &'static str,
        /// Go's name of the hash.
        hash: &'static str,
    },
    /// A certificate signing request with a signature algorithm that has no hash here.
    #[error("unrecognized signature algorithm: {name}")]
    SignatureAlgorithm {
        /// Go's name of the algorithm.
        name: &'static str,
    },
    /// A claim that the provider's metadata names is not in the token.
    #[error("value <{claim}> not present in either claims or defaults. {metadata}")]
    ClaimMissing {
        /// The claim.
        claim: String,
        /// JSON object of the extension and the issuer.
        metadata: String,
    },
    /// A template of the provider's metadata could not be filled in.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The provider's metadata has no template for the name.
    #[error("SubjectAlternativeNameTemplate should not be empty. Issuer: {issuer}")]
    EmptySanTemplate {
        /// The token's issuer.
        issuer: String,
    },
    /// The claim that the issuer is mapped from is empty.
    #[error("extensions must have a non-empty issuer url")]
    EmptyIssuer,
    /// The identity is no URL.
    #[error(transparent)]
    SanUrl(#[from] UrlError),
    /// The identity does not fit a certificate.
    #[error("x509: {name:?} cannot be encoded as an IA5String")]
    SanCharset {
        /// The identity.
        name: String,
    },
    /// The body is no message.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// The body is not UTF-8.
    #[error("invalid UTF-8 in request body")]
    Utf8,
    /// The body is longer than [`REQUEST_BYTES_MAX`].
    #[error("http: request body too large")]
    BodyTooLarge,
    /// The body did not arrive.
    #[error("unexpected EOF")]
    BodyBroken,
    /// A known path, another method.
    #[error("Method Not Allowed")]
    MethodNotAllowed,
    /// No such path.
    #[error("Not Found")]
    NotFound,
    /// The CT log did not take the precertificate, or gave no SCT that verifies.
    #[error("Error entering certificate in CTL")]
    CtLog,
    /// The final certificate could not be signed.
    #[error("error communicating with CA backend")]
    Authority,
    /// A fault of ours: logged with this id.
    #[error("internal error, request {request_id}")]
    Internal {
        /// Where the log has the cause.
        request_id: String,
    },
}

impl Error {
    /// The one mapping to the wire: HTTP status and gRPC code.
    pub(crate) const fn wire(&self) -> (StatusCode, u8) {
        match self {
            Self::CtLog | Self::Authority | Self::Internal { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, 13)
            }
            Self::MethodNotAllowed => (StatusCode::NOT_IMPLEMENTED, 12),
            Self::NotFound => (StatusCode::NOT_FOUND, 5),
            Self::IdentityToken
            | Self::Signature
            | Self::PublicKey
            | Self::CertificateRequest
            | Self::InsecureKey
            | Self::AlgorithmNotPermitted { .. }
            | Self::SignatureAlgorithm { .. }
            | Self::ClaimMissing { .. }
            | Self::Template(_)
            | Self::EmptySanTemplate { .. }
            | Self::EmptyIssuer
            | Self::SanUrl(_)
            | Self::SanCharset { .. }
            | Self::Json(_)
            | Self::Utf8
            | Self::BodyTooLarge
            | Self::BodyBroken => (StatusCode::BAD_REQUEST, 3),
        }
    }
}

/// A fault that no client caused: logged here, once, with its causes.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal {
            request_id: runtime::log_internal(&error),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = self.wire();
        let body = serde_json::json!({"code": code, "message": self.to_string(), "details": []});
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );
        if matches!(self, Self::BodyTooLarge) {
            headers.insert(
                header::CONNECTION,
                header::HeaderValue::from_static("close"),
            );
        }
        response
    }
}
