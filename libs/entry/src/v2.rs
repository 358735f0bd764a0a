//! Entries as Rekor v2 (rekor-tiles) takes them: a request in protobuf terms, verified, becomes a body.

mod json;
mod key_details;
mod request;

use crypto::{HashAlgorithm, PublicKeyKind};

pub use json::JsonError;
pub use key_details::{Algorithms, KeyDetails};
pub use request::{
    DsseRequest, HashedRekordRequest, Request, Signature, VerifierChoice, VerifierMessage,
};

use crate::{
    Body, Envelope, Kind, Verifier,
    body::{DsseV002, HashOutputV002, HashedRekordV002, RawBytes, SignatureV002, VerifierV002},
    signed,
};

/// Signatures, and verifiers, of one DSSE request.
const DSSE_ITEMS_MAX: usize = 10;

/// Why a request is refused. Clients see no more than `Display` says; the source is for the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// No request that this log takes.
    #[error("invalid type, must be either hashedrekord or dsse")]
    Type,
    /// The hashedrekord request breaks a rule.
    #[error("invalid hashedrekord request")]
    HashedRekord(#[source] Invalid),
    /// The DSSE request breaks a rule.
    #[error("invalid dsse request")]
    Dsse(#[source] Invalid),
}

/// One rule that a request breaks.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// No signature, or an empty one.
    #[error("missing signature")]
    MissingSignature,
    /// No verifier, or one without key and certificate.
    #[error("missing verifier")]
    MissingVerifier,
    /// No digest.
    #[error("missing digest")]
    MissingDigest,
    /// No envelope.
    #[error("missing envelope")]
    MissingEnvelope,
    /// The envelope has no payload.
    #[error("missing payload")]
    MissingPayload,
    /// More signatures or verifiers than are looked at.
    #[error("more than {DSSE_ITEMS_MAX} {0}")]
    TooMany(&'static str),
    /// The verifier has no bytes.
    #[error("missing verifier raw bytes")]
    EmptyVerifier,
    /// The verifier did not parse.
    #[error("parsing verifier")]
    Verifier(#[source] crate::Error),
    /// The log does not take this key with this hash.
    #[error("unsupported entry algorithm: {key} with {hash}")]
    Algorithm {
        /// Kind of key.
        key: PublicKeyKind,
        /// Hash that the key details name.
        hash: HashAlgorithm,
    },
    /// The key details name no algorithm that Rekor v2 knows.
    #[error("unsupported key details {0:?}")]
    KeyDetails(KeyDetails),
    /// The digest has another length than its algorithm's.
    #[error("digest length ({got}) does not match expected size ({want})")]
    DigestLength {
        /// Bytes given.
        got: usize,
        /// Bytes expected.
        want: usize,
    },
    /// The signature did not verify.
    #[error("verifying signature")]
    Signature(#[source] crate::Error),
    /// A verifier verifies none of the envelope's signatures, or a signature has no verifier.
    #[error(
        "all signatures must have a verifier that verifies them, and each verifier a signature"
    )]
    Uncovered,
    /// The envelope's digests cannot be logged.
    #[error("decoding envelope")]
    Envelope(#[source] crate::Error),
}

/// An entry whose signatures are verified.
#[derive(Clone, Debug)]
pub struct Entry {
    body: Body,
}

impl Entry {
    /// Verifies `request` under the algorithms that the log takes.
    ///
    /// # Errors
    /// [`Error`].
    pub fn from_request(request: &Request, algorithms: &Algorithms) -> Result<Self, Error> {
        let body = match request {
            Request::HashedRekord(request) => {
                let body = hashed_rekord(request, algorithms).map_err(Error::HashedRekord)?;
                Body::HashedRekordV002(body)
            }
            Request::Dsse(request) => {
                Body::DsseV002(dsse(request, algorithms).map_err(Error::Dsse)?)
            }
            Request::Unset => return Err(Error::Type),
        };
        Ok(Self { body })
    }

    /// Its kind and version.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }

    /// What is logged.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.body
    }
}

fn hashed_rekord(
    request: &HashedRekordRequest,
    algorithms: &Algorithms,
) -> Result<HashedRekordV002, Invalid> {
    let signature = request.signature.as_ref().filter(|s| !s.content.is_empty());
    let signature = signature.ok_or(Invalid::MissingSignature)?;
    let message = signature
        .verifier
        .as_ref()
        .ok_or(Invalid::MissingVerifier)?;
    if request.digest.is_empty() {
        return Err(Invalid::MissingDigest);
    }
    let (logged, verifier) = verifier(message)?;
    let hash = allowed(&verifier, message.key_details, algorithms)?;
    if request.digest.len() != hash.digest_bytes() {
        let (got, want) = (request.digest.len(), hash.digest_bytes());
        return Err(Invalid::DigestLength { got, want });
    }
    signed::verify_digest(
        verifier.public_key(),
        hash,
        &request.digest,
        &signature.content,
    )
    .map_err(Invalid::Signature)?;
    Ok(HashedRekordV002 {
        data: HashOutputV002 {
            algorithm: hash,
            digest: request.digest.clone(),
        },
        signature: SignatureV002 {
            content: signature.content.clone(),
            verifier: logged,
        },
    })
}

fn verifier(message: &VerifierMessage) -> Result<(VerifierV002, Verifier), Invalid> {
    let choice = message.verifier.as_ref().ok_or(Invalid::MissingVerifier)?;
    let (public_key, x509_certificate) = match choice {
        VerifierChoice::PublicKey(der) => (
            Some(RawBytes {
                raw_bytes: der.clone(),
            }),
            None,
        ),
        VerifierChoice::X509Certificate(der) => (
            None,
            Some(RawBytes {
                raw_bytes: der.clone(),
            }),
        ),
    };
    let raw = public_key.as_ref().or(x509_certificate.as_ref());
    if raw.is_none_or(|raw| raw.raw_bytes.is_empty()) {
        return Err(Invalid::EmptyVerifier);
    }
    let key_details = message.key_details;
    let logged = VerifierV002 {
        key_details,
        public_key,
        x509_certificate,
    };
    let verifier = logged.verifier().map_err(Invalid::Verifier)?;
    Ok((logged, verifier))
}

/// The hash that the key details name, if the log takes it with this key. The details are not compared
/// with the key otherwise: upstream logs a wrong label as it came.
fn allowed(
    verifier: &Verifier,
    details: KeyDetails,
    algorithms: &Algorithms,
) -> Result<HashAlgorithm, Invalid> {
    let hash = details.hash().ok_or(Invalid::KeyDetails(details))?;
    let key = verifier.public_key().kind();
    if algorithms.allow(key, hash) {
        Ok(hash)
    } else {
        Err(Invalid::Algorithm { key, hash })
    }
}

fn dsse(request: &DsseRequest, algorithms: &Algorithms) -> Result<DsseV002, Invalid> {
    let envelope = request.envelope.as_ref().ok_or(Invalid::MissingEnvelope)?;
    if envelope.payload.is_empty() {
        return Err(Invalid::MissingPayload);
    }
    if envelope.signatures.is_empty() {
        return Err(Invalid::MissingSignature);
    }
    if envelope.signatures.len() > DSSE_ITEMS_MAX {
        return Err(Invalid::TooMany("signatures"));
    }
    if request.verifiers.is_empty() {
        return Err(Invalid::MissingVerifier);
    }
    if request.verifiers.len() > DSSE_ITEMS_MAX {
        return Err(Invalid::TooMany("verifiers"));
    }
    let message = crate::pae(&envelope.payload_type, &envelope.payload);
    let mut signatures: Vec<SignatureV002> = Vec::new();
    for offered in &request.verifiers {
        let done = envelope
            .signatures
            .iter()
            .all(|s| signatures.iter().any(|o| o.content == *s));
        if done {
            break;
        }
        let (logged, verifier) = verifier(offered)?;
        let hash = allowed(&verifier, offered.key_details, algorithms)?;
        let digest = hash.digest(&message);
        let by = |s: &&Vec<u8>| {
            let key = verifier.public_key();
            signed::verify_digest(key, hash, &digest, s).is_ok()
        };
        let content = envelope
            .signatures
            .iter()
            .find(by)
            .ok_or(Invalid::Uncovered)?
            .clone();
        signatures.retain(|known| known.content != content);
        signatures.push(SignatureV002 {
            content,
            verifier: logged,
        });
    }
    if !envelope
        .signatures
        .iter()
        .all(|s| signatures.iter().any(|o| o.content == *s))
    {
        return Err(Invalid::Uncovered);
    }
    signatures.sort_by(|a, b| a.content.cmp(&b.content));
    let algorithm = HashAlgorithm::Sha256;
    let payload_hash = HashOutputV002 {
        algorithm,
        digest: algorithm.digest(&envelope.payload),
    };
    Ok(DsseV002 {
        payload_hash,
        signatures,
    })
}

/// A DSSE envelope as a protobuf message: bytes are bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EnvelopeMessage {
    /// The payload.
    pub payload: Vec<u8>,
    /// What it is.
    pub payload_type: String,
    /// The signatures; key ids are not looked at.
    pub signatures: Vec<Vec<u8>>,
}

impl TryFrom<&Envelope> for EnvelopeMessage {
    type Error = crate::Error;

    fn try_from(envelope: &Envelope) -> Result<Self, crate::Error> {
        let decode = |s: &crate::EnvelopeSignature| crate::go::decode_base64_any(&s.signature);
        Ok(Self {
            payload: envelope.decode_payload()?,
            payload_type: envelope.payload_type.clone(),
            signatures: envelope
                .signatures
                .iter()
                .map(decode)
                .collect::<Result<_, _>>()?,
        })
    }
}
