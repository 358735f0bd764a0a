//! The client's key: read, judged, and proved to be in the client's hands.

use crypto::{HashAlgorithm, PublicKey, PublicKeyKind};
use der::Decode as _;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};
use x509::CertificateRequest;

use crate::error::Error;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5");
const ECDSA_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.1");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
const P224: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.33");

/// How a client hands over its key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum KeyRequest {
    /// Neither key nor request.
    Nothing,
    PublicKey {
        content: Vec<u8>,
        proof_of_possession: Vec<u8>,
    },
    /// PEM.
    CertificateRequest(Vec<u8>),
}

/// Keys and hashes that may be certified.
#[derive(Clone, Debug)]
pub(crate) struct AllowList(Vec<(PublicKeyKind, Option<HashAlgorithm>)>);

impl AllowList {
    /// From protobuf-specs names.
    pub(crate) fn from_names(names: &[String]) -> anyhow::Result<Self> {
        use HashAlgorithm::{Sha256, Sha384, Sha512};
        let entry = |name: &String| {
            Ok(match name.as_str() {
                "ecdsa-sha2-256-nistp256" => (PublicKeyKind::P256, Some(Sha256)),
                "ecdsa-sha2-384-nistp384" => (PublicKeyKind::P384, Some(Sha384)),
                "ecdsa-sha2-512-nistp521" => (PublicKeyKind::P521, Some(Sha512)),
                "rsa-sign-pkcs1-2048-sha256" => (PublicKeyKind::Rsa { bits: 2048 }, Some(Sha256)),
                "rsa-sign-pkcs1-3072-sha256" => (PublicKeyKind::Rsa { bits: 3072 }, Some(Sha256)),
                "rsa-sign-pkcs1-4096-sha256" => (PublicKeyKind::Rsa { bits: 4096 }, Some(Sha256)),
                "ed25519" => (PublicKeyKind::Ed25519, None),
                _ => anyhow::bail!("client_signing_algorithms: unknown algorithm {name}"),
            })
        };
        Ok(Self(
            names.iter().map(entry).collect::<anyhow::Result<_>>()?,
        ))
    }

    fn check(&self, kind: PublicKeyKind, hash: Option<HashAlgorithm>) -> Result<(), Error> {
        if self.0.contains(&(kind, hash)) {
            return Ok(());
        }
        let key = match kind {
            PublicKeyKind::Ed25519 => "ed25519.PublicKey",
            PublicKeyKind::Rsa { .. } => "*rsa.PublicKey",
            PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521 => "*ecdsa.PublicKey",
        };
        let hash = match hash {
            None => "unknown hash value 0",
            Some(HashAlgorithm::Sha256) => "SHA-256",
            Some(HashAlgorithm::Sha384) => "SHA-384",
            Some(HashAlgorithm::Sha512) => "SHA-512",
        };
        Err(Error::AlgorithmNotPermitted { key, hash })
    }
}

/// The key of `request`, when its holder proved to have it by signing `name`.
pub(crate) fn proved_key(
    request: &KeyRequest,
    name: &str,
    allowed: &AllowList,
) -> Result<PublicKey, Error> {
    match request {
        KeyRequest::Nothing => Err(Error::PublicKey),
        KeyRequest::PublicKey {
            content,
            proof_of_possession,
        } => {
            let spki = key_der(content).ok_or(Error::PublicKey)?;
            let key = strong_key(&spki)?;
            let hash = key.kind().default_hash();
            key.verify(hash, name.as_bytes(), proof_of_possession)
                .map_err(|_| Error::Signature)?;
            let hash = (key.kind() != PublicKeyKind::Ed25519).then_some(hash);
            allowed.check(key.kind(), hash)?;
            Ok(key)
        }
        KeyRequest::CertificateRequest(pem) => {
            let pem = std::str::from_utf8(pem).map_err(|_| Error::CertificateRequest)?;
            let request =
                CertificateRequest::from_pem(pem).map_err(|_| Error::CertificateRequest)?;
            let key = match strong_key(request.spki_der()) {
                // Go reads a request with a key that it cannot read, and finds the key weak.
                Err(Error::PublicKey) => return Err(Error::CertificateRequest),
                key => key?,
            };
            // Whether such a signature is good is not looked at: it is refused either way.
            match request.signature_algorithm() {
                RSA_SHA1 => return Err(Error::SignatureAlgorithm { name: "SHA1-RSA" }),
                ECDSA_SHA1 => return Err(Error::SignatureAlgorithm { name: "ECDSA-SHA1" }),
                _ => {}
            }
            request.verify().map_err(|_| Error::Signature)?;
            let hash = request.signature_hash().map_err(|_| Error::Signature)?;
            allowed.check(key.kind(), hash)?;
            Ok(key)
        }
    }
}

