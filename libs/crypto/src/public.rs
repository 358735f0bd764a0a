//! Public keys, and the verification of signatures over messages and digests.

use std::fmt;

use ::signature::hazmat::PrehashVerifier as _;
use der::Decode as _;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use crate::{Error, HashAlgorithm, Sha256Digest, sha256};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// What kind of key a [`PublicKey`] is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PublicKeyKind {
    /// Ed25519, RFC 8032.
    Ed25519,
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// ECDSA on NIST P-521.
    P521,
    /// RSA with a modulus of so many bits.
    Rsa {
        /// Bits in the modulus.
        bits: usize,
    },
}

impl PublicKeyKind {
    /// The hash that Sigstore pairs with this kind: SHA-256 for P-256 and RSA, SHA-384 for P-384,
    /// SHA-512 for P-521 and Ed25519(ph).
    #[must_use]
    pub const fn default_hash(self) -> HashAlgorithm {
        match self {
            Self::P256 | Self::Rsa { .. } => HashAlgorithm::Sha256,
            Self::P384 => HashAlgorithm::Sha384,
            Self::P521 | Self::Ed25519 => HashAlgorithm::Sha512,
        }
    }
}

impl fmt::Display for PublicKeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ed25519 => f.write_str("Ed25519"),
            Self::P256 => f.write_str("ECDSA P-256"),
            Self::P384 => f.write_str("ECDSA P-384"),
            Self::P521 => f.write_str("ECDSA P-521"),
            Self::Rsa { bits } => write!(f, "RSA {bits}"),
        }
    }
}

#[derive(Clone)]
enum Parsed {
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    P384(Box<p384::ecdsa::VerifyingKey>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Rsa(Box<rsa::PublicKey>),
}

/// A public key, checked to be on its curve or to have a sane modulus.
#[derive(Clone)]
pub struct PublicKey {
    kind: PublicKeyKind,
    /// The whole SubjectPublicKeyInfo.
    spki: Vec<u8>,
    /// The BIT STRING inside: a point, a PKCS#1 key, or 32 bytes.
    bits: Vec<u8>,
    parsed: Parsed,
}

impl PublicKey {
    /// From a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Error::PublicKey`] when it does not parse or the point is not on the curve,
    /// [`Error::UnsupportedPublicKey`] for an algorithm or curve outside [`PublicKeyKind`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| Error::PublicKey)?;
        let unsupported = |oid: ObjectIdentifier| Error::UnsupportedPublicKey {
            oid: oid.to_string(),
        };
        let bits = info
            .subject_public_key
            .as_bytes()
            .ok_or(Error::PublicKey)?
            .to_vec();
        let (kind, parsed) = match info.algorithm.oid {
            EC => match info
                .algorithm
                .parameters_oid()
                .map_err(|_| Error::PublicKey)?
            {
                P256 => (PublicKeyKind::P256, Parsed::P256(Box::new(point(&bits)?))),
                P384 => (PublicKeyKind::P384, Parsed::P384(Box::new(point(&bits)?))),
                P521 => (PublicKeyKind::P521, Parsed::P521(Box::new(point(&bits)?))),
                curve => return Err(unsupported(curve)),
            },
            ED25519 => {
                let raw = bits.as_slice().try_into().map_err(|_| Error::PublicKey)?;
                let key =
                    ed25519_dalek::VerifyingKey::from_bytes(raw).map_err(|_| Error::PublicKey)?;
                (PublicKeyKind::Ed25519, Parsed::Ed25519(Box::new(key)))
            }
            RSA => {
                let key = rsa::PublicKey::try_from(info).map_err(|_| Error::PublicKey)?;
                let bits =
                    usize::try_from(rsa::traits::PublicKeyParts::n(&key).bit_width_vartime())
                        .map_err(|_| Error::PublicKey)?;
                (PublicKeyKind::Rsa { bits }, Parsed::Rsa(Box::new(key)))
            }
            oid => return Err(unsupported(oid)),
        };
        Ok(Self {
            kind,
            spki: der.to_vec(),
            bits,
            parsed,
        })
    }

