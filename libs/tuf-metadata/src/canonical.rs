//! OLPC canonical JSON: the bytes that TUF signs.

use serde_json::Value;

use crate::Error;

/// Encodes `value`: members sorted by the bytes of their names, no white space, `\` and `"` escaped and
/// nothing else.
///
/// # Errors
/// [`Error::Number`] for a number that is not an integer.
pub fn canonical_json(value: &Value) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(number) => {
            return Err(Error::Number {
                number: number.clone(),
            });
        }
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| name.as_bytes());
            out.push(b'{');
            for (index, (name, item)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::canonical_json;
    use crate::Error;

    #[test]
    fn members_are_sorted_and_only_quote_and_backslash_are_escaped() {
        let value = json!({"b": [1, true, null], "a": "x\n\"\\\u{1}é", "A": {}, "": -3});
        let bytes = canonical_json(&value).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            "{\"\":-3,\"A\":{},\"a\":\"x\n\\\"\\\\\u{1}é\",\"b\":[1,true,null]}"
        );
    }

    #[test]
    fn a_float_is_refused() {
        assert!(matches!(
            canonical_json(&json!([1.5])),
            Err(Error::Number { .. })
        ));
    }
}
