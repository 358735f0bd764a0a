//! What can be wrong with an entry, in the words that clients of the real logs see.

use crate::v1::Rule;

/// One rule broken by the input. `Display` is the text that Rekor puts behind `error processing entry: `.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Members that the kind's schema wants are absent or have a wrong value.
    #[error("{}", crate::v1::failure_list(.0))]
    Schema(Vec<Rule>),
    /// The spec is no JSON object.
    #[error("unsupported input type {0} for DecodeEntry")]
    SpecType(&'static str),
    /// Base64 of a member is broken at a byte.
    #[error("failed parsing base64 data for {member}: illegal base64 data at input byte {at}")]
    Base64 {
        /// The member, in upstream's words.
        member: &'static str,
        /// Offset in the text.
        at: usize,
    },
    /// Base64 inside a DSSE envelope is broken in both alphabets.
    #[error("unable to base64 decode payload (is payload in the right format?)")]
    EnvelopeBase64,
    /// The payload inside a DSSE envelope is not standard base64.
    #[error("could not decode envelope payload: illegal base64 data at input byte {0}")]
    PayloadBase64(usize),
    /// A hash value has a character that is no hex digit.
    #[error("encoding/hex: invalid byte: U+{0:04X} '{ch}'", ch = char::from(*.0))]
    Hex(u8),
    /// A hash value has the wrong length.
    #[error("invalid value for hash")]
    HashLength,
    /// JSON ends too early.
    #[error("unexpected end of JSON input")]
    JsonEnd,
    /// JSON has a character where it may not be.
    #[error("invalid character '{0}' looking for beginning of value")]
    JsonCharacter(char),
    /// JSON has more values or levels than are read.
    #[error("json: more values or levels than are read")]
    JsonBounds,
    /// The envelope is JSON but no object.
    #[error("json: cannot unmarshal {0} into Go value of type dsse.Envelope")]
    EnvelopeType(&'static str),
    /// A member of the envelope has the wrong JSON type.
    #[error("json: cannot unmarshal {found} into Go struct field {member} of type {want}")]
    EnvelopeMemberType {
        /// What was found.
        found: &'static str,
        /// Which member.
        member: &'static str,
        /// What it should be.
        want: &'static str,
    },
    /// No implementation of this version of the kind.
    #[error(
        "{kind} implementation for version '{version}' not found: unable to locate entry for version {version}"
    )]
    UnknownVersion {
        /// The kind.
        kind: &'static str,
        /// The version asked for.
        version: String,
    },
    /// A kind of upstream that siglab does not log.
    #[error("entry kind '{0}' is not enabled for submission on this server")]
    KindNotEnabled(String),
    /// The hashedrekord has no public key member.
    #[error("missing public key")]
    MissingPublicKey,
    /// A member that must not be empty is.
    #[error("'content' must be specified for {0}")]
    MissingContent(&'static str),
    /// The key text has no PEM block.
    #[error("invalid public key: failure decoding PEM")]
    KeyPem,
    /// The PEM block holds something else than a public key or certificate.
    #[error("invalid public key: cannot handle type {0}")]
    KeyLabel(String),
    /// A certificate chain has text in it that is no PEM.
    #[error("error during PEM decoding")]
    ChainPem,
    /// More than ten certificates.
    #[error("too many certificates specified in PEM block")]
    TooManyCertificates,
    /// The key's curve is none of P-256, P-384 and P-521.
    #[error("x509: unsupported elliptic curve")]
    UnsupportedCurve,
    /// The key's algorithm is not known.
    #[error("x509: unknown public key algorithm")]
    UnknownKeyAlgorithm,
    /// The bytes are not a SubjectPublicKeyInfo.
    #[error("x509: malformed public key")]
    MalformedPublicKey,
    /// The bytes are not a certificate.
    #[error("x509: malformed certificate")]
    MalformedCertificate(#[source] x509::Error),
    /// The chain does not lead from its first certificate to its last.
    #[error("x509: certificate signed by unknown authority")]
    Chain(#[source] x509::Error),
    /// The public key in a DSSE entry did not parse.
    #[error("could not parse public key as x509: {0}")]
    EnvelopeKey(#[source] Box<Self>),
    /// The DSSE envelope did not verify.
    #[error("could not verify envelope: {0}")]
    Envelope(#[source] Box<Self>),
    /// The hashedrekord's signature did not verify.
    #[error("verifying signature: {0}")]
    Signature(#[source] Box<Self>),
    /// The signature is empty.
    #[error("X509 signature has not been initialized")]
    EmptySignature,
    /// A DER ECDSA signature is not by this key over this digest.
    #[error("invalid signature when validating ASN.1 encoded signature")]
    EcdsaAsn1,
    /// A fixed-width ECDSA signature is not by this key over this digest.
    #[error("invalid signature when validating IEEE_P1363 encoded signature")]
    EcdsaP1363,
    /// The bytes are neither DER nor a fixed-width ECDSA signature.
    #[error("ecdsa: Invalid IEEE_P1363 encoded bytes")]
    EcdsaEncoding,
    /// An RSA signature is not by this key over this digest.
    #[error("crypto/rsa: verification error")]
    Rsa,
    /// An Ed25519 signature is not by this key.
    #[error("failed to verify signature: ed25519: invalid signature")]
    Ed25519,
    /// A pure Ed25519 signature is not by this key.
    #[error("failed to verify signature")]
    Ed25519Message,
    /// An Ed25519 signature has another length than 64.
    #[error("failed to verify signature: ed25519: bad signature length: {0}")]
    Ed25519Length(usize),
    /// Ed25519ph wants SHA-512.
    #[error("unsupported hash algorithm: \"{0}\" not in [SHA-512]")]
    Ed25519Hash(&'static str),
    /// Neither a proposal nor a canonical DSSE entry.
    #[error("either proposedContent or envelopeHash, payloadHash, and signatures must be present")]
    DsseIncomplete,
    /// Both a proposal and a canonical DSSE entry.
    #[error(
        "either proposedContent or envelopeHash, payloadHash, and signatures must be present but not both"
    )]
    DsseBoth,
    /// The envelope has no signature.
    #[error("DSSE envelope must contain 1 or more signatures")]
    DsseWithoutSignature,
    /// The envelope has no signature, as the DSSE library says it.
    #[error("no signature found")]
    NoSignature,
    /// A key verifies none of the envelope's signatures.
    #[error("accepted signatures do not match threshold, Found: 0, Expected 1")]
    Threshold,
    /// Some signature of the envelope is verified by no key.
    #[error("all signatures must have a key that verifies it")]
    UncoveredSignature,
    /// More signatures or keys than are looked at.
    #[error("more than {max} signatures or verifiers")]
    TooManySignatures {
        /// The limit.
        max: usize,
    },
    /// An intoto entry without envelope has no envelope hash.
    #[error("missing hash value for envelope")]
    MissingEnvelopeHash,
    /// The intoto entry has no digest of its envelope.
    #[error("missing envelope digest")]
    MissingEnvelopeDigest,
    /// The intoto entry has no digest of its payload.
    #[error("missing payload digest")]
    MissingPayloadDigest,
    /// The rekord's content has another SHA-256 than it says.
    #[error("SHA mismatch: {computed} != {given}")]
    ShaMismatch {
        /// Hex SHA-256 of the content.
        computed: String,
        /// What the entry says.
        given: String,
    },
    /// A signature format that siglab does not verify.
    #[error("the PKI format {0} is not supported by this server")]
    UnsupportedFormat(&'static str),
    /// The entry is well-formed but is not what may be inserted.
    #[error("entry not insertable into log: {0}")]
    NotInsertable(&'static str),
    /// The bytes are not a canonical body of a kind that siglab knows.
    #[error("not a canonical entry body")]
    Body,
}

impl Error {
    /// Whether upstream counts a failure of canonicalization as the client's: if not, its answer is a
    /// 500 that says no more than `error generating canonicalized entry`.
    #[must_use]
    pub const fn is_input_validation(&self) -> bool {
        !matches!(
            self,
            Self::MissingEnvelopeDigest | Self::MissingPayloadDigest
        )
    }
}
