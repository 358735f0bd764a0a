//! What can be wrong with a key, a digest or a signature.

/// One rule broken by the input.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The text has no PEM block that parses (RFC 7468).
    #[error("failure decoding PEM")]
    Pem,
    /// The PEM block has another label than the caller can use.
    #[error("cannot handle type {label}")]
    PemLabel {
        /// The label found between the dashes.
        label: String,
    },
    /// The bytes are not a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) or PKCS#1 RSA public key.
    #[error("public key could not be parsed")]
    PublicKey,
    /// A well-formed SubjectPublicKeyInfo whose algorithm or curve is not supported.
    #[error("unsupported public key algorithm {oid}")]
    UnsupportedPublicKey {
        /// The algorithm's object identifier, or the curve's for an elliptic curve key.
        oid: String,
    },
    /// The bytes are not a PKCS#8 private key (RFC 5958) of a supported kind.
    #[error("private key could not be parsed")]
    PrivateKey,
    /// An encrypted private key did not open with the given password.
    #[error("private key could not be decrypted with the given password")]
    PrivateKeyPassword,
    /// The signature is not a signature by this key over this input.
    #[error("signature does not verify")]
    Signature,
    /// The key can not sign or verify with this hash algorithm.
    #[error("{hash} cannot be used with a {key} key")]
    HashForKey {
        /// Hash algorithm asked for.
        hash: crate::HashAlgorithm,
        /// Kind of key.
        key: crate::PublicKeyKind,
    },
    /// A digest has another length than its algorithm produces.
    #[error("digest has {got} bytes, {hash} has {want}")]
    DigestLength {
        /// Hash algorithm.
        hash: crate::HashAlgorithm,
        /// Bytes given.
        got: usize,
        /// Bytes expected.
        want: usize,
    },
    /// The name is none of the supported hash algorithms.
    #[error("unsupported hash algorithm")]
    UnsupportedHash,
    /// The operating system gave no random bytes, or a key could not be generated.
    #[error("no randomness from the operating system")]
    Random,
}
