//! Encodings read as strictly and as leniently as Go's standard library reads them, because upstream's
//! answers, positions in messages included, are those of that library.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use serde_json::Value;

use crate::Error;

const STANDARD_ALPHABET: &[u8; 2] = b"+/";
const URL_ALPHABET: &[u8; 2] = b"-_";

/// Base64 of RFC 4648 §4: padding required, line breaks skipped, stray low bits of the last digit
/// ignored.
///
/// # Errors
/// The offset of the byte that is wrong.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, usize> {
    STANDARD
        .decode(text)
        .or_else(|_| decode(text.as_bytes(), *STANDARD_ALPHABET))
}

/// Base64 of RFC 4648 §5, otherwise like [`decode_base64`].
///
/// # Errors
/// The offset of the byte that is wrong.
pub fn decode_base64_url(text: &str) -> Result<Vec<u8>, usize> {
    URL_SAFE
        .decode(text)
        .or_else(|_| decode(text.as_bytes(), *URL_ALPHABET))
}

/// Either alphabet, as DSSE allows.
pub(crate) fn decode_base64_any(text: &str) -> Result<Vec<u8>, Error> {
    decode_base64(text)
        .or_else(|_| decode_base64_url(text))
        .map_err(|_| Error::EnvelopeBase64)
}

fn decode(text: &[u8], last_two: [u8; 2]) -> Result<Vec<u8>, usize> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let mut at = 0;
    loop {
        let mut digits = [0_u8; 4];
        let mut count = 0;
        while count < 4 {
            let Some(&byte) = text.get(at) else {
                return if count == 0 { Ok(out) } else { Err(at - count) };
            };
            at += 1;
            match digit(byte, last_two) {
                Some(value) => {
                    digits[count] = value;
                    count += 1;
                }
                None if byte == b'\n' || byte == b'\r' => {}
                None if byte == b'=' => {
                    padding(text, at, count)?;
                    push(&mut out, digits, count);
                    return Ok(out);
                }
                None => return Err(at - 1),
            }
        }
        push(&mut out, digits, 4);
    }
}

/// Reads what may follow the first `=`, found before `at` after `count` digits; the end must follow.
fn padding(text: &[u8], at: usize, count: usize) -> Result<(), usize> {
    if count < 2 {
        return Err(at - 1);
    }
    let mut at = skip_breaks(text, at);
    if count == 2 {
        match text.get(at) {
            None => return Err(text.len()),
            Some(b'=') => at += 1,
            Some(_) => return Err(at - 1),
        }
        at = skip_breaks(text, at);
    }
    if at < text.len() { Err(at) } else { Ok(()) }
}

fn skip_breaks(text: &[u8], at: usize) -> usize {
    at + text[at..]
        .iter()
        .take_while(|byte| matches!(byte, b'\n' | b'\r'))
        .count()
}

fn push(out: &mut Vec<u8>, digits: [u8; 4], count: usize) {
    let [a, b, c, d] = digits.map(u32::from);
    let [_, first, second, third] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
    out.extend_from_slice(&[first, second, third][..count - 1]);
}

fn digit(byte: u8, last_two: [u8; 2]) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        _ if byte == last_two[0] => Some(62),
        _ if byte == last_two[1] => Some(63),
        _ => None,
    }
}

/// Hexadecimal, upper or lower case.
pub(crate) fn decode_hex(text: &str) -> Result<Vec<u8>, Error> {
    if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        // Go looks at bytes: of a character outside ASCII it names the first byte.
        let byte = wrong.encode_utf8(&mut [0; 4]).as_bytes()[0];
        return Err(Error::Hex(byte));
    }
    hex::decode(text).map_err(|_| Error::HashLength)
}

/// What Go's `encoding/json` says of `text` that does not parse.
pub(crate) fn json_error(text: &str, error: &serde_json::Error) -> Error {
    if error.is_eof() || text.trim().is_empty() {
        return Error::JsonEnd;
    }
    let line = error.line().saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let at = start + error.column().saturating_sub(1);
    let found = text
        .get(at..)
        .and_then(|rest| rest.chars().next())
        .unwrap_or('\u{fffd}');
    Error::JsonCharacter(found)
}

/// Go's name for the JSON type of `value`.
pub(crate) const fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::{decode_base64, decode_base64_url};

    #[test]
    fn base64_needs_padding_and_skips_line_breaks() {
        assert_eq!(decode_base64("aGVs\r\nbG8="), Ok(b"hello".to_vec()));
        assert_eq!(decode_base64("aGVsbG8"), Err(4));
        assert_eq!(decode_base64("aGVsbG8=\n"), Ok(b"hello".to_vec()));
        assert_eq!(decode_base64("aGVsbG8=x"), Err(8));
        assert_eq!(decode_base64("aGVs!G8="), Err(4));
        assert_eq!(decode_base64("-_-_"), Err(0));
        assert_eq!(decode_base64("===="), Err(0));
        assert_eq!(decode_base64("QQ="), Err(3));
        assert_eq!(decode_base64("QR=="), Ok(b"A".to_vec()));
        assert_eq!(decode_base64_url("-_-_"), Ok(vec![0xfb, 0xff, 0xbf]));
    }
}