    /// From PEM: `PUBLIC KEY` (SubjectPublicKeyInfo) or `RSA PUBLIC KEY` (PKCS#1, RFC 8017 A.1.1).
    ///
    /// # Errors
    /// [`Error::Pem`], [`Error::PemLabel`], and those of [`Self::from_spki_der`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let (label, der) = crate::from_pem(text)?;
        match label.as_str() {
            "PUBLIC KEY" => Self::from_spki_der(&der),
            "RSA PUBLIC KEY" => Self::from_pkcs1_der(&der),
            _ => Err(Error::PemLabel { label }),
        }
    }

    /// From a PKCS#1 `RSAPublicKey`.
    ///
    /// # Errors
    /// Those of [`Self::from_spki_der`].
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, Error> {
        use der::Encode as _;
        let info = spki::SubjectPublicKeyInfo {
            algorithm: spki::AlgorithmIdentifierRef {
                oid: RSA,
                parameters: Some(der::asn1::AnyRef::NULL),
            },
            subject_public_key: der::asn1::BitStringRef::from_bytes(der)
                .map_err(|_| Error::PublicKey)?,
        };
        Self::from_spki_der(&info.to_der().map_err(|_| Error::PublicKey)?)
    }

    /// From the big-endian modulus and exponent of a JWK (RFC 7518 §6.3.1).
    ///
    /// # Errors
    /// Those of [`Self::from_spki_der`].
    pub fn from_rsa_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, Error> {
        use der::Encode as _;
        let integer = |bytes| der::asn1::UintRef::new(bytes).map_err(|_| Error::PublicKey);
        let key = [integer(modulus)?, integer(exponent)?];
        // Two INTEGERs in a SEQUENCE: RSAPublicKey, RFC 8017 A.1.1.
        let der = key
            .as_slice()
            .to_vec()
            .to_der()
            .map_err(|_| Error::PublicKey)?;
        Self::from_pkcs1_der(&der)
    }

    /// From an uncompressed point (SEC 1 §2.3.3) on P-256, P-384 or P-521, told apart by its length.
    ///
    /// # Errors
    /// [`Error::PublicKey`] for another length or a point off the curve.
    pub fn from_ec_point(point: &[u8]) -> Result<Self, Error> {
        let curve = match point.len() {
            65 => P256,
            97 => P384,
            133 => P521,
            _ => return Err(Error::PublicKey),
        };
        Self::from_spki_der(&spki_of(EC, Some(curve), point)?)
    }

    /// From the 32 bytes of an Ed25519 key (RFC 8032 §5.1.5).
    ///
    /// # Errors
    /// [`Error::PublicKey`] when they are not a point.
    pub fn from_ed25519(key: &[u8]) -> Result<Self, Error> {
        Self::from_spki_der(&spki_of(ED25519, None, key)?)
    }

    /// The DER SubjectPublicKeyInfo it was made from.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// PEM `PUBLIC KEY`, with a trailing newline.
    #[must_use]
    pub fn to_pem(&self) -> String {
        crate::to_pem("PUBLIC KEY", &self.spki)
    }

    /// The BIT STRING inside the SubjectPublicKeyInfo: an uncompressed point, a PKCS#1 key or 32
    /// bytes of Ed25519.
    #[must_use]
    pub fn raw_bytes(&self) -> &[u8] {
        &self.bits
    }

    /// What kind of key this is.
    #[must_use]
    pub const fn kind(&self) -> PublicKeyKind {
        self.kind
    }

    /// SHA-256 of the SubjectPublicKeyInfo: the log id of RFC 6962 §3.2 and of Rekor v1.
    #[must_use]
    pub fn key_id(&self) -> Sha256Digest {
        sha256(&self.spki)
    }

    /// Modulus and exponent of an RSA key, big-endian, for a JWK (RFC 7518 §6.3.1).
    #[must_use]
    pub fn rsa_components(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        use rsa::traits::PublicKeyParts as _;
        let Parsed::Rsa(key) = &self.parsed else {
            return None;
        };
        let trim = |bytes: Box<[u8]>| {
            bytes
                .iter()
                .copied()
                .skip_while(|b| *b == 0)
                .collect::<Vec<u8>>()
        };
        Some((trim(key.n().to_be_bytes()), trim(key.e().to_be_bytes())))
    }

    /// Verifies `signature` over `message`. ECDSA: DER or raw `r ‖ s`, any SHA-2. RSA: PKCS#1 v1.5.
    /// Ed25519: pure, `hash` is ignored.
    ///
    /// # Errors
    /// [`Error::Signature`].
    pub fn verify(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        if let Parsed::Ed25519(key) = &self.parsed {
            let signature =
                ed25519_dalek::Signature::from_slice(signature).map_err(|_| Error::Signature)?;
            return key
                .verify_strict(message, &signature)
                .map_err(|_| Error::Signature);
        }
        // ring is several times faster, where it knows the pair.
        let algorithm: Option<&dyn ring::signature::VerificationAlgorithm> = match (self.kind, hash)
        {
            (PublicKeyKind::P256, HashAlgorithm::Sha256) => {
                Some(&ring::signature::ECDSA_P256_SHA256_ASN1)
            }
            (PublicKeyKind::P384, HashAlgorithm::Sha384) => {
                Some(&ring::signature::ECDSA_P384_SHA384_ASN1)
            }
            (PublicKeyKind::Rsa { bits: 2048..=8192 }, HashAlgorithm::Sha256) => {
                Some(&ring::signature::RSA_PKCS1_2048_8192_SHA256)
            }
            _ => None,
        };
        if let Some(algorithm) = algorithm
            && ring::signature::UnparsedPublicKey::new(algorithm, &self.bits)
                .verify(message, signature)
                .is_ok()
        {
            return Ok(());
        }
        // Not DER perhaps, or a pair that ring does not know.
        self.verify_digest(hash, &hash.digest(message), signature)
    }

    /// Verifies `signature` over a `digest` that somebody else computed with `hash`. ECDSA: DER or raw
    /// `r ‖ s`. RSA: PKCS#1 v1.5. Ed25519: Ed25519ph (RFC 8032 §5.1), SHA-512 only.
    ///
    /// # Errors
    /// [`Error::DigestLength`], [`Error::HashForKey`] (Ed25519 with another hash than SHA-512),
    /// [`Error::Signature`].
    pub fn verify_digest(
        &self,
        hash: HashAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<(), Error> {
        if digest.len() != hash.digest_bytes() {
            return Err(Error::DigestLength {
                hash,
                got: digest.len(),
                want: hash.digest_bytes(),
            });
        }
        let verified = match &self.parsed {
            Parsed::P256(key) => p256_signature(signature)
                .is_some_and(|signature| key.verify_prehash(digest, &signature).is_ok()),
            Parsed::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .or_else(|_| p384::ecdsa::Signature::from_slice(signature))
                .is_ok_and(|signature| {
                    verify_prehash_left(digest, 48, |d| key.verify_prehash(d, &signature).is_ok())
                }),
            Parsed::P521(key) => p521::ecdsa::Signature::from_der(signature)
                .or_else(|_| p521::ecdsa::Signature::from_slice(signature))
                .is_ok_and(|signature| {
                    verify_prehash_left(digest, 66, |d| key.verify_prehash(d, &signature).is_ok())
                }),
            Parsed::Rsa(key) => {
                let scheme = match hash {
                    HashAlgorithm::Sha256 => rsa::Pkcs1v15Sign::new::<sha2::Sha256>(),
                    HashAlgorithm::Sha384 => rsa::Pkcs1v15Sign::new::<sha2::Sha384>(),
                    HashAlgorithm::Sha512 => rsa::Pkcs1v15Sign::new::<sha2::Sha512>(),
                };
                key.verify(scheme, digest, signature).is_ok()
            }
            Parsed::Ed25519(key) => {
                let HashAlgorithm::Sha512 = hash else {
                    return Err(Error::HashForKey {
                        hash,
                        key: self.kind,
                    });
                };
                let digest: [u8; 64] = digest.try_into().expect("length checked above");
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| {
                    key.verify_prehashed_strict(Precomputed(digest), None, &signature)
                        .is_ok()
                })
            }
        };
        if verified {
            Ok(())
        } else {
            Err(Error::Signature)
        }
    }
}

