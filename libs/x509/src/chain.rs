//! Building and checking a chain from a leaf to a trusted root at a given time (RFC 5280 §6.1).

use der::asn1::ObjectIdentifier;
use jiff::Timestamp;

use crate::{Certificate, Error, KeyUsage, constraints, oid};

/// The most certificates in a chain, leaf and root included.
pub const MAX_CHAIN_LENGTH: usize = 10;

/// The most signatures checked in one search, so that crafted intermediates cannot make it explode.
const MAX_SIGNATURE_CHECKS: usize = 100;

/// Extensions that are processed here or by the reader, so that they may be critical.
const PROCESSED: [ObjectIdentifier; 7] = [
    oid::AUTHORITY_KEY_IDENTIFIER,
    oid::BASIC_CONSTRAINTS,
    oid::EXT_KEY_USAGE,
    oid::KEY_USAGE,
    oid::NAME_CONSTRAINTS,
    oid::SUBJECT_ALT_NAME,
    oid::SUBJECT_KEY_IDENTIFIER,
];

/// Finds a chain from `leaf` over `intermediates` to one of `roots` in which, at the time `at`, every
/// certificate is valid and allows `eku` (a certificate without the extension allows all), every issuer
/// is an authority that may sign certificates within its path length, and every name is within the
/// name constraints. A certificate among `roots` is trusted as an anchor, self-signed or not. Returns
/// the chain, leaf first.
///
/// # Errors
/// What is wrong with the leaf itself; else what was wrong with the best candidate;
/// [`Error::UnknownAuthority`] when there was no candidate.
pub fn verify_chain(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    at: Timestamp,
    eku: ObjectIdentifier,
) -> Result<Vec<Certificate>, Error> {
    check_certificate(leaf, at)?;
    let mut search = Search {
        intermediates,
        roots,
        at,
        eku,
        checks: 0,
        failure: None,
    };
    let mut path = vec![leaf];
    if search.extend(&mut path)? {
        return Ok(path.into_iter().cloned().collect());
    }
    Err(search.failure.unwrap_or(Error::UnknownAuthority))
}

struct Search<'a> {
    intermediates: &'a [Certificate],
    roots: &'a [Certificate],
    at: Timestamp,
    eku: ObjectIdentifier,
    checks: usize,
    /// What was wrong with the last candidate that had the right name.
    failure: Option<Error>,
}

impl<'a> Search<'a> {
    /// Whether `path` could be completed; `path` is then the whole chain.
    fn extend(&mut self, path: &mut Vec<&'a Certificate>) -> Result<bool, Error> {
        let last = *path.last().expect("a path starts with the leaf");
        if self.roots.contains(last) {
            return Ok(self.accepts(path));
        }
        if path.len() == MAX_CHAIN_LENGTH {
            return Ok(false);
        }
        let candidates = self.roots.iter().chain(self.intermediates);
        for issuer in candidates.filter(|issuer| issuer.subject_der() == last.issuer_der()) {
            let seen = |known: &&Certificate| {
                known.subject_der() == issuer.subject_der() && known.spki_der() == issuer.spki_der()
            };
            if path.iter().any(seen) {
                continue;
            }
            if self.checks == MAX_SIGNATURE_CHECKS {
                return Err(Error::ChainSearch {
                    max: MAX_SIGNATURE_CHECKS,
                });
            }
            self.checks += 1;
            let checked = last
                .verify_signed_by(issuer)
                .and_then(|()| check_certificate(issuer, self.at))
                .and_then(|()| check_issuer(issuer, path.len() - 1));
            if let Err(failure) = checked {
                self.failure = Some(failure);
                continue;
            }
            path.push(issuer);
            if self.extend(path)? {
                return Ok(true);
            }
            path.pop();
        }
        Ok(false)
    }

    /// The checks over a whole chain.
    fn accepts(&mut self, path: &[&Certificate]) -> bool {
        let checked = path
            .iter()
            .try_for_each(|certificate| check_usage(certificate, self.eku))
            .and_then(|()| constraints::check(path));
        match checked {
            Ok(()) => true,
            Err(failure) => {
                self.failure = Some(failure);
                false
            }
        }
    }
}

fn check_certificate(certificate: &Certificate, at: Timestamp) -> Result<(), Error> {
    let (not_before, not_after) = (certificate.not_before(), certificate.not_after());
    let subject = || certificate.subject_text();
    if at < not_before {
        return Err(Error::NotYetValid {
            subject: subject(),
            at,
            not_before,
        });
    }
    if at > not_after {
        return Err(Error::Expired {
            subject: subject(),
            at,
            not_after,
        });
    }
    let unknown = certificate
        .extensions()
        .iter()
        .find(|extension| extension.critical && !PROCESSED.contains(&extension.oid));
    unknown.map_or(Ok(()), |extension| {
        Err(Error::CriticalExtension { oid: extension.oid })
    })
}

fn check_issuer(issuer: &Certificate, intermediates_below: usize) -> Result<(), Error> {
    let subject = || issuer.subject_text();
    if !issuer.is_ca()? {
        return Err(Error::NotAuthority { subject: subject() });
    }
    if issuer
        .key_usage()?
        .is_some_and(|usage| !usage.contains(KeyUsage::KEY_CERT_SIGN))
    {
        return Err(Error::NoCertSign { subject: subject() });
    }
    match issuer.path_length()? {
        Some(max) if intermediates_below > usize::from(max) => Err(Error::PathLength {
            subject: subject(),
            got: intermediates_below,
            max,
        }),
        _ => Ok(()),
    }
}

fn check_usage(certificate: &Certificate, eku: ObjectIdentifier) -> Result<(), Error> {
    let usages = certificate.ext_key_usage()?;
    if usages.is_empty() || usages.contains(&eku) || usages.contains(&oid::EKU_ANY) {
        return Ok(());
    }
    Err(Error::ExtKeyUsage {
        subject: certificate.subject_text(),
        oid: eku,
    })
}
