//! A certificate as read: its bytes, and what they say.

use std::{fmt, ops::Range};

use crypto::{HashAlgorithm, PublicKey, PublicKeyKind, Sha256Digest};
use der::{Decode as _, asn1::ObjectIdentifier};
use jiff::Timestamp;
use x509_cert::{
    ext::pkix::{
        AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, SubjectKeyIdentifier,
        name::DirectoryString,
    },
    name::Name,
    time::Time,
};

use crate::{
    Error, FulcioExtensions, San, Sct, oid, san,
    tlv::{self, Reader},
};

/// The most bytes of DER that are read as one certificate or request. Real ones stay under 10 KiB.
pub const MAX_DER_BYTES: usize = 256 * 1024;

/// One extension, as it stands in the certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Extension {
    /// What it is.
    pub oid: ObjectIdentifier,
    /// Whether a reader that does not know it must refuse the certificate.
    pub critical: bool,
    /// The content of the OCTET STRING.
    pub value: Vec<u8>,
}

/// The bits of a keyUsage extension, RFC 5280 §4.2.1.3: bit 0 is the lowest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeyUsage(u16);

impl KeyUsage {
    /// digitalSignature.
    pub const DIGITAL_SIGNATURE: Self = Self(1);
    /// keyCertSign.
    pub const KEY_CERT_SIGN: Self = Self(1 << 5);
    /// cRLSign.
    pub const CRL_SIGN: Self = Self(1 << 6);

    /// Whether every bit of `other` is set here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Content of the extension: a named-bit BIT STRING without trailing zeros (X.690 §11.2.2).
    pub(crate) fn to_der(self) -> Vec<u8> {
        let mut bytes = [0_u8; 2];
        for bit in 0..9 {
            if self.0 >> bit & 1 == 1 {
                bytes[bit / 8] |= 0x80 >> (bit % 8);
            }
        }
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let unused = bytes[..used].last().map_or(0, |last| last.trailing_zeros());
        let unused = u8::try_from(unused).expect("at most 7");
        tlv::write_all(tlv::BIT_STRING, &[&[unused], &bytes[..used]])
    }

    fn from_der(value: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(value, "key usage");
        let content = reader.expect(tlv::BIT_STRING)?.content;
        let (Some(unused), bytes) = (content.first(), content.get(1..).unwrap_or_default()) else {
            return Err(reader.malformed());
        };
        if *unused > 7 || bytes.len() > 2 || (bytes.is_empty() && *unused != 0) {
            return Err(reader.malformed());
        }
        let mut bits = 0;
        for bit in 0..bytes.len() * 8 {
            if bytes[bit / 8] & (0x80 >> (bit % 8)) != 0 {
                bits |= 1 << bit;
            }
        }
        reader.finish()?;
        Ok(Self(bits))
    }
}

/// A parsed certificate. Its bytes are kept as they came.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Range<usize>,
    /// From the start of the TBS content to the extensions, which are last.
    tbs_head: Range<usize>,
    serial: Vec<u8>,
    signature_oid: ObjectIdentifier,
    signature: Vec<u8>,
    issuer: Vec<u8>,
    subject: Vec<u8>,
    subject_name: Name,
    issuer_name: Name,
    not_before: Timestamp,
    not_after: Timestamp,
    spki: Vec<u8>,
    extensions: Vec<Extension>,
}

