//! Tokens that others made, tokens that were tampered with, and certificates that may not sign.

use crypto::{HashAlgorithm, KeyKind, SigningKey};
use jiff::Timestamp;
use tsp::{Authority, Error, MessageImprint, Stamp, TimestampRequest, TimestampToken};
use x509::{AuthorityBuilder, Certificate, EndEntityBuilder, Name, ObjectIdentifier, oid};

const MESSAGE: &[u8] = include_bytes!("vectors/message.txt");
const CHAIN: &str = include_str!("vectors/upstream-chain.pem");
const SHA256: &[u8] = include_bytes!("vectors/upstream-sha256.tsr");
const SHA512: &[u8] = include_bytes!("vectors/upstream-sha512.tsr");
const BARE: &[u8] = include_bytes!("vectors/upstream-bare.tsr");

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(common_name: &str) -> Name {
    Name {
        organization: "LAB".to_owned(),
        common_name: common_name.to_owned(),
    }
}

/// A leaf under a root of its own, with these usages.
struct Signer {
    key: SigningKey,
    leaf: Certificate,
}

impl Signer {
    fn new(kind: KeyKind, usages: &[ObjectIdentifier], critical: bool) -> Self {
        let (start, end) = (at("2026-01-01T00:00:00Z"), at("2026-12-31T00:00:00Z"));
        let root_key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        let root = AuthorityBuilder::new(name("root"), start, end)
            .self_signed(&root_key)
            .unwrap();
        let key = SigningKey::generate(kind).unwrap();
        let leaf = EndEntityBuilder::new(name("leaf"), start, end)
            .ext_key_usage(usages, critical)
            .issued_by(&root, &root_key, key.public_key())
            .unwrap();
        Self { key, leaf }
    }

    fn proper() -> Self {
        Self::new(KeyKind::EcdsaP256, &[oid::EKU_TIME_STAMPING], true)
    }

    fn stamp(&self, request: &TimestampRequest, gen_time: Timestamp) -> Vec<u8> {
        let stamp = Stamp {
            policy: ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2"),
            serial: [0x80; 20],
            gen_time,
            accuracy_secs: 1,
        };
        let authority = Authority {
            key: &self.key,
            leaf: &self.leaf,
            others: &[],
        };
        authority.respond(request, &stamp).unwrap()
    }
}

fn request(certificates: bool) -> TimestampRequest {
    let imprint = MessageImprint::of(HashAlgorithm::Sha256, MESSAGE);
    TimestampRequest {
        certificates,
        ..TimestampRequest::new(imprint)
    }
}

const NOON: &str = "2026-06-01T12:00:00Z";

#[test]
fn upstreams_tokens_verify() {
    let chain = Certificate::chain_from_pem(CHAIN).unwrap();
    for (der, hash, certificates) in [
        (SHA256, HashAlgorithm::Sha256, 1),
        (SHA512, HashAlgorithm::Sha512, 1),
        (BARE, HashAlgorithm::Sha256, 0),
    ] {
        let token = TimestampToken::from_der(der).unwrap();
        let gen_time = token.verify(MESSAGE, &chain[0]).unwrap();
        assert_eq!(token.info().imprint, MessageImprint::of(hash, MESSAGE));
        assert_eq!(token.info().policy.to_string(), "1.3.6.1.4.1.57264.2");
        assert_eq!(token.info().accuracy_secs, Some(1));
        assert_eq!(token.info().nonce.is_some(), certificates == 1);
        assert_eq!(token.info().tsa.as_deref(), Some(chain[0].subject_der()));
        assert_eq!(token.certificates().len(), certificates);
        assert_eq!(gen_time.subsec_nanosecond(), 0);
        x509::verify_chain(
            &chain[0],
            &chain[1..2],
            &chain[2..],
            gen_time,
            oid::EKU_TIME_STAMPING,
        )
        .unwrap();
    }
}

#[test]
fn the_token_inside_a_response_reads_the_same() {
    // Header of the response, then status `30 03 02 01 00`.
    let token = &BARE[4 + 5..];
    let chain = Certificate::chain_from_pem(CHAIN).unwrap();
    let alone = TimestampToken::from_der(token).unwrap();
    let wrapped = TimestampToken::from_der(BARE).unwrap();
    assert_eq!(alone.info(), wrapped.info());
    alone.verify(MESSAGE, &chain[0]).unwrap();
}

#[test]
fn our_token_has_upstreams_layout() {
    let signer = Signer::proper();
    let response = signer.stamp(&request(false), at("2026-06-01T12:00:00.9Z"));
    let hex = hex::encode(&response);
    assert!(hex.contains("3003020100"), "status granted without text");
    let digest = hex::encode(crypto::sha256(MESSAGE));
    let info = format!(
        "02010106092b0601040183bf30023031300d060960864801650304020105000420{digest}\
         021500{}180f32303236303630313132303030305a3003020101a0",
        "80".repeat(20)
    );
    assert!(hex.contains(&info), "TSTInfo of spec §6.3");
    assert!(
        hex.contains("020103310d300b0609608648016503040201"),
        "digest without parameters"
    );
    assert!(hex.contains("a0003182"), "an empty certificate set");
}

