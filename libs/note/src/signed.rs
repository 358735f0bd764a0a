//! C2SP signed-note: a text, an empty line, signature lines.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Error, Verifier, key::is_name};

/// Bytes in a note that is read at all.
const NOTE_BYTES_MAX: usize = 1_000_000;

/// Signature lines in a note that is read at all; the specification asks for at least 16.
const SIGNATURES_MAX: usize = 100;

/// One signature line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    /// First four bytes of the key's id.
    pub key_hash: [u8; 4],
    /// What follows the key hash, in the form of the key's type.
    pub signature: Vec<u8>,
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blob = [self.key_hash.as_slice(), &self.signature].concat();
        write!(f, "\u{2014} {} {}", self.name, STANDARD.encode(blob))
    }
}

/// A note: its text, which ends in a line feed, and at least one signature, not verified.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedNote {
    /// What is signed, its last line feed included.
    pub text: String,
    /// The signature lines, in order.
    pub signatures: Vec<Signature>,
}

impl SignedNote {
    /// Reads a note.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Text`], [`Error::NoSignatures`], [`Error::SignatureLine`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| Error::Text)?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(Error::Text);
        }
        let end = note.rfind("\n\n").ok_or(Error::NoSignatures)?;
        let (text, lines) = (&note[..=end], &note[end + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(Error::NoSignatures)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(Error::TooLarge);
            }
            signatures.push(signature(line)?);
        }
        Ok(Self {
            text: text.to_owned(),
            signatures,
        })
    }

    /// The signatures that are by one of `verifiers`, at least one. Lines by other keys are passed
    /// over; a second line by the same key too.
    ///
    /// # Errors
    /// [`Error::BadSignature`] when any line claims to be by one of `verifiers` and is not,
    /// [`Error::NoKnownSignature`].
    pub fn verify(&self, verifiers: &[&Verifier]) -> Result<Vec<&Signature>, Error> {
        let mut verified: Vec<&Signature> = Vec::new();
        for line in &self.signatures {
            let known = verifiers
                .iter()
                .find(|v| v.name() == line.name && v.key_hash() == line.key_hash);
            let Some(verifier) = known else { continue };
            let repeated = verified
                .iter()
                .any(|v| v.name == line.name && v.key_hash == line.key_hash);
            if repeated {
                continue;
            }
            if !verifier.verifies(&self.text, &line.signature) {
                return Err(Error::BadSignature {
                    name: line.name.clone(),
                });
            }
            verified.push(line);
        }
        if verified.is_empty() {
            Err(Error::NoKnownSignature)
        } else {
            Ok(verified)
        }
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn signature(line: &str) -> Result<Signature, Error> {
    let rest = line.strip_prefix("\u{2014} ").ok_or(Error::SignatureLine)?;
    let (name, blob) = rest.split_once(' ').ok_or(Error::SignatureLine)?;
    // The engine refuses white space, missing padding and stray bits: one spelling only.
    let blob = STANDARD.decode(blob).map_err(|_| Error::SignatureLine)?;
    match blob.split_first_chunk::<4>() {
        Some((key_hash, signature)) if is_name(name) && !signature.is_empty() => Ok(Signature {
            name: name.to_owned(),
            key_hash: *key_hash,
            signature: signature.to_vec(),
        }),
        _ => Err(Error::SignatureLine),
    }
}