fn p256_signature(bytes: &[u8]) -> Option<p256::ecdsa::Signature> {
    p256::ecdsa::Signature::from_der(bytes)
        .or_else(|_| p256::ecdsa::Signature::from_slice(bytes))
        .ok()
}

/// A digest shorter than half the field is refused by the curve crates, though FIPS 186-5 §6.4 takes it
/// as an integer: pad it on the left, which changes nothing of its value.
fn verify_prehash_left(digest: &[u8], field: usize, verify: impl Fn(&[u8]) -> bool) -> bool {
    if digest.len() * 2 >= field {
        return verify(digest);
    }
    let mut padded = vec![0; field.div_ceil(2) - digest.len()];
    padded.extend_from_slice(digest);
    verify(&padded)
}

fn spki_of(
    oid: ObjectIdentifier,
    curve: Option<ObjectIdentifier>,
    key: &[u8],
) -> Result<Vec<u8>, Error> {
    use der::Encode as _;
    let info = spki::SubjectPublicKeyInfo {
        algorithm: spki::AlgorithmIdentifier {
            oid,
            parameters: curve,
        },
        subject_public_key: der::asn1::BitStringRef::from_bytes(key)
            .map_err(|_| Error::PublicKey)?,
    };
    info.to_der().map_err(|_| Error::PublicKey)
}

fn point<'a, K: TryFrom<&'a [u8]>>(bits: &'a [u8]) -> Result<K, Error> {
    K::try_from(bits).map_err(|_| Error::PublicKey)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

/// A SHA-512 that was finished elsewhere, in the shape that Ed25519ph asks for.
#[derive(Clone)]
struct Precomputed([u8; 64]);

impl Default for Precomputed {
    fn default() -> Self {
        Self([0; 64])
    }
}

impl sha2::digest::HashMarker for Precomputed {}

impl sha2::digest::OutputSizeUser for Precomputed {
    type OutputSize = sha2::digest::consts::U64;
}

impl sha2::digest::Update for Precomputed {
    fn update(&mut self, _: &[u8]) {
        unreachable!("the message was hashed elsewhere")
    }
}

impl sha2::digest::FixedOutput for Precomputed {
    fn finalize_into(self, out: &mut sha2::digest::Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}

impl sha2::digest::Reset for Precomputed {
    fn reset(&mut self) {}
}

impl sha2::digest::FixedOutputReset for Precomputed {
    fn finalize_into_reset(&mut self, out: &mut sha2::digest::Output<Self>) {
        out.copy_from_slice(&self.0);
    }
}
