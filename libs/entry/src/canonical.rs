//! Canonical JSON (RFC 8785), the leaf hash over it, and what a signed entry timestamp signs.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{HashAlgorithm, Hasher, Sha256Digest};
use serde::Serialize;

/// The RFC 8785 form of `value`. Members are sorted, nothing is escaped that need not be, and no
/// newline follows.
#[must_use]
pub fn canonicalize<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("entry models have string keys and no floats")
}

/// RFC 6962 §2.1 leaf hash: SHA-256 over a zero byte and the canonical body. In hex it is the UUID of a
/// Rekor v1 entry.
#[must_use]
pub fn leaf_hash(canonical_body: &[u8]) -> Sha256Digest {
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    hasher.update(&[0]);
    hasher.update(canonical_body);
    hasher.finish().try_into().expect("SHA-256 has 32 bytes")
}

/// The bytes that Rekor v1's signed entry timestamp (the inclusion promise) signs: the canonical form
/// of body, time in seconds, log id in hex, and the log index over all shards. `log_id` has nothing but hex digits.
#[must_use]
pub fn set_payload(
    canonical_body: &[u8],
    integrated_time: i64,
    log_id: &str,
    log_index: u64,
) -> Vec<u8> {
    // Base64, hex and integers need no escapes, and the members are in order.
    let body = STANDARD.encode(canonical_body);
    format!(
        "{{\"body\":\"{body}\",\"integratedTime\":{integrated_time},\"logID\":\"{log_id}\",\
         \"logIndex\":{log_index}}}"
    )
    .into_bytes()
}
