//! Fulcio's code signing leaf: one fixed profile, as a certificate or first as a precertificate.

use crypto::{PublicKey, SigningKey};
use jiff::{SignedDuration, Timestamp};

use crate::{
    Certificate, Error, Extension, FulcioExtensions, KeyUsage, San, Sct, authority, extensions,
    oid, san, tlv,
};

/// Everything that a leaf says. The rest of the profile is fixed: empty subject, keyUsage
/// digitalSignature (critical), extKeyUsage codeSigning, authority key identifier, subjectAltName
/// (critical), Fulcio's extensions, the lab's marker, and then poison or SCT list.
#[derive(Clone, Debug)]
pub struct LeafTemplate {
    serial: [u8; 20],
    public_key: PublicKey,
    san: San,
    fulcio: FulcioExtensions,
    not_before: Timestamp,
    marker: Option<(String, bool)>,
}

impl LeafTemplate {
    /// How long a leaf is valid.
    pub const LIFETIME: SignedDuration = SignedDuration::from_mins(10);

    /// A leaf with a random serial number that is valid from `issued_at`, truncated to the second.
    ///
    /// # Errors
    /// [`crypto::Error::Random`].
    pub fn new(
        public_key: PublicKey,
        san: San,
        fulcio: FulcioExtensions,
        issued_at: Timestamp,
    ) -> Result<Self, Error> {
        let not_before = Timestamp::from_second(issued_at.as_second())
            .map_err(|_| Error::Time { at: issued_at })?;
        let serial = authority::random_serial()?;
        Ok(Self {
            serial,
            public_key,
            san,
            fulcio,
            not_before,
            marker: None,
        })
    }

    /// Adds the lab's marker with this text after Fulcio's extensions.
    #[must_use]
    pub fn marker(mut self, text: &str, critical: bool) -> Self {
        self.marker = Some((text.to_owned(), critical));
        self
    }

    /// A final certificate without an SCT.
    ///
    /// # Errors
    /// [`Error::Charset`], [`Error::Crypto`], [`Error::Time`].
    pub fn sign(&self, issuer: &Certificate, key: &SigningKey) -> Result<Certificate, Error> {
        self.signed(issuer, key, None)
    }

    /// A precertificate: the poison is last.
    ///
    /// # Errors
    /// [`Error::Charset`], [`Error::Crypto`], [`Error::Time`].
    pub fn sign_precertificate(
        &self,
        issuer: &Certificate,
        key: &SigningKey,
    ) -> Result<Precertificate, Error> {
        // Content: a NULL (RFC 6962 §3.1).
        let poison = Extension {
            oid: oid::CT_POISON,
            critical: true,
            value: vec![5, 0],
        };
        Ok(Precertificate(self.signed(issuer, key, Some(poison))?))
    }

    fn signed(
        &self,
        issuer: &Certificate,
        key: &SigningKey,
        last: Option<Extension>,
    ) -> Result<Certificate, Error> {
        let mut all = vec![
            extensions::key_usage(KeyUsage::DIGITAL_SIGNATURE),
            extensions::ext_key_usage(&[oid::EKU_CODE_SIGNING], false),
            extensions::authority_key_id(&authority::issuer_key_id(issuer)?),
            san::extension(std::slice::from_ref(&self.san), true)?,
        ];
        all.extend(self.fulcio.to_extensions());
        all.extend(
            self.marker
                .iter()
                .map(|(text, critical)| extensions::marker(text, *critical)),
        );
        all.extend(last);
        let not_after = self
            .not_before
            .checked_add(Self::LIFETIME)
            .map_err(|_| Error::Time {
                at: self.not_before,
            })?;
        let unsigned = authority::Unsigned {
            serial: self.serial,
            issuer: issuer.subject_der(),
            not_before: self.not_before,
            not_after,
            subject: &[tlv::SEQUENCE, 0],
            spki: self.public_key.spki_der(),
            extensions: all,
        };
        unsigned.sign(key)
    }
}

/// A signed precertificate.
#[derive(Clone, Debug)]
pub struct Precertificate(Certificate);

impl Precertificate {
    /// What is sent to the log.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.0
    }

    /// The final certificate: the same body, with the SCT list where the poison was.
    ///
    /// # Errors
    /// [`Error::Crypto`].
    pub fn embed(&self, scts: &[Sct], key: &SigningKey) -> Result<Certificate, Error> {
        authority::sign_tbs(&self.0.tbs_with(Sct::list_extension(scts)), key)
    }
}
