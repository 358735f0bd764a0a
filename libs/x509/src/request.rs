//! Certificate signing requests (RFC 2986): the key, and the proof that the sender holds it.

use crypto::{HashAlgorithm, PublicKey};
use der::asn1::ObjectIdentifier;

use crate::{
    Error, MAX_DER_BYTES, certificate, oid,
    tlv::{self, Reader},
};

/// A parsed request. Subject and attributes are checked to be well-formed and otherwise ignored, as
/// Fulcio does: what a certificate says comes from the token.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    info: Vec<u8>,
    spki: Vec<u8>,
    subject: Vec<u8>,
    algorithm: ObjectIdentifier,
    signature: Vec<u8>,
    requested_extensions: bool,
}

impl CertificateRequest {
    /// From DER, with nothing after it.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_DER_BYTES {
            return Err(Error::TooLong {
                got: der.len(),
                max: MAX_DER_BYTES,
            });
        }
        let mut outer = Reader::new(der, "certificate request");
        let mut request = outer.sequence()?;
        outer.finish()?;
        let info = request.expect(tlv::SEQUENCE)?;
        let algorithm = request.sequence()?.oid()?;
        let signature = request.whole_bits()?.to_vec();
        request.finish()?;

        let mut fields = Reader::new(info.content, "certificate request body");
        if fields.expect(tlv::INTEGER)?.content != [0] {
            return Err(fields.malformed());
        }
        let subject = fields.expect(tlv::SEQUENCE)?.whole.to_vec();
        certificate::name(&subject)?;
        let spki = fields.expect(tlv::SEQUENCE)?.whole.to_vec();
        let mut requested_extensions = false;
        // The attributes are mandatory in RFC 2986, and left out by some.
        if let Some(attributes) = fields.optional(0xa0)? {
            let mut all = Reader::new(attributes.content, "certificate request attributes");
            while !all.is_empty() {
                let mut attribute = all.sequence()?;
                requested_extensions |= attribute.oid()? == oid::EXTENSION_REQUEST;
                attribute.expect(tlv::SET)?;
                attribute.finish()?;
            }
        }
        fields.finish()?;
        let info = info.whole.to_vec();
        Ok(Self {
            info,
            spki,
            subject,
            algorithm,
            signature,
            requested_extensions,
        })
    }

    /// From a PEM block `CERTIFICATE REQUEST` or `NEW CERTIFICATE REQUEST`.
    ///
    /// # Errors
    /// [`Error::Pem`], [`Error::PemLabel`], and those of [`Self::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let (label, der) = crypto::from_pem(text).map_err(|_| Error::Pem)?;
        if label != "CERTIFICATE REQUEST" && label != "NEW CERTIFICATE REQUEST" {
            return Err(Error::PemLabel {
                want: "CERTIFICATE REQUEST",
                got: label,
            });
        }
        Self::from_der(&der)
    }

    /// The key that the request is for.
    ///
    /// # Errors
    /// [`Error::Crypto`].
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        Ok(PublicKey::from_spki_der(&self.spki)?)
    }

    /// The SubjectPublicKeyInfo as it came.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// DER of the subject Name, which may be empty.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// Whether the request asks for extensions.
    #[must_use]
    pub const fn requests_extensions(&self) -> bool {
        self.requested_extensions
    }

    /// The signature algorithm.
    #[must_use]
    pub const fn signature_algorithm(&self) -> ObjectIdentifier {
        self.algorithm
    }

    /// The hash of the signature algorithm; `None` for Ed25519, which has none of its own.
    ///
    /// # Errors
    /// [`Error::UnsupportedSignatureAlgorithm`].
    pub fn signature_hash(&self) -> Result<Option<HashAlgorithm>, Error> {
        match self.algorithm {
            oid::ECDSA_SHA256 | oid::RSA_SHA256 => Ok(Some(HashAlgorithm::Sha256)),
            oid::ECDSA_SHA384 | oid::RSA_SHA384 => Ok(Some(HashAlgorithm::Sha384)),
            oid::ECDSA_SHA512 | oid::RSA_SHA512 => Ok(Some(HashAlgorithm::Sha512)),
            oid::ED25519 => Ok(None),
            oid => Err(Error::UnsupportedSignatureAlgorithm { oid }),
        }
    }

    /// Checks the request's signature with its own key.
    ///
    /// # Errors
    /// [`Error::UnsupportedSignatureAlgorithm`], [`Error::Crypto`].
    pub fn verify(&self) -> Result<(), Error> {
        let key = self.public_key()?;
        certificate::verify_signature(&key, self.algorithm, &self.info, &self.signature)
    }
}
