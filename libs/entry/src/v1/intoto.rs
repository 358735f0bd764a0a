//! `intoto` 0.0.1 and 0.0.2: an attestation's envelope, whose payload may be kept beside the log.

use crypto::sha256;
use serde_json::Value;

use super::{
    Attestation, Entry, Object, Rule, RuleKind, bytes, decode, distinct, member,
    schema::check_optional_hash, statement, text,
};
use crate::{
    Body, Envelope, EnvelopeSignature, Error, Kind, Verifier,
    body::{
        HashV001, IntotoContentV001, IntotoContentV002, IntotoEnvelopeV002, IntotoSignatureV002,
        IntotoV001, IntotoV002,
    },
    envelope::ssh_fingerprint,
    go::decode_base64,
};

const SHA256: &[&str] = &["sha256"];
const MISSING_ENVELOPE: Error = Error::NotInsertable("missing envelope content");

pub(super) fn read_v001(spec: &Object) -> Result<Entry, Error> {
    let content = member(spec, "content");
    let key = match text(spec, "publicKey") {
        None | Some("") => None,
        Some(text) => Some(decode(text, "public key")?),
    };
    let mut rules = Vec::new();
    match content {
        None => rules.push(Rule::required("content")),
        Some(content) => rules.extend(check_hashes(content).err()),
    }
    if key.is_none() {
        rules.push(Rule::required("publicKey"));
    }
    let (Some(content), Some(key), true) = (content, key, rules.is_empty()) else {
        return Err(Error::Schema(rules));
    };
    let verifier = Verifier::from_pem(&key)?;
    match text(content, "envelope") {
        None | Some("") => known_v001(content, &verifier),
        Some(envelope) => propose_v001(envelope, &verifier),
    }
}

fn check_hashes(content: &Object) -> Result<(), Rule> {
    check_optional_hash(content, "hash", "content.content.hash.content.hash", SHA256)?;
    let name = "content.content.payloadHash.content.payloadHash";
    check_optional_hash(content, "payloadHash", name, SHA256)
}

fn hash(object: &Object, name: &str) -> Option<HashV001> {
    let hash = member(object, name)?;
    let part = |name| text(hash, name).unwrap_or_default().to_owned();
    Some(HashV001 {
        algorithm: part("algorithm"),
        value: part("value"),
    })
}

fn propose_v001(envelope_text: &str, verifier: &Verifier) -> Result<Entry, Error> {
    let envelope = Envelope::from_json(envelope_text)?;
    let key_id = ssh_fingerprint(verifier.public_key());
    envelope.verify(verifier.public_key(), key_id.as_deref())?;
    let payload = standard_payload(&envelope)?;
    let content = IntotoContentV001 {
        hash: HashV001::sha256(envelope_text.as_bytes()),
        payload_hash: Some(HashV001::sha256(&payload)),
    };
    let mut keys = index_keys_v001(&content, verifier);
    if envelope.payload_type == statement::PAYLOAD_TYPE {
        keys.extend(statement::digests(&payload));
    }
    let body = IntotoV001 {
        content,
        public_key: verifier.canonical_pem().into_bytes(),
    };
    let attestation = attestation(&envelope, payload);
    Ok(Entry {
        attestation: Some(attestation),
        ..entry(Kind::IntotoV001, Ok(Body::IntotoV001(body)), Ok(()), keys)
    })
}

fn known_v001(content: &Object, verifier: &Verifier) -> Result<Entry, Error> {
    let content = IntotoContentV001 {
        hash: hash(content, "hash").ok_or(Error::MissingEnvelopeHash)?,
        payload_hash: hash(content, "payloadHash"),
    };
    let keys = index_keys_v001(&content, verifier);
    let body = IntotoV001 {
        content,
        public_key: verifier.canonical_pem().into_bytes(),
    };
    Ok(entry(
        Kind::IntotoV001,
        Ok(Body::IntotoV001(body)),
        Err(MISSING_ENVELOPE),
        keys,
    ))
}

fn index_keys_v001(content: &IntotoContentV001, verifier: &Verifier) -> Vec<String> {
    let mut keys = vec![format!("{}:{}", content.hash.algorithm, content.hash.value)];
    keys.extend(verifier_keys(verifier));
    if let Some(hash) = &content.payload_hash {
        keys.push(format!("{}:{}", hash.algorithm, hash.value));
    }
    keys
}

fn verifier_keys(verifier: &Verifier) -> Vec<String> {
    let digest = sha256(verifier.canonical_pem().as_bytes());
    let mut keys = vec![format!("sha256:{}", hex::encode(digest))];
    keys.extend(verifier.subjects());
    keys
}

/// The payload in standard base64 only: what the attestation store keeps.
fn standard_payload(envelope: &Envelope) -> Result<Vec<u8>, Error> {
    decode_base64(&envelope.payload).map_err(Error::PayloadBase64)
}

fn attestation(envelope: &Envelope, payload: Vec<u8>) -> Attestation {
    Attestation {
        key: format!("sha256:{}", crate::envelope::sha256_hex(&payload)),
        payload,
        counted_bytes: envelope.payload.len() / 4 * 3,
    }
}

