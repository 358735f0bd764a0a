//! Every answer of upstream's own library and servers, reproduced.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entry::{
    Body,
    v1::{Entry, Proposal, failure_list},
    v2::{self, Algorithms, Request},
};
use serde_json::Value;

/// Upstream's words and ours where they differ: texts of Go's ASN.1 and JSON parsers, and formats and
/// kinds that are not taken (README of services/rekor, Divergences).
const OTHER_WORDS: &[(&str, &str)] = &[
    (
        "x509: malformed serial number",
        "x509: malformed certificate",
    ),
    ("asn1: structure error: ", "x509: malformed public key"),
    (
        "invalid character 'o' in literal null",
        "invalid character 'o' looking for",
    ),
    (
        "invalid PGP signature: ",
        "the PKI format pgp is not supported",
    ),
    (
        "unable to decode pem file",
        "the PKI format ssh is not supported",
    ),
    (
        "could not unmarshal entry for kind 'cose'",
        "entry kind 'cose' is not enabled",
    ),
    (
        "could not unmarshal entry for kind 'tuf'",
        "entry kind 'tuf' is not enabled",
    ),
];

fn assert_words(ours: &str, upstream: &Value, context: &str) {
    let upstream = upstream
        .as_str()
        .unwrap_or_else(|| panic!("{context}: ours only: {ours}"));
    let differs = OTHER_WORDS
        .iter()
        .any(|(theirs, words)| upstream.starts_with(theirs) && ours.starts_with(words));
    assert!(
        differs || ours == upstream,
        "{context}:\n     ours {ours}\n upstream {upstream}"
    );
}

fn check(line: &str) {
    let answer: Value = serde_json::from_str(line).unwrap();
    let text = answer["proposal"].as_str().unwrap();
    let Ok(proposal) = serde_json::from_str::<Value>(text) else {
        assert!(answer["parse"].is_string(), "{text}");
        return;
    };
    let proposal = match Proposal::from_json(&proposal) {
        Ok(proposal) => proposal,
        Err(entry::v1::ProposalError::Rule(rule)) if answer["schema"].is_string() => {
            return assert_words(&failure_list(&[rule]), &answer["schema"], text);
        }
        Err(error) => return assert_words(&error.to_string(), &answer["parse"], text),
    };
    let entry = match Entry::from_proposal(&proposal) {
        Ok(entry) => entry,
        Err(error) => return assert_words(&error.to_string(), &answer["unmarshal"], text),
    };
    match entry.insertable() {
        Ok(()) => assert_eq!(answer["create"], Value::Null, "{text}"),
        Err(error) => assert_words(&error.to_string(), &answer["create"], text),
    }
    let body = match entry.body() {
        Ok(body) => body,
        Err(error) => return assert_words(&error.to_string(), &answer["canonicalize"], text),
    };
    let bytes = body.to_canonical();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        answer["body"].as_str().unwrap(),
        "{text}"
    );
    assert_eq!(
        hex::encode(body.leaf_hash()),
        answer["leaf"].as_str().unwrap(),
        "{text}"
    );
    let keys: BTreeSet<&str> = entry.index_keys().iter().map(String::as_str).collect();
    let upstream = answer["keys"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let upstream: BTreeSet<&str> = upstream.iter().filter_map(Value::as_str).collect();
    assert_eq!(keys, upstream, "{text}");
    assert_eq!(Body::from_canonical(&bytes).as_ref(), Ok(body), "{text}");
}

#[test]
fn every_proposal_gets_the_answer_of_upstream() {
    let lines = include_str!("vectors/upstream-answers.jsonl");
    assert!(lines.lines().count() > 200);
    lines.lines().for_each(check);
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/rekor-vectors.json")).unwrap()
}

