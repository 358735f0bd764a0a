//! The whole verification, step by step; it ends at the first that fails.

use bundle::{Bundle, Content};
use crypto::{HashAlgorithm, PublicKey};
use jiff::Timestamp;

use crate::certificate::{self, SignerIdentity, VerifiedTime};
use crate::error::TimestampError;
use crate::material::{Artifact, Material, Signed};
use crate::trust::Trust;
use crate::{Error, Identity, Report, log, timestamp};

/// Who must have signed.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    /// Somebody with a certificate for one of these identities.
    Keyless {
        /// Any of them.
        identities: &'a [Identity],
        /// URL of the only certificate authority that may have issued it; `None` for any.
        authority_url: Option<&'a str>,
    },
    /// The holder of this key.
    Key {
        /// The key.
        key: &'a PublicKey,
        /// Hash that goes with it.
        hash: HashAlgorithm,
    },
}

/// What must be there besides the signature.
#[derive(Clone, Copy, Debug)]
pub struct Requirements<'a> {
    /// Who must have signed.
    pub signer: Signer<'a>,
    /// Whether the certificate must carry an SCT.
    pub sct: bool,
    /// Whether an entry in a transparency log must be there. One that is there must verify even so, unless
    /// the trust root knows no log.
    pub log: bool,
    /// Whether an RFC 3161 timestamp must be there.
    pub timestamp: bool,
}

/// A signature that passed.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Who signed; `None` for a key.
    pub signer: Option<SignerIdentity>,
    /// When, as far as it was asked for or needed.
    pub times: Vec<Timestamp>,
    /// The signature and the PEM of the certificate, the bytes that name it in policies.
    pub id: String,
}

/// Verifies a bundle over `artifact` (a message signature) or over its own payload (an envelope).
///
/// # Errors
/// The first check that fails; `report` has all that were made.
pub fn verify_bundle(
    bundle: &Bundle,
    artifact: Artifact<'_>,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<Verified, Error> {
    if let Content::MessageSignature(message) = &bundle.content
        && let Some(named) = &message.message_digest
    {
        let hash = match named.algorithm {
            bundle::HashAlgorithm::Sha2_256 => Some(HashAlgorithm::Sha256),
            bundle::HashAlgorithm::Sha2_384 => Some(HashAlgorithm::Sha384),
            bundle::HashAlgorithm::Sha2_512 => Some(HashAlgorithm::Sha512),
            _ => None,
        };
        let digest = hash.and_then(|hash| artifact.digest(hash));
        if digest.is_none_or(|digest| digest != named.digest) {
            report.fail("digest", "the artifact's", hex::encode(&named.digest), "");
            return Err(Error::MessageDigest);
        }
    }
    let material = Material::from_bundle(bundle, artifact)
        .inspect_err(|error| report.fail("bundle", "", error.to_string(), ""))?;
    verify(&material, requirements, trust, report)
}

/// Verifies a signature with what came with it.
pub(crate) fn verify(
    material: &Material<'_>,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<Verified, Error> {
    let (key, hash) = signing_key(material, requirements)
        .inspect_err(|error| report.fail("signer", "", error.to_string(), ""))?;
    verify_signature(material, &key, hash)
        .inspect_err(|error| report.fail("signature", "", error.to_string(), SIGNATURE_HINT))?;
    report.pass("signature", format!("by {} over the content", key.kind()));
    let mut times = verify_log(material, &key, requirements, trust, report)?;
    times.extend(verify_timestamps(material, requirements, trust, report)?);
    let mut verified = Verified {
        signer: None,
        times: times.iter().map(|time| time.at).collect(),
        id: id(material),
    };
    if let Signer::Keyless {
        identities,
        authority_url,
    } = requirements.signer
    {
        let signer = verify_certificate(
            material,
            &times,
            requirements.sct,
            identities,
            authority_url,
            trust,
            report,
        )?;
        verified.signer = Some(signer);
    }
    Ok(verified)
}

const SIGNATURE_HINT: &str = "another key signed, or the content was changed after it was signed";

fn signing_key(
    material: &Material<'_>,
    requirements: &Requirements<'_>,
) -> Result<(PublicKey, HashAlgorithm), Error> {
    match (requirements.signer, &material.certificate) {
        // A key decides alone; a certificate beside it means nothing.
        (Signer::Key { key, hash }, _) => Ok((key.clone(), hash)),
        (Signer::Keyless { .. }, Some(certificate)) => {
            let key = PublicKey::from_spki_der(certificate.spki_der()).map_err(Error::PublicKey)?;
            let hash = key.kind().default_hash();
            Ok((key, hash))
        }
        (Signer::Keyless { .. }, None) => Err(Error::NoCertificate),
    }
}