impl Certificate {
    /// From DER, with nothing after it.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Malformed`], [`Error::DuplicateExtension`],
    /// [`Error::SignatureAlgorithmMismatch`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > MAX_DER_BYTES {
            return Err(Error::TooLong {
                got: der.len(),
                max: MAX_DER_BYTES,
            });
        }
        let mut outer = Reader::new(der, "certificate");
        let mut certificate = outer.sequence()?;
        outer.finish()?;
        let tbs = certificate.expect(tlv::SEQUENCE)?;
        let algorithm = certificate.expect(tlv::SEQUENCE)?;
        let signature = certificate.whole_bits()?.to_vec();
        certificate.finish()?;

        let mut reader = Reader::new(tbs.content, "certificate body");
        // Version 3 has extensions; older ones are refused where extensions matter.
        let version = reader.optional(0xa0)?.map(|element| element.content);
        if !matches!(version, None | Some([tlv::INTEGER, 1, 0..=2])) {
            return Err(reader.malformed());
        }
        let serial = reader.expect(tlv::INTEGER)?.content.to_vec();
        let inner_algorithm = reader.expect(tlv::SEQUENCE)?;
        if inner_algorithm.whole != algorithm.whole {
            return Err(Error::SignatureAlgorithmMismatch);
        }
        let signature_oid = Reader::new(algorithm.content, "signature algorithm").oid()?;
        let issuer = reader.expect(tlv::SEQUENCE)?.whole.to_vec();
        let mut validity = reader.sequence()?;
        let not_before = time(&mut validity)?;
        let not_after = time(&mut validity)?;
        validity.finish()?;
        let subject = reader.expect(tlv::SEQUENCE)?.whole.to_vec();
        let spki = reader.expect(tlv::SEQUENCE)?.whole.to_vec();
        // issuerUniqueID and subjectUniqueID: obsolete, skipped.
        reader.optional(0x81)?;
        reader.optional(0x82)?;
        let head_end = tbs.content.len() - reader.remaining();
        let extensions = match reader.optional(0xa3)? {
            Some(wrapped) => extensions(wrapped.content)?,
            None => Vec::new(),
        };
        reader.finish()?;

        let tbs_range = offset(der, tbs.whole);
        let content_start = offset(der, tbs.content).start;
        Ok(Self {
            tbs: tbs_range,
            tbs_head: content_start..content_start + head_end,
            serial,
            signature_oid,
            signature,
            subject_name: name(&subject)?,
            issuer_name: name(&issuer)?,
            issuer,
            subject,
            not_before,
            not_after,
            spki,
            extensions,
            der: der.to_vec(),
        })
    }

    /// From the first PEM block of `text`, which must be a `CERTIFICATE`.
    ///
    /// # Errors
    /// [`Error::Pem`], [`Error::PemLabel`], and those of [`Self::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let (label, der) = crypto::from_pem(text).map_err(|_| Error::Pem)?;
        if label != "CERTIFICATE" {
            return Err(Error::PemLabel {
                want: "CERTIFICATE",
                got: label,
            });
        }
        Self::from_der(&der)
    }

    /// All certificates of `text` in order.
    ///
    /// # Errors
    /// Those of [`Self::from_pem`]; [`Error::Pem`] when there is none.
    pub fn chain_from_pem(text: &str) -> Result<Vec<Self>, Error> {
        let blocks = crypto::from_pem_chain(text).map_err(|_| Error::Pem)?;
        if blocks.is_empty() {
            return Err(Error::Pem);
        }
        let mut chain = Vec::with_capacity(blocks.len());
        for (label, der) in blocks {
            if label != "CERTIFICATE" {
                return Err(Error::PemLabel {
                    want: "CERTIFICATE",
                    got: label,
                });
            }
            chain.push(Self::from_der(&der)?);
        }
        Ok(chain)
    }

    /// The bytes as they came.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// PEM `CERTIFICATE` with a trailing newline.
    #[must_use]
    pub fn to_pem(&self) -> String {
        crypto::to_pem("CERTIFICATE", &self.der)
    }

    /// SHA-256 of the whole certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Sha256Digest {
        crypto::sha256(&self.der)
    }

    /// The signed part, as it came.
    #[must_use]
    pub fn tbs(&self) -> &[u8] {
        &self.der[self.tbs.clone()]
    }

    /// Content of the serial number INTEGER: big-endian, two's complement.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The signature's bytes.
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The key that the certificate is for.
    ///
    /// # Errors
    /// [`Error::Crypto`] for a key that siglab does not know.
    pub fn public_key(&self) -> Result<PublicKey, Error> {
        Ok(PublicKey::from_spki_der(&self.spki)?)
    }

    /// The SubjectPublicKeyInfo as it came.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// DER of the subject Name.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        &self.subject
    }

    /// DER of the issuer Name.
    #[must_use]
    pub fn issuer_der(&self) -> &[u8] {
        &self.issuer
    }

    /// The subject in the form of RFC 4514; empty for a Fulcio leaf.
    #[must_use]
    pub fn subject_text(&self) -> String {
        self.subject_name.to_string()
    }

    /// The issuer in the form of RFC 4514.
    #[must_use]
    pub fn issuer_text(&self) -> String {
        self.issuer_name.to_string()
    }

    /// The subject's commonName.
    #[must_use]
    pub fn subject_common_name(&self) -> Option<String> {
        attribute(&self.subject_name, oid::COMMON_NAME)
    }

    /// The subject's organizationName.
    #[must_use]
    pub fn subject_organization(&self) -> Option<String> {
        attribute(&self.subject_name, oid::ORGANIZATION)
    }

    /// Start of the validity, inclusive.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// End of the validity, inclusive.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// All extensions in the certificate's order.
    #[must_use]
    pub fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// The content of one extension.
    #[must_use]
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        self.extensions
            .iter()
            .find(|e| e.oid == oid)
            .map(|e| e.value.as_slice())
    }

    /// The SubjectAltName; empty without one.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn sans(&self) -> Result<Vec<San>, Error> {
        self.extension(oid::SUBJECT_ALT_NAME)
            .map_or_else(|| Ok(Vec::new()), san::parse)
    }

    /// Fulcio's own extensions.
    ///
    /// # Errors
    /// [`Error::Malformed`] when `.8` or later is no UTF8String or `.1` to `.6` are no UTF-8.
    pub fn fulcio_extensions(&self) -> Result<FulcioExtensions, Error> {
        FulcioExtensions::from_extensions(&self.extensions)
    }

    /// The token issuer: `.8`, or else `.1`.
    ///
    /// # Errors
    /// Those of [`Self::fulcio_extensions`].
    pub fn fulcio_issuer(&self) -> Result<Option<String>, Error> {
        Ok(self.fulcio_extensions()?.issuer().map(str::to_owned))
    }

    /// The embedded SCTs; empty without a list.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::SctVersion`].
    pub fn scts(&self) -> Result<Vec<Sct>, Error> {
        self.extension(oid::SCT_LIST)
            .map_or_else(|| Ok(Vec::new()), Sct::parse_list_extension)
    }

    /// Whether the CT poison is there (RFC 6962 §3.1).
    #[must_use]
    pub fn is_precertificate(&self) -> bool {
        self.extension(oid::CT_POISON).is_some()
    }

    /// The TBS that a log signed: without SCT list and poison, all other bytes as they are
    /// (RFC 6962 §3.2).
    #[must_use]
    pub fn precertificate_tbs(&self) -> Vec<u8> {
        self.tbs_without_ct(None)
    }

    /// The TBS with `last` where SCT list or poison were.
    pub(crate) fn tbs_with(&self, last: Extension) -> Vec<u8> {
        self.tbs_without_ct(Some(last))
    }

    fn tbs_without_ct(&self, last: Option<Extension>) -> Vec<u8> {
        let kept: Vec<Extension> = self
            .extensions
            .iter()
            .filter(|e| e.oid != oid::SCT_LIST && e.oid != oid::CT_POISON)
            .cloned()
            .chain(last)
            .collect();
        let head = &self.der[self.tbs_head.clone()];
        if kept.is_empty() {
            return tlv::write(tlv::SEQUENCE, head);
        }
        tlv::write_all(
            tlv::SEQUENCE,
            &[head, &crate::extensions::write_wrapped(&kept)],
        )
    }

    /// Whether basicConstraints says that this is a certificate authority.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn is_ca(&self) -> Result<bool, Error> {
        Ok(self
            .basic_constraints()?
            .is_some_and(|constraints| constraints.ca))
    }

    /// pathLenConstraint of a certificate authority.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn path_length(&self) -> Result<Option<u8>, Error> {
        Ok(self
            .basic_constraints()?
            .and_then(|constraints| constraints.path_len_constraint))
    }

    fn basic_constraints(&self) -> Result<Option<BasicConstraints>, Error> {
        self.decoded(oid::BASIC_CONSTRAINTS, "basic constraints")
    }

    /// The key usage, when the extension is there.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn key_usage(&self) -> Result<Option<KeyUsage>, Error> {
        self.extension(oid::KEY_USAGE)
            .map(KeyUsage::from_der)
            .transpose()
    }

    /// The extended key usages; empty without the extension, which means any.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn ext_key_usage(&self) -> Result<Vec<ObjectIdentifier>, Error> {
        let usages: Option<ExtendedKeyUsage> =
            self.decoded(oid::EXT_KEY_USAGE, "extended key usage")?;
        Ok(usages.map(|usages| usages.0).unwrap_or_default())
    }

    /// The subject key identifier.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn subject_key_id(&self) -> Result<Option<Vec<u8>>, Error> {
        let id: Option<SubjectKeyIdentifier> =
            self.decoded(oid::SUBJECT_KEY_IDENTIFIER, "subject key identifier")?;
        Ok(id.map(|id| id.0.as_bytes().to_vec()))
    }

    /// The authority key identifier's keyIdentifier.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn authority_key_id(&self) -> Result<Option<Vec<u8>>, Error> {
        let id: Option<AuthorityKeyIdentifier> =
            self.decoded(oid::AUTHORITY_KEY_IDENTIFIER, "authority key identifier")?;
        Ok(id
            .and_then(|id| id.key_identifier)
            .map(|id| id.as_bytes().to_vec()))
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Checks that `issuer`'s key signed this certificate. Names, validity and usages are not looked
    /// at: that is [`crate::verify_chain`].
    ///
    /// # Errors
    /// [`Error::UnsupportedSignatureAlgorithm`], [`Error::Crypto`].
    pub fn verify_signed_by(&self, issuer: &Self) -> Result<(), Error> {
        verify_signature(
            &issuer.public_key()?,
            self.signature_oid,
            self.tbs(),
            &self.signature,
        )
    }

    fn decoded<'a, T>(
        &'a self,
        oid: ObjectIdentifier,
        part: &'static str,
    ) -> Result<Option<T>, Error>
    where
        T: der::Decode<'a>,
    {
        self.extension(oid)
            .map(|value| T::from_der(value).map_err(|_| Error::Malformed { part }))
            .transpose()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject_text())
            .field("issuer", &self.issuer_text())
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

