//! Signed certificate timestamps: RFC 6962 §3.2 and §3.3.

use crypto::{HashAlgorithm, PublicKey, PublicKeyKind, Sha256Digest};

use crate::{
    Certificate, Error, Extension, oid,
    tlv::{self, Reader},
};

/// What a log signs, beside the time.
#[derive(Clone, Copy, Debug)]
pub enum SignedEntry<'a> {
    /// A final certificate: entry type 0.
    X509 {
        /// DER of the certificate.
        certificate: &'a [u8],
    },
    /// A precertificate: entry type 1.
    Precertificate {
        /// SHA-256 of the issuer's SubjectPublicKeyInfo.
        issuer_key_hash: Sha256Digest,
        /// TBS without the poison ([`Certificate::precertificate_tbs`]).
        tbs: &'a [u8],
    },
}

/// One SCT, version 1.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sct {
    /// SHA-256 of the log's SubjectPublicKeyInfo.
    pub log_id: Sha256Digest,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// CtExtensions, without their length.
    pub extensions: Vec<u8>,
    /// HashAlgorithm of RFC 5246 §7.4.1.4.1: 4 is SHA-256.
    pub hash_algorithm: u8,
    /// SignatureAlgorithm of RFC 5246 §7.4.1.4.1: 1 is RSA, 3 is ECDSA.
    pub signature_algorithm: u8,
    /// The signature alone.
    pub signature: Vec<u8>,
}

impl Sct {
    /// The bytes that a log signs: `digitally-signed` of RFC 6962 §3.2.
    #[must_use]
    pub fn signature_input(
        timestamp_ms: u64,
        entry: SignedEntry<'_>,
        extensions: &[u8],
    ) -> Vec<u8> {
        let mut out = vec![0, 0];
        out.extend(timestamp_ms.to_be_bytes());
        let body = match entry {
            SignedEntry::X509 { certificate } => {
                out.extend([0, 0]);
                certificate
            }
            SignedEntry::Precertificate {
                issuer_key_hash,
                tbs,
            } => {
                out.extend([0, 1]);
                out.extend(issuer_key_hash);
                tbs
            }
        };
        out.extend(&prefixed::<3>(body.len()));
        out.extend(body);
        out.extend(&prefixed::<2>(extensions.len()));
        out.extend(extensions);
        out
    }

    /// Checks the signature with the log's key.
    ///
    /// # Errors
    /// [`Error::SctLog`] when the key is another log's, [`Error::SctAlgorithm`], [`Error::Crypto`].
    pub fn verify(&self, log_key: &PublicKey, entry: SignedEntry<'_>) -> Result<(), Error> {
        if log_key.key_id() != self.log_id {
            let (got, want) = (hex(&self.log_id), hex(&log_key.key_id()));
            return Err(Error::SctLog { got, want });
        }
        let fits = match log_key.kind() {
            PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521 => 3,
            PublicKeyKind::Rsa { .. } => 1,
            PublicKeyKind::Ed25519 => 7,
        };
        if self.hash_algorithm != 4 || self.signature_algorithm != fits {
            return Err(Error::SctAlgorithm {
                hash: self.hash_algorithm,
                signature: self.signature_algorithm,
            });
        }
        let input = Self::signature_input(self.timestamp_ms, entry, &self.extensions);
        Ok(log_key.verify(HashAlgorithm::Sha256, &input, &self.signature)?)
    }

    /// Checks that the SCT is for `certificate`, a final certificate with its list embedded or a
    /// precertificate, issued by `issuer`.
    ///
    /// # Errors
    /// Those of [`Self::verify`].
    pub fn verify_embedded(
        &self,
        log_key: &PublicKey,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Result<(), Error> {
        let issuer_key_hash = crypto::sha256(issuer.spki_der());
        let tbs = certificate.precertificate_tbs();
        self.verify(
            log_key,
            SignedEntry::Precertificate {
                issuer_key_hash,
                tbs: &tbs,
            },
        )
    }

    /// The structure without its length.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![0];
        out.extend(self.log_id);
        out.extend(self.timestamp_ms.to_be_bytes());
        out.extend(prefixed::<2>(self.extensions.len()));
        out.extend(&self.extensions);
        out.extend([self.hash_algorithm, self.signature_algorithm]);
        out.extend(prefixed::<2>(self.signature.len()));
        out.extend(&self.signature);
        out
    }

