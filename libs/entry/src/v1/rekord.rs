//! `rekord` 0.0.1: a signature over an artefact that is sent along. Only x509 keys are verified.

use super::{
    Entry, Object, Rule, RuleKind, bytes, distinct, member,
    schema::{check_hash, check_optional_hash},
    text,
};
use crate::{
    Body, Error, Kind, Verifier,
    body::{HashV001, RekordDataV001, RekordPublicKeyV001, RekordSignatureV001, RekordV001},
    envelope::sha256_hex,
    go::decode_hex,
    signed,
};

const FORMATS: &[&str] = &["pgp", "minisign", "x509", "ssh"];
const SHA256: &[&str] = &["sha256"];

/// What a rekord spec says, decoded.
struct Parts<'a> {
    format: &'a str,
    signature: Vec<u8>,
    public_key: Vec<u8>,
    hash: Option<&'a Object>,
    content: Vec<u8>,
}

pub(super) fn read(spec: &Object) -> Result<Entry, Error> {
    let parts = parts(spec)?;
    if let Some(hash) = parts.hash {
        let value = text(hash, "value").unwrap_or_default();
        if value.len() != 64 || decode_hex(value).is_err() {
            return Err(Error::HashLength);
        }
    } else if parts.content.is_empty() {
        return Err(Error::MissingContent("data"));
    }
    let insertable = if parts.content.is_empty() {
        Err(Error::NotInsertable("missing data content"))
    } else {
        Ok(())
    };
    // The signature is looked at when the body is asked for, as upstream does.
    let (body, index_keys) = match verified(&parts) {
        Ok((body, keys)) => (Ok(Body::RekordV001(body)), keys),
        Err(error) => (Err(error), Vec::new()),
    };
    Ok(Entry {
        kind: Kind::RekordV001,
        body,
        insertable,
        index_keys: distinct(index_keys),
        attestation: None,
        algorithm: None,
    })
}

fn parts(spec: &Object) -> Result<Parts<'_>, Error> {
    let signature = member(spec, "signature");
    let public_key = signature.and_then(|signature| member(signature, "publicKey"));
    let mut content = None;
    let mut key = None;
    if let Some(signature) = signature {
        content = bytes(signature, "content", "signature content")?;
    }
    if let Some(public_key) = public_key {
        key = bytes(public_key, "content", "signature publicKey content")?;
    }
    let data = member(spec, "data");
    let hash = data.and_then(|data| member(data, "hash"));
    let artefact = data
        .map(|data| bytes(data, "content", "data content"))
        .transpose()?
        .flatten();

    let mut rules = Vec::new();
    match data {
        None => rules.push(Rule::required("data")),
        Some(data) => {
            let name = "data.data.hash.data.hash";
            rules.extend(check_optional_hash(data, "hash", name, SHA256).err());
        }
    }
    match signature {
        None => rules.push(Rule::required("signature")),
        Some(signature) => {
            rules.extend(check_signature(signature, content.is_some(), key.is_some()).err())
        }
    }
    if !rules.is_empty() {
        return Err(Error::Schema(rules));
    }
    Ok(Parts {
        format: signature
            .and_then(|signature| text(signature, "format"))
            .unwrap_or_default(),
        signature: content.unwrap_or_default(),
        public_key: key.unwrap_or_default(),
        hash: hash.filter(|hash| check_hash(hash, "", SHA256).is_ok()),
        content: artefact.unwrap_or_default(),
    })
}

fn check_signature(signature: &Object, has_content: bool, has_key: bool) -> Result<(), Rule> {
    let name = "signature.signature";
    if !has_content {
        return Err(Rule::required(&format!("{name}.content")));
    }
    match text(signature, "format") {
        None => return Err(Rule::required(&format!("{name}.format"))),
        Some(format) if !FORMATS.contains(&format) => {
            return Err(Rule::body(
                &format!("{name}.format"),
                RuleKind::OneOf(FORMATS),
            ));
        }
        Some(_) => {}
    }
    if member(signature, "publicKey").is_none() {
        return Err(Rule::required(&format!("{name}.publicKey")));
    }
    if !has_key {
        let name = "signature.signature.publicKey.signature.publicKey.content";
        return Err(Rule::required(name));
    }
    Ok(())
}

fn verified(parts: &Parts<'_>) -> Result<(RekordV001, Vec<String>), Error> {
    let format = FORMATS
        .iter()
        .find(|format| **format == parts.format)
        .copied();
    let format = format.unwrap_or("unknown");
    if format != "x509" {
        // Divergence: pgp, minisign and ssh signatures are not verified, so they are not logged.
        return Err(Error::UnsupportedFormat(format));
    }
    let computed = sha256_hex(&parts.content);
    if let Some(given) = parts.hash.and_then(|hash| text(hash, "value"))
        && given != computed
    {
        return Err(Error::ShaMismatch {
            computed,
            given: given.to_owned(),
        });
    }
    let verifier = Verifier::from_pem(&parts.public_key)?;
    verifier.check_chain()?;
    signed::verify_message(verifier.public_key(), &parts.content, &parts.signature)?;

    let pem = verifier.canonical_pem().into_bytes();
    let mut keys = vec![sha256_hex(&pem)];
    keys.extend(verifier.subjects());
    keys.push(format!("sha256:{computed}"));
    let hash = HashV001 {
        algorithm: "sha256".to_owned(),
        value: computed,
    };
    let body = RekordV001 {
        data: RekordDataV001 { hash },
        signature: RekordSignatureV001 {
            content: parts.signature.clone(),
            format: format.to_owned(),
            public_key: RekordPublicKeyV001 { content: pem },
        },
    };
    Ok((body, keys))
}
