//! Whatever a client sends, reading it ends in an answer.

use entry::{
    Body, Envelope, Verifier,
    v1::{Entry, Proposal},
    v2::{self, Algorithms, Request},
};
use serde_json::{Value, json};

/// A fixed sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/rekor-vectors.json")).unwrap()
}

/// Every JSON text of the captured exchanges that a client may send, and every body.
fn texts() -> Vec<String> {
    let vectors = vectors();
    let mut out = Vec::new();
    for list in ["/rekor_v1/cases", "/rekor_v2_ed25519/cases"] {
        for case in vectors.pointer(list).unwrap().as_array().unwrap() {
            out.push(case["request"].to_string());
            out.push(case["canonical_body"].as_str().unwrap().to_owned());
        }
    }
    out.push(vectors["rekor_v2_2_1_dsse_ecdsa_log_key"]["request"].to_string());
    out
}

/// Gives `text` to everything that reads; the number of readers that took it.
fn read(text: &[u8]) -> usize {
    let mut taken = 0;
    if let Ok(value) = serde_json::from_slice::<Value>(text)
        && let Ok(proposal) = Proposal::from_json(&value)
        && let Ok(entry) = Entry::from_proposal(&proposal)
    {
        taken += usize::from(entry.body().is_ok());
    }
    if let Ok(request) = Request::from_json(text) {
        taken += usize::from(v2::Entry::from_request(&request, &Algorithms::default()).is_ok());
    }
    if let Ok(body) = Body::from_canonical(text) {
        assert_eq!(Body::from_canonical(&body.to_canonical()), Ok(body));
        taken += 1;
    }
    taken
}

#[test]
fn changed_bytes_never_panic() {
    let mut numbers = Numbers(7);
    for text in texts() {
        assert!(read(text.as_bytes()) > 0);
        for _ in 0..150 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(bytes.len());
                match numbers.below(4) {
                    0 => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
                    1 => bytes.truncate(at),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, b"\"\\{}[]:,0-\n="[numbers.below(11)]),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            read(&bytes);
        }
    }
}

/// Paths of all values inside `value`.
fn paths(value: &Value, here: &str, out: &mut Vec<String>) {
    out.push(here.to_owned());
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                paths(value, &format!("{here}/{name}"), out);
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                paths(value, &format!("{here}/{number}"), out);
            }
        }
        _ => {}
    }
}

#[test]
fn values_of_every_other_type_never_panic() {
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(""),
        json!("A"),
        json!("é="),
        json!([]),
        json!([{}]),
        json!({}),
    ];
    for text in texts() {
        let value: Value = serde_json::from_str(&text).unwrap();
        let mut places = Vec::new();
        paths(&value, "", &mut places);
        for place in places {
            for other in &others {
                let mut changed = value.clone();
                *changed.pointer_mut(&place).unwrap() = other.clone();
                read(changed.to_string().as_bytes());
            }
        }
    }
}

#[test]
fn broken_pem_and_envelopes_never_panic() {
    let mut numbers = Numbers(11);
    let vectors = vectors();
    let spec = &vectors["rekor_v1"]["cases"][1]["request"]["spec"];
    let pem = entry::decode_base64(spec["signature"]["publicKey"]["content"].as_str().unwrap());
    let pem = pem.unwrap();
    assert!(Verifier::from_pem(&pem).is_ok());
    let envelope = &vectors["rekor_v1"]["cases"][2]["request"]["spec"]["proposedContent"];
    let envelope = envelope["envelope"].as_str().unwrap();
    assert!(Envelope::from_json(envelope).is_ok());
    for _ in 0..2000 {
        let mut bytes = pem.clone();
        let at = numbers.below(bytes.len());
        bytes[at] = u8::try_from(numbers.below(256)).unwrap();
        bytes.truncate(numbers.below(bytes.len() * 2).max(1));
        let _ = Verifier::from_pem(&bytes);
        let mut text: Vec<char> = envelope.chars().collect();
        let at = numbers.below(text.len());
        text[at] = ['"', '\\', 'é', '{', ']', '0'][numbers.below(6)];
        let _ = Envelope::from_json(&text.into_iter().collect::<String>());
    }
}
