//! The signing certificate: its chain at the verified times, its SCT, and whose it is.

use jiff::Timestamp;
use x509::{Certificate, FulcioField, San};

use crate::error::{AuthorityGap, SctGap};
use crate::trust::{Trust, same_url};
use crate::{Difference, Error, Identity, Pattern, Report};

/// A time at which the certificate was used, and what says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VerifiedTime {
    pub(crate) at: Timestamp,
    /// `bundle` for a log's time, `timestamp` for an authority's.
    pub(crate) source: &'static str,
}

/// Finds the chain at every verified time and returns that of the first.
pub(crate) fn verify_chain(
    leaf: &Certificate,
    times: &[VerifiedTime],
    trust: &Trust,
    authority_url: Option<&str>,
) -> Result<Vec<Certificate>, Error> {
    let mut first = None;
    for time in times {
        let problem = if time.at < leaf.not_before() {
            Some("was issued after")
        } else if time.at > leaf.not_after() {
            Some("expired before")
        } else {
            None
        };
        if let Some(problem) = problem {
            return Err(Error::Expiry {
                source_name: time.source,
                problem,
                at: time.at,
            });
        }
        let chain = chain_at(leaf, time.at, trust, authority_url)?;
        first.get_or_insert(chain);
    }
    first.ok_or(Error::NoVerifiedTime)
}

fn chain_at(
    leaf: &Certificate,
    at: Timestamp,
    trust: &Trust,
    authority_url: Option<&str>,
) -> Result<Vec<Certificate>, Error> {
    if trust.authorities.is_empty() {
        return Err(Error::NoAuthority {
            reason: AuthorityGap::Empty,
        });
    }
    let named: Vec<_> = trust
        .authorities
        .iter()
        .filter(|authority| authority_url.is_none_or(|url| same_url(url, &authority.uri)))
        .collect();
    if let Some(wanted) = authority_url
        && named.is_empty()
    {
        let known = trust.authority_urls().map(str::to_owned).collect();
        let reason = AuthorityGap::Url {
            wanted: wanted.to_owned(),
            known,
        };
        return Err(Error::NoAuthority { reason });
    }
    let mut failure = Error::NoAuthority {
        reason: AuthorityGap::Time { at },
    };
    for authority in named
        .into_iter()
        .filter(|authority| authority.was_valid(at))
    {
        let eku = x509::oid::EKU_CODE_SIGNING;
        // Only what the trust root names may stand between the leaf and the root.
        match x509::verify_chain(leaf, authority.others(), authority.roots(), at, eku) {
            Ok(chain) => return Ok(chain),
            Err(error) => failure = Error::Chain(error),
        }
    }
    Err(failure)
}

/// Checks that at least one SCT by a known log is about this certificate.
pub(crate) fn verify_sct(chain: &[Certificate], trust: &Trust) -> Result<String, Error> {
    let [leaf, issuer, ..] = chain else {
        return Err(Error::NoSct);
    };
    let scts = leaf.scts().map_err(|error| Error::Sct {
        reason: error.into(),
    })?;
    let mut failure = Error::NoSct;
    for sct in scts {
        let id = hex::encode(sct.log_id);
        let Some(log) = trust.ctlogs.iter().find(|log| log.id == sct.log_id) else {
            failure = Error::Sct {
                reason: SctGap::UnknownLog { log_id: id },
            };
            continue;
        };
        let at = i64::try_from(sct.timestamp_ms)
            .ok()
            .and_then(|millis| Timestamp::from_millisecond(millis).ok());
        let Some(at) = at.filter(|at| log.was_valid(*at)) else {
            let at = format!("{} ms", sct.timestamp_ms);
            failure = Error::Sct {
                reason: SctGap::LogValidity { at, log_id: id },
            };
            continue;
        };
        match sct.verify_embedded(&log.key, leaf, issuer) {
            Ok(()) => return Ok(format!("{at} by {}", log.base_url)),
            Err(error) => {
                failure = Error::Sct {
                    reason: error.into(),
                }
            }
        }
    }
    Err(failure)
}