    /// From the structure without its length.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::SctVersion`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = Error::Malformed { part: "SCT" };
        let mut input = Bytes(bytes);
        let version = input.take(1).ok_or_else(|| malformed.clone())?[0];
        if version != 0 {
            return Err(Error::SctVersion { version });
        }
        let parsed = (|| {
            let log_id = input.take(32)?.try_into().ok()?;
            let timestamp_ms = u64::from_be_bytes(input.take(8)?.try_into().ok()?);
            let extensions = input.vector()?.to_vec();
            let &[hash_algorithm, signature_algorithm] = input.take(2)? else {
                return None;
            };
            let signature = input.vector()?.to_vec();
            input.0.is_empty().then_some(Self {
                log_id,
                timestamp_ms,
                extensions,
                hash_algorithm,
                signature_algorithm,
                signature,
            })
        })();
        parsed.ok_or(malformed)
    }

    /// From the two pieces of an `add-chain` answer: the DigitallySigned structure holds the
    /// algorithms, a length and the signature.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_digitally_signed(
        log_id: Sha256Digest,
        timestamp_ms: u64,
        extensions: &[u8],
        signed: &[u8],
    ) -> Result<Self, Error> {
        let mut input = Bytes(signed);
        let parsed = (|| {
            let &[hash_algorithm, signature_algorithm] = input.take(2)? else {
                return None;
            };
            let signature = input.vector()?.to_vec();
            input
                .0
                .is_empty()
                .then_some((hash_algorithm, signature_algorithm, signature))
        })();
        let (hash_algorithm, signature_algorithm, signature) = parsed.ok_or(Error::Malformed {
            part: "SCT signature",
        })?;
        let extensions = extensions.to_vec();
        Ok(Self {
            log_id,
            timestamp_ms,
            extensions,
            hash_algorithm,
            signature_algorithm,
            signature,
        })
    }

    /// The DigitallySigned structure of an `add-chain` answer.
    #[must_use]
    pub fn to_digitally_signed(&self) -> Vec<u8> {
        let mut out = vec![self.hash_algorithm, self.signature_algorithm];
        out.extend(prefixed::<2>(self.signature.len()));
        out.extend(&self.signature);
        out
    }

    pub(crate) fn parse_list_extension(value: &[u8]) -> Result<Vec<Self>, Error> {
        let malformed = || Error::Malformed { part: "SCT list" };
        let mut outer = Reader::new(value, "SCT list");
        let list = outer.expect(tlv::OCTET_STRING)?.content;
        outer.finish()?;
        let mut input = Bytes(list);
        let mut items = Bytes(input.vector().ok_or_else(malformed)?);
        if !input.0.is_empty() {
            return Err(malformed());
        }
        let mut all = Vec::new();
        while !items.0.is_empty() {
            all.push(Self::from_bytes(items.vector().ok_or_else(malformed)?)?);
        }
        Ok(all)
    }

    pub(crate) fn list_extension(scts: &[Self]) -> Extension {
        let mut items = Vec::new();
        for sct in scts {
            let bytes = sct.to_bytes();
            items.extend(prefixed::<2>(bytes.len()));
            items.extend(bytes);
        }
        let mut list = prefixed::<2>(items.len()).to_vec();
        list.extend(items);
        let value = tlv::write(tlv::OCTET_STRING, &list);
        Extension {
            oid: oid::SCT_LIST,
            critical: false,
            value,
        }
    }
}

/// The last `N` bytes of a length. Longer bodies do not fit a certificate of [`crate::MAX_DER_BYTES`].
fn prefixed<const N: usize>(length: usize) -> [u8; N] {
    let bytes = length.to_be_bytes();
    std::array::from_fn(|index| bytes[bytes.len() - N + index])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is left of a TLS structure.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A vector with a length of two bytes.
    fn vector(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        self.take(usize::from(length))
    }
}
