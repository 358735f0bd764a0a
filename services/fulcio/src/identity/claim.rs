//! Claims as text, the way Go prints them.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::Value;

/// A claim as Go prints it: `null` is `<nil>`, and numbers, which are all floating, have no exponent.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(as_text).collect::<Vec<_>>().join(" ")
            )
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let mut out = "map[".to_owned();
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                let gap = if index == 0 { "" } else { " " };
                let _ = write!(out, "{gap}{name}:{}", as_text(value));
            }
            out.push(']');
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_printed_as_go_prints_them() {
        let cases = [
            ("null", "<nil>"),
            ("true", "true"),
            ("1000000", "1000000"),
            ("1e6", "1000000"),
            ("1.5", "1.5"),
            ("0.0000001", "0.0000001"),
            ("12345678901234567890", "12345678901234567000"),
            ("\"x\"", "x"),
            ("[1,\"a\",null]", "[1 a <nil>]"),
            ("{\"b\":1,\"a\":\"x\"}", "map[a:x b:1]"),
        ];
        for (json, want) in cases {
            assert_eq!(as_text(&serde_json::from_str(json).unwrap()), want);
        }
    }
}
