//! A signature with all that came with it, whether from a bundle or from legacy annotations.

use bundle::{Bundle, Content, DsseEnvelope, SigningMaterial, TransparencyLogEntry};
use crypto::HashAlgorithm;
use x509::Certificate;

use crate::Error;

/// The bytes that were signed, or their digest.
#[derive(Clone, Copy, Debug)]
pub enum Artifact<'a> {
    /// The whole.
    Message(&'a [u8]),
    /// Its digest.
    Digest(HashAlgorithm, &'a [u8]),
}

impl Artifact<'_> {
    /// The digest, when it is known for `hash`.
    pub(crate) fn digest(&self, hash: HashAlgorithm) -> Option<Vec<u8>> {
        match self {
            Self::Message(message) => Some(hash.digest(message)),
            Self::Digest(known, digest) => (*known == hash).then(|| digest.to_vec()),
        }
    }
}

/// What was signed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signed<'a> {
    Message(Artifact<'a>),
    Envelope {
        envelope: &'a DsseEnvelope,
        /// The envelope's JSON as it was stored, where it is known.
        text: Option<&'a [u8]>,
    },
}

/// Everything about one signature.
#[derive(Debug)]
pub(crate) struct Material<'a> {
    pub(crate) certificate: Option<Certificate>,
    pub(crate) signature: Vec<u8>,
    pub(crate) signed: Signed<'a>,
    pub(crate) entries: Vec<TransparencyLogEntry>,
    pub(crate) timestamps: Vec<Vec<u8>>,
}

impl<'a> Material<'a> {
    /// Of a bundle; `artifact` is what a message signature is about.
    pub(crate) fn from_bundle(bundle: &'a Bundle, artifact: Artifact<'a>) -> Result<Self, Error> {
        let source = &bundle.verification_material;
        // What a bundle brings above the leaf is not trusted; the trust root has the chain.
        let certificate = match &source.signer {
            SigningMaterial::PublicKey { .. } => None,
            signer => {
                let leaf = signer.leaf().ok_or(Error::NoCertificate)?;
                Some(Certificate::from_der(leaf).map_err(Error::Certificate)?)
            }
        };
        let (signature, signed) = match &bundle.content {
            Content::MessageSignature(message) => {
                (message.signature.clone(), Signed::Message(artifact))
            }
            Content::DsseEnvelope(envelope) => {
                let signed = Signed::Envelope {
                    envelope,
                    text: None,
                };
                (only_signature(envelope)?, signed)
            }
        };
        Ok(Self {
            certificate,
            signature,
            signed,
            entries: source.tlog_entries.clone(),
            timestamps: source.rfc3161_timestamps.clone(),
        })
    }
}

/// The envelope's one signature; with more it would be open which one the log and the times are about.
pub(crate) fn only_signature(envelope: &DsseEnvelope) -> Result<Vec<u8>, Error> {
    match envelope.signatures.as_slice() {
        [one] => Ok(one.sig.clone()),
        many => Err(Error::EnvelopeSignatures { got: many.len() }),
    }
}
