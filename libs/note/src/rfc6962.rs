//! The two structures of RFC 6962 that a checkpoint's type 0x05 signature is made of.

use crypto::{PublicKey, PublicKeyKind, SigningKey};

use crate::Error;

/// TreeHeadSignature, RFC 6962 §3.5: version 0, type 1, milliseconds, size, root.
#[must_use]
pub fn tree_head_message(time_ms: u64, tree_size: u64, root_hash: &merkle::Hash) -> Vec<u8> {
    [
        &[0, 1],
        time_ms.to_be_bytes().as_slice(),
        &tree_size.to_be_bytes(),
        root_hash,
    ]
    .concat()
}

/// Signs `message` and wraps it as DigitallySigned, RFC 5246 §4.7: SHA-256, the algorithm of the
/// key, 16 bits of length, the signature.
///
/// # Errors
/// [`Error::VerifierKey`] for a key that RFC 6962 §2.1.4 has no algorithm for, [`Error::Key`].
pub fn digitally_signed(key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, Error> {
    let algorithm = algorithm(key.public_key()).ok_or(Error::VerifierKey)?;
    let signature = key.sign(message)?;
    let length = u16::try_from(signature.len()).map_err(|_| Error::VerifierKey)?;
    Ok([&[4, algorithm], length.to_be_bytes().as_slice(), &signature].concat())
}

/// The signature inside a DigitallySigned by `key`, if it is exactly one.
#[must_use]
pub fn parse_digitally_signed<'a>(bytes: &'a [u8], key: &PublicKey) -> Option<&'a [u8]> {
    let ([hash, signature_algorithm, high, low], signature) = bytes.split_first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    (*hash == 4 && algorithm(key) == Some(*signature_algorithm) && signature.len() == length)
        .then_some(signature)
}

/// SignatureAlgorithm of RFC 5246 §7.4.1.4.1: ECDSA on P-256 or RSA.
const fn algorithm(key: &PublicKey) -> Option<u8> {
    match key.kind() {
        PublicKeyKind::P256 => Some(3),
        PublicKeyKind::Rsa { .. } => Some(1),
        _ => None,
    }
}
