//! `dsse` 0.0.1: who signed which envelope. The payload is hashed, not kept.

use crypto::sha256;
use serde_json::Value;

use super::{
    Entry, Object, Rule, RuleKind, bytes, decode, distinct, member, schema::check_optional_hash,
    statement, text,
};
use crate::{
    Body, Envelope, Error, Kind, Verifier,
    body::{DsseSignatureV001, DsseV001, HashV001},
};

/// The pattern of a canonical signature, as messages quote it.
const SIGNATURE: &str =
    r"^(?:[A-Za-z0-9+\/]{4})*(?:[A-Za-z0-9+\/]{2}==|[A-Za-z0-9+\/]{3}=|[A-Za-z0-9+\/]{4})$";

const SHA256: &[&str] = &["sha256"];

pub(super) fn read(spec: &Object) -> Result<Entry, Error> {
    let proposed = member(spec, "proposedContent");
    let verifiers = proposed.map(verifiers).transpose()?;
    let signatures = canonical_signatures(spec)?;
    check(spec, verifiers.as_deref(), signatures.as_deref())?;

    let envelope_hash = member(spec, "envelopeHash");
    let payload_hash = member(spec, "payloadHash");
    match (proposed, verifiers) {
        (Some(proposed), Some(verifiers)) => {
            if envelope_hash.is_some() || payload_hash.is_some() || signatures.is_some() {
                return Err(Error::DsseBoth);
            }
            propose(text(proposed, "envelope").unwrap_or_default(), &verifiers)
        }
        _ => match (envelope_hash, payload_hash, signatures) {
            (Some(envelope_hash), Some(payload_hash), Some(signatures)) => {
                Ok(known(hash(envelope_hash), hash(payload_hash), signatures))
            }
            _ => Err(Error::DsseIncomplete),
        },
    }
}

fn verifiers(proposed: &Object) -> Result<Vec<Vec<u8>>, Error> {
    let list = proposed.get("verifiers").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|text| !text.is_empty())
        .map(|text| decode(text, "verifier"))
        .collect()
}

type CanonicalSignature = (Option<String>, Option<Vec<u8>>);

fn canonical_signatures(spec: &Object) -> Result<Option<Vec<CanonicalSignature>>, Error> {
    let Some(list) = spec.get("signatures").and_then(Value::as_array) else {
        return Ok(None);
    };
    let read = |item: &Object| {
        let signature = text(item, "signature").map(str::to_owned);
        Ok((signature, bytes(item, "verifier", "signature verifier")?))
    };
    list.iter()
        .filter_map(Value::as_object)
        .map(read)
        .collect::<Result<_, _>>()
        .map(Some)
}

fn check(
    spec: &Object,
    verifiers: Option<&[Vec<u8>]>,
    signatures: Option<&[CanonicalSignature]>,
) -> Result<(), Error> {
    let mut rules = Vec::new();
    for name in ["envelopeHash", "payloadHash"] {
        rules.extend(check_optional_hash(spec, name, &format!("{name}.{name}"), SHA256).err());
    }
    if let (Some(proposed), Some(verifiers)) = (member(spec, "proposedContent"), verifiers) {
        let name = "proposedContent.proposedContent";
        if text(proposed, "envelope").is_none() {
            rules.push(Rule::required(&format!("{name}.envelope")));
        } else if !proposed.get("verifiers").is_some_and(Value::is_array) {
            rules.push(Rule::required(&format!("{name}.verifiers")));
        } else if verifiers.is_empty() {
            rules.push(Rule::body(
                &format!("{name}.verifiers"),
                RuleKind::MinItems(1),
            ));
        }
    }
    if let Some(signatures) = signatures {
        rules.extend(check_signatures(signatures).err());
    }
    if rules.is_empty() {
        Ok(())
    } else {
        Err(Error::Schema(rules))
    }
}

