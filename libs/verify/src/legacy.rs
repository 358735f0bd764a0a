//! Signatures as cosign kept them before bundles: a layer and its annotations in a tagged manifest.

use base64::Engine as _;
use bundle::{DsseEnvelope, LogId, TransparencyLogEntry};
use serde::Deserialize;
use x509::Certificate;

use crate::claim::{Statement, check_simple_signing};
use crate::error::ClaimError;
use crate::material::{Artifact, Material, Signed, only_signature};
use crate::trust::Trust;
use crate::verifier::{Requirements, Verified, verify};
use crate::{Error, Report};

/// Annotations of one layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Annotations<'a> {
    /// `dev.cosignproject.cosign/signature`: base64; empty for attestations.
    pub signature: &'a str,
    /// `dev.sigstore.cosign/certificate`: PEM.
    pub certificate: &'a str,
    /// `dev.sigstore.cosign/bundle`: the log's promise, JSON.
    pub bundle: &'a str,
    /// `dev.sigstore.cosign/rfc3161timestamp`: JSON.
    pub timestamp: &'a str,
}

#[derive(Deserialize)]
struct Promise {
    #[serde(rename = "SignedEntryTimestamp")]
    signed_entry_timestamp: String,
    #[serde(rename = "Payload")]
    payload: PromisePayload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromisePayload {
    body: String,
    integrated_time: i64,
    log_index: i64,
    #[serde(rename = "logID")]
    log_id: String,
}

#[derive(Deserialize)]
struct StampedAnnotation {
    #[serde(rename = "SignedRFC3161Timestamp")]
    signed: String,
}

/// Verifies a simple signing payload about the image with `digest` (`sha256:…`).
///
/// # Errors
/// The first check that fails; `report` has all that were made.
pub fn verify_legacy_signature(
    payload: &[u8],
    annotations: &Annotations<'_>,
    digest: &str,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<Verified, Error> {
    let signature = base64(annotations.signature).ok_or(Error::Signature);
    let signature =
        signature.inspect_err(|error| report.fail("signature", "", error.to_string(), ""))?;
    let signed = Signed::Message(Artifact::Message(payload));
    let material = read(annotations, signature, signed, report)?;
    let verified = verify(&material, requirements, trust, report)?;
    check_simple_signing(payload, digest)
        .inspect_err(|error| report.fail("claim", digest, error.to_string(), CLAIM_HINT))?;
    report.pass("claim", digest);
    Ok(verified)
}

/// Verifies an attestation, an envelope whose statement is about the image with `digest`.
///
/// # Errors
/// The first check that fails; `report` has all that were made.
pub fn verify_legacy_attestation(
    envelope: &[u8],
    annotations: &Annotations<'_>,
    digest: &str,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<(Verified, Statement), Error> {
    let parsed: DsseEnvelope = serde_json::from_slice(envelope)
        .map_err(|error| Error::Claim(ClaimError::Json(error)))
        .inspect_err(|error| report.fail("envelope", "", error.to_string(), ""))?;
    let signature = only_signature(&parsed)
        .inspect_err(|error| report.fail("envelope", "", error.to_string(), ""))?;
    let signed = Signed::Envelope {
        envelope: &parsed,
        text: Some(envelope),
    };
    let material = read(annotations, signature, signed, report)?;
    let verified = verify(&material, requirements, trust, report)?;
    let statement = check_statement(&parsed, digest, report)?;
    Ok((verified, statement))
}

pub(crate) const CLAIM_HINT: &str = "the signature is about another image";

/// Reads the statement of a verified envelope and checks what it is about.
///
/// # Errors
/// [`Error::Claim`].
pub fn check_statement(
    envelope: &DsseEnvelope,
    digest: &str,
    report: &mut Report,
) -> Result<Statement, Error> {
    let checked = Statement::read(envelope)
        .and_then(|statement| statement.about(digest).map(|()| statement))
        .inspect_err(|error| report.fail("claim", digest, error.to_string(), CLAIM_HINT))?;
    report.pass("claim", format!("{digest}, {}", checked.predicate_type));
    Ok(checked)
}

fn read<'a>(
    annotations: &Annotations<'_>,
    signature: Vec<u8>,
    signed: Signed<'a>,
    report: &mut Report,
) -> Result<Material<'a>, Error> {
    let mut material = Material {
        certificate: None,
        signature,
        signed,
        entries: Vec::new(),
        timestamps: Vec::new(),
    };
    if !annotations.certificate.is_empty() {
        let certificate = Certificate::from_pem(annotations.certificate)
            .map_err(Error::Certificate)
            .inspect_err(|error| report.fail("certificate", "", error.to_string(), ""))?;
        material.certificate = Some(certificate);
    }
    if !annotations.bundle.is_empty() {
        let entry = entry(annotations.bundle)
            .ok_or(Error::Log(crate::LogError::Field {
                field: "bundle annotation",
            }))
            .inspect_err(|error| report.fail("log entry", "", error.to_string(), ""))?;
        material.entries.push(entry);
    }
    if !annotations.timestamp.is_empty() {
        let stamped: Option<StampedAnnotation> = serde_json::from_str(annotations.timestamp).ok();
        // What cannot be read is kept as nothing, which no authority signed.
        let der = stamped
            .and_then(|stamped| base64(&stamped.signed))
            .unwrap_or_default();
        material.timestamps.push(der);
    }
    Ok(material)
}

fn entry(annotation: &str) -> Option<TransparencyLogEntry> {
    let promise: Promise = serde_json::from_str(annotation).ok()?;
    Some(TransparencyLogEntry {
        log_index: promise.payload.log_index,
        log_id: Some(LogId {
            key_id: hex::decode(&promise.payload.log_id).ok()?,
        }),
        kind_version: None,
        integrated_time: promise.payload.integrated_time,
        inclusion_promise: Some(base64(&promise.signed_entry_timestamp)?),
        inclusion_proof: None,
        canonicalized_body: base64(&promise.payload.body)?,
    })
}

fn base64(text: &str) -> Option<Vec<u8>> {
    base64::engine::general_purpose::STANDARD
        .decode(text.trim())
        .ok()
}