pub(super) fn read_v002(spec: &Object) -> Result<Entry, Error> {
    // Upstream counts absent content and envelope as empty ones.
    let empty = Object::new();
    let content = member(spec, "content").unwrap_or(&empty);
    let envelope = member(content, "envelope").unwrap_or(&empty);
    let payload = bytes(envelope, "payload", "payload")?.unwrap_or_default();
    let signatures = signatures_v002(envelope)?;
    let mut rules = Vec::new();
    rules.extend(check_envelope(envelope, signatures.as_deref()).err());
    if rules.is_empty() {
        rules.extend(check_hashes(content).err());
    }
    let payload_type = text(envelope, "payloadType").unwrap_or_default();
    let signatures: Option<Vec<IntotoSignatureV002>> = signatures
        .unwrap_or_default()
        .into_iter()
        .map(complete)
        .collect();
    let (Some(signatures), true) = (signatures, rules.is_empty()) else {
        return Err(Error::Schema(rules));
    };
    let mut payload_hash = hash(content, "payloadHash");
    let mut keys: Vec<String> = Vec::new();
    let mut stored = None;
    let mut insertable = Err(MISSING_ENVELOPE);
    let mut payload_digests = Vec::new();
    if !payload.is_empty() {
        let envelope = envelope_v002(payload_type, &payload, &signatures);
        envelope.cover(signatures.iter().map(|s| s.public_key.as_slice()), false)?;
        let payload = standard_payload(&envelope)?;
        payload_hash = Some(HashV001::sha256(&payload));
        if payload_type == statement::PAYLOAD_TYPE {
            payload_digests = statement::digests(&payload);
        }
        insertable = insertable_v002(payload_type, &signatures);
        stored = Some(attestation(&envelope, payload));
    }
    for signature in &signatures {
        if let Ok(verifier) = Verifier::from_pem(&signature.public_key) {
            keys.extend(verifier_keys(&verifier));
        }
    }
    keys.extend(
        payload_hash
            .iter()
            .map(|hash| format!("{}:{}", hash.algorithm, hash.value)),
    );
    keys.extend(payload_digests);
    let body = body_v002(
        payload_type,
        signatures,
        hash(content, "hash"),
        payload_hash,
    );
    Ok(Entry {
        attestation: stored,
        ..entry(Kind::IntotoV002, body, insertable, keys)
    })
}

fn body_v002(
    payload_type: &str,
    signatures: Vec<IntotoSignatureV002>,
    hash: Option<HashV001>,
    payload_hash: Option<HashV001>,
) -> Result<Body, Error> {
    Ok(Body::IntotoV002(IntotoV002 {
        content: IntotoContentV002 {
            envelope: IntotoEnvelopeV002 {
                payload_type: payload_type.to_owned(),
                signatures,
            },
            hash: hash.ok_or(Error::MissingEnvelopeDigest)?,
            payload_hash: payload_hash.ok_or(Error::MissingPayloadDigest)?,
        },
    }))
}

fn insertable_v002(payload_type: &str, signatures: &[IntotoSignatureV002]) -> Result<(), Error> {
    let missing = if payload_type.is_empty() {
        "missing payloadType content"
    } else if signatures.iter().any(|s| s.sig.is_empty()) {
        "missing signature content"
    } else if signatures.iter().any(|s| s.public_key.is_empty()) {
        "missing publicKey content"
    } else {
        return Ok(());
    };
    Err(Error::NotInsertable(missing))
}

struct PartialSignature {
    key_id: String,
    public_key: Option<Vec<u8>>,
    sig: Option<Vec<u8>>,
}

fn complete(partial: PartialSignature) -> Option<IntotoSignatureV002> {
    Some(IntotoSignatureV002 {
        key_id: partial.key_id,
        public_key: partial.public_key?,
        sig: partial.sig?,
    })
}

fn signatures_v002(envelope: &Object) -> Result<Option<Vec<PartialSignature>>, Error> {
    let Some(list) = envelope.get("signatures").and_then(Value::as_array) else {
        return Ok(None);
    };
    let read = |item: &Object| {
        let part = |name, described| text(item, name).map(|t| decode(t, described)).transpose();
        Ok(PartialSignature {
            key_id: text(item, "keyid").unwrap_or_default().to_owned(),
            sig: part("sig", "signature")?,
            public_key: part("publicKey", "public key")?,
        })
    };
    list.iter()
        .filter_map(Value::as_object)
        .map(read)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn check_envelope(envelope: &Object, signatures: Option<&[PartialSignature]>) -> Result<(), Rule> {
    let name = "content.content.envelope.content.envelope";
    if text(envelope, "payloadType").is_none() {
        return Err(Rule::required(&format!("{name}.payloadType")));
    }
    let signatures = signatures.ok_or_else(|| Rule::required(&format!("{name}.signatures")))?;
    if signatures.is_empty() {
        return Err(Rule::body(
            &format!("{name}.signatures"),
            RuleKind::MinItems(1),
        ));
    }
    for (number, signature) in signatures.iter().enumerate() {
        if signature.public_key.is_none() {
            return Err(Rule::required(&format!(
                "{name}.signatures.{number}.publicKey"
            )));
        }
        if signature.sig.is_none() {
            return Err(Rule::required(&format!("{name}.signatures.{number}.sig")));
        }
    }
    Ok(())
}

/// The envelope inside the double base64.
fn envelope_v002(
    payload_type: &str,
    payload: &[u8],
    signatures: &[IntotoSignatureV002],
) -> Envelope {
    Envelope {
        payload_type: payload_type.to_owned(),
        payload: String::from_utf8_lossy(payload).into_owned(),
        signatures: signatures
            .iter()
            .map(|signature| EnvelopeSignature {
                key_id: signature.key_id.clone(),
                signature: String::from_utf8_lossy(&signature.sig).into_owned(),
            })
            .collect(),
    }
}

fn entry(
    kind: Kind,
    body: Result<Body, Error>,
    insertable: Result<(), Error>,
    keys: Vec<String>,
) -> Entry {
    let index_keys = distinct(keys);
    Entry {
        kind,
        body,
        insertable,
        index_keys,
        attestation: None,
        algorithm: None,
    }
}
