//! GeneralizedTime and UTCTime as timestamps use them.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use x509::tlv;

use crate::Error;

pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// GeneralizedTime in whole seconds: `YYYYMMDDHHMMSSZ`.
pub(crate) fn write_generalized(at: Timestamp) -> Result<Vec<u8>, Error> {
    let civil = civil(at)?;
    let text = format!("{:04}{}", civil.year(), rest(&civil));
    Ok(tlv::write(GENERALIZED_TIME, text.as_bytes()))
}

/// UTCTime until 2049, GeneralizedTime from 2050 (RFC 5652 §11.3).
pub(crate) fn write_signing_time(at: Timestamp) -> Result<Vec<u8>, Error> {
    let civil = civil(at)?;
    if civil.year() >= 2050 {
        return write_generalized(at);
    }
    let text = format!("{:02}{}", civil.year() % 100, rest(&civil));
    Ok(tlv::write(UTC_TIME, text.as_bytes()))
}

fn civil(at: Timestamp) -> Result<DateTime, Error> {
    let civil = TimeZone::UTC.to_datetime(at);
    if (1970..=9999).contains(&civil.year()) {
        Ok(civil)
    } else {
        Err(Error::Time { at })
    }
}

fn rest(civil: &DateTime) -> String {
    format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    )
}

/// genTime, RFC 3161 §2.4.2: `YYYYMMDDHHMMSS[.s…]Z`, a fraction without trailing zeros, up to
/// nanoseconds.
pub(crate) fn read_generalized(text: &[u8]) -> Result<Timestamp, Error> {
    let malformed = || Error::Malformed {
        part: "generation time",
    };
    let text = text.strip_suffix(b"Z").ok_or_else(malformed)?;
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[b'0'][..]),
    };
    if whole.len() != 14 || fraction.is_empty() || fraction.len() > 9 {
        return Err(malformed());
    }
    if whole.len() < text.len() && fraction.ends_with(b"0") {
        return Err(malformed());
    }
    let number = |digits: &[u8]| -> Result<i32, Error> {
        digits.iter().try_fold(0_i32, |sum, digit| match digit {
            b'0'..=b'9' => Ok(sum * 10 + i32::from(digit - b'0')),
            _ => Err(malformed()),
        })
    };
    let mut nanos = number(fraction)?;
    for _ in fraction.len()..9 {
        nanos *= 10;
    }
    let two = |at: usize| number(&whole[at..at + 2]).map(|n| i8::try_from(n).expect("two digits"));
    let year = i16::try_from(number(&whole[..4])?).map_err(|_| malformed())?;
    let civil = DateTime::new(year, two(4)?, two(6)?, two(8)?, two(10)?, two(12)?, nanos);
    civil
        .and_then(|civil| TimeZone::UTC.to_timestamp(civil))
        .map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::{read_generalized, write_generalized, write_signing_time};

    #[test]
    fn times_are_read_with_and_without_a_fraction() {
        let read = |text: &str| read_generalized(text.as_bytes()).map(|time| time.to_string());
        assert_eq!(
            read("19990609001326.34352Z").unwrap(),
            "1999-06-09T00:13:26.34352Z"
        );
        assert_eq!(read("20261124102030Z").unwrap(), "2026-11-24T10:20:30Z");
        for bad in [
            "",
            "Z",
            "20261124102030",
            "20261124102030.Z",
            "20261124102030.50Z",
            "20261124102060Z",
            "20261324102030Z",
            "2026112410203Z",
            "20261124102030+0100",
            "2026112410203aZ",
            "20261124102030.1234567891Z",
            "20261124102030,5Z",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn signing_time_changes_its_type_in_2050() {
        let at = |text: &str| text.parse().unwrap();
        assert_eq!(
            write_signing_time(at("2049-12-31T23:59:59Z")).unwrap(),
            b"\x17\x0d491231235959Z"
        );
        assert_eq!(
            write_signing_time(at("2050-01-01T00:00:00Z")).unwrap(),
            b"\x18\x0f20500101000000Z"
        );
        assert_eq!(
            write_generalized(at("2026-01-01T00:00:00.9Z")).unwrap(),
            b"\x18\x0f20260101000000Z"
        );
    }
}
