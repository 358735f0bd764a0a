//! What a timestamp says: TSTInfo, RFC 3161 §2.4.2.

use jiff::Timestamp;
use x509::{
    ObjectIdentifier,
    tlv::{self, Reader},
};

use crate::{
    Error, MessageImprint,
    imprint::malformed,
    request::read_integer,
    time::{GENERALIZED_TIME, read_generalized, write_generalized},
};

const TSA: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa1;
const DIRECTORY_NAME: u8 = 0xa4;

/// `TSTInfo`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TstInfo {
    /// The policy under which the timestamp was made.
    pub policy: ObjectIdentifier,
    /// What was stamped.
    pub imprint: MessageImprint,
    /// Content of the serial number INTEGER: big-endian, two's complement.
    pub serial: Vec<u8>,
    /// When it was made.
    pub gen_time: Timestamp,
    /// How far off `gen_time` may be, whole seconds.
    pub accuracy_secs: Option<u32>,
    /// Whether timestamps of this authority can be put in order by `gen_time` alone.
    pub ordering: bool,
    /// Content of the nonce INTEGER, as the request had it.
    pub nonce: Option<Vec<u8>>,
    /// DER of the authority's Name, when it is given as a directory name.
    pub tsa: Option<Vec<u8>>,
}

impl TstInfo {
    /// DER in the order of upstream's authority.
    pub(crate) fn to_der(&self) -> Result<Vec<u8>, Error> {
        let mut content = vec![tlv::INTEGER, 1, 1];
        content.extend(tlv::write_oid(self.policy));
        content.extend(self.imprint.to_der());
        content.extend(tlv::write(tlv::INTEGER, &self.serial));
        content.extend(write_generalized(self.gen_time)?);
        if let Some(secs) = self.accuracy_secs {
            content.extend(tlv::write(
                tlv::SEQUENCE,
                &tlv::write_integer(&secs.to_be_bytes()),
            ));
        }
        if self.ordering {
            content.extend([tlv::BOOLEAN, 1, 0xff]);
        }
        if let Some(nonce) = &self.nonce {
            content.extend(tlv::write(tlv::INTEGER, nonce));
        }
        if let Some(name) = &self.tsa {
            content.extend(tlv::write(TSA, &tlv::write(DIRECTORY_NAME, name)));
        }
        Ok(tlv::write(tlv::SEQUENCE, &content))
    }

    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Error> {
        let mut outer = Reader::new(der, "timestamp information");
        let mut reader = outer.sequence().map_err(malformed)?;
        outer.finish().map_err(malformed)?;
        if reader.expect(tlv::INTEGER).map_err(malformed)?.content != [1] {
            return Err(Error::Malformed {
                part: "timestamp information version",
            });
        }
        let policy = reader.oid().map_err(malformed)?;
        let imprint = MessageImprint::read(&mut reader)?;
        let serial = read_integer(&mut reader)?.ok_or(Error::Malformed {
            part: "serial number",
        })?;
        let time = reader.expect(GENERALIZED_TIME).map_err(malformed)?;
        let gen_time = read_generalized(time.content)?;
        let accuracy_secs = read_accuracy(&mut reader)?;
        let ordering = reader.boolean().map_err(malformed)?.unwrap_or_default();
        let nonce = read_integer(&mut reader)?;
        let tsa = reader
            .optional(TSA)
            .map_err(malformed)?
            .map(|name| name.content);
        let extensions = reader.optional(EXTENSIONS).map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        if let Some(extensions) = extensions {
            refuse_critical(extensions.content)?;
        }
        let tsa = tsa.map(directory_name).transpose()?.flatten();
        Ok(Self {
            policy,
            imprint,
            serial,
            gen_time,
            accuracy_secs,
            ordering,
            nonce,
            tsa,
        })
    }
}

/// Accuracy ::= SEQUENCE { seconds, millis [0], micros [1] }, each optional; only the seconds are kept.
fn read_accuracy(reader: &mut Reader<'_>) -> Result<Option<u32>, Error> {
    if reader.peek() != Some(tlv::SEQUENCE) {
        return Ok(None);
    }
    let mut accuracy = reader.sequence().map_err(malformed)?;
    let seconds = read_integer(&mut accuracy)?;
    accuracy.optional(0x80).map_err(malformed)?;
    accuracy.optional(0x81).map_err(malformed)?;
    accuracy.finish().map_err(malformed)?;
    let Some(digits) = seconds else {
        return Ok(Some(0));
    };
    let fits = digits[0] & 0x80 == 0 && digits.len() <= 4;
    fits.then(|| {
        digits
            .iter()
            .fold(0, |sum, digit| sum << 8 | u32::from(*digit))
    })
    .map(Some)
    .ok_or(Error::Malformed { part: "accuracy" })
}

fn directory_name(general_name: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut reader = Reader::new(general_name, "authority name");
    let element = reader.any().map_err(malformed)?;
    reader.finish().map_err(malformed)?;
    Ok((element.tag == DIRECTORY_NAME).then(|| element.content.to_vec()))
}

/// No extension is known here, so a critical one makes the timestamp unusable (RFC 3161 §2.4.2).
fn refuse_critical(extensions: &[u8]) -> Result<(), Error> {
    let mut list = Reader::new(extensions, "timestamp extensions");
    while !list.is_empty() {
        let mut extension = list.sequence().map_err(malformed)?;
        extension.oid().map_err(malformed)?;
        if extension.boolean().map_err(malformed)? == Some(true) {
            return Err(malformed(extension.malformed()));
        }
        extension.expect(tlv::OCTET_STRING).map_err(malformed)?;
        extension.finish().map_err(malformed)?;
    }
    Ok(())
}
