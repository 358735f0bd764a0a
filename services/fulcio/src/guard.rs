//! Refusals that keep a lab from being taken for a public instance, or from playing one by accident.

use anyhow::{bail, ensure};
use x509::{Certificate, public_instance};

use crate::issuers::Issuers;

/// Refuses an authority that has a name or a key of a public instance.
pub(crate) fn check_authority(chain: &[Certificate]) -> anyhow::Result<()> {
    for certificate in chain {
        let subject = certificate.subject_text();
        if let Some(name) = public_instance::public_name(certificate) {
            bail!("certificate {subject}: {name:?} is a name of a public Sigstore instance");
        }
        ensure!(
            !public_instance::is_public_key(certificate.spki_der()),
            "certificate {subject} has a key of a public Sigstore instance"
        );
    }
    Ok(())
}

/// Issuers of the public world that the settings allow this lab to play.
#[derive(Clone, Debug)]
pub(crate) struct Impersonation {
    allowed: Vec<String>,
    marker_critical: bool,
}

impl Impersonation {
    pub(crate) const fn new(allowed: Vec<String>, marker_critical: bool) -> Self {
        Self {
            allowed,
            marker_critical,
        }
    }

    /// Refuses configured issuers that are public and not allowed.
    pub(crate) fn check_issuers(&self, issuers: &Issuers) -> anyhow::Result<()> {
        for issuer in issuers.exact().chain(issuers.patterns()) {
            ensure!(
                self.allows(&issuer.url),
                "issuer {0} is a public one: to play it, add {0:?} to impersonate_issuers",
                issuer.url
            );
        }
        Ok(())
    }

    /// Whether a certificate may name this issuer.
    pub(crate) fn allows(&self, issuer: &str) -> bool {
        !public_instance::is_public_issuer(issuer)
            || self
                .allowed
                .iter()
                .any(|allowed| allowed == issuer || pattern_allows(allowed, issuer))
    }

    /// Whether the marker is critical in a certificate that names this issuer.
    pub(crate) fn marks_critical(&self, issuer: &str) -> bool {
        self.marker_critical && public_instance::is_public_issuer(issuer)
    }
}

/// An allowed pattern, such as of a meta-issuer, covers the URLs that start as it does.
fn pattern_allows(allowed: &str, issuer: &str) -> bool {
    allowed
        .strip_suffix('*')
        .is_some_and(|start| start.contains("://") && issuer.starts_with(start))
}
