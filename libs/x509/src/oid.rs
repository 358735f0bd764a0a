//! Object identifiers that certificates are made of.

use der::asn1::ObjectIdentifier;

const fn oid(text: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(text)
}

/// X.520 commonName.
pub const COMMON_NAME: ObjectIdentifier = oid("2.5.4.3");
/// X.520 organizationName.
pub const ORGANIZATION: ObjectIdentifier = oid("2.5.4.10");

/// subjectKeyIdentifier, RFC 5280 §4.2.1.2.
pub const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.14");
/// keyUsage, RFC 5280 §4.2.1.3.
pub const KEY_USAGE: ObjectIdentifier = oid("2.5.29.15");
/// subjectAltName, RFC 5280 §4.2.1.6.
pub const SUBJECT_ALT_NAME: ObjectIdentifier = oid("2.5.29.17");
/// basicConstraints, RFC 5280 §4.2.1.9.
pub const BASIC_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.19");
/// nameConstraints, RFC 5280 §4.2.1.10.
pub const NAME_CONSTRAINTS: ObjectIdentifier = oid("2.5.29.30");
/// authorityKeyIdentifier, RFC 5280 §4.2.1.1.
pub const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = oid("2.5.29.35");
/// extKeyUsage, RFC 5280 §4.2.1.12.
pub const EXT_KEY_USAGE: ObjectIdentifier = oid("2.5.29.37");

/// anyExtendedKeyUsage.
pub const EKU_ANY: ObjectIdentifier = oid("2.5.29.37.0");
/// id-kp-serverAuth.
pub const EKU_SERVER_AUTH: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.1");
/// id-kp-codeSigning.
pub const EKU_CODE_SIGNING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.3");
/// id-kp-timeStamping.
pub const EKU_TIME_STAMPING: ObjectIdentifier = oid("1.3.6.1.5.5.7.3.8");

/// SCT list of a certificate, RFC 6962 §3.3.
pub const SCT_LIST: ObjectIdentifier = oid("1.3.6.1.4.1.11129.2.4.2");
/// Precertificate poison, RFC 6962 §3.1.
pub const CT_POISON: ObjectIdentifier = oid("1.3.6.1.4.1.11129.2.4.3");

/// The arc of Fulcio's own extensions.
pub const FULCIO_ARC: ObjectIdentifier = oid("1.3.6.1.4.1.57264.1");
/// otherName type of a `username` identity in a SubjectAltName.
pub const FULCIO_OTHER_NAME: ObjectIdentifier = oid("1.3.6.1.4.1.57264.1.7");

/// Marks everything that a lab issues. The arc is the private enterprise number that RFC 5612 sets
/// aside for documentation, so it can never be anybody's production identifier.
pub const LAB_MARKER: ObjectIdentifier = oid("1.3.6.1.4.1.32473.53.1");

pub(crate) const ECDSA_SHA256: ObjectIdentifier = oid("1.2.840.10045.4.3.2");
pub(crate) const ECDSA_SHA384: ObjectIdentifier = oid("1.2.840.10045.4.3.3");
pub(crate) const ECDSA_SHA512: ObjectIdentifier = oid("1.2.840.10045.4.3.4");
pub(crate) const RSA_SHA256: ObjectIdentifier = oid("1.2.840.113549.1.1.11");
pub(crate) const RSA_SHA384: ObjectIdentifier = oid("1.2.840.113549.1.1.12");
pub(crate) const RSA_SHA512: ObjectIdentifier = oid("1.2.840.113549.1.1.13");
pub(crate) const ED25519: ObjectIdentifier = oid("1.3.101.112");
pub(crate) const EXTENSION_REQUEST: ObjectIdentifier = oid("1.2.840.113549.1.9.14");
