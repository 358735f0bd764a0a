//! RFC 6962 §4 over HTTP: decode, one call on the service, encode.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use merkle::Hash;
use runtime::http::{BodyError as Unread, read_body};
use serde::{Deserialize, Serialize};
use x509::Certificate;

use crate::{BodyError, ChainError, Error, ParameterError, Service};

/// Bytes of a submission: ten certificates of 16 KiB in base64 and some.
const BODY_BYTES_MAX: usize = 512 << 10;

/// Entries that one `get-entries` answers at most, upstream's default.
const ENTRIES_MAX: i64 = 1000;

type Log = State<Arc<Service>>;

pub(crate) fn router(service: Arc<Service>) -> Router {
    let refusing = |route: MethodRouter<Arc<Service>>| route.fallback(method_not_allowed);
    Router::new()
        .route("/ct/v1/add-chain", refusing(post(add_chain)))
        .route("/ct/v1/add-pre-chain", refusing(post(add_pre_chain)))
        .route("/ct/v1/get-entries", refusing(get(get_entries)))
        .route(
            "/ct/v1/get-entry-and-proof",
            refusing(get(get_entry_and_proof)),
        )
        .route("/ct/v1/get-proof-by-hash", refusing(get(get_proof_by_hash)))
        .route("/ct/v1/get-roots", refusing(get(get_roots)))
        .route("/ct/v1/get-sth", refusing(get(get_sth)))
        .route(
            "/ct/v1/get-sth-consistency",
            refusing(get(get_sth_consistency)),
        )
        .fallback(not_found)
        .with_state(service)
}

async fn method_not_allowed(method: Method) -> Error {
    Error::Method { method }
}

/// Go's answer for a path that nobody serves.
async fn not_found() -> Response {
    let plain = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (StatusCode::NOT_FOUND, plain, "404 page not found\n").into_response()
}

async fn add_chain(State(log): Log, body: Body) -> Result<Response, Error> {
    add(&log, body, false).await
}

async fn add_pre_chain(State(log): Log, body: Body) -> Result<Response, Error> {
    add(&log, body, true).await
}

#[derive(Deserialize)]
struct AddChainRequest {
    #[serde(default)]
    chain: Vec<String>,
}

async fn add(log: &Service, body: Body, precertificate: bool) -> Result<Response, Error> {
    let body = read_body(body, BODY_BYTES_MAX)
        .await
        .map_err(|error| match error {
            Unread::TooLarge { bytes_max } => Error::TooLarge { bytes_max },
            other => Error::Body(other.into()),
        })?;
    let request: AddChainRequest =
        serde_json::from_slice(&body).map_err(|error| Error::Body(error.into()))?;
    if request.chain.is_empty() {
        return Err(Error::Body(BodyError::Empty));
    }
    let mut chain = Vec::with_capacity(request.chain.len());
    for certificate in &request.chain {
        let der = STANDARD
            .decode(certificate)
            .map_err(|error| Error::Body(error.into()))?;
        let certificate = Certificate::from_der(&der);
        chain.push(certificate.map_err(|error| Error::Chain(ChainError::Certificate(error)))?);
    }
    Ok(Json(log.add(&chain, precertificate).await?).into_response())
}

async fn get_sth(State(log): Log) -> Result<Response, Error> {
    Ok(dynamic(log.sth()?))
}

#[derive(Serialize)]
struct ConsistencyProof {
    consistency: Vec<String>,
}

async fn get_sth_consistency(
    State(log): Log,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref());
    let (first, second) = query.consistency_range().map_err(Error::ConsistencyRange)?;
    let proof = log.consistency_proof(first, second)?;
    Ok(dynamic(ConsistencyProof {
        consistency: base64_all(&proof),
    }))
}

#[derive(Serialize)]
struct ProofByHash {
    leaf_index: u64,
    audit_path: Vec<String>,
}

async fn get_proof_by_hash(State(log): Log, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref());
    let (hash, tree_size) = query.hash_and_size().map_err(Error::ProofByHash)?;
    let (leaf_index, proof) = log.proof_by_hash(&hash, tree_size)?;
    Ok(dynamic(ProofByHash {
        leaf_index,
        audit_path: base64_all(&proof),
    }))
}

#[derive(Serialize)]
struct Entries {
    entries: Vec<LogEntry>,
}

#[derive(Serialize)]
struct LogEntry {
    leaf_input: String,
    extra_data: String,
}

async fn get_entries(State(log): Log, RawQuery(query): RawQuery) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref());
    let (start, count) = query.entries_range().map_err(Error::EntriesRange)?;
    let entries = log.entries(start, count)?;
    let entries = entries.iter().map(|(leaf_input, extra_data)| LogEntry {
        leaf_input: STANDARD.encode(leaf_input),
        extra_data: STANDARD.encode(extra_data),
    });
    Ok(dynamic(Entries {
        entries: entries.collect(),
    }))
}

