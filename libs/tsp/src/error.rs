//! What can be wrong with a request, a response or a token.

use jiff::Timestamp;

/// One rule broken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The bytes are no strict DER of the structure, or something follows it.
    #[error("malformed {part}")]
    Malformed {
        /// Which part.
        part: &'static str,
    },
    /// More bytes than any honest message has.
    #[error("{got} bytes, at most {max} are read")]
    TooLong {
        /// Bytes given.
        got: usize,
        /// Bytes read.
        max: usize,
    },
    /// The message imprint is a SHA-1.
    #[error("weak hash algorithm in the message imprint")]
    WeakHash,
    /// The message imprint's algorithm is no SHA-2 of 256, 384 or 512 bits.
    #[error("unsupported hash algorithm {oid}")]
    UnsupportedHash {
        /// Its object identifier.
        oid: String,
    },
    /// The digest is longer or shorter than its algorithm makes it.
    #[error("message digest has {got} bytes, {hash} has {want}")]
    DigestLength {
        /// The algorithm.
        hash: crypto::HashAlgorithm,
        /// Bytes given.
        got: usize,
        /// Bytes expected.
        want: usize,
    },
    /// The authority answered with another status than granted.
    #[error("the timestamp authority answered with status {status}")]
    NotGranted {
        /// PKIStatus, RFC 3161 §2.4.2.
        status: u8,
    },
    /// The signed content is no TSTInfo.
    #[error("the content is not a timestamp")]
    ContentType,
    /// There is not exactly one signer.
    #[error("a timestamp has one signer, this one has {count}")]
    SignerCount {
        /// How many.
        count: usize,
    },
    /// A signed attribute that must be there once is missing, repeated or not what it should be.
    #[error("signed attribute {attribute} is missing, repeated or wrong")]
    Attribute {
        /// Its name.
        attribute: &'static str,
    },
    /// The token is about other bytes.
    #[error("the timestamp is not of this message")]
    MessageImprint,
    /// The message digest among the signed attributes is not the content's.
    #[error("the signed message digest is not that of the timestamp")]
    MessageDigest,
    /// The token names another signer, or carries certificates among which the signer is not.
    #[error("the timestamp names another signing certificate")]
    SignerIdentity,
    /// The signing certificate may not sign timestamps: not an end entity, or timeStamping is not its only
    /// and critical extended key usage (RFC 3161 §2.3).
    #[error("the signing certificate is not one for timestamps alone")]
    SignerUsage,
    /// The time lies outside the signing certificate's validity.
    #[error("the timestamp's time {gen_time} is outside its certificate's validity")]
    SignerValidity {
        /// The token's time.
        gen_time: Timestamp,
    },
    /// The signature algorithm is not one that is supported, or does not fit the digest algorithm.
    #[error("unsupported signature algorithm {oid}")]
    SignatureAlgorithm {
        /// Its object identifier.
        oid: String,
    },
    /// The signature is not by the signer's key over the signed attributes.
    #[error("the timestamp's signature does not verify")]
    Signature(#[source] crypto::Error),
    /// The signing key gave no signature.
    #[error("the timestamp could not be signed")]
    Sign(#[source] crypto::Error),
    /// A certificate cannot be read.
    #[error("a certificate of the timestamp cannot be read")]
    Certificate(#[source] x509::Error),
    /// A time that the formats cannot carry.
    #[error("time {at} cannot be written")]
    Time {
        /// The time.
        at: Timestamp,
    },
}
