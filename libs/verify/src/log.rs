//! Log entries: that they are about the signature, and that the log has them.

use bundle::{InclusionProof, TransparencyLogEntry};
use crypto::{HashAlgorithm, PublicKey};
use entry::Body;
use jiff::Timestamp;
use note::{Checkpoint, Scheme, SignedNote};
use x509::Certificate;

use crate::Report;
use crate::error::LogError;
use crate::material::{Material, Signed};
use crate::trust::{Log, Trust};

/// What the log says.
#[derive(Debug, Default)]
pub(crate) struct Logged {
    /// Entries that verified.
    pub(crate) entries: usize,
    /// Times that a log signed for.
    pub(crate) times: Vec<Timestamp>,
}

/// Verifies every entry by a log of the trust root. Entries by other logs count for nothing; one by a known
/// log that does not verify fails the whole.
pub(crate) fn verify(
    material: &Material<'_>,
    key: &PublicKey,
    trust: &Trust,
    report: &mut Report,
) -> Result<Logged, LogError> {
    let mut logged = Logged::default();
    let mut unknown = 0;
    for (index, entry) in material.entries.iter().enumerate() {
        let id = entry
            .log_id
            .as_ref()
            .map(|id| id.key_id.as_slice())
            .unwrap_or_default();
        let same = |other: &TransparencyLogEntry| {
            other.log_index == entry.log_index && other.log_id == entry.log_id
        };
        if material.entries[..index].iter().any(same) {
            return Err(LogError::Duplicate);
        }
        check_fields(entry)?;
        let Some(log) = trust.tlogs.iter().find(|log| log.id == id) else {
            unknown += 1;
            report.skip(
                "log entry",
                &format!("by log {}, unknown to the trust root", hex::encode(id)),
            );
            continue;
        };
        if let Some(time) = verify_entry(entry, log, material, key)? {
            logged.times.push(time);
        }
        report.pass(
            "log entry",
            format!(
                "index {} of {}, about this signature",
                entry.log_index, log.base_url
            ),
        );
        logged.entries += 1;
    }
    if logged.entries == 0 && unknown > 0 {
        return Err(LogError::UnknownLog);
    }
    Ok(logged)
}

fn check_fields(entry: &TransparencyLogEntry) -> Result<(), LogError> {
    let field = |field| Err(LogError::Field { field });
    if entry.log_index < 0 {
        return field("log index");
    }
    if entry.integrated_time < 0 {
        return field("integrated time");
    }
    if entry.canonicalized_body.is_empty() {
        return field("body");
    }
    Ok(())
}

/// The integrated time, when the log signed for it.
fn verify_entry(
    entry: &TransparencyLogEntry,
    log: &Log,
    material: &Material<'_>,
    key: &PublicKey,
) -> Result<Option<Timestamp>, LogError> {
    let body = Body::from_canonical(&entry.canonicalized_body).map_err(LogError::Body)?;
    let kind = format!("{} {}", body.kind().name(), body.kind().version());
    if let Some(said) = &entry.kind_version
        && format!("{} {}", said.kind, said.version) != kind
    {
        return Err(LogError::Kind {
            got: format!("{} {}", said.kind, said.version),
        });
    }
    bind(&body, &kind, material, key)?;
    let tiled = matches!(body, Body::HashedRekordV002(_) | Body::DsseV002(_));
    match (&entry.inclusion_promise, &entry.inclusion_proof) {
        (None, None) => return Err(LogError::NoProof),
        (_, None) if tiled => return Err(LogError::NoInclusionProof),
        _ => {}
    }
    if tiled {
        check_tiled(entry)?;
    }
    let mut time = None;
    if let Some(promise) = &entry.inclusion_promise {
        time = Some(verify_promise(entry, promise, log)?);
    }
    if let Some(proof) = &entry.inclusion_proof {
        verify_inclusion(entry, proof, log)?;
    }
    Ok(time)
}

/// A tiled log gives neither promises nor times, and an entry's index is its place in the tree.
fn check_tiled(entry: &TransparencyLogEntry) -> Result<(), LogError> {
    if entry.inclusion_promise.is_some() {
        return Err(LogError::Promise);
    }
    if entry.integrated_time != 0 {
        return Err(LogError::Field {
            field: "integrated time",
        });
    }
    let proof = entry.inclusion_proof.as_ref();
    if proof.is_some_and(|proof| proof.log_index != entry.log_index) {
        return Err(LogError::Field { field: "log index" });
    }
    Ok(())
}

