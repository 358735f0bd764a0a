//! Documents of other programs are read, and written back with the same meaning.

use bundle::{
    Bundle, ClientTrustConfig, Content, Error, HashAlgorithm, KeyDetails, Service,
    ServiceConfiguration, ServiceSelector, SigningConfig, SigningMaterial, TransparencyLogEntry,
    TrustedRoot, ValidityPeriod, Version,
};
use serde_json::{Value, json};

const DSSE: &str = include_str!("vectors/dsse.sigstore.json");
const OTHERNAME: &str = include_str!("vectors/othername.sigstore.json");
const PUBLIC_KEY: &str = include_str!("vectors/public-key-validity.sigstore.json");
const JS_PROVENANCE: &str = include_str!("vectors/js-provenance.sigstore.json");
const PUBLIC_GOOD: &str = include_str!("vectors/public-good.json");
const SCAFFOLDING: &str = include_str!("vectors/scaffolding.json");

/// Drops what protobuf's JSON mapping treats as absent, so that two spellings compare equal.
fn significant(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), significant(value)))
            .filter(|(_, value)| {
                *value != Value::Null
                    && *value != json!("")
                    && *value != json!("0")
                    && *value != json!([])
                    && *value != json!({})
            })
            .collect(),
        Value::Array(list) => list.iter().map(significant).collect(),
        other => match other
            .as_str()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        {
            Some(time) => json!(time.to_string()),
            None => other.clone(),
        },
    }
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).expect("vector is JSON")
}

#[test]
fn bundles_of_other_clients_survive_a_round_trip() {
    for (text, version) in [
        (DSSE, Version::V0_1),
        (OTHERNAME, Version::V0_3),
        (PUBLIC_KEY, Version::V0_3),
        (JS_PROVENANCE, Version::V0_1),
    ] {
        let bundle = Bundle::from_json(text.as_bytes()).expect("vector is a bundle");
        assert_eq!(bundle.version().expect("known"), version);
        assert_eq!(
            significant(&parse(&bundle.to_json())),
            significant(&parse(text))
        );
    }
}

#[test]
fn trusted_roots_of_other_clients_survive_a_round_trip() {
    for text in [PUBLIC_GOOD, SCAFFOLDING] {
        let root = TrustedRoot::from_json(text.as_bytes()).expect("vector is a trusted root");
        assert_eq!(
            significant(&parse(&root.to_json())),
            significant(&parse(text))
        );
    }
}

#[test]
fn contents_are_what_the_document_says() {
    let bundle = Bundle::from_json(DSSE.as_bytes()).expect("vector is a bundle");
    let entry = &bundle.verification_material.tlog_entries[0];
    assert_eq!(entry.log_index, 6_800_908);
    assert_eq!(entry.integrated_time, 1_668_034_836);
    assert_eq!(entry.log_id.as_ref().map(|id| id.key_id.len()), Some(32));
    assert!(matches!(
        bundle.verification_material.signer,
        SigningMaterial::CertificateChain(_)
    ));
    let Content::DsseEnvelope(envelope) = &bundle.content else {
        panic!("a DSSE bundle")
    };
    assert!(
        envelope
            .pae()
            .starts_with(b"DSSEv1 28 application/vnd.in-toto+json ")
    );
}

#[test]
fn an_empty_trusted_root_has_all_four_lists() {
    assert_eq!(
        parse(&TrustedRoot::default().to_json()),
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [], "certificateAuthorities": [], "ctlogs": [], "timestampAuthorities": [],
        })
    );
}

