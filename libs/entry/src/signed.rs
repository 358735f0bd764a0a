//! Signatures over a digest or a message, with upstream's word for each way to be wrong.

use crypto::{HashAlgorithm, PublicKey, PublicKeyKind};

use crate::Error;

/// Verifies `signature` over a digest: ECDSA in DER or fixed width, RSA PKCS#1 v1.5, Ed25519ph.
pub(crate) fn verify_digest(
    key: &PublicKey,
    hash: HashAlgorithm,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    if key.kind() == PublicKeyKind::Ed25519 && hash != HashAlgorithm::Sha512 {
        return Err(Error::Ed25519Hash(go_hash_name(hash)));
    }
    key.verify_digest(hash, digest, signature)
        .map_err(|_| failure(key, signature))
}

/// Verifies `signature` over a message with SHA-256, or as pure Ed25519.
pub(crate) fn verify_message(
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    key.verify(HashAlgorithm::Sha256, message, signature)
        .map_err(|_| match key.kind() {
            PublicKeyKind::Ed25519 => Error::Ed25519Message,
            _ => failure(key, signature),
        })
}

fn failure(key: &PublicKey, signature: &[u8]) -> Error {
    match key.kind() {
        PublicKeyKind::Rsa { .. } => Error::Rsa,
        PublicKeyKind::Ed25519 if signature.len() == 64 => Error::Ed25519,
        PublicKeyKind::Ed25519 => Error::Ed25519Length(signature.len()),
        PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521 => {
            if is_der_pair(signature) {
                Error::EcdsaAsn1
            } else if signature.is_empty()
                || signature.len() > 132
                || !signature.len().is_multiple_of(2)
            {
                Error::EcdsaEncoding
            } else {
                Error::EcdsaP1363
            }
        }
    }
}

/// Whether the bytes start as a DER SEQUENCE of two INTEGERs.
fn is_der_pair(bytes: &[u8]) -> bool {
    use der::{Decode as _, Reader as _};
    let Ok(mut reader) = der::SliceReader::new(bytes) else {
        return false;
    };
    reader
        .sequence(|inner| {
            der::asn1::AnyRef::decode(inner)?;
            der::asn1::AnyRef::decode(inner)
        })
        .is_ok()
}

fn go_hash_name(hash: HashAlgorithm) -> &'static str {
    match hash {
        HashAlgorithm::Sha256 => "SHA-256",
        HashAlgorithm::Sha384 => "SHA-384",
        HashAlgorithm::Sha512 => "SHA-512",
    }
}
