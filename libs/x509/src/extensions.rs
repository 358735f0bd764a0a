//! Extensions as bytes: one read, one written, and the content of the standard ones.

use der::asn1::ObjectIdentifier;

use crate::{
    Error, Extension, KeyUsage, oid,
    tlv::{self, Reader},
};

pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Extension, Error> {
    let mut fields = reader.sequence()?;
    let oid = fields.oid()?;
    // `FALSE` written out is not DER, and is seen in real certificates: its bytes are not kept then,
    // so it is refused rather than changed under a signature.
    let critical = match fields.boolean()? {
        Some(false) => return Err(fields.malformed()),
        critical => critical.is_some(),
    };
    let value = fields.expect(tlv::OCTET_STRING)?.content.to_vec();
    fields.finish()?;
    Ok(Extension {
        oid,
        critical,
        value,
    })
}

pub(crate) fn write(extension: &Extension) -> Vec<u8> {
    let critical: &[u8] = if extension.critical {
        &[tlv::BOOLEAN, 1, 0xff]
    } else {
        &[]
    };
    tlv::write_all(
        tlv::SEQUENCE,
        &[
            &tlv::write_oid(extension.oid),
            critical,
            &tlv::write(tlv::OCTET_STRING, &extension.value),
        ],
    )
}

/// `[3] EXPLICIT SEQUENCE OF Extension`.
pub(crate) fn write_wrapped(extensions: &[Extension]) -> Vec<u8> {
    let all: Vec<u8> = extensions.iter().flat_map(write).collect();
    tlv::write(0xa3, &tlv::write(tlv::SEQUENCE, &all))
}

pub(crate) fn key_usage(usage: KeyUsage) -> Extension {
    Extension {
        oid: oid::KEY_USAGE,
        critical: true,
        value: usage.to_der(),
    }
}

pub(crate) fn ext_key_usage(usages: &[ObjectIdentifier], critical: bool) -> Extension {
    let all: Vec<u8> = usages
        .iter()
        .flat_map(|usage| tlv::write_oid(*usage))
        .collect();
    Extension {
        oid: oid::EXT_KEY_USAGE,
        critical,
        value: tlv::write(tlv::SEQUENCE, &all),
    }
}

pub(crate) fn authority(path_length: Option<u8>) -> Extension {
    let limit = path_length
        .map(|limit| tlv::write_integer(&[limit]))
        .unwrap_or_default();
    let value = tlv::write_all(tlv::SEQUENCE, &[&[tlv::BOOLEAN, 1, 0xff], &limit]);
    Extension {
        oid: oid::BASIC_CONSTRAINTS,
        critical: true,
        value,
    }
}

pub(crate) fn subject_key_id(id: &[u8]) -> Extension {
    let value = tlv::write(tlv::OCTET_STRING, id);
    Extension {
        oid: oid::SUBJECT_KEY_IDENTIFIER,
        critical: false,
        value,
    }
}

pub(crate) fn authority_key_id(id: &[u8]) -> Extension {
    let value = tlv::write(tlv::SEQUENCE, &tlv::write(0x80, id));
    Extension {
        oid: oid::AUTHORITY_KEY_IDENTIFIER,
        critical: false,
        value,
    }
}

/// The lab's mark: a UTF8String naming the lab.
pub(crate) fn marker(text: &str, critical: bool) -> Extension {
    let value = tlv::write(tlv::UTF8_STRING, text.as_bytes());
    Extension {
        oid: oid::LAB_MARKER,
        critical,
        value,
    }
}
