//! PEM as Go's `encoding/pem` reads it: junk around blocks is skipped, a broken block is passed over.

use crate::go::decode_base64;

/// One block.
pub(crate) struct Block {
    pub(crate) label: String,
    pub(crate) der: Vec<u8>,
}

/// The first whole block of `text` and what follows it.
pub(crate) fn decode(text: &str) -> Option<(Block, &str)> {
    let mut from = text;
    loop {
        let (label, body) = opening(from)?;
        match block(label, body) {
            Some(found) => return Some(found),
            None => from = body,
        }
    }
}

/// Finds `-----BEGIN label-----` at the start of a line; gives the label and what follows the line.
fn opening(text: &str) -> Option<(&str, &str)> {
    const BEGIN: &str = "-----BEGIN ";
    let start = if text.starts_with(BEGIN) {
        0
    } else {
        text.find("\n-----BEGIN ")? + 1
    };
    let rest = &text[start + BEGIN.len()..];
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    match line
        .trim_end_matches([' ', '\t', '\r'])
        .strip_suffix("-----")
    {
        Some(label) => Some((label, after)),
        None => opening(after),
    }
}

fn block<'a>(label: &str, body: &'a str) -> Option<(Block, &'a str)> {
    let closing = format!("-----END {label}-----");
    let end = if body.starts_with(&closing) {
        0
    } else {
        body.find(&format!("\n{closing}"))? + 1
    };
    let after = &body[end + closing.len()..];
    let (line, rest) = after.split_once('\n').unwrap_or((after, ""));
    if !line.trim_matches([' ', '\t', '\r']).is_empty() {
        return None;
    }
    // RFC 1421 headers, up to an empty line or the first line without a colon.
    let mut content = &body[..end];
    while let Some((line, next)) = content.split_once('\n')
        && line.contains(':')
    {
        content = next;
    }
    let digits: String = content
        .chars()
        .filter(|c| !matches!(c, ' ' | '\t' | '\r'))
        .collect();
    let der = decode_base64(&digits).ok()?;
    Some((
        Block {
            label: label.to_owned(),
            der,
        },
        rest,
    ))
}
