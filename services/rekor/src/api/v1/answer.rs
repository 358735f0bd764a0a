//! What Rekor v1 writes.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, Serializer};
use serde_json::{Value, json as value};

use crate::{Error, Service, service::LoggedEntry};

/// Seconds after which a client that was sent away may try again.
const RETRY_AFTER: &str = "1";

/// A JSON answer, with the newline that upstream's handlers write behind it.
pub(super) fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    let mut text = serde_json::to_vec(body).expect("answers have string keys");
    text.push(b'\n');
    (status, [(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[derive(Serialize)]
struct Problem {
    code: u16,
    message: String,
}

/// The answer to a refused request.
pub(super) fn refuse(error: &Error) -> Response {
    if matches!(error, Error::NotFound) {
        // Upstream leaves body and media type away.
        return StatusCode::NOT_FOUND.into_response();
    }
    let (status, code) = error.status();
    let message = match error {
        Error::Internal(cause) => {
            format!("{error} (request {})", runtime::log_internal(cause))
        }
        _ => error.to_string(),
    };
    let body = serde_json::to_vec(&Problem { code, message }).expect("plain data");
    let mut response = (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    let headers = response.headers_mut();
    match error {
        Error::Method { allowed, .. } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        Error::Busy | Error::Unavailable(_) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        }
        _ => {}
    }
    response
}

/// An entry under its id, with proof, promise and attestation: an object of one member.
pub(super) struct LogEntry<'a> {
    id: &'a str,
    entry: LogEntryAnon<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogEntryAnon<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation: Option<Attestation>,
    body: String,
    integrated_time: i64,
    #[serde(rename = "logID")]
    log_id: &'a str,
    log_index: u64,
    verification: Verification<'a>,
}

#[derive(Serialize)]
struct Attestation {
    data: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verification<'a> {
    inclusion_proof: InclusionProof<'a>,
    signed_entry_timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InclusionProof<'a> {
    checkpoint: &'a str,
    hashes: Vec<String>,
    log_index: u64,
    root_hash: String,
    tree_size: u64,
}

impl<'a> LogEntry<'a> {
    pub(super) fn new(service: &'a Service, entry: &'a LoggedEntry) -> Self {
        let attestation = entry.attestation.as_ref();
        let inclusion_proof = InclusionProof {
            checkpoint: &entry.head.checkpoint,
            hashes: entry.inclusion_proof.iter().map(hex::encode).collect(),
            log_index: entry.leaf_index,
            root_hash: hex::encode(entry.head.root_hash),
            tree_size: entry.head.tree_size,
        };
        let signed_entry_timestamp = STANDARD.encode(&entry.inclusion_promise);
        let entry_anon = LogEntryAnon {
            attestation: attestation.map(|data| Attestation {
                data: STANDARD.encode(data),
            }),
            body: STANDARD.encode(&entry.body),
            integrated_time: entry.integrated_time,
            log_id: &service.v1.log_id,
            log_index: entry.leaf_index,
            verification: Verification {
                inclusion_proof,
                signed_entry_timestamp,
            },
        };
        Self {
            id: &entry.entry_id,
            entry: entry_anon,
        }
    }
}

impl Serialize for LogEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.id, &self.entry)])
    }
}

/// The published tree head.
pub(super) fn log_info(service: &Service) -> Value {
    let head = service.v1.log.head();
    value!({
        "inactiveShards": null,
        "rootHash": hex::encode(head.root_hash),
        "signedTreeHead": &*head.checkpoint,
        "treeID": service.v1.tree.to_string(),
        "treeSize": head.tree_size,
    })
}

/// A consistency proof with the root of the published tree.
pub(super) fn consistency_proof(hashes: &[[u8; 32]], root: &[u8; 32]) -> Value {
    let hashes: Vec<String> = hashes.iter().map(hex::encode).collect();
    value!({ "hashes": hashes, "rootHash": hex::encode(root) })
}

#[cfg(test)]
mod tests {
    use axum::http::header;
    use sequencer::AppendError;

    use super::refuse;
    use crate::Error;

    #[test]
    fn a_log_that_takes_nothing_on_says_when_to_come_back() {
        for (error, status) in [
            (AppendError::QueueFull, 429),
            (AppendError::NoSpace, 503),
            (AppendError::ClockBehind, 503),
        ] {
            let response = refuse(&Error::from(error));
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[tokio::test]
    async fn a_fault_of_ours_is_a_500_without_its_cause() {
        use http_body_util::BodyExt as _;
        for error in [
            AppendError::Storage,
            AppendError::Unsigned,
            AppendError::Stopped,
        ] {
            let response = refuse(&Error::from(error.clone()));
            assert_eq!(response.status(), 500);
            let body = response.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            let told = "unexpected error communicating with transparency log (request ";
            assert!(text.contains(told), "{text}");
            assert!(!text.contains(&error.to_string()), "{text}");
        }
    }
}