/// The hash that goes with a signature algorithm, and whether the algorithm is of the key's kind.
pub(crate) fn verify_signature(
    key: &PublicKey,
    algorithm: ObjectIdentifier,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    let is_ec = matches!(
        key.kind(),
        PublicKeyKind::P256 | PublicKeyKind::P384 | PublicKeyKind::P521
    );
    let is_rsa = matches!(key.kind(), PublicKeyKind::Rsa { .. });
    let (hash, fits) = match algorithm {
        oid::ECDSA_SHA256 => (HashAlgorithm::Sha256, is_ec),
        oid::ECDSA_SHA384 => (HashAlgorithm::Sha384, is_ec),
        oid::ECDSA_SHA512 => (HashAlgorithm::Sha512, is_ec),
        oid::RSA_SHA256 => (HashAlgorithm::Sha256, is_rsa),
        oid::RSA_SHA384 => (HashAlgorithm::Sha384, is_rsa),
        oid::RSA_SHA512 => (HashAlgorithm::Sha512, is_rsa),
        oid::ED25519 => (HashAlgorithm::Sha512, key.kind() == PublicKeyKind::Ed25519),
        oid => return Err(Error::UnsupportedSignatureAlgorithm { oid }),
    };
    // `crypto` also takes raw `r ‖ s`, which X.509 does not.
    if !fits || (is_ec && Reader::new(signature, "signature").sequence().is_err()) {
        return Err(Error::Crypto(crypto::Error::Signature));
    }
    Ok(key.verify(hash, message, signature)?)
}