#[derive(Serialize)]
struct Roots {
    certificates: Vec<String>,
}

async fn get_roots(State(log): Log) -> Response {
    let roots = log.accepted_roots().await;
    dynamic(Roots {
        certificates: roots
            .iter()
            .map(|root| STANDARD.encode(root.der()))
            .collect(),
    })
}

#[derive(Serialize)]
struct EntryAndProof {
    leaf_input: String,
    extra_data: String,
    audit_path: Vec<String>,
}

async fn get_entry_and_proof(
    State(log): Log,
    RawQuery(query): RawQuery,
) -> Result<Response, Error> {
    let query = Query::parse(query.as_deref());
    let (index, tree_size) = query.index_and_size().map_err(Error::EntryAndProof)?;
    let ((leaf_input, extra_data), proof) = log.entry_and_proof(index, tree_size)?;
    Ok(dynamic(EntryAndProof {
        leaf_input: STANDARD.encode(leaf_input),
        extra_data: STANDARD.encode(extra_data),
        audit_path: base64_all(&proof),
    }))
}

/// JSON that a cache must not keep: caches that ignore the query have broken logs.
/// Divergence: upstream lets proofs be cached for a day.
fn dynamic(answer: impl Serialize) -> Response {
    let mut response = Json(answer).into_response();
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn base64_all(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

/// Query parameters; of a repeated one the first counts.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<&str>) -> Self {
        Self(
            url::form_urlencoded::parse(query.unwrap_or_default().as_bytes())
                .into_owned()
                .collect(),
        )
    }

    fn text(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    /// A number as Go's `strconv.ParseInt` reads it.
    fn number(&self, name: &str) -> Result<i64, ParameterError> {
        let text = self.text(name);
        text.parse::<i64>().map_err(|error| ParameterError::Number {
            text: text.to_owned(),
            reason: match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    "value out of range"
                }
                _ => "invalid syntax",
            },
        })
    }

    fn consistency_range(&self) -> Result<(u64, u64), ParameterError> {
        for name in ["first", "second"] {
            if self.text(name).is_empty() {
                return Err(ParameterError::Required { name });
            }
        }
        let number = |name| {
            self.number(name)
                .map_err(|_| ParameterError::Malformed { name })
        };
        let (first, second) = (number("first")?, number("second")?);
        match (u64::try_from(first), u64::try_from(second)) {
            (Ok(_), Ok(_)) if second < first => {
                Err(ParameterError::ConsistencyOrder { first, second })
            }
            (Ok(first), Ok(second)) => Ok((first, second)),
            _ => Err(ParameterError::ConsistencyNegative { first, second }),
        }
    }

    fn hash_and_size(&self) -> Result<(Hash, u64), ParameterError> {
        let text = self.text("hash");
        if text.is_empty() {
            return Err(ParameterError::HashMissing);
        }
        let hash = STANDARD
            .decode(text)
            .ok()
            .and_then(|hash| Hash::try_from(hash).ok());
        let hash = hash.ok_or_else(|| ParameterError::Hash {
            text: text.to_owned(),
        })?;
        match self
            .number("tree_size")
            .ok()
            .and_then(|size| u64::try_from(size).ok())
        {
            Some(size) if size > 0 => Ok((hash, size)),
            _ => Err(ParameterError::TreeSize {
                text: self.text("tree_size").to_owned(),
            }),
        }
    }

    /// First entry and how many, cut as upstream does: at most [`ENTRIES_MAX`], and a request for that
    /// many or more ends at a multiple of it, so that monitors ask for the same ranges.
    fn entries_range(&self) -> Result<(u64, u64), ParameterError> {
        let (start, end) = (self.number("start")?, self.number("end")?);
        let (Ok(first), Ok(last)) = (u64::try_from(start), u64::try_from(end)) else {
            return Err(ParameterError::EntriesNegative { start, end });
        };
        if first > last {
            return Err(ParameterError::EntriesOrder { start, end });
        }
        let max = ENTRIES_MAX.unsigned_abs();
        let count = last - first + 1;
        Ok((
            first,
            if count < max {
                count
            } else {
                max - first % max
            },
        ))
    }

    fn index_and_size(&self) -> Result<(u64, u64), ParameterError> {
        let (leaf_index, tree_size) = (self.number("leaf_index")?, self.number("tree_size")?);
        if tree_size <= 0 {
            return Err(ParameterError::TreeSizeZero { tree_size });
        }
        match (u64::try_from(leaf_index), u64::try_from(tree_size)) {
            (Ok(index), Ok(size)) if index < size => Ok((index, size)),
            (Ok(_), _) => Err(ParameterError::LeafIndexRange {
                leaf_index,
                tree_size,
            }),
            (Err(_), _) => Err(ParameterError::LeafIndexNegative { tree_size }),
        }
    }
}
