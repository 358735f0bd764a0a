//! Names, key ids, verifier keys, and signing and verifying by scheme.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{HashAlgorithm, PublicKey, PublicKeyKind, SigningKey, sha256};

use crate::{Checkpoint, Error, Signature, SignedNote, parse_digitally_signed, tree_head_message};

/// How a key id is computed and what the bytes of a signature are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// What signed-note says of the key's kind, as Rekor v2 does: Ed25519 is type 0x01; an ECDSA id
    /// is SHA-256 of the SubjectPublicKeyInfo (type 0x02); RSA is type 0xff with the label
    /// `PKIX-RSA-PKCS#1v1.5`.
    Note,
    /// SHA-256 of the SubjectPublicKeyInfo for every kind, as Rekor v1 does.
    Spki,
    /// Type 0x04: a timestamped Ed25519 cosignature (tlog-cosignature).
    Cosignature,
    /// Type 0x05: an RFC 6962 tree head signature (static-ct-api).
    Rfc6962,
}

impl Scheme {
    /// The key's id, 32 bytes; its first four are the hash on signature lines.
    fn key_id(self, name: &str, key: &PublicKey) -> [u8; 32] {
        let named =
            |kind: u8, rest: &[u8]| sha256(&[name.as_bytes(), b"\n", &[kind], rest].concat());
        match (self, key.kind()) {
            (Self::Spki, _)
            | (Self::Note, PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521) => {
                key.key_id()
            }
            (Self::Note, PublicKeyKind::Ed25519) => named(1, key.raw_bytes()),
            (Self::Note, PublicKeyKind::Rsa { .. }) => {
                named(0xff, &[b"PKIX-RSA-PKCS#1v1.5", key.spki_der()].concat())
            }
            (Self::Cosignature, _) => named(4, key.raw_bytes()),
            (Self::Rfc6962, _) => named(5, &key.key_id()),
        }
    }
}

/// Whether `name` may stand on a signature line: not empty, no space, no plus sign.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

/// A public key under its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verifier {
    name: String,
    scheme: Scheme,
    key: PublicKey,
    key_id: [u8; 32],
}

impl Verifier {
    /// A verifier for signature lines by `name`.
    ///
    /// # Errors
    /// [`Error::Name`], or [`Error::VerifierKey`] for a cosignature key that is not Ed25519.
    pub fn new(name: &str, scheme: Scheme, key: PublicKey) -> Result<Self, Error> {
        if !is_name(name) {
            return Err(Error::Name);
        }
        if scheme == Scheme::Cosignature && key.kind() != PublicKeyKind::Ed25519 {
            return Err(Error::VerifierKey);
        }
        let key_id = scheme.key_id(name, &key);
        Ok(Self {
            name: name.to_owned(),
            scheme,
            key,
            key_id,
        })
    }

