//! Object identifiers of timestamps and of the signatures in them.

use crypto::HashAlgorithm;
use x509::ObjectIdentifier;

use crate::Error;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// id-signedData, RFC 5652 §5.1.
pub(crate) const SIGNED_DATA: ObjectIdentifier = oid("1.2.840.113549.1.7.2");
/// id-ct-TSTInfo, RFC 3161 §2.4.2.
pub(crate) const TST_INFO: ObjectIdentifier = oid("1.2.840.113549.1.9.16.1.4");
/// id-contentType, RFC 5652 §11.1.
pub(crate) const CONTENT_TYPE: ObjectIdentifier = oid("1.2.840.113549.1.9.3");
/// id-messageDigest, RFC 5652 §11.2.
pub(crate) const MESSAGE_DIGEST: ObjectIdentifier = oid("1.2.840.113549.1.9.4");
/// id-signingTime, RFC 5652 §11.3.
pub(crate) const SIGNING_TIME: ObjectIdentifier = oid("1.2.840.113549.1.9.5");
/// id-aa-signingCertificateV2, RFC 5035 §3.
pub(crate) const SIGNING_CERTIFICATE_V2: ObjectIdentifier = oid("1.2.840.113549.1.9.16.2.47");

const SHA1: ObjectIdentifier = oid("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = oid("2.16.840.1.101.3.4.2.3");

pub(crate) const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
pub(crate) const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");
/// id-ecPublicKey: some signers write the key's algorithm and leave the hash to the digest algorithm.
const EC_PUBLIC_KEY: ObjectIdentifier = oid("1.2.840.10045.2.1");
/// rsaEncryption, likewise (RFC 3370 §3.2).
pub(crate) const RSA: ObjectIdentifier = oid("1.2.840.113549.1.1.1");
pub(crate) const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
pub(crate) const ED25519: ObjectIdentifier = oid("1.3.101.112");

/// The object identifier of a hash.
pub(crate) const fn of_hash(hash: HashAlgorithm) -> ObjectIdentifier {
    match hash {
        HashAlgorithm::Sha256 => SHA256,
        HashAlgorithm::Sha384 => SHA384,
        HashAlgorithm::Sha512 => SHA512,
    }
}

/// The hash of an object identifier.
pub(crate) fn to_hash(oid: ObjectIdentifier) -> Result<HashAlgorithm, Error> {
    match oid {
        SHA256 => Ok(HashAlgorithm::Sha256),
        SHA384 => Ok(HashAlgorithm::Sha384),
        SHA512 => Ok(HashAlgorithm::Sha512),
        SHA1 => Err(Error::WeakHash),
        other => Err(Error::UnsupportedHash {
            oid: other.to_string(),
        }),
    }
}

/// The hash that a signature algorithm signs with; `digest` where it does not say.
pub(crate) fn signature_hash(
    oid: ObjectIdentifier,
    digest: HashAlgorithm,
) -> Result<HashAlgorithm, Error> {
    match oid {
        ECDSA_SHA256 | RSA_SHA256 => Ok(HashAlgorithm::Sha256),
        ECDSA_SHA384 | RSA_SHA384 => Ok(HashAlgorithm::Sha384),
        ECDSA_SHA512 | RSA_SHA512 => Ok(HashAlgorithm::Sha512),
        EC_PUBLIC_KEY | RSA | ED25519 => Ok(digest),
        other => Err(Error::SignatureAlgorithm {
            oid: other.to_string(),
        }),
    }
}
