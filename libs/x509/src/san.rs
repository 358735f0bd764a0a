//! SubjectAltName (RFC 5280 §4.2.1.6), read and written.

use std::net::IpAddr;

use der::asn1::ObjectIdentifier;

use crate::{
    Error, Extension, oid,
    tlv::{self, Reader},
};

/// The most names in one SubjectAltName that are read.
const MAX_NAMES: usize = 1024;

/// One name of a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum San {
    /// rfc822Name.
    Email(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// dNSName.
    Dns(String),
    /// iPAddress.
    Ip(IpAddr),
    /// otherName: its type and the DER of the value inside `[0]`.
    OtherName {
        /// type-id.
        type_id: ObjectIdentifier,
        /// The value with its own tag and length.
        value: Vec<u8>,
    },
    /// A form that siglab does not read (directoryName, x400Address, ediPartyName, registeredID): its
    /// context tag number and content.
    Other {
        /// 3, 4, 5 or 8.
        tag: u8,
        /// Content of the element.
        content: Vec<u8>,
    },
}

impl San {
    /// A `username` identity of Fulcio: otherName 57264.1.7 with a UTF8String.
    #[must_use]
    pub fn username(text: &str) -> Self {
        let value = tlv::write(tlv::UTF8_STRING, text.as_bytes());
        Self::OtherName {
            type_id: oid::FULCIO_OTHER_NAME,
            value,
        }
    }

    /// The text that verifiers compare with an identity: the name itself, an address in its usual
    /// form, or the UTF8String of Fulcio's otherName. `None` for the other forms.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Email(text) | Self::Uri(text) | Self::Dns(text) => Some(text.clone()),
            Self::Ip(address) => Some(address.to_string()),
            Self::OtherName { type_id, value } if *type_id == oid::FULCIO_OTHER_NAME => {
                let mut reader = Reader::new(value, "other name");
                let text = reader.expect(tlv::UTF8_STRING).ok()?.content;
                reader.finish().ok()?;
                String::from_utf8(text.to_vec()).ok()
            }
            Self::OtherName { .. } | Self::Other { .. } => None,
        }
    }

    pub(crate) fn to_der(&self) -> Result<Vec<u8>, Error> {
        Ok(match self {
            Self::Email(text) => tlv::write(0x81, ascii(text)?),
            Self::Dns(text) => tlv::write(0x82, ascii(text)?),
            Self::Uri(text) => tlv::write(0x86, ascii(text)?),
            Self::Ip(IpAddr::V4(address)) => tlv::write(0x87, &address.octets()),
            Self::Ip(IpAddr::V6(address)) => tlv::write(0x87, &address.octets()),
            Self::OtherName { type_id, value } => {
                let inner = tlv::write(0xa0, value);
                tlv::write_all(0xa0, &[&tlv::write_oid(*type_id), &inner])
            }
            Self::Other { tag, content } => tlv::write(0x80 | tag, content),
        })
    }
}

/// The extension of these names.
///
/// # Errors
/// [`Error::Charset`] when a name is not ASCII.
pub(crate) fn extension(names: &[San], critical: bool) -> Result<Extension, Error> {
    let mut all = Vec::new();
    for name in names {
        all.extend(name.to_der()?);
    }
    let value = tlv::write(tlv::SEQUENCE, &all);
    Ok(Extension {
        oid: oid::SUBJECT_ALT_NAME,
        critical,
        value,
    })
}

pub(crate) fn parse(value: &[u8]) -> Result<Vec<San>, Error> {
    let mut outer = Reader::new(value, "subject alternative name");
    let mut reader = outer.sequence()?;
    outer.finish()?;
    let mut names = Vec::new();
    while !reader.is_empty() {
        if names.len() == MAX_NAMES {
            return Err(reader.malformed());
        }
        let element = reader.any()?;
        let malformed = || Error::Malformed {
            part: "subject alternative name",
        };
        let text = || match std::str::from_utf8(element.content) {
            Ok(text) if text.is_ascii() => Ok(text.to_owned()),
            _ => Err(malformed()),
        };
        names.push(match element.tag {
            0xa0 => {
                let mut fields = Reader::new(element.content, "other name");
                let type_id = fields.oid()?;
                let value = fields.expect(0xa0)?.content;
                fields.finish()?;
                let mut inner = Reader::new(value, "other name");
                inner.any()?;
                inner.finish()?;
                San::OtherName {
                    type_id,
                    value: value.to_vec(),
                }
            }
            0x81 => San::Email(text()?),
            0x82 => San::Dns(text()?),
            0x86 => San::Uri(text()?),
            0x87 => San::Ip(address(element.content).ok_or_else(malformed)?),
            0xa3 | 0xa4 | 0xa5 | 0x88 => San::Other {
                tag: element.tag & 0x1f,
                content: element.content.to_vec(),
            },
            _ => return Err(malformed()),
        });
    }
    Ok(names)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(v4));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

fn ascii(text: &str) -> Result<&[u8], Error> {
    if text.is_ascii() {
        Ok(text.as_bytes())
    } else {
        Err(Error::Charset { charset: "ASCII" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn username_is_written_as_upstream_writes_it() {
        let extension = extension(&[San::username("alice!localhost")], true).unwrap();
        let want = "3021a01f060a2b0601040183bf300107a0110c0f616c696365216c6f63616c686f7374";
        assert_eq!(hex::encode(&extension.value), want);
        let names = parse(&extension.value).unwrap();
        assert_eq!(names[0].text().as_deref(), Some("alice!localhost"));
    }

    #[test]
    fn names_survive_a_round_trip() {
        let names = [
            San::Email("a@b.example".to_owned()),
            San::Uri("https://b.example/x".to_owned()),
            San::Dns("b.example".to_owned()),
            San::Ip("10.0.0.1".parse().unwrap()),
            San::Ip("::1".parse().unwrap()),
        ];
        let extension = extension(&names, false).unwrap();
        assert_eq!(parse(&extension.value).unwrap(), names);
    }

    #[test]
    fn hostile_names_are_refused() {
        for value in [
            "3003810180",
            "3004870201ff",
            "300287",
            "3006a004060155",
            "30028f00",
        ] {
            assert!(parse(&hex::decode(value).unwrap()).is_err(), "{value}");
        }
        assert!(extension(&[San::Email("ü@b.example".to_owned())], true).is_err());
    }
}
