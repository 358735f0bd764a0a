//! Building certificates with a subject: roots, intermediates, and end entities such as a TSA.

use crypto::{KeyKind, PublicKey, SigningKey};
use der::asn1::ObjectIdentifier;
use jiff::{Timestamp, tz::TimeZone};

use crate::{Certificate, Error, Extension, KeyUsage, San, extensions, oid, san, tlv};

/// A distinguished name of organization and common name. Clients need both in an authority: some take
/// the one, some the other for its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Name {
    /// organizationName.
    pub organization: String,
    /// commonName.
    pub common_name: String,
}

impl Name {
    /// DER of the Name.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let attribute = |oid, text: &str| {
            let value = tlv::write(tlv::UTF8_STRING, text.as_bytes());
            tlv::write(
                tlv::SET,
                &tlv::write_all(tlv::SEQUENCE, &[&tlv::write_oid(oid), &value]),
            )
        };
        tlv::write_all(
            tlv::SEQUENCE,
            &[
                &attribute(oid::ORGANIZATION, &self.organization),
                &attribute(oid::COMMON_NAME, &self.common_name),
            ],
        )
    }
}

/// A random positive serial number of 20 octets, the longest that RFC 5280 §4.1.2.2 allows.
///
/// # Errors
/// [`crypto::Error::Random`].
pub fn random_serial() -> Result<[u8; 20], Error> {
    let mut serial = crypto::random_bytes::<20>()?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// Builds a certificate authority: keyUsage certSign and crlSign, critical basicConstraints, subject
/// key identifier, and the lab's marker when set.
#[derive(Clone, Debug)]
pub struct AuthorityBuilder {
    subject: Name,
    not_before: Timestamp,
    not_after: Timestamp,
    path_length: Option<u8>,
    ext_key_usage: Vec<ObjectIdentifier>,
    permitted: Vec<San>,
    marker: Option<(String, bool)>,
}

impl AuthorityBuilder {
    /// An authority of this name, valid between these times (both are truncated to the second).
    #[must_use]
    pub const fn new(subject: Name, not_before: Timestamp, not_after: Timestamp) -> Self {
        Self {
            subject,
            not_before,
            not_after,
            path_length: None,
            ext_key_usage: Vec::new(),
            permitted: Vec::new(),
            marker: None,
        }
    }

    /// Limits the intermediates below this authority.
    #[must_use]
    pub const fn path_length(mut self, limit: u8) -> Self {
        self.path_length = Some(limit);
        self
    }

    /// Limits what certificates below may be used for (non-critical: some clients refuse it critical).
    #[must_use]
    pub fn ext_key_usage(mut self, usages: &[ObjectIdentifier]) -> Self {
        self.ext_key_usage = usages.to_vec();
        self
    }

    /// Permits only names within these: a host or `.domain` for [`San::Email`] and [`San::Uri`].
    #[must_use]
    pub fn permitted(mut self, names: &[San]) -> Self {
        self.permitted = names.to_vec();
        self
    }

    /// Adds the lab's marker with this text.
    #[must_use]
    pub fn marker(mut self, text: &str) -> Self {
        self.marker = Some((text.to_owned(), false));
        self
    }

    /// A root of `key`.
    ///
    /// # Errors
    /// [`Error::Time`], [`Error::Crypto`].
    pub fn self_signed(&self, key: &SigningKey) -> Result<Certificate, Error> {
        let key_id = key_id(key.public_key());
        let unsigned = Unsigned {
            serial: random_serial()?,
            issuer: &self.subject.to_der(),
            not_before: self.not_before,
            not_after: self.not_after,
            subject: &self.subject.to_der(),
            spki: key.public_key().spki_der(),
            extensions: self.extensions(&key_id, None)?,
        };
        unsigned.sign(key)
    }

    /// An intermediate of `public_key`, signed by `issuer` with `issuer_key`.
    ///
    /// # Errors
    /// [`Error::Time`], [`Error::Crypto`].
    pub fn issued_by(
        &self,
        issuer: &Certificate,
        issuer_key: &SigningKey,
        public_key: &PublicKey,
    ) -> Result<Certificate, Error> {
        let issuer_id = issuer_key_id(issuer)?;
        let unsigned = Unsigned {
            serial: random_serial()?,
            issuer: issuer.subject_der(),
            not_before: self.not_before,
            not_after: self.not_after,
            subject: &self.subject.to_der(),
            spki: public_key.spki_der(),
            extensions: self.extensions(&key_id(public_key), Some(&issuer_id))?,
        };
        unsigned.sign(issuer_key)
    }

    fn extensions(&self, id: &[u8], issuer_id: Option<&[u8]>) -> Result<Vec<Extension>, Error> {
        let usage = KeyUsage::KEY_CERT_SIGN.with(KeyUsage::CRL_SIGN);
        let mut all = vec![extensions::key_usage(usage)];
        if !self.ext_key_usage.is_empty() {
            all.push(extensions::ext_key_usage(&self.ext_key_usage, false));
        }
        all.push(extensions::authority(self.path_length));
        all.push(extensions::subject_key_id(id));
        all.extend(issuer_id.map(extensions::authority_key_id));
        if !self.permitted.is_empty() {
            all.push(name_constraints(&self.permitted)?);
        }
        all.extend(
            self.marker
                .iter()
                .map(|(text, critical)| extensions::marker(text, *critical)),
        );
        Ok(all)
    }
}

/// Builds an end entity with a subject, such as a TSA's or a TLS server's: critical keyUsage
/// digitalSignature, extended key usage, key identifiers, and names and the lab's marker when set.
#[derive(Clone, Debug)]
pub struct EndEntityBuilder {
    subject: Name,
    not_before: Timestamp,
    not_after: Timestamp,
    ext_key_usage: Vec<ObjectIdentifier>,
    ext_key_usage_critical: bool,
    sans: Vec<San>,
    marker: Option<String>,
}

impl EndEntityBuilder {
    /// An end entity of this name, valid between these times (both are truncated to the second).
    #[must_use]
    pub const fn new(subject: Name, not_before: Timestamp, not_after: Timestamp) -> Self {
        Self {
            subject,
            not_before,
            not_after,
            ext_key_usage: Vec::new(),
            ext_key_usage_critical: false,
            sans: Vec::new(),
            marker: None,
        }
    }

    /// What the key is for. RFC 3161 §2.3 wants timeStamping alone and critical.
    #[must_use]
    pub fn ext_key_usage(mut self, usages: &[ObjectIdentifier], critical: bool) -> Self {
        self.ext_key_usage = usages.to_vec();
        self.ext_key_usage_critical = critical;
        self
    }

    /// Adds names (non-critical, since there is a subject).
    #[must_use]
    pub fn sans(mut self, names: &[San]) -> Self {
        self.sans = names.to_vec();
        self
    }

    /// Adds the lab's marker with this text.
    #[must_use]
    pub fn marker(mut self, text: &str) -> Self {
        self.marker = Some(text.to_owned());
        self
    }

    /// A certificate of `public_key`, signed by `issuer` with `issuer_key`.
    ///
    /// # Errors
    /// [`Error::Time`], [`Error::Charset`], [`Error::Crypto`].
    pub fn issued_by(
        &self,
        issuer: &Certificate,
        issuer_key: &SigningKey,
        public_key: &PublicKey,
    ) -> Result<Certificate, Error> {
        let mut all = vec![extensions::key_usage(KeyUsage::DIGITAL_SIGNATURE)];
        if !self.ext_key_usage.is_empty() {
            all.push(extensions::ext_key_usage(
                &self.ext_key_usage,
                self.ext_key_usage_critical,
            ));
        }
        all.push(extensions::subject_key_id(&key_id(public_key)));
        all.push(extensions::authority_key_id(&issuer_key_id(issuer)?));
        if !self.sans.is_empty() {
            all.push(san::extension(&self.sans, false)?);
        }
        all.extend(
            self.marker
                .iter()
                .map(|text| extensions::marker(text, false)),
        );
        let unsigned = Unsigned {
            serial: random_serial()?,
            issuer: issuer.subject_der(),
            not_before: self.not_before,
            not_after: self.not_after,
            subject: &self.subject.to_der(),
            spki: public_key.spki_der(),
            extensions: all,
        };
        unsigned.sign(issuer_key)
    }
}

/// Everything of a certificate but the signature.
pub(crate) struct Unsigned<'a> {
    pub(crate) serial: [u8; 20],
    pub(crate) issuer: &'a [u8],
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    pub(crate) extensions: Vec<Extension>,
}

