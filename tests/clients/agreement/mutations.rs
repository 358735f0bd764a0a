//! A bundle with one of its fields changed, for each field.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::Case;

/// One case for each text, number and key of the bundle: changed a little, or taken away.
pub(crate) fn of(case: &Case, bundle: &Value) -> Vec<Case> {
    let mut places = Vec::new();
    leaves(bundle, String::new(), &mut places);
    let mut cases = Vec::new();
    for place in places {
        let changed = change(bundle.pointer(&place).unwrap_or(&Value::Null));
        let mut whole = bundle.clone();
        if let Some(value) = whole.pointer_mut(&place) {
            *value = changed;
        }
        let with = |what: &str, bundle: String| Case {
            name: format!("{} {what} {place}", case.name),
            bundle,
            ..case.clone()
        };
        cases.push(with("changed", whole.to_string()));
        let mut whole = bundle.clone();
        let (parent, key) = place.rsplit_once('/').unwrap_or_default();
        if let Some(Value::Object(map)) = whole.pointer_mut(parent) {
            map.remove(key);
            cases.push(with("without", whole.to_string()));
        }
    }
    cases
}

fn leaves(value: &Value, place: String, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                leaves(value, format!("{place}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                leaves(value, format!("{place}/{key}"), found);
            }
        }
        _ => found.push(place),
    }
}

/// Another value of the same kind: a bit in the middle of bytes, the next number, a longer text.
fn change(value: &Value) -> Value {
    let Value::String(text) = value else {
        return value
            .as_i64()
            .map_or(Value::Null, |number| (number + 1).into());
    };
    if let Ok(number) = text.parse::<i64>() {
        return (number + 1).to_string().into();
    }
    match STANDARD.decode(text) {
        // A document that cannot be read; what is changed inside it is another table's.
        Ok(mut bytes) if bytes.starts_with(b"{") => {
            bytes[0] = b'[';
            STANDARD.encode(bytes).into()
        }
        Ok(mut bytes) if bytes.len() > 8 => {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            STANDARD.encode(bytes).into()
        }
        _ => format!("{text}x").into(),
    }
}
