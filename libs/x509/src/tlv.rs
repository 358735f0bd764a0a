//! Tag-length-value: the few lines of DER reading and writing that keep every byte in view.

use der::asn1::ObjectIdentifier;

use crate::Error;

/// Tag of a BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// Tag of an INTEGER.
pub const INTEGER: u8 = 0x02;
/// Tag of a BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// Tag of an OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// Tag of an OBJECT IDENTIFIER.
pub const OID: u8 = 0x06;
/// Tag of a UTF8String.
pub const UTF8_STRING: u8 = 0x0c;
/// Tag of a SEQUENCE.
pub const SEQUENCE: u8 = 0x30;
/// Tag of a SET.
pub const SET: u8 = 0x31;

/// One element: its tag, its content, and the whole of it.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// Identifier octet.
    pub tag: u8,
    /// What is inside.
    pub content: &'a [u8],
    /// Header and content.
    pub whole: &'a [u8],
}

/// Reads elements one after the other. Lengths must be definite and minimal (X.690 §10.1); tags of
/// more than one byte, which no certificate has, are refused.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Reader<'a> {
    /// Over `bytes`; `part` names them in errors.
    #[must_use]
    pub const fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { rest: bytes, part }
    }

    /// The error of these bytes.
    #[must_use]
    pub const fn malformed(&self) -> Error {
        Error::Malformed { part: self.part }
    }

    /// Whether everything has been read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes not yet read.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Tag of the next element.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next element.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn any(&mut self) -> Result<Element<'a>, Error> {
        let (header_bytes, content_bytes) = lengths(self.rest).ok_or_else(|| self.malformed())?;
        let end = header_bytes
            .checked_add(content_bytes)
            .ok_or_else(|| self.malformed())?;
        if end > self.rest.len() {
            return Err(self.malformed());
        }
        let (whole, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Element {
            tag: whole[0],
            content: &whole[header_bytes..],
            whole,
        })
    }

    /// The next element, which must have this tag.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn expect(&mut self, tag: u8) -> Result<Element<'a>, Error> {
        let element = self.any()?;
        if element.tag == tag {
            Ok(element)
        } else {
            Err(self.malformed())
        }
    }

    /// The next element, if it has this tag.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn optional(&mut self, tag: u8) -> Result<Option<Element<'a>>, Error> {
        if self.peek() == Some(tag) {
            self.any().map(Some)
        } else {
            Ok(None)
        }
    }

    /// A reader of the SEQUENCE that comes next.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn sequence(&mut self) -> Result<Self, Error> {
        let element = self.expect(SEQUENCE)?;
        Ok(Reader {
            rest: element.content,
            part: self.part,
        })
    }

    /// The OBJECT IDENTIFIER that comes next.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn oid(&mut self) -> Result<ObjectIdentifier, Error> {
        let element = self.expect(OID)?;
        ObjectIdentifier::from_bytes(element.content).map_err(|_| self.malformed())
    }

    /// The BOOLEAN that comes next, if one does.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn boolean(&mut self) -> Result<Option<bool>, Error> {
        match self.optional(BOOLEAN)? {
            None => Ok(None),
            Some(Element {
                content: [0xff], ..
            }) => Ok(Some(true)),
            Some(Element {
                content: [0x00], ..
            }) => Ok(Some(false)),
            Some(_) => Err(self.malformed()),
        }
    }

    /// The bytes of a BIT STRING without unused bits.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn whole_bits(&mut self) -> Result<&'a [u8], Error> {
        match self.expect(BIT_STRING)?.content {
            [0, bits @ ..] => Ok(bits),
            _ => Err(self.malformed()),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Malformed`] when bytes are left.
    pub fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }
}

/// Bytes of the header and of the content, when the header is well-formed.
fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let tag = *bytes.first()?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let first = *bytes.get(1)?;
    if first < 0x80 {
        return Some((2, usize::from(first)));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return None;
    }
    let digits = bytes.get(2..2 + count)?;
    let length = digits
        .iter()
        .fold(0_usize, |sum, digit| (sum << 8) | usize::from(*digit));
    let minimal = digits[0] != 0 && length >= 0x80;
    minimal.then_some((2 + count, length))
}

/// One element with `content`.
#[must_use]
pub fn write(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 6);
    out.push(tag);
    write_length(&mut out, content.len());
    out.extend_from_slice(content);
    out
}

/// One element whose content is `parts` in order.
#[must_use]
pub fn write_all(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    write_length(&mut out, length);
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn write_length(out: &mut Vec<u8>, length: usize) {
    let bytes = length.to_be_bytes();
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[skipped..];
    match digits {
        [] => out.push(0),
        [one] if *one < 0x80 => out.push(*one),
        _ => {
            out.push(0x80 | u8::try_from(digits.len()).expect("a usize has at most 8 bytes"));
            out.extend_from_slice(digits);
        }
    }
}

/// An OBJECT IDENTIFIER.
#[must_use]
pub fn write_oid(oid: ObjectIdentifier) -> Vec<u8> {
    write(OID, oid.as_bytes())
}

/// A non-negative INTEGER from big-endian bytes.
#[must_use]
pub fn write_integer(bytes: &[u8]) -> Vec<u8> {
    let skipped = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[skipped..];
    if digits.first().is_none_or(|first| first & 0x80 != 0) {
        write_all(INTEGER, &[&[0], digits])
    } else {
        write(INTEGER, digits)
    }
}

/// A BIT STRING without unused bits.
#[must_use]
pub fn write_bits(bytes: &[u8]) -> Vec<u8> {
    write_all(BIT_STRING, &[&[0], bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_both_ways() {
        for length in [0_usize, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let encoded = write(OCTET_STRING, &vec![7; length]);
            let element = Reader::new(&encoded, "test").expect(OCTET_STRING).unwrap();
            assert_eq!(element.content.len(), length);
            assert_eq!(element.whole.len(), encoded.len());
        }
    }

    #[test]
    fn indefinite_overlong_and_truncated_lengths_are_refused() {
        let hostile: [&[u8]; 7] = [
            &[0x30, 0x80, 0x00, 0x00],
            &[0x30, 0x81, 0x01, 0x00],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x85, 1, 0, 0, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x1f, 0x81, 0x01, 0x00],
            &[0x30],
        ];
        for bytes in hostile {
            assert!(Reader::new(bytes, "test").any().is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn integers_are_written_without_a_sign_bit() {
        assert_eq!(write_integer(&[]), [2, 1, 0]);
        assert_eq!(write_integer(&[0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(write_integer(&[0x80]), [2, 2, 0, 0x80]);
    }
}
