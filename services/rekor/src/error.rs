//! What a client can be told, and its one mapping to each API version's answer.

use axum::http::StatusCode;
use entry::v1::{ProposalError, Rule};
use sequencer::AppendError;

use crate::config::Operation;

/// Why a request to Rekor v1 is refused. `Display` is the message of the answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such path.
    #[error("path {0} was not found")]
    Path(String),
    /// The path does not take this method.
    #[error("method {method} is not allowed, but [{allowed}] are")]
    Method {
        /// Method of the request.
        method: String,
        /// Methods that are taken, with commas.
        allowed: &'static str,
    },
    /// The body is not JSON by its media type.
    #[error("unsupported media type {0:?}, only [application/json] are allowed")]
    MediaType(String),
    /// The client takes nothing that the operation writes.
    #[error("unsupported media type requested, only [{0}] are available")]
    NotAcceptable(&'static str),
    /// The body is longer than allowed.
    #[error("Request Entity Too Large. Limit set to {bytes_max}")]
    BodyTooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The body did not arrive.
    #[error("client disconnected during request")]
    BodyBroken,
    /// A rule of the schema is broken.
    #[error("{0}")]
    Rule(Rule),
    /// The proposed entry's outermost level is wrong.
    #[error(transparent)]
    Proposal(ProposalError),
    /// The body of a create request is not JSON.
    #[error("unexpected EOF")]
    JsonEnd,
    /// The body of a create request is not JSON.
    #[error("invalid character {0:?} looking for beginning of value")]
    JsonCharacter(char),
    /// The body has more JSON values or levels than are read.
    #[error("json: more values or levels than are read")]
    JsonBounds,
    /// The body of a search is not what it should be.
    #[error("parsing {what} body from \"\" failed, because {reason}")]
    Parse {
        /// `entry` or `query`.
        what: &'static str,
        /// What is wrong.
        #[source]
        reason: Box<Self>,
    },
    /// A member has the wrong JSON type.
    #[error("json: cannot unmarshal {found} into Go struct field {member} of type {want}")]
    MemberType {
        /// JSON type found.
        found: &'static str,
        /// The member.
        member: &'static str,
        /// What it should be.
        want: &'static str,
    },
    /// The operation is switched off.
    #[error("{} API not enabled in this Rekor instance", .0.described())]
    NotEnabled(Operation),
    /// The entry is not what it should be, or its signature does not verify.
    #[error("error processing entry: {0}")]
    Entry(#[source] entry::Error),
    /// The entry's kind is switched off.
    #[error(
        "error processing entry: entry kind '{0}' is not enabled for submission on this server"
    )]
    KindNotEnabled(&'static str),
    /// The log does not take this key with this hash.
    #[error("error processing entry: entry algorithms are not allowed")]
    Algorithm,
    /// An entry to look up is not what it should be.
    #[error(transparent)]
    Lookup(entry::Error),
    /// The entry has no canonical form, by no fault that upstream names.
    #[error("error generating canonicalized entry")]
    Canonicalize,
    /// The canonical form is longer than a leaf can be.
    #[error("error processing entry: entry has {got} bytes, at most 65535 can be logged")]
    EntryTooLong {
        /// Bytes in the canonical body.
        got: usize,
    },
    /// The entry is in the log already.
    #[error("an equivalent entry already exists in the transparency log with UUID {entry_id}")]
    Duplicate {
        /// 80 digits.
        entry_id: String,
    },
    /// No such entry.
    #[error("entry not found")]
    NotFound,
    /// More than ten things in one look-up.
    #[error("more than max allowed 10 entries in request")]
    TooManyQueries,
    /// Tree sizes in the wrong order.
    #[error("firstSize({first}) must be less than lastSize({last})")]
    ProofOrder {
        /// First size.
        first: u64,
        /// Last size.
        last: u64,
    },
    /// A tree size that is not reached.
    #[error(
        "the tree size requested({last}) was greater than what is currently observable({size})"
    )]
    ProofBeyond {
        /// Size asked for.
        last: u64,
        /// Size of the tree.
        size: u64,
    },
    /// A tree id that is no number.
    #[error("invalid tree ID specified: {0}")]
    TreeId(String),
    /// A tree that this log does not have.
    #[error("no log range found for tree ID {0}")]
    UnknownTree(String),
    /// A tree without a key here.
    #[error("Bad Request")]
    UnknownTreeKey,
    /// The tree part of an entry id is no positive number.
    #[error("validation error: {0} is not a valid TreeID")]
    EntryTree(String),
    /// An id in a look-up whose tree part is no positive number.
    #[error("invalid entryID {0}")]
    EntryId(String),
    /// A search by a key in a form that is not indexed.
    #[error("the PKI format requested is not supported by this server")]
    KeyFormat,
    /// A search by a key that does not parse.
    #[error("public key provided could not be parsed")]
    PublicKey,
    /// More entries wait than the log takes on.
    #[error("too many entries are waiting to be logged, try again")]
    Busy,
    /// The log does not take entries for the moment.
    #[error("no entry can be logged at the moment: {0}")]
    Unavailable(#[source] AppendError),
    /// A fault of ours.
    #[error("unexpected error communicating with transparency log")]
    Internal(#[source] anyhow::Error),
}

impl Error {
    /// HTTP status, and the number in the body where it differs.
    pub(crate) fn status(&self) -> (StatusCode, u16) {
        let status = match self {
            Self::Path(_) | Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable(_) => StatusCode::NOT_ACCEPTABLE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Rule(rule) | Self::Proposal(ProposalError::Rule(rule)) => {
                return (StatusCode::UNPROCESSABLE_ENTITY, rule.code());
            }
            Self::Proposal(ProposalError::UnknownKind(_)) | Self::TooManyQueries => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            // Divergence: upstream answers 500, which makes Go clients try again.
            Self::Proposal(_) | Self::JsonEnd | Self::JsonCharacter(_) | Self::JsonBounds => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyBroken
            | Self::Parse { .. }
            | Self::MemberType { .. }
            | Self::Entry(_)
            | Self::KindNotEnabled(_)
            | Self::Algorithm
            | Self::Lookup(_)
            | Self::EntryTooLong { .. }
            | Self::ProofOrder { .. }
            | Self::ProofBeyond { .. }
            | Self::TreeId(_)
            | Self::UnknownTree(_)
            | Self::UnknownTreeKey
            | Self::EntryTree(_)
            | Self::EntryId(_)
            | Self::KeyFormat
            | Self::PublicKey => StatusCode::BAD_REQUEST,
            Self::NotEnabled(_) => StatusCode::NOT_IMPLEMENTED,
            Self::Duplicate { .. } => StatusCode::CONFLICT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Canonicalize | Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, status.as_u16())
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::QueueFull => Self::Busy,
            AppendError::EntryTooLong { got } => Self::EntryTooLong { got },
            AppendError::NoSpace | AppendError::ClockBehind => Self::Unavailable(error),
            AppendError::ExtraTooLong { .. }
            | AppendError::Storage
            | AppendError::Unsigned
            | AppendError::Stopped => Self::Internal(error.into()),
        }
    }
}