impl Unsigned<'_> {
    pub(crate) fn sign(&self, key: &SigningKey) -> Result<Certificate, Error> {
        let validity = tlv::write_all(
            tlv::SEQUENCE,
            &[&time(self.not_before)?, &time(self.not_after)?],
        );
        let tbs = tlv::write_all(
            tlv::SEQUENCE,
            &[
                &[0xa0, 3, tlv::INTEGER, 1, 2],
                &tlv::write_integer(&self.serial),
                algorithm(key),
                self.issuer,
                &validity,
                self.subject,
                self.spki,
                &extensions::write_wrapped(&self.extensions),
            ],
        );
        sign_tbs(&tbs, key)
    }
}

pub(crate) fn sign_tbs(tbs: &[u8], key: &SigningKey) -> Result<Certificate, Error> {
    let signature = tlv::write_bits(&key.sign(tbs)?);
    Certificate::from_der(&tlv::write_all(
        tlv::SEQUENCE,
        &[tbs, algorithm(key), &signature],
    ))
}

/// AlgorithmIdentifier of the signatures that [`SigningKey::sign`] makes.
fn algorithm(key: &SigningKey) -> &'static [u8] {
    match key.kind() {
        // ecdsa-with-SHA256 and -SHA384, no parameters (RFC 5758 §3.2).
        KeyKind::EcdsaP256 => &[
            0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
        ],
        KeyKind::EcdsaP384 => &[
            0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03,
        ],
        // No parameters (RFC 8410 §3).
        KeyKind::Ed25519 => &[0x30, 0x05, 6, 3, 0x2b, 0x65, 0x70],
        // sha256WithRSAEncryption with NULL (RFC 4055 §5).
        KeyKind::Rsa2048 => &[
            0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b, 5, 0,
        ],
    }
}

