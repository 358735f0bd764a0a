//! RFC 7468 armour, read leniently and written strictly (64 columns, LF, final newline).

use crate::Error;

/// Wraps `der` in `-----BEGIN label-----`; the text ends with a newline.
#[must_use]
pub fn to_pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der)
        .expect("labels are constants of this program")
}

/// The first PEM block of `text`: its label and bytes. Text before the block is skipped, as Go's
/// `encoding/pem` does.
///
/// # Errors
/// [`Error::Pem`] when there is none or its base64 is broken.
pub fn from_pem(text: &str) -> Result<(String, Vec<u8>), Error> {
    let mut blocks = from_pem_chain(text)?;
    if blocks.is_empty() {
        Err(Error::Pem)
    } else {
        Ok(blocks.swap_remove(0))
    }
}

/// All PEM blocks of `text` in order: label and bytes. An empty list when there is none.
///
/// # Errors
/// [`Error::Pem`] when a block does not end or its base64 is broken.
pub fn from_pem_chain(text: &str) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        let block = &rest[start..];
        let label_end = block["-----BEGIN ".len()..]
            .find("-----")
            .ok_or(Error::Pem)?;
        let label = &block["-----BEGIN ".len()..]["".len()..label_end];
        let closing = format!("-----END {label}-----");
        let end = block.find(&closing).ok_or(Error::Pem)?;
        let body_start = "-----BEGIN ".len() + label_end + "-----".len();
        let body: String = block[body_start..end]
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .collect();
        let der = decode_base64(&body)?;
        blocks.push((label.to_owned(), der));
        rest = &block[end + closing.len()..];
    }
    Ok(blocks)
}

fn decode_base64(body: &str) -> Result<Vec<u8>, Error> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(body)
        .map_err(|_| Error::Pem)
}