/// Signed entry timestamp of Rekor v1.
fn verify_promise(
    entry: &TransparencyLogEntry,
    promise: &[u8],
    log: &Log,
) -> Result<Timestamp, LogError> {
    let index =
        u64::try_from(entry.log_index).map_err(|_| LogError::Field { field: "log index" })?;
    let signed = entry::set_payload(
        &entry.canonicalized_body,
        entry.integrated_time,
        &hex::encode(&log.id),
        index,
    );
    log.key
        .verify(HashAlgorithm::Sha256, &signed, promise)
        .map_err(|_| LogError::Promise)?;
    let time = Timestamp::from_second(entry.integrated_time).map_err(|_| LogError::Field {
        field: "integrated time",
    })?;
    if log.was_valid(time) {
        Ok(time)
    } else {
        Err(LogError::LogValidity { at: time })
    }
}

fn verify_inclusion(
    entry: &TransparencyLogEntry,
    proof: &InclusionProof,
    log: &Log,
) -> Result<(), LogError> {
    let number = |number: i64, field| u64::try_from(number).map_err(|_| LogError::Field { field });
    let index = number(proof.log_index, "log index")?;
    let size = number(proof.tree_size, "tree size")?;
    let hash = |bytes: &Vec<u8>| -> Result<merkle::Hash, LogError> {
        bytes
            .as_slice()
            .try_into()
            .map_err(|_| LogError::ProofShape)
    };
    let hashes = proof
        .hashes
        .iter()
        .map(hash)
        .collect::<Result<Vec<_>, _>>()?;
    let root = hash(&proof.root_hash)?;
    let leaf = merkle::leaf_hash(&entry.canonicalized_body);
    merkle::verify_inclusion(index, size, &leaf, &hashes, &root).map_err(LogError::Inclusion)?;
    let checkpoint = verify_checkpoint(proof, log)?;
    if checkpoint.tree_size != size || checkpoint.root_hash != root {
        return Err(LogError::CheckpointMismatch);
    }
    Ok(())
}

/// Reads the checkpoint and checks that the log signed it. A v1 checkpoint has ` - <tree id>` after its
/// name and is signed under the hash of the key; a v2 checkpoint is named as its log's host.
fn verify_checkpoint(proof: &InclusionProof, log: &Log) -> Result<Checkpoint, LogError> {
    let text = proof.checkpoint.as_deref().filter(|text| !text.is_empty());
    let text = text.ok_or(LogError::NoCheckpoint)?;
    let note = SignedNote::parse(text.as_bytes()).map_err(LogError::Checkpoint)?;
    let checkpoint = Checkpoint::parse(&note.text).map_err(LogError::Checkpoint)?;
    let is_v1 = checkpoint
        .origin
        .rsplit_once(" - ")
        .is_some_and(|(_, tree)| {
            !tree.is_empty() && tree.bytes().all(|byte| byte.is_ascii_digit())
        });
    let verifier = |name: &str, scheme| {
        note::Verifier::new(name, scheme, log.key.clone()).map_err(LogError::Checkpoint)
    };
    if is_v1 {
        let names = note
            .signatures
            .iter()
            .map(|signature| signature.name.as_str());
        let verifiers = names
            .map(|name| verifier(name, Scheme::Spki))
            .collect::<Result<Vec<_>, _>>()?;
        let verifiers: Vec<&note::Verifier> = verifiers.iter().collect();
        note.verify(&verifiers).map_err(LogError::Checkpoint)?;
    } else {
        let origin = log.origin();
        if checkpoint.origin != origin {
            return Err(LogError::Origin {
                got: checkpoint.origin,
                want: origin.to_owned(),
            });
        }
        note.verify(&[&verifier(origin, Scheme::Note)?])
            .map_err(LogError::Checkpoint)?;
    }
    Ok(checkpoint)
}