fn check_signatures(signatures: &[CanonicalSignature]) -> Result<(), Rule> {
    if signatures.is_empty() {
        return Err(Rule::body("signatures", RuleKind::MinItems(1)));
    }
    for (number, (signature, verifier)) in signatures.iter().enumerate() {
        let name = format!("signatures.{number}.signature");
        match signature {
            None => return Err(Rule::required(&name)),
            Some(text) if !is_base64(text) => {
                return Err(Rule::body(&name, RuleKind::Pattern(SIGNATURE)));
            }
            Some(_) => {}
        }
        if verifier.is_none() {
            return Err(Rule::required(&format!("signatures.{number}.verifier")));
        }
    }
    Ok(())
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    !digits.is_empty()
        && text.len() - digits.len() <= 2
        && text.len().is_multiple_of(4)
        && digits
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

fn hash(object: &Object) -> HashV001 {
    let part = |name| text(object, name).unwrap_or_default().to_owned();
    HashV001 {
        algorithm: part("algorithm"),
        value: part("value"),
    }
}

/// A new entry: every signature must be verified by one of `verifiers`.
fn propose(envelope_text: &str, verifiers: &[Vec<u8>]) -> Result<Entry, Error> {
    let envelope = Envelope::from_json(envelope_text)?;
    if envelope.signatures.is_empty() {
        return Err(Error::DsseWithoutSignature);
    }
    let mut covered = envelope.cover(verifiers.iter().map(Vec::as_slice), true)?;
    covered.sort_by_key(|(signature, _)| *signature);
    let payload = envelope.decode_payload()?;
    let body = DsseV001 {
        envelope_hash: HashV001::sha256(envelope_text.as_bytes()),
        payload_hash: HashV001::sha256(&payload),
        signatures: covered
            .iter()
            .map(|(signature, verifier)| DsseSignatureV001 {
                signature: (*signature).to_owned(),
                verifier: verifier.canonical_pem().into_bytes(),
            })
            .collect(),
    };
    let mut keys = index_keys(&body, covered.iter().map(|(_, verifier)| verifier));
    if envelope.payload_type == statement::PAYLOAD_TYPE {
        keys.extend(statement::digests(&payload));
    }
    Ok(entry(body, Ok(()), keys))
}

/// An entry in its canonical form, as a look-up has it. Nothing can be verified.
fn known(
    envelope_hash: HashV001,
    payload_hash: HashV001,
    signatures: Vec<CanonicalSignature>,
) -> Entry {
    let mut signatures: Vec<DsseSignatureV001> = signatures
        .into_iter()
        .map(|(signature, verifier)| DsseSignatureV001 {
            signature: signature.unwrap_or_default(),
            verifier: verifier.unwrap_or_default(),
        })
        .collect();
    signatures.sort_by(|a, b| a.signature.cmp(&b.signature));
    let body = DsseV001 {
        envelope_hash,
        payload_hash,
        signatures,
    };
    let verifiers: Vec<Verifier> = body
        .signatures
        .iter()
        .filter_map(|s| Verifier::from_pem(&s.verifier).ok())
        .collect();
    let keys = index_keys(&body, verifiers.iter());
    entry(
        body,
        Err(Error::NotInsertable("missing proposed content")),
        keys,
    )
}

fn index_keys<'a>(body: &DsseV001, verifiers: impl Iterator<Item = &'a Verifier>) -> Vec<String> {
    let mut keys = Vec::new();
    for verifier in verifiers {
        keys.push(format!(
            "sha256:{}",
            hex::encode(sha256(verifier.canonical_pem().as_bytes()))
        ));
        keys.extend(verifier.subjects());
    }
    for hash in [&body.payload_hash, &body.envelope_hash] {
        keys.push(format!("{}:{}", hash.algorithm, hash.value));
    }
    keys
}

fn entry(body: DsseV001, insertable: Result<(), Error>, keys: Vec<String>) -> Entry {
    Entry {
        kind: Kind::DsseV001,
        body: Ok(Body::DsseV001(body)),
        insertable,
        index_keys: distinct(keys),
        attestation: None,
        algorithm: None,
    }
}
