//! A look at JSON before it is parsed: a few megabytes of it can become gigabytes of values.

/// Values and member names in one text.
const VALUES_MAX: usize = 100_000;

/// Levels of objects and arrays.
const DEPTH_MAX: usize = 64;

/// Whether `text`, if it is JSON, has at most 100 000 values and 64 levels. What is not JSON may pass:
/// the parser finds out.
#[must_use]
pub fn json_is_bounded(text: &[u8]) -> bool {
    let mut values = 0;
    let mut depth: usize = 0;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => skip_string(&mut bytes),
            b',' | b':' => values += 1,
            b'[' | b'{' => {
                values += 1;
                depth += 1;
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if values > VALUES_MAX || depth > DEPTH_MAX {
            return false;
        }
    }
    true
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::json_is_bounded;

    #[test]
    fn many_values_and_deep_levels_are_noticed() {
        assert!(json_is_bounded(b"{\"a\":[1,2,{}]}"));
        assert!(json_is_bounded(
            &[b"\"", "[,:{".repeat(100_000).as_bytes(), b"\""].concat()
        ));
        assert!(json_is_bounded(b"\"\\\"[[[\\\\\""));
        assert!(!json_is_bounded(
            format!("[{}0]", "0,".repeat(200_000)).as_bytes()
        ));
        assert!(!json_is_bounded("[".repeat(65).as_bytes()));
        assert!(json_is_bounded("[]".repeat(65).as_bytes()));
    }
}
