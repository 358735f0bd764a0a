//! Reading and checking a token: CMS SignedData over TSTInfo (RFC 3161 §2.4.2, RFC 5652 §5).

use crypto::HashAlgorithm;
use jiff::Timestamp;
use x509::{
    Certificate, ObjectIdentifier,
    tlv::{self, Element, Reader},
};

use crate::{
    Error, MessageImprint, TstInfo,
    imprint::{malformed, read_algorithm},
    oid,
};

/// The most bytes that are read as a token. Real ones stay under 10 KiB.
pub const TOKEN_BYTES_MAX: usize = 256 * 1024;

/// The most certificates that are read from a token.
const CERTIFICATES_MAX: usize = 10;

/// The most signed attributes that are read.
const ATTRIBUTES_MAX: usize = 32;

const CONTEXT_0: u8 = 0xa0;
const CONTEXT_1: u8 = 0xa1;
const SUBJECT_KEY_ID: u8 = 0x80;

/// A token as read. Nothing of it is true before [`TimestampToken::verify`].
#[derive(Clone, Debug)]
pub struct TimestampToken {
    info: TstInfo,
    /// DER of `info` as it came.
    content: Vec<u8>,
    certificates: Vec<Certificate>,
    signer: SignerInfo,
}

#[derive(Clone, Debug)]
struct SignerInfo {
    id: SignerId,
    digest: HashAlgorithm,
    /// Content of the set, as it came.
    attributes: Vec<u8>,
    signature_algorithm: ObjectIdentifier,
    signature: Vec<u8>,
}

#[derive(Clone, Debug)]
enum SignerId {
    IssuerAndSerial { issuer: Vec<u8>, serial: Vec<u8> },
    SubjectKeyId(Vec<u8>),
}

impl TimestampToken {
    /// From DER of a TimeStampResp or of the ContentInfo inside, with nothing after it.
    ///
    /// # Errors
    /// [`Error::NotGranted`] for a refusal; [`Error::TooLong`], [`Error::Malformed`] and the other errors
    /// of structure.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > TOKEN_BYTES_MAX {
            return Err(Error::TooLong {
                got: der.len(),
                max: TOKEN_BYTES_MAX,
            });
        }
        let mut outer = Reader::new(der, "timestamp");
        let whole = outer.expect(tlv::SEQUENCE).map_err(malformed)?;
        outer.finish().map_err(malformed)?;
        let mut reader = Reader::new(whole.content, "timestamp");
        if reader.peek() == Some(tlv::OID) {
            return Self::from_content_info(whole.content);
        }
        let mut status = reader.sequence().map_err(malformed)?;
        match status.expect(tlv::INTEGER).map_err(malformed)?.content {
            // granted and grantedWithMods
            [0 | 1] => {}
            [status] => return Err(Error::NotGranted { status: *status }),
            _ => {
                return Err(Error::Malformed {
                    part: "timestamp status",
                });
            }
        }
        let token = reader.expect(tlv::SEQUENCE).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        Self::from_content_info(token.content)
    }

    fn from_content_info(content: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(content, "content info");
        if reader.oid().map_err(malformed)? != oid::SIGNED_DATA {
            return Err(Error::ContentType);
        }
        let wrapped = reader.expect(CONTEXT_0).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        let mut outer = Reader::new(wrapped.content, "signed data");
        let mut reader = outer.sequence().map_err(malformed)?;
        outer.finish().map_err(malformed)?;
        // RFC 5652 §5.1: 3 for a content that is not id-data; 4 and 5 with other kinds of certificates.
        if !matches!(
            reader.expect(tlv::INTEGER).map_err(malformed)?.content,
            [1 | 3..=5]
        ) {
            return Err(Error::Malformed {
                part: "signed data version",
            });
        }
        reader.expect(tlv::SET).map_err(malformed)?;
        let content = encapsulated(&mut reader)?;
        let certificates = match reader.optional(CONTEXT_0).map_err(malformed)? {
            Some(set) => certificates(set.content)?,
            None => Vec::new(),
        };
        reader.optional(CONTEXT_1).map_err(malformed)?;
        let signers = reader.expect(tlv::SET).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        Ok(Self {
            info: TstInfo::from_der(content)?,
            content: content.to_vec(),
            certificates,
            signer: SignerInfo::only_of(signers.content)?,
        })
    }

    /// What the token says.
    #[must_use]
    pub const fn info(&self) -> &TstInfo {
        &self.info
    }

    /// The certificates that it carries, in its order.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Checks that the token is about `message` and that `leaf` signed it, and returns its time. Whether
    /// `leaf` is to be trusted at that time is [`x509::verify_chain`]'s question.
    ///
    /// # Errors
    /// The first rule broken: imprint, the leaf's usage and validity, signer identity, signed attributes,
    /// signature.
    pub fn verify(&self, message: &[u8], leaf: &Certificate) -> Result<Timestamp, Error> {
        if MessageImprint::of(self.info.imprint.hash(), message) != self.info.imprint {
            return Err(Error::MessageImprint);
        }
        self.verify_signer(leaf)
    }

    /// [`Self::verify`] for a message whose digest is known.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_imprint(
        &self,
        imprint: &MessageImprint,
        leaf: &Certificate,
    ) -> Result<Timestamp, Error> {
        if *imprint != self.info.imprint {
            return Err(Error::MessageImprint);
        }
        self.verify_signer(leaf)
    }

    fn verify_signer(&self, leaf: &Certificate) -> Result<Timestamp, Error> {
        check_usage(leaf)?;
        let gen_time = self.info.gen_time;
        if gen_time < leaf.not_before() || gen_time > leaf.not_after() {
            return Err(Error::SignerValidity { gen_time });
        }
        let carried = &self.certificates;
        if !carried.is_empty() && !carried.iter().any(|carried| carried.der() == leaf.der()) {
            return Err(Error::SignerIdentity);
        }
        self.signer.verify(leaf, &self.content)?;
        Ok(gen_time)
    }
}