#[test]
fn captured_v1_exchanges_have_the_same_body_leaf_hash_set_payload_and_index_keys() {
    let vectors = vectors();
    let cases = vectors["rekor_v1"]["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let name = &case["name"];
        let proposal = Proposal::from_json(&case["request"]).unwrap();
        let entry = Entry::from_proposal(&proposal).unwrap();
        entry.insertable().unwrap();
        let body = entry.body().unwrap().to_canonical();
        assert_eq!(
            body,
            case["canonical_body"].as_str().unwrap().as_bytes(),
            "{name}"
        );
        let (id, answer) = case["response"].as_object().unwrap().iter().next().unwrap();
        assert_eq!(hex::encode(entry::leaf_hash(&body)), id[16..], "{name}");
        let set = entry::set_payload(
            &body,
            answer["integratedTime"].as_i64().unwrap(),
            answer["logID"].as_str().unwrap(),
            answer["logIndex"].as_u64().unwrap(),
        );
        let digest = hex::encode(crypto::sha256(&set));
        assert_eq!(
            digest,
            case["set_signed_bytes_sha256"].as_str().unwrap(),
            "{name}"
        );
        let log_key =
            crypto::PublicKey::from_pem(vectors["rekor_v1"]["publicKeyPem"].as_str().unwrap());
        let promise = answer["verification"]["signedEntryTimestamp"]
            .as_str()
            .unwrap();
        log_key
            .unwrap()
            .verify(
                crypto::HashAlgorithm::Sha256,
                &set,
                &STANDARD.decode(promise).unwrap(),
            )
            .unwrap();
        let keys: BTreeSet<&str> = entry.index_keys().iter().map(String::as_str).collect();
        let upstream = case["index_keys"].as_array().unwrap();
        assert_eq!(
            keys,
            upstream.iter().filter_map(Value::as_str).collect(),
            "{name}"
        );
    }
}

#[test]
fn captured_v2_exchanges_have_the_same_body() {
    let vectors = vectors();
    let mut cases = vectors["rekor_v2_ed25519"]["cases"]
        .as_array()
        .unwrap()
        .clone();
    cases.push(vectors["rekor_v2_2_1_dsse_ecdsa_log_key"].clone());
    for case in cases {
        let request = Request::from_json(case["request"].to_string().as_bytes()).unwrap();
        let entry = v2::Entry::from_request(&request, &Algorithms::default()).unwrap();
        let body = entry.body().to_canonical();
        assert_eq!(body, case["canonical_body"].as_str().unwrap().as_bytes());
        let answer = case["response"]["canonicalizedBody"].as_str().unwrap();
        assert_eq!(body, STANDARD.decode(answer).unwrap());
        assert_eq!(entry.kind().name(), case["response"]["kindVersion"]["kind"]);
        assert_eq!(
            entry.kind().version(),
            case["response"]["kindVersion"]["version"]
        );
        assert_eq!(Body::from_canonical(&body).as_ref(), Ok(entry.body()));
    }
}

#[test]
fn v2_refuses_in_the_words_of_the_proto_decoder() {
    let deep = "[".repeat(40);
    let cases: &[(&str, &str)] = &[
        ("{\"kind\":1}", "proto: (line 1:2): unknown field \"kind\""),
        ("{\n  \"é\":1}", "proto: (line 2:3): unknown field \"é\""),
        ("[]", "proto: syntax error (line 1:1): unexpected token ["),
        (
            "\"a\"",
            "proto: syntax error (line 1:1): unexpected token \"a\"",
        ),
        ("{", "unexpected EOF"),
        ("{\"a", "unexpected EOF"),
        ("{\"a\\", "unexpected EOF"),
        ("x", "invalid character 'x' looking for beginning of value"),
        (
            "{\"hashedRekordRequestV002\":[]}",
            "proto: syntax error (line 1:28): unexpected token [",
        ),
        (
            "{\"hashedRekordRequestV002\":{\"digest\":3}}",
            "proto: (line 1:38): invalid value for bytes field digest: 3",
        ),
        (
            "{\"hashedRekordRequestV002\":{\"digest\":\"!\"}}",
            "proto: (line 1:38): invalid value for bytes field digest: \"!\"",
        ),
        (
            "{\"hashedRekordRequestV002\":{},\"dsseRequestV002\":{}}",
            "proto: (line 1:31): error parsing \"dsseRequestV002\", oneof spec is already set",
        ),
        (
            "{\"hashedRekordRequestV002\":null,\"hashedRekordRequestV002\":null}",
            "proto: (line 1:33): duplicate field \"hashedRekordRequestV002\"",
        ),
        (&deep, "exceeded max depth"),
    ];
    for (text, message) in cases {
        let error = Request::from_json(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), *message, "{text}");
    }
}