/// Why a request to Rekor v2 is refused. `Display` is the message of the answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum V2Error {
    #[error("{0}")]
    Json(entry::v2::JsonError),
    #[error("http: request body too large")]
    BodyTooLarge,
    #[error("http: request body ended early")]
    BodyBroken,
    #[error("{0}")]
    Entry(entry::v2::Error),
    #[error("invalid type, must be hashedrekord")]
    DsseNotAccepted,
    #[error("an equivalent entry already exists in the transparency log with index {index}")]
    Duplicate { index: u64 },
    #[error("reached max pushback; retry")]
    Busy,
    #[error("no entry can be logged at the moment: {0}")]
    Unavailable(AppendError),
    #[error("This log has been frozen, please switch to the latest log.")]
    Frozen,
    #[error("method {0} not implemented")]
    NotImplemented(&'static str),
    #[error("Method Not Allowed")]
    Method,
    #[error("Not Found")]
    NotFound,
    #[error("failed to integrate entry")]
    Internal(#[source] anyhow::Error),
}

impl V2Error {
    /// HTTP status and gRPC code.
    pub(crate) const fn status(&self) -> (StatusCode, tonic::Code) {
        use tonic::Code;
        match self {
            Self::Json(_)
            | Self::BodyTooLarge
            | Self::BodyBroken
            | Self::Entry(_)
            | Self::DsseNotAccepted => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Self::Duplicate { .. } => (StatusCode::CONFLICT, Code::AlreadyExists),
            Self::Busy | Self::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::Frozen => (StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented),
            Self::NotImplemented(_) | Self::Method => {
                (StatusCode::NOT_IMPLEMENTED, Code::Unimplemented)
            }
            Self::NotFound => (StatusCode::NOT_FOUND, Code::NotFound),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown),
        }
    }
}

impl From<AppendError> for V2Error {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::QueueFull => Self::Busy,
            AppendError::NoSpace | AppendError::ClockBehind => Self::Unavailable(error),
            AppendError::EntryTooLong { .. }
            | AppendError::ExtraTooLong { .. }
            | AppendError::Storage
            | AppendError::Unsigned
            | AppendError::Stopped => Self::Internal(error.into()),
        }
    }
}