/// RFC 3161 §2.3: an end entity with timeStamping as its only extended key usage, critical.
fn check_usage(leaf: &Certificate) -> Result<(), Error> {
    let usages = leaf.ext_key_usage().map_err(Error::Certificate)?;
    let critical = leaf
        .extensions()
        .iter()
        .any(|extension| extension.oid == x509::oid::EXT_KEY_USAGE && extension.critical);
    let authority = leaf.is_ca().map_err(Error::Certificate)?;
    if authority || !critical || usages != [x509::oid::EKU_TIME_STAMPING] {
        return Err(Error::SignerUsage);
    }
    Ok(())
}

fn encapsulated<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let mut content = reader.sequence().map_err(malformed)?;
    if content.oid().map_err(malformed)? != oid::TST_INFO {
        return Err(Error::ContentType);
    }
    let wrapped = content.expect(CONTEXT_0).map_err(malformed)?;
    content.finish().map_err(malformed)?;
    let mut octets = Reader::new(wrapped.content, "encapsulated content");
    let inner = octets.expect(tlv::OCTET_STRING).map_err(malformed)?;
    octets.finish().map_err(malformed)?;
    Ok(inner.content)
}

fn certificates(set: &[u8]) -> Result<Vec<Certificate>, Error> {
    let mut reader = Reader::new(set, "certificate set");
    let mut certificates = Vec::new();
    while !reader.is_empty() {
        if certificates.len() == CERTIFICATES_MAX {
            return Err(malformed(reader.malformed()));
        }
        let der = reader.expect(tlv::SEQUENCE).map_err(malformed)?.whole;
        certificates.push(Certificate::from_der(der).map_err(Error::Certificate)?);
    }
    Ok(certificates)
}

impl SignerInfo {
    fn only_of(set: &[u8]) -> Result<Self, Error> {
        let mut signers = Reader::new(set, "signer infos");
        if signers.is_empty() {
            return Err(Error::SignerCount { count: 0 });
        }
        let mut reader = signers.sequence().map_err(malformed)?;
        if !signers.is_empty() {
            return Err(Error::SignerCount { count: 2 });
        }
        let version = reader.expect(tlv::INTEGER).map_err(malformed)?.content;
        let id = match (version, reader.peek()) {
            ([1], Some(tlv::SEQUENCE)) => {
                let mut id = reader.sequence().map_err(malformed)?;
                let issuer = id.expect(tlv::SEQUENCE).map_err(malformed)?.whole.to_vec();
                let serial = id.expect(tlv::INTEGER).map_err(malformed)?.content.to_vec();
                id.finish().map_err(malformed)?;
                SignerId::IssuerAndSerial { issuer, serial }
            }
            ([3], Some(SUBJECT_KEY_ID)) => {
                SignerId::SubjectKeyId(reader.any().map_err(malformed)?.content.to_vec())
            }
            _ => {
                return Err(Error::Malformed {
                    part: "signer identifier",
                });
            }
        };
        let digest = oid::to_hash(read_algorithm(&mut reader)?)?;
        // Mandatory here: the content is not id-data (RFC 5652 §5.3).
        let attributes = reader
            .expect(CONTEXT_0)
            .map_err(malformed)?
            .content
            .to_vec();
        let signature_algorithm = read_algorithm(&mut reader)?;
        let signature = reader
            .expect(tlv::OCTET_STRING)
            .map_err(malformed)?
            .content
            .to_vec();
        reader.optional(CONTEXT_1).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        Ok(Self {
            id,
            digest,
            attributes,
            signature_algorithm,
            signature,
        })
    }

