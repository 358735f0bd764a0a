//! Digests in an in-toto statement, for the search index.

use serde_json::Value;

/// The payload type of an in-toto statement.
pub(super) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Digests that one statement may add to the index. Upstream has no limit.
const DIGESTS_MAX: usize = 4096;

/// `algorithm:digest` of every subject, and of every material of a SLSA v0.2 predicate. Empty when the
/// payload is not a statement, or has more values than are read.
pub(super) fn digests(payload: &[u8]) -> Vec<String> {
    if !crate::json_is_bounded(payload) {
        return Vec::new();
    }
    let Ok(statement) = serde_json::from_slice::<Value>(payload) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    collect(statement.get("subject"), &mut out);
    collect(statement.pointer("/predicate/materials"), &mut out);
    out.truncate(DIGESTS_MAX);
    out
}

fn collect(list: Option<&Value>, out: &mut Vec<String>) {
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        let digests = item.get("digest").and_then(Value::as_object);
        for (algorithm, digest) in digests.into_iter().flatten() {
            if let Some(digest) = digest.as_str() {
                out.push(format!("{algorithm}:{digest}"));
            }
        }
    }
}