#[test]
fn v2_takes_what_proto_json_takes() {
    let vectors = vectors();
    let case = &vectors["rekor_v2_ed25519"]["cases"][0];
    let plain = Request::from_json(case["request"].to_string().as_bytes()).unwrap();
    let lenient = case["request"]
        .to_string()
        .replace("hashedRekordRequestV002", "hashed_rekord_request_v002")
        .replace("keyDetails", "key_details")
        .replace("\"PKIX_ECDSA_P256_SHA_256\"", "5")
        .replace("publicKey", "public_key")
        .replace("rawBytes", "raw_bytes")
        .replace('+', "-")
        .replace('/', "_")
        .replace("=\"", "\"");
    assert_eq!(Request::from_json(lenient.as_bytes()), Ok(plain));
    assert_eq!(Request::from_json(b" "), Ok(Request::Unset));
    assert_eq!(Request::from_json(b"{}"), Ok(Request::Unset));
    assert_eq!(
        Request::from_json(b"{\"dsseRequestV002\":null}"),
        Ok(Request::Unset)
    );
}

fn refused(change: impl Fn(&mut Value)) -> v2::Error {
    let mut request = vectors()["rekor_v2_ed25519"]["cases"][0]["request"].clone();
    change(&mut request["hashedRekordRequestV002"]);
    let request = Request::from_json(request.to_string().as_bytes()).unwrap();
    v2::Entry::from_request(&request, &Algorithms::default()).unwrap_err()
}

#[test]
fn v2_says_one_thing_for_every_invalid_hashedrekord() {
    let changes: [fn(&mut Value); 8] = [
        |r| r["digest"] = Value::Null,
        |r| r["digest"] = "AAAA".into(),
        |r| r["digest"] = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(),
        |r| r["signature"] = Value::Null,
        |r| r["signature"]["verifier"] = Value::Null,
        |r| r["signature"]["verifier"]["publicKey"]["rawBytes"] = "AAAA".into(),
        |r| r["signature"]["verifier"]["keyDetails"] = "PKIX_ED25519".into(),
        |r| r["signature"]["verifier"]["keyDetails"] = "PKIX_ECDSA_P384_SHA_384".into(),
    ];
    for change in changes {
        let error = refused(change);
        assert!(matches!(error, v2::Error::HashedRekord(_)), "{error:?}");
        assert_eq!(error.to_string(), "invalid hashedrekord request");
    }
}

#[test]
fn v2_logs_a_wrong_key_label_of_the_same_hash() {
    let mut request = vectors()["rekor_v2_ed25519"]["cases"][0]["request"].clone();
    let label = "PKIX_RSA_PKCS1V15_2048_SHA256";
    request["hashedRekordRequestV002"]["signature"]["verifier"]["keyDetails"] = label.into();
    let request = Request::from_json(request.to_string().as_bytes()).unwrap();
    let entry = v2::Entry::from_request(&request, &Algorithms::default()).unwrap();
    assert!(
        String::from_utf8(entry.body().to_canonical())
            .unwrap()
            .contains(label)
    );
}

#[test]
fn json_is_not_escaped_beyond_rfc_8785() {
    let value = serde_json::json!({"b": "<é>&\u{2028}", "a": 1});
    assert_eq!(
        entry::canonicalize(&value),
        "{\"a\":1,\"b\":\"<é>&\u{2028}\"}".as_bytes()
    );
}

#[test]
fn an_envelope_with_very_many_signatures_is_refused_before_any_is_verified() {
    let signatures = vec![serde_json::json!({ "sig": "AAAA" }); 10_000];
    let envelope =
        serde_json::json!({ "payloadType": "x", "payload": "", "signatures": signatures });
    let proposal = serde_json::json!({
        "kind": "dsse",
        "apiVersion": "0.0.1",
        "spec": { "proposedContent": {
            "envelope": envelope.to_string(),
            "verifiers": vec!["AAAA"; 10_000],
        } },
    });
    let error = Entry::from_proposal(&Proposal::from_json(&proposal).unwrap()).unwrap_err();
    assert_eq!(error, entry::Error::TooManySignatures { max: 64 });
}

#[test]
fn a_p224_key_is_not_parsed() {
    let header = "304e301006072a8648ce3d020106052b81040021033a0004";
    let spki = hex::decode(format!("{header}{}", "11".repeat(56))).unwrap();
    let error = entry::Verifier::from_spki_der(&spki).unwrap_err();
    assert_eq!(error, entry::Error::UnsupportedCurve);
}