/// Who a certificate says signed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SignerIdentity {
    /// Issuer of the identity token.
    pub issuer: String,
    /// Names in the certificate.
    pub subjects: Vec<String>,
    /// What the build system says of itself: name and text of each extension.
    pub extensions: Vec<(&'static str, String)>,
}

impl SignerIdentity {
    /// Of a certificate; what cannot be read counts as absent.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Self {
        let sans = certificate.sans().unwrap_or_default();
        let fields = certificate.fulcio_extensions().unwrap_or_default();
        Self {
            issuer: fields.issuer().unwrap_or_default().to_owned(),
            subjects: sans.iter().filter_map(San::text).collect(),
            extensions: fields
                .iter()
                .filter(|(field, _)| !matches!(field, FulcioField::Issuer | FulcioField::IssuerV1))
                .map(|(field, text)| (field.name(), text.to_owned()))
                .collect(),
        }
    }
}

/// Checks that one of `identities` is the signer's, and reports how near the nearest came.
pub(crate) fn verify_identity(
    signer: &SignerIdentity,
    identities: &[Identity],
    report: &mut Report,
) -> Result<(), Error> {
    let matches = |identity: &Identity| {
        identity.issuer.matches(&signer.issuer)
            && signer
                .subjects
                .iter()
                .any(|subject| identity.subject.matches(subject))
    };
    if identities.iter().any(matches) {
        report.pass(
            "identity",
            format!(
                "subject {} issuer {}",
                signer.subjects.join(", "),
                signer.issuer
            ),
        );
        return Ok(());
    }
    report_mismatch(signer, identities, report);
    Err(Error::Identity {
        subjects: signer.subjects.clone(),
        issuer: signer.issuer.clone(),
    })
}

fn report_mismatch(signer: &SignerIdentity, identities: &[Identity], report: &mut Report) {
    let observed_subject = signer
        .subjects
        .first()
        .map(String::as_str)
        .unwrap_or_default();
    // The identity that comes nearest: the right issuer first, then the longest common beginning.
    let nearness = |identity: &&Identity| {
        let common = match &identity.subject {
            Pattern::Exact(subject) => Difference::new(subject, observed_subject).common,
            Pattern::Regexp(_) => 0,
        };
        (identity.issuer.matches(&signer.issuer), common)
    };
    let Some(nearest) = identities.iter().max_by_key(nearness) else {
        report.fail(
            "identity",
            "an identity in the policy",
            "none",
            "name who may sign",
        );
        return;
    };
    let subject_fits = signer
        .subjects
        .iter()
        .any(|subject| nearest.subject.matches(subject));
    let (what, pattern, observed) = if nearest.issuer.matches(&signer.issuer) || !subject_fits {
        ("subject", &nearest.subject, observed_subject)
    } else {
        ("issuer", &nearest.issuer, signer.issuer.as_str())
    };
    let hint = match pattern {
        Pattern::Exact(expected) => {
            let difference = Difference::new(expected, observed);
            format!(
                "{}\n{}",
                difference.on_one_line(),
                hint_for(expected, observed)
            )
        }
        Pattern::Regexp(_) => "the expression matches nowhere in it".to_owned(),
    };
    report.fail(what, pattern.to_string(), observed, hint.trim_end());
}

/// The usual reasons why two subjects of build systems differ.
fn hint_for(expected: &str, observed: &str) -> &'static str {
    let has = |text: &str, part: &str| text.contains(part);
    if has(expected, "@refs/heads/") && has(observed, "@refs/tags/") {
        "it was signed by a run for a tag, the policy expects a branch"
    } else if has(expected, "@refs/tags/") && has(observed, "@refs/heads/") {
        "it was signed by a run for a branch, the policy expects a tag"
    } else if has(observed, "@refs/pull/") {
        "it was signed by a run for a pull request"
    } else {
        ""
    }
}