/// The DER SubjectPublicKeyInfo of PEM `PUBLIC KEY`, PEM `RSA PUBLIC KEY`, or DER.
fn key_der(content: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(content).ok();
    let Some(text) = text.filter(|text| text.contains("-----BEGIN ")) else {
        return SubjectPublicKeyInfoRef::from_der(content)
            .ok()
            .map(|_| content.to_vec());
    };
    // Go knows a block by a line of its own.
    let opens = |line: &&str| {
        let label = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.trim_end().strip_suffix("-----"));
        label.is_some_and(|label| !label.contains("-----"))
    };
    text.lines()
        .find(|line| line.contains("-----BEGIN "))
        .filter(opens)?;
    let (label, der) = crypto::from_pem(text).ok()?;
    match label.as_str() {
        "PUBLIC KEY" => Some(der),
        "RSA PUBLIC KEY" => {
            let info = spki::SubjectPublicKeyInfo {
                algorithm: spki::AlgorithmIdentifierRef {
                    oid: RSA,
                    parameters: Some(der::asn1::AnyRef::NULL),
                },
                subject_public_key: der::asn1::BitStringRef::from_bytes(&der).ok()?,
            };
            der::Encode::to_der(&info).ok()
        }
        _ => None,
    }
}

/// A key that is well-formed and strong: what upstream refuses as weak is told from what it cannot read.
fn strong_key(spki: &[u8]) -> Result<PublicKey, Error> {
    let info = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| Error::PublicKey)?;
    if info.algorithm.oid == RSA {
        let bits = info.subject_public_key.as_bytes().ok_or(Error::PublicKey)?;
        check_rsa(bits)?;
    }
    match PublicKey::from_spki_der(spki) {
        Ok(key) => Ok(key),
        Err(crypto::Error::UnsupportedPublicKey { oid }) => {
            let read = [P224, DSA, X25519]
                .iter()
                .any(|known| known.to_string() == oid);
            Err(if read {
                Error::InsecureKey
            } else {
                Error::PublicKey
            })
        }
        Err(_) => Err(Error::PublicKey),
    }
}

/// Exactly 2048, 3072 or 4096 bits, exponent 65537, no small factor.
fn check_rsa(pkcs1: &[u8]) -> Result<(), Error> {
    #[derive(der::Sequence)]
    struct RsaPublicKey<'a> {
        modulus: der::asn1::UintRef<'a>,
        exponent: der::asn1::UintRef<'a>,
    }
    let key = RsaPublicKey::from_der(pkcs1).map_err(|_| Error::PublicKey)?;
    let modulus = key.modulus.as_bytes();
    let leading = modulus
        .first()
        .map_or(8, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading.min(modulus.len() * 8);
    let divides = |prime: u32| {
        modulus
            .iter()
            .fold(0_u32, |rest, byte| ((rest << 8) | u32::from(*byte)) % prime)
            == 0
    };
    let prime = |n: &u32| {
        (2..)
            .take_while(|d| d * d <= *n)
            .all(|d| !n.is_multiple_of(d))
    };
    let small_factor = (2..752).filter(prime).any(divides);
    if !matches!(bits, 2048 | 3072 | 4096) || key.exponent.as_bytes() != [1, 0, 1] || small_factor {
        return Err(Error::InsecureKey);
    }
    Ok(())
}