/// The leftmost 160 bits of the SHA-256 of the key's BIT STRING (RFC 7093 §2 method 1).
fn key_id(key: &PublicKey) -> [u8; 20] {
    let digest = crypto::sha256(key.raw_bytes());
    std::array::from_fn(|index| digest[index])
}

/// The issuer's own key identifier, byte for byte; computed when it has none.
pub(crate) fn issuer_key_id(issuer: &Certificate) -> Result<Vec<u8>, Error> {
    match issuer.subject_key_id()? {
        Some(id) => Ok(id),
        None => Ok(key_id(&issuer.public_key()?).to_vec()),
    }
}

fn name_constraints(permitted: &[San]) -> Result<Extension, Error> {
    let mut trees = Vec::new();
    for name in permitted {
        trees.extend(tlv::write(tlv::SEQUENCE, &name.to_der()?));
    }
    let value = tlv::write(tlv::SEQUENCE, &tlv::write(0xa0, &trees));
    Ok(Extension {
        oid: oid::NAME_CONSTRAINTS,
        critical: true,
        value,
    })
}

/// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5).
fn time(at: Timestamp) -> Result<Vec<u8>, Error> {
    let civil = TimeZone::UTC.to_datetime(at);
    let year = civil.year();
    let (tag, year) = match year {
        1970..=2049 => (0x17, format!("{:02}", year % 100)),
        2050..=9999 => (0x18, format!("{year:04}")),
        _ => return Err(Error::Time { at }),
    };
    let text = format!(
        "{year}{:02}{:02}{:02}{:02}{:02}Z",
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    );
    Ok(tlv::write(tag, text.as_bytes()))
}
