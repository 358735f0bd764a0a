//! Changed bundles and garbage end in an error: no panic, and nothing changed ever verifies.

mod support;

use bundle::Bundle;
use crypto::HashAlgorithm;
use proptest::prelude::*;
use serde_json::Value;
use support::{ISSUER, Instance, Log, SUBJECT};
use verify::{Artifact, Identity, Pattern, Report, Requirements, SIGN_PREDICATE, Signer, Trust};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

struct Fixture {
    trust: Trust,
    bundles: Vec<Bundle>,
}

impl Fixture {
    fn new() -> Self {
        let instance = Instance::new();
        let leaf = instance.leaf();
        let sign = |log| instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, log);
        Self {
            trust: Trust::new(&instance.trusted_root()).expect("a usable root"),
            bundles: vec![sign(Log::V1), sign(Log::V2)],
        }
    }

    fn verifies(&self, bundle: &Bundle) -> bool {
        self.times(bundle).is_some()
    }

    /// The times that a bundle was verified at, `None` when it does not verify.
    fn times(&self, bundle: &Bundle) -> Option<Vec<jiff::Timestamp>> {
        let exact = |text: &str| Pattern::Exact(text.to_owned());
        let identities = [Identity {
            issuer: exact(ISSUER),
            subject: exact(SUBJECT),
        }];
        let requirements = Requirements {
            signer: Signer::Keyless {
                identities: &identities,
                authority_url: None,
            },
            sct: true,
            log: true,
            timestamp: false,
        };
        let artifact = Artifact::Digest(HashAlgorithm::Sha256, &[0xaa; 32]);
        let mut report = Report::default();
        let result =
            verify::verify_bundle(bundle, artifact, &requirements, &self.trust, &mut report);
        assert_eq!(result.is_err(), report.failure().is_some());
        result.ok().map(|verified| verified.times)
    }
}

/// All strings of a document, by pointer.
fn strings(value: &Value, pointer: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((pointer.to_owned(), text.clone())),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                strings(value, &format!("{pointer}/{index}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                strings(value, &format!("{pointer}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// Base64 text with one bit of what it stands for flipped, or the text itself changed.
fn flip(text: &str, at: usize, bit: u8) -> String {
    use base64::Engine as _;
    let engine = &base64::engine::general_purpose::STANDARD;
    match engine.decode(text) {
        Ok(mut bytes) if !bytes.is_empty() => {
            let at = at % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
            engine.encode(bytes)
        }
        _ => text.chars().rev().chain(['x']).collect(),
    }
}

#[test]
fn a_changed_bundle_never_verifies() {
    let fixture = Fixture::new();
    for bundle in &fixture.bundles {
        assert!(fixture.verifies(bundle));
    }
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = (
        any::<prop::sample::Index>(),
        any::<usize>(),
        any::<u8>(),
        0..2_usize,
    );
    runner
        .run(&strategy, |(index, at, bit, which)| {
            let whole: Value =
                serde_json::from_str(&fixture.bundles[which].to_json()).expect("JSON");
            let mut found = Vec::new();
            strings(&whole, "", &mut found);
            // Every bit of a timestamp is tried below, where its unsigned frame is told apart.
            found.retain(|(pointer, _)| !pointer.contains("/rfc3161Timestamps/"));
            let (pointer, text) = index.get(&found);
            let mut changed = whole.clone();
            *changed.pointer_mut(pointer).expect("it is there") = flip(text, at, bit).into();
            let Ok(bundle) = Bundle::from_json(changed.to_string().as_bytes()) else {
                return Ok(());
            };
            prop_assert!(!fixture.verifies(&bundle), "{pointer} {at} {bit}");
            Ok(())
        })
        .expect("no changed bundle verifies");
}

/// What frames a timestamp is not signed: the status, the version and the digest list of SignedData
/// (RFC 5652 §5.1), certificates that are not there. A change of it may pass, but gives no other time.
#[test]
fn a_timestamp_with_a_changed_bit_is_refused_or_says_the_same() {
    let fixture = Fixture::new();
    let bundle = &fixture.bundles[1];
    let said = fixture.times(bundle).expect("unchanged, it verifies");
    let length = bundle.verification_material.rfc3161_timestamps[0].len();
    let mut passed = 0;
    for bit in 0..length * 8 {
        let mut changed = bundle.clone();
        changed.verification_material.rfc3161_timestamps[0][bit / 8] ^= 1 << (bit % 8);
        if let Some(times) = fixture.times(&changed) {
            assert_eq!(times, said, "bit {bit}");
            passed += 1;
        }
    }
    assert!(
        passed < 120,
        "{passed} bits of {} are not looked at",
        length * 8
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn garbage_is_not_a_bundle(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(Bundle::from_json(&bytes).is_err());
    }

    #[test]
    fn expressions_of_any_text_do_not_panic(text in ".{0,64}") {
        if let Ok(regexp) = verify::GoRegexp::new(&text) {
            let _ = regexp.is_match("https://github.com/fleet-org/x");
        }
    }

    #[test]
    fn differences_of_any_texts_can_be_shown(a in ".{0,32}", b in ".{0,32}") {
        let difference = verify::Difference::new(&a, &b);
        prop_assert!(difference.to_string().contains("they part here"));
        prop_assert!(difference.on_one_line().contains('⟪'));
    }
}