fn verify_signature(
    material: &Material<'_>,
    key: &PublicKey,
    hash: HashAlgorithm,
) -> Result<(), Error> {
    let signature = &material.signature;
    let verified = match &material.signed {
        Signed::Message(Artifact::Message(message)) => key.verify(hash, message, signature),
        Signed::Message(Artifact::Digest(known, digest)) => {
            key.verify_digest(*known, digest, signature)
        }
        Signed::Envelope { envelope, .. } => key.verify(hash, &envelope.pae(), signature),
    };
    verified.map_err(|_| Error::Signature)
}

fn verify_log(
    material: &Material<'_>,
    key: &PublicKey,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<Vec<VerifiedTime>, Error> {
    let is_key = matches!(requirements.signer, Signer::Key { .. });
    if !requirements.log && (is_key || trust.tlogs.is_empty() || material.entries.is_empty()) {
        report.skip("log entry", "not asked for");
        return Ok(Vec::new());
    }
    let known = || trust.log_urls().collect::<Vec<_>>().join(", ");
    let logged = match log::verify(material, key, trust, report) {
        // What is not asked for may also be by a log that nobody here knows.
        Err(crate::LogError::UnknownLog) if !requirements.log => log::Logged::default(),
        verified => verified.inspect_err(|error| {
            report.fail(
                "log entry",
                format!("an entry in {}", known()),
                error.to_string(),
                "",
            );
        })?,
    };
    if logged.entries == 0 && requirements.log {
        report.fail(
            "log entry",
            format!("an entry in {}", known()),
            "none",
            "sign with a transparency log that the trust root has",
        );
        return Err(Error::NotLogged);
    }
    Ok(logged
        .times
        .into_iter()
        .map(|at| VerifiedTime {
            at,
            source: "bundle",
        })
        .collect())
}

fn verify_timestamps(
    material: &Material<'_>,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<Vec<VerifiedTime>, Error> {
    let is_key = matches!(requirements.signer, Signer::Key { .. });
    let pointless = is_key || trust.timestamp_authorities.is_empty();
    if !requirements.timestamp && (pointless || material.timestamps.is_empty()) {
        report.skip("timestamp", "not asked for");
        return Ok(Vec::new());
    }
    let verified = timestamp::verify(&material.timestamps, &material.signature, trust, report)
        .and_then(|times| {
            if times.is_empty() {
                Err(TimestampError::Missing)
            } else {
                Ok(times)
            }
        });
    let times = verified.inspect_err(|error| {
        let authorities = trust
            .timestamp_authorities
            .iter()
            .map(|authority| &*authority.uri);
        let authorities: Vec<&str> = authorities.collect();
        let expected = format!("a timestamp by {}", authorities.join(", "));
        report.fail("timestamp", expected, error.to_string(), "");
    })?;
    Ok(times
        .into_iter()
        .map(|at| VerifiedTime {
            at,
            source: "timestamp",
        })
        .collect())
}

fn verify_certificate(
    material: &Material<'_>,
    times: &[VerifiedTime],
    sct: bool,
    identities: &[Identity],
    authority_url: Option<&str>,
    trust: &Trust,
    report: &mut Report,
) -> Result<SignerIdentity, Error> {
    let leaf = material.certificate.as_ref().ok_or(Error::NoCertificate)?;
    let validity = || format!("valid from {} to {}", leaf.not_before(), leaf.not_after());
    let chain =
        certificate::verify_chain(leaf, times, trust, authority_url).inspect_err(|error| {
            let expected = match authority_url {
                Some(url) => format!("a certificate by {url}, {}", validity()),
                None => format!("a certificate by the trust root, {}", validity()),
            };
            let observed = format!("{error}; issuer {}", leaf.issuer_text());
            report.fail("certificate chain", expected, observed, "");
        })?;
    let root = chain
        .last()
        .map(x509::Certificate::subject_text)
        .unwrap_or_default();
    report.pass("certificate chain", format!("{} to {root}", validity()));
    if sct {
        let seen = certificate::verify_sct(&chain, trust).inspect_err(|error| {
            let logs = trust
                .ctlogs
                .iter()
                .map(|log| &*log.base_url)
                .collect::<Vec<_>>();
            report.fail(
                "SCT",
                format!("one by {}", logs.join(", ")),
                error.to_string(),
                "",
            );
        })?;
        report.pass("SCT", seen);
    } else {
        report.skip("SCT", "not asked for");
    }
    let signer = SignerIdentity::of(leaf);
    certificate::verify_identity(&signer, identities, report)?;
    Ok(signer)
}

/// What names a signature in policies: SHA-256 over its bytes and the certificate's PEM.
fn id(material: &Material<'_>) -> String {
    let mut named = material.signature.clone();
    if let Some(certificate) = &material.certificate {
        named.extend_from_slice(certificate.to_pem().as_bytes());
    }
    hex::encode(crypto::sha256(&named))
}
