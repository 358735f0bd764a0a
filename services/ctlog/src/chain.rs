//! Which chains are logged. As upstream: signatures must lead to an accepted root, the leaf must be for
//! code signing; dates and constraints are not policed, a log records what an authority did.

use std::{
    collections::HashSet,
    sync::{PoisonError, RwLock},
};

use merkle::Hash;
use x509::{Certificate, MAX_CHAIN_LENGTH, ObjectIdentifier, oid};

/// Extended key usage of a certificate that signs precertificates in place of its issuer.
const PRECERTIFICATE_SIGNING: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.4");

/// Why a chain is not logged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChainError {
    /// A certificate does not parse, or a signature does not verify.
    #[error("chain failed to verify: {0}")]
    Certificate(#[from] x509::Error),
    /// No root that is accepted.
    #[error("chain failed to verify: x509: certificate signed by unknown authority")]
    UnknownAuthority,
    /// More certificates than a chain may have.
    #[error("chain failed to verify: chain has {got} certificates, at most {max} are read")]
    TooLong {
        /// Certificates sent.
        got: usize,
        /// Certificates allowed.
        max: usize,
    },
    /// A certificate in the chain is not signed by the next one.
    #[error(
        "chain failed to verify: no RFC compliant path to root found when trying to validate chain"
    )]
    NotInOrder,
    /// The leaf is not for code signing; 3 is Go's number for that.
    #[error("chain failed to verify: rejecting certificate without EKU in [3]")]
    ExtKeyUsage,
    /// The poison is not critical, or not NULL.
    #[error("precert test failed: CT poison ext is not critical or invalid")]
    Poison,
    /// A precertificate sent to `add-chain`, or a certificate to `add-pre-chain`.
    #[error("cert / precert mismatch: bool")]
    Mismatch,
    /// A precertificate signing certificate, which siglab has no use for.
    #[error("chain failed to verify: precertificate signing certificates are not supported")]
    PrecertificateSigner,
}

/// Issuers that are remembered to be signed by the one above them.
const REMEMBERED_MAX: usize = 256;

/// Which certificate signed which, of issuers: every leaf brings the same ones along, and a signature that
/// held once holds for ever.
#[derive(Debug, Default)]
pub(crate) struct Signatures(RwLock<HashSet<[Hash; 2]>>);

impl Signatures {
    fn holds(&self, below: &Certificate, above: &Certificate) -> bool {
        let pair = [below.fingerprint(), above.fingerprint()];
        let known = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&pair);
        if known {
            return true;
        }
        if below.verify_signed_by(above).is_err() {
            return false;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < REMEMBERED_MAX {
            known.insert(pair);
        }
        true
    }
}

/// The chain from the leaf to a root among `roots`, root included. The sent chain must be in order and
/// may leave out the root.
///
/// # Errors
/// [`ChainError`].
pub(crate) fn verify(
    sent: &[Certificate],
    roots: &[Certificate],
    signatures: &Signatures,
    precertificate: bool,
) -> Result<Vec<Certificate>, ChainError> {
    if sent.len() > MAX_CHAIN_LENGTH {
        return Err(ChainError::TooLong {
            got: sent.len(),
            max: MAX_CHAIN_LENGTH,
        });
    }
    let leaf = sent.first().ok_or(ChainError::NotInOrder)?;
    if !leaf.ext_key_usage()?.contains(&oid::EKU_CODE_SIGNING) {
        return Err(ChainError::ExtKeyUsage);
    }
    for (number, pair) in sent.windows(2).enumerate() {
        let [below, above] = pair else { continue };
        let is_signed = |below: &Certificate| match number {
            0 => below.verify_signed_by(above).is_ok(),
            _ => signatures.holds(below, above),
        };
        if below.issuer_der() != above.subject_der() || !is_signed(below) {
            return Err(ChainError::NotInOrder);
        }
        if above.ext_key_usage()?.contains(&PRECERTIFICATE_SIGNING) {
            return Err(ChainError::PrecertificateSigner);
        }
        if !above.is_ca()? {
            return Err(ChainError::NotInOrder);
        }
    }
    let mut chain = sent.to_vec();
    let last = sent.last().ok_or(ChainError::NotInOrder)?;
    if !roots.contains(last) {
        let signs = |root: &&Certificate| {
            root.subject_der() == last.issuer_der() && last.verify_signed_by(root).is_ok()
        };
        let root = roots
            .iter()
            .find(signs)
            .ok_or(ChainError::UnknownAuthority)?;
        chain.push(root.clone());
    }
    if chain.len() < 2 {
        // A root alone, which nobody issued.
        return Err(ChainError::NotInOrder);
    }
    if is_precertificate(leaf)? != precertificate {
        return Err(ChainError::Mismatch);
    }
    Ok(chain)
}

fn is_precertificate(leaf: &Certificate) -> Result<bool, ChainError> {
    let poison = leaf
        .extensions()
        .iter()
        .find(|extension| extension.oid == oid::CT_POISON);
    match poison {
        None => Ok(false),
        Some(poison) if poison.critical && poison.value == [5, 0] => Ok(true),
        Some(_) => Err(ChainError::Poison),
    }
}
