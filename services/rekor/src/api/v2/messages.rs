//! Rekor v2's messages: its answer in protobuf's JSON, and requests and answers on the gRPC wire.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entry::{
    Kind,
    v2::{
        DsseRequest, EnvelopeMessage, HashedRekordRequest, KeyDetails, Request, Signature,
        VerifierChoice, VerifierMessage,
    },
};
use sequencer::Appended;
use serde::Serialize;

/// Code generated from the descriptors in `proto/`.
#[allow(
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::or_fun_call,
    clippy::str_to_string,
    clippy::too_many_lines,
    clippy::use_self,
    clippy::wildcard_imports,
    reason = "generated"
)]
mod packages {
    include!(concat!(env!("OUT_DIR"), "/packages.rs"));
}

pub(crate) use packages::{
    dev::sigstore::{
        common::v1 as common,
        rekor::{v1 as rekor_v1, v2 as rekor_v2},
    },
    google::api as google,
};

/// `TransparencyLogEntry` in JSON with everything said, as upstream's gateway writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    log_index: String,
    log_id: LogId,
    kind_version: KindVersion,
    integrated_time: &'static str,
    inclusion_promise: (),
    inclusion_proof: InclusionProof,
    canonicalized_body: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogId {
    key_id: String,
}

#[derive(Serialize)]
struct KindVersion {
    kind: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InclusionProof {
    log_index: String,
    root_hash: String,
    tree_size: String,
    hashes: Vec<String>,
    checkpoint: Checkpoint,
}

#[derive(Serialize)]
struct Checkpoint {
    envelope: String,
}

impl Answer {
    pub(super) fn new(log_id: &[u8; 32], kind: Kind, leaf: &[u8], appended: &Appended) -> Self {
        let Appended {
            leaf_index,
            head,
            inclusion_proof,
            ..
        } = appended;
        Self {
            log_index: leaf_index.to_string(),
            log_id: LogId {
                key_id: STANDARD.encode(log_id),
            },
            kind_version: KindVersion {
                kind: kind.name(),
                version: kind.version(),
            },
            integrated_time: "0",
            inclusion_promise: (),
            inclusion_proof: InclusionProof {
                log_index: leaf_index.to_string(),
                root_hash: STANDARD.encode(head.root_hash),
                tree_size: head.tree_size.to_string(),
                hashes: inclusion_proof
                    .iter()
                    .map(|hash| STANDARD.encode(hash))
                    .collect(),
                checkpoint: Checkpoint {
                    envelope: head.checkpoint.to_string(),
                },
            },
            canonicalized_body: STANDARD.encode(leaf),
        }
    }
}

/// The same answer on the gRPC wire.
pub(super) fn wire_answer(
    log_id: &[u8; 32],
    kind: Kind,
    leaf: Vec<u8>,
    appended: &Appended,
) -> rekor_v1::TransparencyLogEntry {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let Appended {
        leaf_index,
        head,
        inclusion_proof,
        ..
    } = appended;
    rekor_v1::TransparencyLogEntry {
        log_index: signed(*leaf_index),
        log_id: Some(common::LogId {
            key_id: log_id.to_vec(),
        }),
        kind_version: Some(rekor_v1::KindVersion {
            kind: kind.name().to_owned(),
            version: kind.version().to_owned(),
        }),
        integrated_time: 0,
        inclusion_promise: None,
        inclusion_proof: Some(rekor_v1::InclusionProof {
            log_index: signed(*leaf_index),
            root_hash: head.root_hash.to_vec(),
            tree_size: signed(head.tree_size),
            hashes: inclusion_proof.iter().map(|hash| hash.to_vec()).collect(),
            checkpoint: Some(rekor_v1::Checkpoint {
                envelope: head.checkpoint.to_string(),
            }),
        }),
        canonicalized_body: leaf,
    }
}

/// A request from the gRPC wire.
pub(super) fn request(message: rekor_v2::CreateEntryRequest) -> Request {
    use rekor_v2::create_entry_request::Spec;
    match message.spec {
        None => Request::Unset,
        Some(Spec::HashedRekordRequestV002(request)) => {
            let signature = request.signature.map(|signature| Signature {
                content: signature.content,
                verifier: signature.verifier.map(verifier),
            });
            Request::HashedRekord(HashedRekordRequest {
                digest: request.digest,
                signature,
            })
        }
        Some(Spec::DsseRequestV002(request)) => {
            let envelope = request.envelope.map(|envelope| EnvelopeMessage {
                payload: envelope.payload,
                payload_type: envelope.payload_type,
                signatures: envelope.signatures.into_iter().map(|s| s.sig).collect(),
            });
            let verifiers = request.verifiers.into_iter().map(verifier).collect();
            Request::Dsse(DsseRequest {
                envelope,
                verifiers,
            })
        }
    }
}

fn verifier(message: rekor_v2::Verifier) -> VerifierMessage {
    use rekor_v2::verifier::Verifier;
    VerifierMessage {
        key_details: KeyDetails::from_number(message.key_details).unwrap_or_default(),
        verifier: message.verifier.map(|verifier| match verifier {
            Verifier::PublicKey(key) => VerifierChoice::PublicKey(key.raw_bytes),
            Verifier::X509Certificate(certificate) => {
                VerifierChoice::X509Certificate(certificate.raw_bytes)
            }
        }),
    }
}