/// Checks that the body records this signature, this key and this content.
fn bind(body: &Body, kind: &str, material: &Material<'_>, key: &PublicKey) -> Result<(), LogError> {
    let other_kind = || LogError::Kind {
        got: kind.to_owned(),
    };
    let certificate = material.certificate.as_ref();
    let same_pem = |pem: &[u8]| {
        let verifier = entry::Verifier::from_pem(pem).map_err(LogError::Body)?;
        same_signer(&verifier, certificate, key)
    };
    let same_wire = |wire: &entry::body::VerifierV002| {
        same_signer(&wire.verifier().map_err(LogError::Body)?, certificate, key)
    };
    match (body, &material.signed) {
        (Body::HashedRekordV001(record), Signed::Message(artifact)) => {
            same_signature(&record.signature, &material.signature)?;
            same_pem(&record.public_key)?;
            let digest = artifact.digest(record.algorithm).ok_or_else(other_kind)?;
            same_digest(&record.digest().map_err(LogError::Body)?, &digest)
        }
        (Body::HashedRekordV002(record), signed) => {
            same_signature(&record.signature.content, &material.signature)?;
            same_wire(&record.signature.verifier)?;
            let hash = record.data.algorithm;
            let digest = match signed {
                Signed::Message(artifact) => artifact.digest(hash).ok_or_else(other_kind)?,
                Signed::Envelope { envelope, .. } => hash.digest(&envelope.pae()),
            };
            same_digest(&record.data.digest, &digest)
        }
        (Body::DsseV001(record), Signed::Envelope { envelope, .. }) => {
            let [signature] = record.signatures.as_slice() else {
                return Err(LogError::SignatureMismatch);
            };
            let logged = entry::decode_base64(&signature.signature)
                .map_err(|_| LogError::SignatureMismatch)?;
            same_signature(&logged, &material.signature)?;
            same_pem(&signature.verifier)?;
            same_hex(&record.payload_hash, &envelope.payload)
        }
        (Body::DsseV002(record), Signed::Envelope { envelope, .. }) => {
            let [signature] = record.signatures.as_slice() else {
                return Err(LogError::SignatureMismatch);
            };
            same_signature(&signature.content, &material.signature)?;
            same_wire(&signature.verifier)?;
            let digest = record.payload_hash.algorithm.digest(&envelope.payload);
            same_digest(&record.payload_hash.digest, &digest)
        }
        (Body::IntotoV002(record), Signed::Envelope { envelope, .. }) => {
            let [signature] = record.content.envelope.signatures.as_slice() else {
                return Err(LogError::SignatureMismatch);
            };
            let text =
                std::str::from_utf8(&signature.sig).map_err(|_| LogError::SignatureMismatch)?;
            let logged = entry::decode_base64(text).map_err(|_| LogError::SignatureMismatch)?;
            same_signature(&logged, &material.signature)?;
            same_pem(&signature.public_key)?;
            same_hex(&record.content.payload_hash, &envelope.payload)
        }
        (
            Body::IntotoV001(record),
            Signed::Envelope {
                text: Some(text), ..
            },
        ) => {
            same_pem(&record.public_key)?;
            same_hex(&record.content.hash, text)
        }
        _ => Err(other_kind()),
    }
}

fn same_signature(logged: &[u8], signed: &[u8]) -> Result<(), LogError> {
    if logged == signed {
        Ok(())
    } else {
        Err(LogError::SignatureMismatch)
    }
}

/// With a certificate the log must have that certificate, not only its key.
fn same_signer(
    logged: &entry::Verifier,
    certificate: Option<&Certificate>,
    key: &PublicKey,
) -> Result<(), LogError> {
    let same = match certificate {
        Some(certificate) => logged
            .certificates()
            .first()
            .is_some_and(|first| first.der() == certificate.der()),
        None => logged.public_key() == key,
    };
    if same {
        Ok(())
    } else {
        Err(LogError::CertificateMismatch)
    }
}

fn same_digest(logged: &[u8], signed: &[u8]) -> Result<(), LogError> {
    if logged == signed {
        return Ok(());
    }
    Err(LogError::DigestMismatch {
        logged: hex::encode(logged),
        signed: hex::encode(signed),
    })
}

fn same_hex(logged: &entry::body::HashV001, content: &[u8]) -> Result<(), LogError> {
    let hash = HashAlgorithm::from_name(&logged.algorithm).map_err(|_| LogError::Field {
        field: "hash algorithm",
    })?;
    let logged = hex::decode(&logged.value).map_err(|_| LogError::Field { field: "hash" })?;
    same_digest(&logged, &hash.digest(content))
}
