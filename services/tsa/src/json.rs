//! The JSON form of a request, which sigstore-js sends, read as upstream's Go reads it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::HashAlgorithm;
use serde_json::{Map, Value, value::RawValue};
use std::collections::BTreeMap;
use tsp::{MessageImprint, TimestampRequest};
use x509::ObjectIdentifier;

use crate::Error;

/// Upstream's limit; it also bounds the cost of the nonce's conversion.
const JSON_BYTES_MAX: usize = 1024;

const OID_COMPONENTS_MAX: usize = 128;

/// The fields, each as its text, because a nonce may be longer than any number type.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Reads a request. Member names are matched in any case, the last one wins, unknown ones are skipped and
/// `null` counts as absent, as in Go.
pub(crate) fn read(body: &[u8]) -> Result<TimestampRequest, Error> {
    if body.len() > JSON_BYTES_MAX {
        return Err(Error::JsonTooLarge);
    }
    // The check for nesting and syntax of everything, and the only reading of `null` as the whole body.
    let whole: Option<Map<String, Value>> =
        serde_json::from_slice(body).map_err(|_| Error::Unreadable)?;
    let raw: BTreeMap<String, &RawValue> = match whole {
        Some(_) => serde_json::from_slice(body).map_err(|_| Error::Unreadable)?,
        None => BTreeMap::new(),
    };
    let fields: Fields<'_> = raw
        .into_iter()
        .filter(|(_, value)| value.get() != "null")
        .map(|(name, value)| (name.to_lowercase(), value))
        .collect();
    let artifact_hash: String = field(&fields, "artifacthash")?.unwrap_or_default();
    let algorithm: String = field(&fields, "hashalgorithm")?.unwrap_or_default();
    let certificates: bool = field(&fields, "certificates")?.unwrap_or_default();
    let policy: String = field(&fields, "tsapolicyoid")?.unwrap_or_default();
    let nonce = fields
        .get("nonce")
        .map(|raw| integer(raw.get()))
        .transpose()?;
    // From here in upstream's order, which decides the error of a request with several faults.
    let hash = match algorithm.to_lowercase().as_str() {
        "sha1" => return Err(Error::WeakHash),
        name => HashAlgorithm::from_name(name).map_err(|_| Error::Unreadable)?,
    };
    let policy = policy_oid(&policy)?;
    // Go's decoder skips line ends.
    let artifact_hash: String = artifact_hash
        .chars()
        .filter(|c| !matches!(c, '\r' | '\n'))
        .collect();
    let digest = STANDARD
        .decode(artifact_hash)
        .map_err(|_| Error::Unreadable)?;
    let imprint = MessageImprint::new(hash, digest)?;
    let policy = policy.map(|known| known.ok_or(Error::Policy)).transpose()?;
    Ok(TimestampRequest {
        policy,
        nonce,
        certificates,
        ..TimestampRequest::new(imprint)
    })
}

fn field<'a, T: serde::Deserialize<'a>>(
    fields: &Fields<'a>,
    name: &str,
) -> Result<Option<T>, Error> {
    let Some(raw) = fields.get(name) else {
        return Ok(None);
    };
    serde_json::from_str(raw.get())
        .map(Some)
        .map_err(|_| Error::Unreadable)
}

/// `None` for no policy; `Some(None)` for numbers that are no object identifier and so no accepted policy.
fn policy_oid(text: &str) -> Result<Option<Option<ObjectIdentifier>>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let arcs: Vec<i64> = text
        .split('.')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|_| Error::PolicySyntax)?;
    if arcs.len() > OID_COMPONENTS_MAX {
        return Err(Error::PolicySyntax);
    }
    let arcs: Vec<String> = arcs.iter().map(i64::to_string).collect();
    Ok(Some(ObjectIdentifier::new(&arcs.join(".")).ok()))
}

/// Content of the DER INTEGER of a decimal number: big-endian two's complement, as short as can be.
fn integer(text: &str) -> Result<Vec<u8>, Error> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::Unreadable);
    }
    // Little-endian magnitude; at most 1,024 digits, so the square is small.
    let mut magnitude: Vec<u8> = vec![0];
    for digit in digits.bytes() {
        let mut carry = u16::from(digit - b'0');
        for byte in &mut magnitude {
            let sum = u16::from(*byte) * 10 + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        if carry > 0 {
            magnitude.push(carry.to_le_bytes()[0]);
        }
    }
    magnitude.push(0);
    if negative {
        let mut carry = true;
        for byte in &mut magnitude {
            let (inverted, overflow) = (!*byte).overflowing_add(u8::from(carry));
            *byte = inverted;
            carry = overflow;
        }
    }
    magnitude.reverse();
    let superfluous = magnitude
        .windows(2)
        .take_while(|pair| matches!(pair, [0x00, 0x00..=0x7f] | [0xff, 0x80..=0xff]))
        .count();
    Ok(magnitude.split_off(superfluous))
}

#[cfg(test)]
mod tests {
    use super::{integer, read};
    use crate::Error;

    #[test]
    fn decimal_nonces_become_der_integers() {
        for (text, want) in [
            ("0", &[0_u8][..]),
            ("-0", &[0]),
            ("127", &[0x7f]),
            ("128", &[0x00, 0x80]),
            ("-128", &[0x80]),
            ("-129", &[0xff, 0x7f]),
            ("256", &[0x01, 0x00]),
            ("18446744073709551616", &[1, 0, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            assert_eq!(integer(text).unwrap(), want, "{text}");
        }
        for bad in ["", "-", "1.5", "1e3", "\"1\"", "0x10"] {
            assert!(integer(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn members_are_found_in_any_case_and_the_last_wins() {
        let digest = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let body = format!(
            r#"{{"ArtifactHash":"{digest}","hashalgorithm":"SHA256","nonce":null,"extra":[1]}}"#
        );
        let request = read(body.as_bytes()).unwrap();
        assert_eq!(request.imprint.digest()[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(request.nonce, None);
        assert!(!request.certificates);
    }

    #[test]
    fn faults_are_reported_in_upstreams_order() {
        let error = |body: &str| read(body.as_bytes()).unwrap_err();
        assert!(matches!(
            error(r#"{"hashAlgorithm":"sha1","tsaPolicyOID":"x"}"#),
            Error::WeakHash
        ));
        let policy = r#"{"hashAlgorithm":"sha256","tsaPolicyOID":"1.x","artifactHash":"!"}"#;
        assert!(matches!(error(policy), Error::PolicySyntax));
        let digest = r#"{"hashAlgorithm":"sha256","artifactHash":"AAAA","tsaPolicyOID":"9.9.9"}"#;
        assert!(matches!(error(digest), Error::DigestLength));
        assert!(matches!(error("null"), Error::Unreadable));
        assert!(matches!(error("[]"), Error::Unreadable));
        let long = format!(r#"{{"nonce":{}}}"#, "1".repeat(1024));
        assert!(matches!(error(&long), Error::JsonTooLarge));
    }
}
