//! DSSE envelopes: read from JSON text, and verified the way Rekor does it.

use crypto::{HashAlgorithm, PublicKey, PublicKeyKind, sha256};
use serde_json::Value;

use crate::{
    Error, Verifier,
    go::{decode_base64_any, json_error, json_type},
    json_is_bounded, signed,
};

/// Signatures of one envelope, and keys offered for them, that are looked at. A canonical body holds no
/// more than some 200; every key is tried on every signature.
const SIGNATURES_MAX: usize = 64;

/// A DSSE envelope with its base64 as it came.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Envelope {
    /// What the payload is, for example `application/vnd.in-toto+json`.
    pub payload_type: String,
    /// The payload in base64, standard or URL-safe.
    pub payload: String,
    /// Its signatures.
    pub signatures: Vec<EnvelopeSignature>,
}

/// One signature of an envelope.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EnvelopeSignature {
    /// A hint that nothing may be decided by.
    pub key_id: String,
    /// The signature in base64, standard or URL-safe.
    pub signature: String,
}

impl Envelope {
    /// From JSON text. Unknown members are ignored, absent ones are empty.
    ///
    /// # Errors
    /// [`Error::JsonEnd`], [`Error::JsonCharacter`], [`Error::EnvelopeType`],
    /// [`Error::EnvelopeMemberType`].
    pub fn from_json(text: &str) -> Result<Self, Error> {
        if !json_is_bounded(text.as_bytes()) {
            return Err(Error::JsonBounds);
        }
        let value: Value = serde_json::from_str(text).map_err(|error| json_error(text, &error))?;
        let members = match &value {
            Value::Object(members) => members,
            Value::Null => return Ok(Self::default()),
            other => return Err(Error::EnvelopeType(json_type(other))),
        };
        let signatures = match members.get("signatures") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list.iter().map(signature).collect::<Result<_, _>>()?,
            Some(other) => {
                return Err(member_type(
                    other,
                    "Envelope.signatures",
                    "[]dsse.Signature",
                ));
            }
        };
        Ok(Self {
            payload_type: text_member(members.get("payloadType"), "Envelope.payloadType")?,
            payload: text_member(members.get("payload"), "Envelope.payload")?,
            signatures,
        })
    }

    /// The payload's bytes.
    ///
    /// # Errors
    /// [`Error::EnvelopeBase64`].
    pub fn decode_payload(&self) -> Result<Vec<u8>, Error> {
        decode_base64_any(&self.payload)
    }

    /// The bytes that its signatures are over.
    ///
    /// # Errors
    /// [`Error::EnvelopeBase64`].
    pub fn pae(&self) -> Result<Vec<u8>, Error> {
        Ok(pae(&self.payload_type, &self.decode_payload()?))
    }

    /// The signature (of all, in order) that `key` made; SHA-256 for ECDSA and RSA of any size, pure
    /// Ed25519. A signature whose key id is another than `key_id` is passed over, when both are given.
    pub(crate) fn verify(&self, key: &PublicKey, key_id: Option<&str>) -> Result<usize, Error> {
        if self.signatures.is_empty() {
            return Err(Error::NoSignature);
        }
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(Error::TooManySignatures {
                max: SIGNATURES_MAX,
            });
        }
        let message = self.pae()?;
        let mut accepted = None;
        for (number, signature) in self.signatures.iter().enumerate() {
            let bytes = decode_base64_any(&signature.signature)?;
            let named_other =
                key_id.is_some_and(|id| !signature.key_id.is_empty() && signature.key_id != id);
            // A key counts once: what it verifies after its first signature stays uncovered.
            if accepted.is_none()
                && !named_other
                && signed::verify_message(key, &message, &bytes).is_ok()
            {
                accepted = Some(number);
            }
        }
        accepted.ok_or(Error::Threshold)
    }

    /// Matches signatures with `keys` (PEM). With `until_covered`, keys left over once every signature
    /// is covered are not looked at; a key that is looked at must verify something. Gives for each
    /// distinct signature text its verifier.
    pub(crate) fn cover<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k [u8]>,
        until_covered: bool,
    ) -> Result<Vec<(&str, Verifier)>, Error> {
        let keys: Vec<&[u8]> = keys.into_iter().collect();
        if keys.len().max(self.signatures.len()) > SIGNATURES_MAX {
            // Divergence: upstream has no limit but the length of the body.
            return Err(Error::TooManySignatures {
                max: SIGNATURES_MAX,
            });
        }
        let mut covered: Vec<(&str, Verifier)> = Vec::new();
        let all_covered = |covered: &[(&str, Verifier)]| {
            self.signatures
                .iter()
                .all(|s| covered.iter().any(|(text, _)| *text == s.signature))
        };
        for pem in keys {
            if until_covered && all_covered(&covered) {
                break;
            }
            let verifier =
                Verifier::from_pem(pem).map_err(|error| Error::EnvelopeKey(Box::new(error)))?;
            let number = self
                .verify(verifier.public_key(), None)
                .map_err(|error| Error::Envelope(Box::new(error)))?;
            let text = self.signatures[number].signature.as_str();
            covered.retain(|(known, _)| *known != text);
            covered.push((text, verifier));
        }
        if all_covered(&covered) {
            Ok(covered)
        } else {
            Err(Error::UncoveredSignature)
        }
    }
}