    fn verify(&self, leaf: &Certificate, content: &[u8]) -> Result<(), Error> {
        let named = match &self.id {
            SignerId::IssuerAndSerial { issuer, serial } => {
                issuer == leaf.issuer_der() && serial == leaf.serial()
            }
            SignerId::SubjectKeyId(id) => {
                leaf.subject_key_id().map_err(Error::Certificate)?.as_ref() == Some(id)
            }
        };
        if !named {
            return Err(Error::SignerIdentity);
        }
        let attributes = SignedAttributes::read(&self.attributes)?;
        if attributes.content_type != oid::TST_INFO {
            return Err(Error::Attribute {
                attribute: "contentType",
            });
        }
        if attributes.message_digest != self.digest.digest(content) {
            return Err(Error::MessageDigest);
        }
        if attributes.certificate_digest != attributes.certificate_hash.digest(leaf.der()) {
            return Err(Error::SignerIdentity);
        }
        let hash = oid::signature_hash(self.signature_algorithm, self.digest)?;
        let key = leaf.public_key().map_err(Error::Certificate)?;
        let signed = tlv::write(tlv::SET, &self.attributes);
        key.verify(hash, &signed, &self.signature)
            .map_err(Error::Signature)
    }
}

/// The attributes that a timestamp must have, each once and with one value.
struct SignedAttributes<'a> {
    content_type: ObjectIdentifier,
    message_digest: &'a [u8],
    certificate_hash: HashAlgorithm,
    certificate_digest: &'a [u8],
}

impl<'a> SignedAttributes<'a> {
    fn read(set: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(set, "signed attributes");
        let mut attributes: Vec<(ObjectIdentifier, Element<'a>)> = Vec::new();
        while !reader.is_empty() {
            let mut attribute = reader.sequence().map_err(malformed)?;
            let oid = attribute.oid().map_err(malformed)?;
            let values = attribute.expect(tlv::SET).map_err(malformed)?;
            attribute.finish().map_err(malformed)?;
            let repeated = attributes.iter().any(|(seen, _)| *seen == oid);
            if repeated || attributes.len() == ATTRIBUTES_MAX {
                return Err(Error::Attribute {
                    attribute: "of the same kind",
                });
            }
            attributes.push((oid, values));
        }
        let value = |oid, attribute| -> Result<Element<'a>, Error> {
            let (_, values) = attributes
                .iter()
                .find(|(found, _)| *found == oid)
                .ok_or(Error::Attribute { attribute })?;
            let mut reader = Reader::new(values.content, attribute);
            let value = reader.any().map_err(malformed)?;
            reader.finish().map_err(malformed)?;
            Ok(value)
        };
        let content_type = value(oid::CONTENT_TYPE, "contentType")?;
        let digest = value(oid::MESSAGE_DIGEST, "messageDigest")?;
        if digest.tag != tlv::OCTET_STRING {
            return Err(Error::Attribute {
                attribute: "messageDigest",
            });
        }
        let certificate = value(oid::SIGNING_CERTIFICATE_V2, "signingCertificateV2")?;
        let (certificate_hash, certificate_digest) = signing_certificate(certificate)?;
        Ok(Self {
            content_type: Reader::new(content_type.whole, "contentType")
                .oid()
                .map_err(malformed)?,
            message_digest: digest.content,
            certificate_hash,
            certificate_digest,
        })
    }
}

/// Hash algorithm and digest of the first certificate named: the signer's (RFC 5035 §3).
fn signing_certificate(value: Element<'_>) -> Result<(HashAlgorithm, &[u8]), Error> {
    let mut outer = Reader::new(value.whole, "signingCertificateV2");
    let mut reader = outer.sequence().map_err(malformed)?;
    let mut ids = reader.sequence().map_err(malformed)?;
    let mut id = ids.sequence().map_err(malformed)?;
    let hash = match id.peek() {
        Some(tlv::SEQUENCE) => oid::to_hash(read_algorithm(&mut id)?)?,
        _ => HashAlgorithm::Sha256,
    };
    let digest = id.expect(tlv::OCTET_STRING).map_err(malformed)?.content;
    Ok((hash, digest))
}
