//! The request, RFC 3161 §2.4.1.

use x509::{
    ObjectIdentifier,
    tlv::{self, Reader},
};

use crate::{Error, MessageImprint, imprint::malformed};

/// Upstream's authority reads no more.
pub const REQUEST_BYTES_MAX: usize = 1024 * 1024;

const EXTENSIONS: u8 = 0xa0;

/// `TimeStampReq`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimestampRequest {
    /// What to stamp.
    pub imprint: MessageImprint,
    /// The policy asked for.
    pub policy: Option<ObjectIdentifier>,
    /// Content of the nonce INTEGER: big-endian, two's complement.
    pub nonce: Option<Vec<u8>>,
    /// Whether the answer shall carry the signing certificate.
    pub certificates: bool,
    /// Whether the request has extensions; none is known here.
    pub has_extensions: bool,
}

impl TimestampRequest {
    /// A request for a timestamp of `imprint`, without nonce, policy and certificates.
    #[must_use]
    pub const fn new(imprint: MessageImprint) -> Self {
        Self {
            imprint,
            policy: None,
            nonce: None,
            certificates: false,
            has_extensions: false,
        }
    }

    /// From DER, with nothing after it.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Malformed`], [`Error::WeakHash`], [`Error::UnsupportedHash`],
    /// [`Error::DigestLength`].
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > REQUEST_BYTES_MAX {
            return Err(Error::TooLong {
                got: der.len(),
                max: REQUEST_BYTES_MAX,
            });
        }
        let mut outer = Reader::new(der, "timestamp request");
        let mut reader = outer.sequence().map_err(malformed)?;
        outer.finish().map_err(malformed)?;
        // Upstream's authority answers requests of any version.
        read_integer(&mut reader)?.ok_or(Error::Malformed {
            part: "request version",
        })?;
        let imprint = MessageImprint::read(&mut reader);
        let policy = match reader.peek() {
            Some(tlv::OID) => Some(reader.oid().map_err(malformed)?),
            _ => None,
        };
        let nonce = read_integer(&mut reader)?;
        let certificates = reader.boolean().map_err(malformed)?.unwrap_or_default();
        let extensions = reader.optional(EXTENSIONS).map_err(malformed)?;
        let has_extensions = extensions.is_some_and(|list| !list.content.is_empty());
        reader.finish().map_err(malformed)?;
        // Junk is junk, whatever its imprint would be.
        Ok(Self {
            imprint: imprint?,
            policy,
            nonce,
            certificates,
            has_extensions,
        })
    }

    /// DER. Extensions are not written.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut content = vec![tlv::INTEGER, 1, 1];
        content.extend(self.imprint.to_der());
        if let Some(policy) = self.policy {
            content.extend(tlv::write_oid(policy));
        }
        if let Some(nonce) = &self.nonce {
            content.extend(tlv::write(tlv::INTEGER, nonce));
        }
        if self.certificates {
            content.extend([tlv::BOOLEAN, 1, 0xff]);
        }
        tlv::write(tlv::SEQUENCE, &content)
    }
}

/// The content of an INTEGER that may be there: at least one octet, and no superfluous ones (X.690
/// §8.3.2).
pub(crate) fn read_integer(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Error> {
    let Some(element) = reader.optional(tlv::INTEGER).map_err(malformed)? else {
        return Ok(None);
    };
    match element.content {
        [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => {
            Err(Error::Malformed { part: "integer" })
        }
        digits => Ok(Some(digits.to_vec())),
    }
}