/// The one accepted Ed25519 entry among upstream's answers.
fn ed25519ph() -> Value {
    let answers = include_str!("vectors/upstream-answers.jsonl").lines();
    let last: Value = serde_json::from_str(answers.last().unwrap()).unwrap();
    assert!(last["body"].is_string());
    serde_json::from_str(last["proposal"].as_str().unwrap()).unwrap()
}

#[test]
fn v2_takes_ed25519ph_and_not_pure_ed25519() {
    let spec = &ed25519ph()["spec"];
    let pem = entry::decode_base64(spec["signature"]["publicKey"]["content"].as_str().unwrap());
    let verifier = entry::Verifier::from_pem(&pem.unwrap()).unwrap();
    let digest = hex::decode(spec["data"]["hash"]["value"].as_str().unwrap()).unwrap();
    let request = |key_details: &str| {
        let raw_bytes = STANDARD.encode(verifier.public_key().spki_der());
        let verifier = serde_json::json!({ "publicKey": { "rawBytes": raw_bytes }, "keyDetails": key_details });
        let signature =
            serde_json::json!({ "content": spec["signature"]["content"], "verifier": verifier });
        let request =
            serde_json::json!({ "digest": STANDARD.encode(&digest), "signature": signature });
        let text = serde_json::json!({ "hashedRekordRequestV002": request }).to_string();
        let request = Request::from_json(text.as_bytes()).unwrap();
        v2::Entry::from_request(&request, &Algorithms::default())
    };
    let entry = request("PKIX_ED25519_PH").unwrap();
    let body = String::from_utf8(entry.body().to_canonical()).unwrap();
    assert!(body.contains("\"algorithm\":\"SHA2_512\""), "{body}");
    assert!(request("PKIX_ED25519").is_err());
}

fn v2_dsse(signers: &[&crypto::SigningKey], verifiers: &[&crypto::SigningKey]) -> Request {
    let payload = b"{}".to_vec();
    let message = entry::pae("application/vnd.in-toto+json", &payload);
    let verifier = |key: &&crypto::SigningKey| v2::VerifierMessage {
        verifier: Some(v2::VerifierChoice::PublicKey(
            key.public_key().spki_der().to_vec(),
        )),
        key_details: match key.kind() {
            crypto::KeyKind::EcdsaP384 => v2::KeyDetails::EcdsaP384Sha384,
            _ => v2::KeyDetails::EcdsaP256Sha256,
        },
    };
    Request::Dsse(v2::DsseRequest {
        envelope: Some(v2::EnvelopeMessage {
            payload,
            payload_type: "application/vnd.in-toto+json".to_owned(),
            signatures: signers
                .iter()
                .map(|key| key.sign(&message).unwrap())
                .collect(),
        }),
        verifiers: verifiers.iter().map(verifier).collect(),
    })
}

#[test]
fn v2_dsse_hashes_by_key_and_sorts_signatures_by_their_bytes() {
    let p256 = crypto::SigningKey::generate(crypto::KeyKind::EcdsaP256).unwrap();
    let p384 = crypto::SigningKey::generate(crypto::KeyKind::EcdsaP384).unwrap();
    for (signers, verifiers) in [
        ([&p256, &p384], [&p384, &p256]),
        ([&p384, &p256], [&p384, &p256]),
    ] {
        let request = v2_dsse(&signers, &verifiers);
        let entry = v2::Entry::from_request(&request, &Algorithms::default()).unwrap();
        let Body::DsseV002(body) = entry.body() else {
            panic!("{entry:?}")
        };
        assert_eq!(body.signatures.len(), 2);
        assert!(
            body.signatures
                .is_sorted_by_key(|signature| &signature.content)
        );
        for signature in &body.signatures {
            let is_p384 = signature.verifier.key_details == v2::KeyDetails::EcdsaP384Sha384;
            // A P-384 signature is longer than a P-256 one.
            assert_eq!(signature.content.len() > 90, is_p384);
        }
    }
    for (signers, verifiers) in [
        (vec![&p256, &p384], vec![&p256]),
        (vec![&p256], vec![&p384, &p256]),
        (vec![], vec![&p256]),
        (vec![&p256], vec![]),
        (vec![&p256; 11], vec![&p256]),
    ] {
        let request = v2_dsse(&signers, &verifiers);
        let error = v2::Entry::from_request(&request, &Algorithms::default()).unwrap_err();
        assert_eq!(error.to_string(), "invalid dsse request");
    }
}
