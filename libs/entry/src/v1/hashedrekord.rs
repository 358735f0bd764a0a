//! `hashedrekord` 0.0.1: a signature over a digest, by a key or certificate in PEM.

use crypto::{HashAlgorithm, sha256};

use super::{Entry, Object, Rule, bytes, distinct, member, schema::check_hash, text};
use crate::{Body, Error, Kind, Verifier, body::HashedRekordV001, go::decode_hex, signed};

const ALGORITHMS: &[&str] = &["sha256", "sha384", "sha512"];

pub(super) fn read(spec: &Object) -> Result<Entry, Error> {
    let signature = member(spec, "signature");
    let mut content = None;
    let mut key_member = None;
    let mut submitted_key = None;
    if let Some(signature) = signature {
        content = bytes(signature, "content", "signature content")?;
        key_member = member(signature, "publicKey");
        if let Some(key) = key_member {
            submitted_key = bytes(key, "content", "public key content")?;
        }
    }
    let hash = member(spec, "data").and_then(|data| member(data, "hash"));
    check(hash, signature)?;
    let hash = hash.expect("checked above");

    if key_member.is_none() {
        return Err(Error::MissingPublicKey);
    }
    let submitted_key = submitted_key.unwrap_or_default();
    let verifier = Verifier::from_pem(&submitted_key)?;
    let algorithm = HashAlgorithm::from_name(text(hash, "algorithm").unwrap_or_default())
        .expect("one of the schema's algorithms");
    let value = text(hash, "value").unwrap_or_default();
    if value.len() != algorithm.digest_bytes() * 2 {
        return Err(Error::HashLength);
    }
    let digest = decode_hex(value)?;
    let content = content.unwrap_or_default();
    verify(&verifier, algorithm, &digest, &content)
        .map_err(|error| Error::Signature(Box::new(error)))?;

    let public_key = verifier.canonical_pem().into_bytes();
    let mut index_keys = vec![hex::encode(sha256(&public_key))];
    index_keys.extend(verifier.subjects());
    index_keys.push(format!("{algorithm}:{value}"));
    Ok(Entry {
        kind: Kind::HashedRekordV001,
        body: Ok(Body::HashedRekordV001(HashedRekordV001 {
            algorithm,
            value: value.to_owned(),
            signature: content,
            public_key,
        })),
        insertable: Ok(()),
        index_keys: distinct(index_keys),
        attestation: None,
        algorithm: Some((verifier.public_key().kind(), algorithm)),
    })
}

fn check(hash: Option<&Object>, signature: Option<&Object>) -> Result<(), Error> {
    let mut rules = Vec::new();
    match hash {
        None => rules.push(Rule::required("data")),
        Some(hash) => rules.extend(check_hash(hash, "data.data.hash.data.hash", ALGORITHMS).err()),
    }
    if signature.is_none() {
        rules.push(Rule::required("signature"));
    }
    if rules.is_empty() {
        Ok(())
    } else {
        Err(Error::Schema(rules))
    }
}

fn verify(
    verifier: &Verifier,
    algorithm: HashAlgorithm,
    digest: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    if signature.is_empty() {
        return Err(Error::EmptySignature);
    }
    verifier.check_chain()?;
    signed::verify_digest(verifier.public_key(), algorithm, digest, signature)
}
