//! Encodings of ECDSA signatures, and random bytes.

use ring::rand::SecureRandom as _;

use crate::Error;

/// Rewrites a fixed-width `r ‖ s` (IEEE P1363) as the ASN.1 `SEQUENCE { r, s }` of RFC 3279 §2.2.3.
///
/// # Errors
/// [`Error::Signature`] when the length is odd, zero or over 132 bytes (P-521).
pub fn ecdsa_der_from_p1363(raw: &[u8]) -> Result<Vec<u8>, Error> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) || raw.len() > 132 {
        return Err(Error::Signature);
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    let mut body = Vec::with_capacity(raw.len() + 8);
    for part in [r, s] {
        let digits = &part[part
            .iter()
            .take_while(|b| **b == 0)
            .count()
            .min(part.len() - 1)..];
        let pad = usize::from(digits[0] & 0x80 != 0);
        body.push(0x02);
        body.push(u8::try_from(digits.len() + pad).expect("at most 67 bytes"));
        body.extend(std::iter::repeat_n(0, pad));
        body.extend_from_slice(digits);
    }
    let length = u8::try_from(body.len()).expect("at most 138 bytes");
    let mut der = vec![0x30];
    if length > 127 {
        der.push(0x81);
    }
    der.push(length);
    der.extend(body);
    Ok(der)
}

/// `N` random bytes from the operating system.
///
/// # Errors
/// [`Error::Random`] when it has none to give.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| Error::Random)?;
    Ok(bytes)
}