#[test]
fn a_refusal_is_not_a_token() {
    let refusal = hex::decode("30053003020102").unwrap();
    assert_eq!(
        TimestampToken::from_der(&refusal).unwrap_err(),
        Error::NotGranted { status: 2 }
    );
}

#[test]
fn another_message_is_refused() {
    let signer = Signer::proper();
    let token = TimestampToken::from_der(&signer.stamp(&request(true), at(NOON))).unwrap();
    assert_eq!(token.verify(MESSAGE, &signer.leaf), Ok(at(NOON)));
    assert_eq!(
        token.verify(b"other", &signer.leaf),
        Err(Error::MessageImprint)
    );
}

#[test]
fn another_signer_is_refused_with_and_without_certificates() {
    for certificates in [false, true] {
        let (signer, other) = (Signer::proper(), Signer::proper());
        let der = signer.stamp(&request(certificates), at(NOON));
        let token = TimestampToken::from_der(&der).unwrap();
        assert_eq!(
            token.verify(MESSAGE, &other.leaf),
            Err(Error::SignerIdentity)
        );
    }
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let (mut signer, other) = (Signer::proper(), Signer::proper());
    signer.key = other.key;
    let token = TimestampToken::from_der(&signer.stamp(&request(false), at(NOON))).unwrap();
    let error = token.verify(MESSAGE, &signer.leaf).unwrap_err();
    assert_eq!(error, Error::Signature(crypto::Error::Signature));
}

#[test]
fn only_certificates_for_timestamps_alone_may_sign() {
    for (usages, critical) in [
        (&[][..], false),
        (&[oid::EKU_TIME_STAMPING][..], false),
        (&[oid::EKU_CODE_SIGNING][..], true),
        (&[oid::EKU_TIME_STAMPING, oid::EKU_CODE_SIGNING][..], true),
        (&[oid::EKU_ANY][..], true),
    ] {
        let signer = Signer::new(KeyKind::EcdsaP256, usages, critical);
        let token = TimestampToken::from_der(&signer.stamp(&request(false), at(NOON))).unwrap();
        assert_eq!(token.verify(MESSAGE, &signer.leaf), Err(Error::SignerUsage));
    }
}

#[test]
fn a_time_outside_the_certificates_validity_is_refused() {
    let signer = Signer::proper();
    for gen_time in [at("2025-12-31T23:59:59Z"), at("2026-12-31T00:00:01Z")] {
        let token = TimestampToken::from_der(&signer.stamp(&request(false), gen_time)).unwrap();
        assert_eq!(
            token.verify(MESSAGE, &signer.leaf),
            Err(Error::SignerValidity { gen_time })
        );
    }
}

#[test]
fn every_kind_of_key_signs_what_verifies() {
    for kind in [
        KeyKind::EcdsaP256,
        KeyKind::EcdsaP384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let signer = Signer::new(kind, &[oid::EKU_TIME_STAMPING], true);
        let token = TimestampToken::from_der(&signer.stamp(&request(true), at(NOON))).unwrap();
        assert_eq!(
            token.verify(MESSAGE, &signer.leaf),
            Ok(at(NOON)),
            "{kind:?}"
        );
    }
}

#[test]
fn no_changed_byte_gives_another_time_or_message() {
    let chain = Certificate::chain_from_pem(CHAIN).unwrap();
    let genuine = TimestampToken::from_der(SHA256).unwrap();
    for position in 0..SHA256.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut der = SHA256.to_vec();
            der[position] ^= mask;
            let Ok(token) = TimestampToken::from_der(&der) else {
                continue;
            };
            if token.verify(MESSAGE, &chain[0]).is_ok() {
                assert_eq!(token.info(), genuine.info(), "byte {position}");
            }
        }
    }
}

#[test]
fn truncated_and_extended_tokens_are_refused() {
    for length in 0..SHA256.len() {
        assert!(
            TimestampToken::from_der(&SHA256[..length]).is_err(),
            "{length} bytes"
        );
    }
    let longer = [SHA256, &[0]].concat();
    assert!(TimestampToken::from_der(&longer).is_err());
    let endless = vec![0x30; tsp::TOKEN_BYTES_MAX + 1];
    assert!(matches!(
        TimestampToken::from_der(&endless),
        Err(Error::TooLong { .. })
    ));
}

#[test]
fn deep_nesting_is_refused_without_recursion() {
    let mut nested = vec![0x30, 0x00];
    while nested.len() < 200_000 {
        nested = x509::tlv::write(0x30, &nested);
    }
    assert!(TimestampToken::from_der(&nested).is_err());
    assert!(TimestampRequest::from_der(&nested).is_err());
}

#[test]
fn a_request_survives_writing_and_reading() {
    let imprint = MessageImprint::of(HashAlgorithm::Sha384, MESSAGE);
    let request = TimestampRequest {
        policy: Some(ObjectIdentifier::new_unwrap("1.2.3")),
        nonce: Some(vec![0x00, 0xff]),
        certificates: true,
        ..TimestampRequest::new(imprint)
    };
    assert_eq!(TimestampRequest::from_der(&request.to_der()), Ok(request));
}
