//! The key that verifies an entry: a public key, a certificate, or a certificate chain.

use crypto::PublicKey;
use x509::{Certificate, San};

use crate::{Error, pem};

/// Certificates in one chain that are read.
const CERTIFICATES_MAX: usize = 10;

/// A public key and where it came from.
#[derive(Clone, Debug)]
pub struct Verifier {
    key: PublicKey,
    /// Leaf first; empty for a bare key.
    certificates: Vec<Certificate>,
}

impl Verifier {
    /// From PEM text: one `PUBLIC KEY`, one `CERTIFICATE`, or up to ten certificates. Text around a
    /// single block is skipped.
    ///
    /// # Errors
    /// Those of Rekor v1's x509 verifiers: [`Error::KeyPem`], [`Error::KeyLabel`], [`Error::ChainPem`],
    /// [`Error::TooManyCertificates`], and those of [`Self::from_spki_der`] and
    /// [`Self::from_certificate_der`].
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let text = String::from_utf8_lossy(text);
        let text = text.trim();
        let (block, rest) = pem::decode(text).ok_or(Error::KeyPem)?;
        if !rest.is_empty() {
            return Self::from_chain(text);
        }
        match block.label.as_str() {
            "PUBLIC KEY" => Self::from_spki_der(&block.der),
            "CERTIFICATE" => Self::from_certificate_der(&block.der),
            _ => Err(Error::KeyLabel(block.label)),
        }
    }

    fn from_chain(text: &str) -> Result<Self, Error> {
        let mut certificates = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if certificates.len() == CERTIFICATES_MAX {
                return Err(Error::TooManyCertificates);
            }
            let (block, after) = pem::decode(rest).ok_or(Error::ChainPem)?;
            certificates.push(certificate(&block.der)?);
            rest = after;
        }
        let key = certificate_key(&certificates[0])?;
        Ok(Self { key, certificates })
    }

    /// From a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Error::UnsupportedCurve`], [`Error::UnknownKeyAlgorithm`], [`Error::MalformedPublicKey`].
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        let key = PublicKey::from_spki_der(der).map_err(|error| key_error(&error))?;
        Ok(Self {
            key,
            certificates: Vec::new(),
        })
    }

    /// From a DER certificate. Neither trust nor expiry is checked.
    ///
    /// # Errors
    /// [`Error::MalformedCertificate`] and those of [`Self::from_spki_der`].
    pub fn from_certificate_der(der: &[u8]) -> Result<Self, Error> {
        let certificate = certificate(der)?;
        let key = certificate_key(&certificate)?;
        Ok(Self {
            key,
            certificates: vec![certificate],
        })
    }

    /// The key that verifies.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The certificates it came with, leaf first; empty for a bare key.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The PEM form that is logged: 64 columns, LF, a newline at the end, certificates concatenated.
    #[must_use]
    pub fn canonical_pem(&self) -> String {
        if self.certificates.is_empty() {
            return self.key.to_pem();
        }
        self.certificates.iter().map(Certificate::to_pem).collect()
    }

    /// Subject alternative names of the leaf certificate in upstream's order: DNS, email, IP, URI, and
    /// Fulcio's otherName.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        let Some(leaf) = self.certificates.first() else {
            return Vec::new();
        };
        let sans = leaf.sans().unwrap_or_default();
        let order = |san: &San| match san {
            San::Dns(_) => 0,
            San::Email(_) => 1,
            San::Ip(_) => 2,
            San::Uri(_) => 3,
            San::OtherName { .. } | San::Other { .. } => 4,
        };
        let mut sans: Vec<&San> = sans.iter().collect();
        sans.sort_by_key(|san| order(san));
        sans.into_iter()
            .filter_map(San::text)
            .filter(|text| !text.is_empty())
            .collect()
    }

    /// Checks that a chain of two or more leads from the leaf to its last certificate, as of the start
    /// of the leaf's validity and for any usage.
    ///
    /// # Errors
    /// [`Error::Chain`].
    pub(crate) fn check_chain(&self) -> Result<(), Error> {
        let [leaf, between @ .., root] = self.certificates.as_slice() else {
            return Ok(());
        };
        if leaf.der() == root.der() {
            return Ok(());
        }
        let usages = leaf.ext_key_usage().map_err(Error::Chain)?;
        let usage = usages
            .first()
            .copied()
            .unwrap_or(x509::oid::EKU_CODE_SIGNING);
        let roots = std::slice::from_ref(root);
        x509::verify_chain(leaf, between, roots, leaf.not_before(), usage)
            .map(|_| ())
            .map_err(Error::Chain)
    }
}

fn certificate(der: &[u8]) -> Result<Certificate, Error> {
    Certificate::from_der(der).map_err(Error::MalformedCertificate)
}

fn certificate_key(certificate: &Certificate) -> Result<PublicKey, Error> {
    PublicKey::from_spki_der(certificate.spki_der()).map_err(|error| key_error(&error))
}

fn key_error(error: &crypto::Error) -> Error {
    match error {
        // SEC 2 and ANSI X9.62 curves; any other object identifier names an algorithm.
        crypto::Error::UnsupportedPublicKey { oid }
            if oid.starts_with("1.3.132.0.") || oid.starts_with("1.2.840.10045.3.") =>
        {
            Error::UnsupportedCurve
        }
        crypto::Error::UnsupportedPublicKey { .. } => Error::UnknownKeyAlgorithm,
        _ => Error::MalformedPublicKey,
    }
}
