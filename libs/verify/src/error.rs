//! Why a signature was not accepted, in the words that users of cosign and policy-controller search for.

use jiff::Timestamp;

/// The check that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate that should have signed is not one.
    #[error("parsing certificate: {0}")]
    Certificate(#[source] x509::Error),
    /// A keyless signature without a certificate.
    #[error("no certificate found on signature")]
    NoCertificate,
    /// The verifier has no key for a bundle that was signed by one.
    #[error("bundle is signed by a key, and an identity was asked for")]
    KeyNotExpected,
    /// The certificate's key is of a kind that cannot verify signatures.
    #[error("public key of the certificate: {0}")]
    PublicKey(#[source] crypto::Error),
    /// An envelope that is not one statement with one signature.
    #[error("envelope has {got} signatures, exactly one is read")]
    EnvelopeSignatures {
        /// How many it has.
        got: usize,
    },
    /// The signature is not one by this key over this content.
    #[error("invalid signature when validating ASN.1 encoded signature")]
    Signature,
    /// The digest that the bundle names is another artifact's.
    #[error("provided artifact digest does not match the digest in the bundle")]
    MessageDigest,
    /// What was signed is about another image.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// The log's part of the story is missing or wrong.
    #[error("{0}")]
    Log(#[from] LogError),
    /// No verified entry, and one is required.
    #[error("signature not found in transparency log")]
    NotLogged,
    /// A signed timestamp is missing or wrong.
    #[error("unable to verify RFC3161 timestamp bundle: {0}")]
    Timestamp(#[from] TimestampError),
    /// Nothing says when the certificate was used.
    #[error("expected a signed timestamp to verify an expired certificate")]
    NoVerifiedTime,
    /// No chain to a certificate authority of the trust root.
    #[error("cert verification failed: x509: certificate signed by unknown authority: {0}")]
    Chain(#[source] x509::Error),
    /// The trust root has no certificate authority that a chain could lead to.
    #[error("cert verification failed: x509: certificate signed by unknown authority: {reason}")]
    NoAuthority {
        /// Why there is none.
        reason: AuthorityGap,
    },
    /// The certificate was not valid when it was used.
    #[error("checking expiry on certificate with {source_name}: certificate {problem} {at}")]
    Expiry {
        /// `bundle` or `timestamp`: where the time comes from.
        source_name: &'static str,
        /// `expired before` or `was issued after`.
        problem: &'static str,
        /// The verified time.
        at: Timestamp,
    },
    /// No SCT at all.
    #[error("certificate does not include required embedded SCT and no detached SCT was set")]
    NoSct,
    /// No SCT by a known log that verifies.
    #[error("only able to verify 0 SCT entries; unable to meet threshold of 1: {reason}")]
    Sct {
        /// What was wrong with the last one.
        reason: SctGap,
    },
    /// Somebody else signed.
    #[error(
        "none of the expected identities matched what was in the certificate, got subjects [{}] with \
         issuer {issuer}", subjects.join(", ")
    )]
    Identity {
        /// Names in the certificate.
        subjects: Vec<String>,
        /// Issuer in the certificate.
        issuer: String,
    },
}

/// Why there is no certificate authority to lead to.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthorityGap {
    /// The trust root names none.
    #[error("the trust root has no certificate authority")]
    Empty,
    /// None has the URL that was asked for.
    #[error("{wanted} is not a certificate authority of the trust root, which has {}", known.join(", "))]
    Url {
        /// URL asked for.
        wanted: String,
        /// URLs there are.
        known: Vec<String>,
    },
    /// None was in use at the time.
    #[error("no certificate authority of the trust root was valid at {at}")]
    Time {
        /// The verified time.
        at: Timestamp,
    },
}

/// Why no SCT verified.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SctGap {
    /// The log is not in the trust root.
    #[error("SCT by unknown log {log_id}")]
    UnknownLog {
        /// Hexadecimal.
        log_id: String,
    },
    /// The log was not in use.
    #[error("SCT of {at} is outside the validity of log {log_id}")]
    LogValidity {
        /// Time of the SCT.
        at: String,
        /// Hexadecimal.
        log_id: String,
    },
    /// The SCT list or its signature is wrong.
    #[error("{0}")]
    Invalid(#[from] x509::Error),
}

/// Why what was signed is not about the image.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Not JSON of its kind.
    #[error("invalid claim: {0}")]
    Json(#[source] serde_json::Error),
    /// An envelope with another payload type than in-toto's.
    #[error("invalid payloadType {got} on envelope, expected application/vnd.in-toto+json")]
    PayloadType {
        /// The payload type.
        got: String,
    },
    /// The claim is about something else.
    #[error("invalid or missing digest in claim: {got}")]
    Digest {
        /// What it is about.
        got: String,
    },
    /// A claim of another type.
    #[error("could not verify claim: type {got:?} is not a container image signature")]
    Type {
        /// The type.
        got: String,
    },
}

/// Why a log entry was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The same entry twice.
    #[error("duplicate tlog entries found")]
    Duplicate,
    /// Neither promise nor proof.
    #[error("entry must contain an inclusion proof and/or promise")]
    NoProof,
    /// A v2 entry without its proof.
    #[error("rekor v2 entries must have an inclusion proof")]
    NoInclusionProof,
    /// A negative index, size or time, or an id that is not 32 bytes.
    #[error("transparency log entry has an invalid {field}")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// The body cannot be read.
    #[error("transparency log entry body: {0}")]
    Body(#[source] entry::Error),
    /// The body is of another kind than the entry says, or of one that cannot hold this content.
    #[error("transparency log entry is of kind {got}, which does not record this content")]
    Kind {
        /// Kind and version.
        got: String,
    },
    /// The entry records another signature.
    #[error("transparency log signature does not match")]
    SignatureMismatch,
    /// The entry records another certificate or key.
    #[error("transparency log certificate does not match")]
    CertificateMismatch,
    /// The entry records another digest.
    #[error("transparency log entry digest {logged} does not match artifact {signed}")]
    DigestMismatch {
        /// Hexadecimal.
        logged: String,
        /// Hexadecimal.
        signed: String,
    },
    /// All entries are by logs outside the trust root.
    #[error("verifying bundle: rekor log public key not found for payload")]
    UnknownLog,
    /// The log's key was not in use.
    #[error(
        "error verifying bundle: integrated time {at} is outside the validity of the log's key"
    )]
    LogValidity {
        /// Integrated time.
        at: Timestamp,
    },
    /// The promise is not the log's.
    #[error("error verifying bundle: unable to verify SET")]
    Promise,
    /// The proof does not lead to the root.
    #[error("error verifying bundle: verifying inclusion: {0}")]
    Inclusion(#[source] merkle::Error),
    /// A hash of the proof that is not 32 bytes.
    #[error("error verifying bundle: malformed inclusion proof")]
    ProofShape,
    /// The proof has no checkpoint.
    #[error("error verifying bundle: inclusion proof has no checkpoint")]
    NoCheckpoint,
    /// The checkpoint cannot be read or is not signed by the log.
    #[error("error verifying bundle: verifying checkpoint: {0}")]
    Checkpoint(#[source] note::Error),
    /// The checkpoint is of another tree than the proof.
    #[error("error verifying bundle: checkpoint and inclusion proof are of different trees")]
    CheckpointMismatch,
    /// The checkpoint's origin is not the log's name.
    #[error("error verifying bundle: checkpoint origin {got:?} is not the log's, {want:?}")]
    Origin {
        /// Origin of the checkpoint.
        got: String,
        /// Host of the log's URL.
        want: String,
    },
}

/// Why a signed timestamp was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum TimestampError {
    /// None is there, and one is required.
    #[error("no signed timestamp")]
    Missing,
    /// The trust root has no timestamp authority.
    #[error("the trust root has no timestamp authority")]
    NoAuthority,
    /// Cannot be read.
    #[error("{0}")]
    Token(#[from] tsp::Error),
    /// Its signer leads to no authority of the trust root.
    #[error("{0}")]
    Chain(#[source] x509::Error),
    /// The authority was not in use.
    #[error("timestamp {at} is outside the validity of its authority")]
    Validity {
        /// Time of the timestamp.
        at: Timestamp,
    },
    /// Its signer's certificate is neither in the trust root nor in the token.
    #[error("no certificate of a timestamp authority")]
    NoSigner,
}

/// What is wrong with a trust root.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A certificate of an authority cannot be read.
    #[error("certificate authority {uri}: {source}")]
    Certificate {
        /// URL of the authority.
        uri: String,
        /// What is wrong.
        source: x509::Error,
    },
    /// An authority without certificates.
    #[error("certificate authority {uri} has no certificates")]
    NoCertificates {
        /// URL of the authority.
        uri: String,
    },
}