/// DSSE's pre-authentication encoding of a payload.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut out = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    out.extend_from_slice(payload);
    out
}

/// OpenSSH's fingerprint of a key (RFC 4253 §6.6, RFC 5656 §3.1), the key id that upstream's DSSE
/// library gives a key that has none.
pub(crate) fn ssh_fingerprint(key: &PublicKey) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    let fields: Vec<Vec<u8>> = match key.kind() {
        PublicKeyKind::Ed25519 => vec![b"ssh-ed25519".to_vec(), key.raw_bytes().to_vec()],
        PublicKeyKind::Rsa { .. } => {
            let (modulus, exponent) = key.rsa_components()?;
            vec![b"ssh-rsa".to_vec(), positive(exponent), positive(modulus)]
        }
        kind => {
            let curve = match kind {
                PublicKeyKind::P384 => "nistp384",
                PublicKeyKind::P521 => "nistp521",
                _ => "nistp256",
            };
            let name = format!("ecdsa-sha2-{curve}").into_bytes();
            vec![name, curve.as_bytes().to_vec(), key.raw_bytes().to_vec()]
        }
    };
    let mut wire = Vec::new();
    for field in fields {
        wire.extend_from_slice(&u32::try_from(field.len()).ok()?.to_be_bytes());
        wire.extend_from_slice(&field);
    }
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(sha256(&wire))))
}

fn positive(mut number: Vec<u8>) -> Vec<u8> {
    if number.first().is_some_and(|byte| byte & 0x80 != 0) {
        number.insert(0, 0);
    }
    number
}

fn signature(value: &Value) -> Result<EnvelopeSignature, Error> {
    match value {
        Value::Null => Ok(EnvelopeSignature::default()),
        Value::Object(members) => Ok(EnvelopeSignature {
            key_id: text_member(members.get("keyid"), "Signature.signatures.keyid")?,
            signature: text_member(members.get("sig"), "Signature.signatures.sig")?,
        }),
        other => Err(member_type(other, "Envelope.signatures", "dsse.Signature")),
    }
}

fn text_member(value: Option<&Value>, member: &'static str) -> Result<String, Error> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(member_type(other, member, "string")),
    }
}

const fn member_type(found: &Value, member: &'static str, want: &'static str) -> Error {
    Error::EnvelopeMemberType {
        found: json_type(found),
        member,
        want,
    }
}

/// SHA-256 in hex, Rekor v1's form of every digest it computes.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(HashAlgorithm::Sha256.digest(bytes))
}
