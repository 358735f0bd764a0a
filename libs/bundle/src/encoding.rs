//! Protobuf's JSON mapping of the scalars that serde spells differently.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Deserializer, Serializer, de};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Either base64 alphabet, padded or not, as protobuf's JSON mapping asks of readers.
pub(crate) fn decode_base64<E: de::Error>(text: &str) -> Result<Vec<u8>, E> {
    let engine = if text.contains(['-', '_']) {
        &URL_SAFE
    } else {
        &STANDARD
    };
    engine.decode(text).map_err(|_| E::custom("invalid base64"))
}

pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// `bytes` fields; `null` is the empty string of bytes.
pub(crate) mod bytes {
    use super::{Deserialize, Deserializer, Serializer, decode_base64, encode_base64};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode_base64(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
        decode_base64(&text)
    }
}

/// `repeated bytes` fields.
pub(crate) mod bytes_list {
    use serde::ser::SerializeSeq as _;

    use super::{Deserialize, Deserializer, Serializer, decode_base64, encode_base64};

    pub(crate) fn serialize<S: Serializer>(
        list: &[Vec<u8>],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(list.len()))?;
        for bytes in list {
            sequence.serialize_element(&encode_base64(bytes))?;
        }
        sequence.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<Vec<u8>>, D::Error> {
        let list = Option::<Vec<String>>::deserialize(deserializer)?.unwrap_or_default();
        list.iter().map(|text| decode_base64(text)).collect()
    }
}

/// `int64` fields: written as a string, read as a string or a number.
pub(crate) mod int64 {
    use super::{Deserialize, Deserializer, Serializer, de};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wire {
        Number(i64),
        Text(String),
    }

    pub(crate) fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        match Option::<Wire>::deserialize(deserializer)? {
            None => Ok(0),
            Some(Wire::Number(value)) => Ok(value),
            Some(Wire::Text(text)) => text
                .parse()
                .map_err(|_| de::Error::custom("invalid 64-bit integer")),
        }
    }
}

/// A list that may be `null` or absent.
pub(crate) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(deserializer)?.unwrap_or_default())
}

/// A string that may be `null` or absent.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a whole document of at most `max` bytes.
pub(crate) fn from_json<'de, T: Deserialize<'de>>(
    document: &'static str,
    json: &'de [u8],
    max: usize,
) -> Result<T, crate::Error> {
    if json.len() > max {
        return Err(crate::Error::TooLarge {
            document,
            got: json.len(),
            max,
        });
    }
    serde_json::from_slice(json).map_err(|source| crate::Error::Json { document, source })
}