pub(crate) fn name(der: &[u8]) -> Result<Name, Error> {
    Name::from_der(der).map_err(|_| Error::Malformed {
        part: "distinguished name",
    })
}

fn attribute(name: &Name, oid: ObjectIdentifier) -> Option<String> {
    let attribute = name.iter().find(|attribute| attribute.oid == oid)?;
    let text: DirectoryString = attribute.value.decode_as().ok()?;
    Some(text.value().into_owned())
}

fn time(reader: &mut Reader<'_>) -> Result<Timestamp, Error> {
    let malformed = Error::Malformed { part: "validity" };
    let element = reader.any()?;
    let time = Time::from_der(element.whole).map_err(|_| malformed.clone())?;
    let seconds =
        i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| malformed.clone())?;
    Timestamp::from_second(seconds).map_err(|_| malformed)
}

fn extensions(wrapped: &[u8]) -> Result<Vec<Extension>, Error> {
    let mut outer = Reader::new(wrapped, "extensions");
    let mut reader = outer.sequence()?;
    outer.finish()?;
    let mut all: Vec<Extension> = Vec::new();
    while !reader.is_empty() {
        let extension = crate::extensions::read(&mut reader)?;
        if all.iter().any(|known| known.oid == extension.oid) {
            return Err(Error::DuplicateExtension { oid: extension.oid });
        }
        all.push(extension);
        // A quadratic search over a bounded list; no real certificate has a quarter of this.
        if all.len() > 128 {
            return Err(reader.malformed());
        }
    }
    Ok(all)
}

/// Where `part` lies inside `whole`; both are slices of the same buffer.
fn offset(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = part.as_ptr() as usize - whole.as_ptr() as usize;
    start..start + part.len()
}
