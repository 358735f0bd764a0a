//! What can be wrong with a certificate, a chain, an SCT or a request.

use der::asn1::ObjectIdentifier;

/// One rule broken by the input.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// More bytes than [`crate::MAX_DER_BYTES`].
    #[error("certificate has {got} bytes, at most {max} are read")]
    TooLong {
        /// Bytes given.
        got: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// The bytes are not the DER that the named part needs (X.690 §10, RFC 5280 §4.1).
    #[error("malformed {part}")]
    Malformed {
        /// The part that did not parse.
        part: &'static str,
    },
    /// The text has no PEM block, or a broken one.
    #[error("no certificate in PEM form")]
    Pem,
    /// The PEM block has another label.
    #[error("expected a PEM block {want}, found {got}")]
    PemLabel {
        /// Label expected.
        want: &'static str,
        /// Label found.
        got: String,
    },
    /// The same extension twice, which RFC 5280 §4.2 forbids.
    #[error("certificate contains extension {oid} twice")]
    DuplicateExtension {
        /// The extension.
        oid: ObjectIdentifier,
    },
    /// The signature algorithm is none that siglab can check.
    #[error("unsupported signature algorithm {oid}")]
    UnsupportedSignatureAlgorithm {
        /// The algorithm.
        oid: ObjectIdentifier,
    },
    /// The two signature algorithm fields differ (RFC 5280 §4.1.1.2).
    #[error("inner and outer signature algorithm identifiers differ")]
    SignatureAlgorithmMismatch,
    /// The public key or the signature failed in [`crypto`].
    #[error(transparent)]
    Crypto(#[from] crypto::Error),
    /// The time asked about is before the certificate's validity.
    #[error("certificate {subject} is not yet valid: {at} is before {not_before}")]
    NotYetValid {
        /// Subject of the certificate.
        subject: String,
        /// Time of the check.
        at: jiff::Timestamp,
        /// Start of the validity.
        not_before: jiff::Timestamp,
    },
    /// The time asked about is after the certificate's validity.
    #[error("certificate {subject} has expired: {at} is after {not_after}")]
    Expired {
        /// Subject of the certificate.
        subject: String,
        /// Time of the check.
        at: jiff::Timestamp,
        /// End of the validity.
        not_after: jiff::Timestamp,
    },
    /// No chain from the leaf to one of the roots.
    #[error("certificate signed by unknown authority")]
    UnknownAuthority,
    /// An issuer in the chain is not a certificate authority (RFC 5280 §6.1.4 k).
    #[error("issuer {subject} is not a certificate authority")]
    NotAuthority {
        /// Subject of the issuer.
        subject: String,
    },
    /// An issuer's key usage does not allow signing certificates (RFC 5280 §6.1.4 n).
    #[error("issuer {subject} may not sign certificates")]
    NoCertSign {
        /// Subject of the issuer.
        subject: String,
    },
    /// More intermediates than an issuer's path length allows (RFC 5280 §6.1.4 m).
    #[error("too many intermediates below {subject}: {got}, allowed {max}")]
    PathLength {
        /// Subject of the issuer.
        subject: String,
        /// Intermediates found below it.
        got: usize,
        /// Intermediates allowed.
        max: u8,
    },
    /// A certificate in the chain does not allow the usage asked for.
    #[error("certificate {subject} does not allow the extended key usage {oid}")]
    ExtKeyUsage {
        /// Subject of the certificate.
        subject: String,
        /// Usage asked for.
        oid: ObjectIdentifier,
    },
    /// A critical extension that siglab does not process (RFC 5280 §4.2).
    #[error("unhandled critical extension {oid}")]
    CriticalExtension {
        /// The extension.
        oid: ObjectIdentifier,
    },
    /// A name in the chain is outside an issuer's name constraints (RFC 5280 §4.2.1.10).
    #[error("name {name} is not permitted by the constraints of {subject}")]
    NameConstraint {
        /// The offending name.
        name: String,
        /// Subject of the constraining issuer.
        subject: String,
    },
    /// The search for a chain took more signature checks than it may.
    #[error("more than {max} signatures to check while building a chain")]
    ChainSearch {
        /// Checks allowed.
        max: usize,
    },
    /// An SCT version other than v1.
    #[error("unsupported SCT version {version}")]
    SctVersion {
        /// Version found.
        version: u8,
    },
    /// The SCT is by another log than the key's.
    #[error("SCT is by log {got}, the key is that of log {want}")]
    SctLog {
        /// Log id in the SCT, hexadecimal.
        got: String,
        /// Log id of the key, hexadecimal.
        want: String,
    },
    /// An SCT hash or signature algorithm that does not fit the log's key (RFC 5246 §7.4.1.4.1).
    #[error("SCT algorithms {hash}/{signature} do not fit the log's key")]
    SctAlgorithm {
        /// HashAlgorithm byte.
        hash: u8,
        /// SignatureAlgorithm byte.
        signature: u8,
    },
    /// A time that X.509 can not express (before 1970 or after 9999).
    #[error("time {at} cannot be written into a certificate")]
    Time {
        /// The time.
        at: jiff::Timestamp,
    },
    /// Text with characters that the field can not hold.
    #[error("text is not {charset}")]
    Charset {
        /// Character set of the field.
        charset: &'static str,
    },
}
