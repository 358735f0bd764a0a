//! RFC 3161 timestamps over the signature.

use jiff::Timestamp;
use tsp::TimestampToken;
use x509::Certificate;

use crate::Report;
use crate::error::TimestampError;
use crate::trust::{Authority, Trust};

/// The times of all timestamps. Each must be by an authority of the trust root.
pub(crate) fn verify(
    timestamps: &[Vec<u8>],
    signature: &[u8],
    trust: &Trust,
    report: &mut Report,
) -> Result<Vec<Timestamp>, TimestampError> {
    let mut times = Vec::new();
    for der in timestamps {
        let token = TimestampToken::from_der(der)?;
        let (time, uri) = verify_token(&token, signature, trust)?;
        report.pass("timestamp", format!("{time} by {uri}"));
        times.push(time);
    }
    Ok(times)
}

fn verify_token<'a>(
    token: &TimestampToken,
    signature: &[u8],
    trust: &'a Trust,
) -> Result<(Timestamp, &'a str), TimestampError> {
    let mut failure = TimestampError::NoAuthority;
    for authority in &trust.timestamp_authorities {
        match verify_by(token, signature, authority) {
            Ok(time) => return Ok((time, &authority.uri)),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn verify_by(
    token: &TimestampToken,
    signature: &[u8],
    authority: &Authority,
) -> Result<Timestamp, TimestampError> {
    let is_leaf = |certificate: &&Certificate| !certificate.is_ca().unwrap_or(true);
    let known = authority.chain.iter().find(is_leaf);
    // The leaf that the trust root names is the only one; without, the token may bring its own.
    let candidates: Vec<&Certificate> = match known {
        Some(leaf) => vec![leaf],
        None => token.certificates().iter().filter(is_leaf).collect(),
    };
    let mut failure = TimestampError::NoSigner;
    for leaf in candidates {
        let verified = token.verify(signature, leaf).map_err(TimestampError::Token);
        let chained = verified.and_then(|time| {
            let intermediates: Vec<Certificate> = authority
                .others()
                .iter()
                .filter(|other| *other != leaf)
                .cloned()
                .collect();
            let eku = x509::oid::EKU_TIME_STAMPING;
            x509::verify_chain(leaf, &intermediates, authority.roots(), time, eku)
                .map_err(TimestampError::Chain)?;
            Ok(time)
        });
        match chained {
            Ok(time) if authority.was_valid(time) => return Ok(time),
            Ok(at) => failure = TimestampError::Validity { at },
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