#[test]
fn a_log_entry_is_written_as_protobuf_json() {
    let entry = TransparencyLogEntry {
        log_index: 0,
        inclusion_promise: Some(vec![1, 2, 3]),
        inclusion_proof: Some(bundle::InclusionProof {
            tree_size: 1,
            root_hash: vec![0xff; 2],
            checkpoint: Some("note\n".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        serde_json::to_value(&entry).expect("serializes"),
        json!({
            "logIndex": "0", "integratedTime": "0",
            "inclusionPromise": {"signedEntryTimestamp": "AQID"},
            "inclusionProof": {
                "logIndex": "0", "rootHash": "//8=", "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": "note\n"},
            },
            "canonicalizedBody": "",
        })
    );
}

#[test]
fn protobuf_leniencies_are_read() {
    let entry: TransparencyLogEntry = serde_json::from_value(json!({
        "log_index": 7, "logId": {"key_id": "_-8"}, "integratedTime": "5",
        "inclusionPromise": null, "inclusionProof": null, "canonicalizedBody": null,
    }))
    .expect("lenient spellings");
    assert_eq!((entry.log_index, entry.integrated_time), (7, 5));
    assert_eq!(entry.log_id.expect("given").key_id, [0xff, 0xef]);
    assert_eq!(
        serde_json::from_value::<KeyDetails>(json!(7)).ok(),
        Some(KeyDetails::Ed25519)
    );
    assert_eq!(
        serde_json::from_value::<HashAlgorithm>(json!("SHA2_256")).ok(),
        Some(HashAlgorithm::Sha2_256)
    );
}

#[test]
fn a_signing_config_says_what_python_and_go_read() {
    let start = "2026-01-01T00:00:00Z".parse().expect("a time");
    let config = SigningConfig {
        ca_urls: vec![Service {
            url: "http://localhost:5555".to_owned(),
            major_api_version: 1,
            valid_for: Some(ValidityPeriod::since(start)),
            operator: "lab".to_owned(),
        }],
        rekor_tlog_config: Some(ServiceConfiguration {
            selector: ServiceSelector::Any,
            count: 0,
        }),
        ..SigningConfig::default()
    };
    let both = ClientTrustConfig::new(TrustedRoot::default(), config);
    let json = parse(&both.to_json());
    assert_eq!(
        json["signingConfig"],
        json!({
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "caUrls": [{
                "url": "http://localhost:5555", "majorApiVersion": 1,
                "validFor": {"start": "2026-01-01T00:00:00Z"}, "operator": "lab",
            }],
            "oidcUrls": [], "rekorTlogUrls": [], "rekorTlogConfig": {"selector": "ANY"}, "tsaUrls": [],
        })
    );
    let read = ClientTrustConfig::from_json(both.to_json().as_bytes()).expect("own writing");
    assert_eq!(read, both);
}

#[test]
fn validity_is_inclusive_and_needs_a_start() {
    let [start, end, after] = [
        "2026-01-01T00:00:00Z",
        "2026-02-01T00:00:00Z",
        "2026-02-01T00:00:01Z",
    ]
    .map(|time| time.parse::<jiff::Timestamp>().expect("a time"));
    let period = ValidityPeriod {
        start: Some(start),
        end: Some(end),
    };
    assert!(period.contains(start) && period.contains(end) && !period.contains(after));
    assert!(
        !ValidityPeriod {
            start: None,
            end: Some(end)
        }
        .contains(start)
    );
}

/// `text` with the value at `pointer` replaced, or removed when `None`.
fn changed(text: &str, pointer: &str, value: Option<Value>) -> Vec<u8> {
    let mut document = parse(text);
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = document.pointer_mut(parent).expect("exists");
    match value {
        Some(value) => parent[key] = value,
        None => {
            parent.as_object_mut().expect("an object").remove(key);
        }
    }
    document.to_string().into_bytes()
}

#[test]
fn broken_bundles_are_refused_with_the_rule_they_break() {
    let read = |bytes: Vec<u8>| Bundle::from_json(&bytes).expect_err("broken");
    let media_type = |text: &str| read(changed(DSSE, "/mediaType", Some(json!(text))));
    assert!(matches!(
        media_type("application/json"),
        Error::MediaType { .. }
    ));
    assert!(matches!(
        media_type("application/vnd.dev.sigstore.bundle.v0.4+json"),
        Error::BundleVersion { .. }
    ));
    assert!(matches!(
        media_type("application/vnd.dev.sigstore.bundle+json;version=0.2"),
        Error::InclusionProofMissing
    ));
    assert!(matches!(
        read(changed(
            DSSE,
            "/verificationMaterial/tlogEntries/0/inclusionPromise",
            None
        )),
        Error::InclusionPromiseMissing
    ));
    for (pointer, value) in [
        ("/verificationMaterial", None),
        ("/dsseEnvelope", None),
        ("/verificationMaterial/publicKey", Some(json!({"hint": ""}))),
        ("/messageSignature", Some(json!({"signature": ""}))),
        ("/extra", Some(json!(1))),
        (
            "/verificationMaterial/tlogEntries/0/logIndex",
            Some(json!("x")),
        ),
        ("/dsseEnvelope/payload", Some(json!("***"))),
    ] {
        assert!(
            matches!(read(changed(DSSE, pointer, value)), Error::Json { .. }),
            "{pointer} must be refused"
        );
    }
    let entry = parse(DSSE)["verificationMaterial"]["tlogEntries"][0].clone();
    let many = json!(vec![entry; 33]);
    assert!(matches!(
        read(changed(
            DSSE,
            "/verificationMaterial/tlogEntries",
            Some(many)
        )),
        Error::TooMany {
            what: "tlog entries",
            got: 33,
            max: 32
        }
    ));
    assert!(matches!(
        read(vec![b' '; Bundle::BYTES_MAX + 1]),
        Error::TooLarge { .. }
    ));
}

#[test]
fn a_chain_in_a_new_bundle_is_refused() {
    let mut bundle = Bundle::from_json(PUBLIC_KEY.as_bytes()).expect("vector is a bundle");
    bundle.verification_material.signer = SigningMaterial::CertificateChain(vec![vec![1]]);
    let error = Bundle::from_json(bundle.to_json().as_bytes()).expect_err("v0.3 takes one");
    assert!(matches!(error, Error::CertificateChain));
}

#[test]
fn a_log_without_start_of_validity_is_refused() {
    let json = changed(PUBLIC_GOOD, "/tlogs/0/publicKey/validFor/start", None);
    assert!(matches!(
        TrustedRoot::from_json(&json),
        Err(Error::LogValidityMissing)
    ));
}
