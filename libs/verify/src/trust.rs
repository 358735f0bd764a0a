//! A trusted root with its keys and certificates read.

use bundle::{KeyDetails, TrustedRoot, ValidityPeriod};
use crypto::PublicKey;
use jiff::Timestamp;
use x509::Certificate;

use crate::error::TrustError;

/// Keys and certificates that verification starts from.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    pub(crate) authorities: Vec<Authority>,
    pub(crate) tlogs: Vec<Log>,
    pub(crate) ctlogs: Vec<Log>,
    pub(crate) timestamp_authorities: Vec<Authority>,
}

/// A certificate authority or timestamp authority.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) uri: String,
    /// As in the trusted root; the last is the anchor.
    pub(crate) chain: Vec<Certificate>,
    valid_for: Option<ValidityPeriod>,
}

impl Authority {
    /// Certificates that are trusted as such.
    pub(crate) fn roots(&self) -> &[Certificate] {
        &self.chain[self.chain.len() - 1..]
    }

    pub(crate) fn others(&self) -> &[Certificate] {
        &self.chain[..self.chain.len() - 1]
    }

    pub(crate) fn was_valid(&self, at: Timestamp) -> bool {
        contains(self.valid_for.as_ref(), at)
    }
}

/// A log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) base_url: String,
    pub(crate) key: PublicKey,
    pub(crate) id: Vec<u8>,
    valid_for: Option<ValidityPeriod>,
}

impl Log {
    pub(crate) fn was_valid(&self, at: Timestamp) -> bool {
        contains(self.valid_for.as_ref(), at)
    }

    /// The name under which a v2 log signs its checkpoints: the host, without port and path.
    pub(crate) fn origin(&self) -> &str {
        let rest = self
            .base_url
            .split_once("://")
            .map_or(&*self.base_url, |(_, rest)| rest);
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        match host.strip_prefix('[') {
            Some(v6) => v6.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        }
    }
}

fn contains(period: Option<&ValidityPeriod>, at: Timestamp) -> bool {
    period.is_none_or(|period| period.contains(at))
}

impl Trust {
    /// Reads a trusted root. A log whose key is of an unknown kind is left out: nothing verifies by it.
    ///
    /// # Errors
    /// [`TrustError`] for a certificate that cannot be read.
    pub fn new(root: &TrustedRoot) -> Result<Self, TrustError> {
        let authorities = |list: &[bundle::CertificateAuthority]| {
            list.iter().map(authority).collect::<Result<Vec<_>, _>>()
        };
        let logs = |list: &[bundle::TransparencyLog]| list.iter().filter_map(log).collect();
        Ok(Self {
            authorities: authorities(&root.certificate_authorities)?,
            timestamp_authorities: authorities(&root.timestamp_authorities)?,
            tlogs: logs(&root.tlogs),
            ctlogs: logs(&root.ctlogs),
        })
    }

    /// URLs of the certificate authorities.
    pub fn authority_urls(&self) -> impl Iterator<Item = &str> {
        self.authorities
            .iter()
            .map(|authority| authority.uri.as_str())
    }

    /// URLs of the transparency logs.
    pub fn log_urls(&self) -> impl Iterator<Item = &str> {
        self.tlogs.iter().map(|log| log.base_url.as_str())
    }
}

fn authority(wire: &bundle::CertificateAuthority) -> Result<Authority, TrustError> {
    let chain = wire
        .cert_chain
        .iter()
        .map(|der| Certificate::from_der(der))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TrustError::Certificate {
            uri: wire.uri.clone(),
            source,
        })?;
    if chain.is_empty() {
        return Err(TrustError::NoCertificates {
            uri: wire.uri.clone(),
        });
    }
    Ok(Authority {
        uri: wire.uri.clone(),
        chain,
        valid_for: wire.valid_for.clone(),
    })
}

fn log(wire: &bundle::TransparencyLog) -> Option<Log> {
    let raw = &wire.public_key.raw_bytes;
    let key = match wire.public_key.key_details {
        KeyDetails::Pkcs1RsaPkcs1v5 | KeyDetails::Pkcs1RsaPss => PublicKey::from_pkcs1_der(raw),
        _ => PublicKey::from_spki_der(raw),
    };
    Some(Log {
        base_url: wire.base_url.clone(),
        key: key.ok()?,
        id: wire.log_id.key_id.clone(),
        valid_for: Some(wire.public_key.valid_for.clone().unwrap_or_default()),
    })
}

/// Whether two URLs name the same instance: they differ in a final slash at most.
pub(crate) fn same_url(a: &str, b: &str) -> bool {
    a.trim_end_matches('/') == b.trim_end_matches('/')
}