    /// Reads a vkey, `name+hash+base64(type ‖ key)`, of type 0x01, 0x02 or 0x04.
    ///
    /// # Errors
    /// [`Error::VerifierKey`], [`Error::KeyHash`], [`Error::Name`], [`Error::Key`].
    pub fn parse(vkey: &str) -> Result<Self, Error> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(hash), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Error::VerifierKey);
        };
        let bytes = STANDARD.decode(key).map_err(|_| Error::VerifierKey)?;
        let verifier = match bytes.split_first() {
            Some((1, key)) if key.len() == 32 => {
                Self::new(name, Scheme::Note, PublicKey::from_ed25519(key)?)?
            }
            Some((2, spki)) => {
                let key = PublicKey::from_spki_der(spki)?;
                if matches!(
                    key.kind(),
                    PublicKeyKind::Ed25519 | PublicKeyKind::Rsa { .. }
                ) {
                    return Err(Error::VerifierKey);
                }
                Self::new(name, Scheme::Note, key)?
            }
            Some((4, key)) if key.len() == 32 => {
                Self::new(name, Scheme::Cosignature, PublicKey::from_ed25519(key)?)?
            }
            _ => return Err(Error::VerifierKey),
        };
        if hash == hex(&verifier.key_hash()) {
            Ok(verifier)
        } else {
            Err(Error::KeyHash)
        }
    }

    /// The vkey, for the types that have one.
    #[must_use]
    pub fn vkey(&self) -> Option<String> {
        let typed = match (self.scheme, self.key.kind()) {
            (Scheme::Note, PublicKeyKind::Ed25519) => [&[1], self.key.raw_bytes()].concat(),
            (Scheme::Note, PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521) => {
                [&[2], self.key.spki_der()].concat()
            }
            (Scheme::Cosignature, _) => [&[4], self.key.raw_bytes()].concat(),
            _ => return None,
        };
        Some(format!(
            "{}+{}+{}",
            self.name,
            hex(&self.key_hash()),
            STANDARD.encode(typed)
        ))
    }

    /// The name on signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// All 32 bytes of the key's id: a trusted root's `logId` or `checkpointKeyId`.
    #[must_use]
    pub const fn key_id(&self) -> [u8; 32] {
        self.key_id
    }

    /// The four bytes on signature lines.
    #[must_use]
    pub const fn key_hash(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.key_id;
        [a, b, c, d]
    }

    pub(crate) fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        let hash = match self.key.kind() {
            PublicKeyKind::P384 => HashAlgorithm::Sha384,
            PublicKeyKind::P521 => HashAlgorithm::Sha512,
            _ => HashAlgorithm::Sha256,
        };
        match self.scheme {
            Scheme::Note | Scheme::Spki => {
                self.key.verify(hash, text.as_bytes(), signature).is_ok()
            }
            Scheme::Cosignature => {
                signature
                    .split_first_chunk::<8>()
                    .is_some_and(|(time, rest)| {
                        let time = u64::from_be_bytes(*time);
                        let message = format!("cosignature/v1\ntime {time}\n{text}");
                        self.key.verify(hash, message.as_bytes(), rest).is_ok()
                    })
            }
            Scheme::Rfc6962 => signature
                .split_first_chunk::<8>()
                .is_some_and(|(time, rest)| {
                    let Ok(checkpoint) = Checkpoint::parse(text) else {
                        return false;
                    };
                    let Some(signature) = parse_digitally_signed(rest, &self.key) else {
                        return false;
                    };
                    let message = tree_head_message(
                        u64::from_be_bytes(*time),
                        checkpoint.tree_size,
                        &checkpoint.root_hash,
                    );
                    // An RFC 6962 tree head has no room for extension lines.
                    checkpoint.extensions.is_empty()
                        && self
                            .key
                            .verify(HashAlgorithm::Sha256, &message, signature)
                            .is_ok()
                }),
        }
    }
}

/// A private key under its name.
pub struct Signer {
    key: SigningKey,
    verifier: Verifier,
}

impl Signer {
    /// Signs lines as `name`.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn new(name: &str, scheme: Scheme, key: SigningKey) -> Result<Self, Error> {
        let verifier = Verifier::new(name, scheme, key.public_key().clone())?;
        Ok(Self { key, verifier })
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// The private key, for what else it has to sign.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs `text`, which ends in a line feed. `time` goes into timestamped schemes: Unix seconds
    /// into a cosignature, milliseconds into an RFC 6962 signature.
    ///
    /// # Errors
    /// [`Error::NoSignatures`] for a text without its last line feed, those of a checkpoint for the
    /// RFC 6962 scheme, [`Error::Key`] when signing fails.
    pub fn sign(&self, text: &str, time: u64) -> Result<SignedNote, Error> {
        if !text.ends_with('\n') {
            return Err(Error::NoSignatures);
        }
        let signature = match self.verifier.scheme {
            Scheme::Note | Scheme::Spki => self.key.sign(text.as_bytes())?,
            Scheme::Cosignature => {
                let message = format!("cosignature/v1\ntime {time}\n{text}");
                [
                    time.to_be_bytes().to_vec(),
                    self.key.sign(message.as_bytes())?,
                ]
                .concat()
            }
            Scheme::Rfc6962 => {
                let checkpoint = Checkpoint::parse(text)?;
                let message = tree_head_message(time, checkpoint.tree_size, &checkpoint.root_hash);
                let signature = crate::digitally_signed(&self.key, &message)?;
                [time.to_be_bytes().to_vec(), signature].concat()
            }
        };
        let line = Signature {
            name: self.verifier.name.clone(),
            key_hash: self.verifier.key_hash(),
            signature,
        };
        Ok(SignedNote {
            text: text.to_owned(),
            signatures: vec![line],
        })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

fn hex(hash: &[u8; 4]) -> String {
    format!("{:08x}", u32::from_be_bytes(*hash))
}
