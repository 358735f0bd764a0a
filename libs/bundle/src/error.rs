//! What can be wrong with a document.

/// One rule broken by a document.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than any document of this kind may have.
    #[error("{document} has {got} bytes, at most {max} are read")]
    TooLarge {
        /// What was read.
        document: &'static str,
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not JSON, or not JSON of this message.
    #[error("{document} is not valid JSON of its kind")]
    Json {
        /// What was read.
        document: &'static str,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// A media type that this kind of document does not have.
    #[error("unsupported media type: {got}")]
    MediaType {
        /// The media type in the document.
        got: String,
    },
    /// A bundle version below 0.1 or above 0.3.
    #[error("unsupported media type: bundle version {got} is not supported")]
    BundleVersion {
        /// The version in the media type.
        got: String,
    },
    /// A v0.1 bundle with log entries and no inclusion promise.
    #[error("inclusion promises missing in bundle (required for bundle v0.1)")]
    InclusionPromiseMissing,
    /// A v0.2 or later bundle with log entries and no inclusion proof.
    #[error("inclusion proof missing in bundle (required for bundle v0.2)")]
    InclusionProofMissing,
    /// A v0.3 bundle with a certificate chain.
    #[error("verification material cannot be X.509 certificate chain (for bundle v0.3)")]
    CertificateChain,
    /// A bundle with more log entries or timestamps than any verifier reads.
    #[error("too many {what}: {got} > {max}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        got: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A log in a trusted root whose key has no start of validity.
    #[error("tlog missing public key validity period")]
    LogValidityMissing,
}
