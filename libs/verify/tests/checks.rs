//! Every check refuses what it is there for, and says so.

mod support;

use bundle::{Bundle, Content, TransparencyLogEntry, TrustedRoot, ValidityPeriod};
use crypto::{HashAlgorithm, KeyKind, SigningKey};
use support::{CA_URL, ISSUER, Instance, Log, SUBJECT, minutes, now};
use verify::{
    Annotations, Artifact, Error, Identity, LogError, Pattern, Report, Requirements,
    SIGN_PREDICATE, Signer, TimestampError, Trust, Verified,
};

const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn identity(subject: &str) -> Identity {
    Identity {
        issuer: Pattern::Exact(ISSUER.to_owned()),
        subject: Pattern::Exact(subject.to_owned()),
    }
}

fn keyless(identities: &[Identity]) -> Requirements<'_> {
    Requirements {
        signer: Signer::Keyless {
            identities,
            authority_url: None,
        },
        sct: true,
        log: true,
        timestamp: false,
    }
}

fn check(
    bundle: &Bundle,
    requirements: &Requirements<'_>,
    root: &TrustedRoot,
) -> (Result<Verified, Error>, Report) {
    let trust = Trust::new(root).expect("a usable root");
    let mut report = Report::default();
    let artifact = Artifact::Digest(HashAlgorithm::Sha256, &[0xaa; 32]);
    let result = verify::verify_bundle(bundle, artifact, requirements, &trust, &mut report);
    assert_eq!(result.is_err(), report.failure().is_some(), "{report:#?}");
    (result, report)
}

/// Verifies as the default identity.
fn check_default(bundle: &Bundle, root: &TrustedRoot) -> Result<Verified, Error> {
    check(bundle, &keyless(&[identity(SUBJECT)]), root).0
}

fn signed(instance: &Instance, log: Log) -> Bundle {
    instance.sign_image(&instance.leaf(), DIGEST, SIGN_PREDICATE, log)
}

fn entry(bundle: &mut Bundle) -> &mut TransparencyLogEntry {
    &mut bundle.verification_material.tlog_entries[0]
}

#[test]
fn signatures_in_either_log_verify_with_all_steps() {
    let instance = Instance::new();
    for (log, last_time) in [(Log::V1, "log entry"), (Log::V2, "timestamp")] {
        let bundle = signed(&instance, log);
        let identities = [identity(SUBJECT)];
        let (result, report) = check(&bundle, &keyless(&identities), &instance.trusted_root());
        let verified = result.expect("verifies");
        assert_eq!(verified.times, [now() + minutes(1)]);
        assert_eq!(verified.signer.expect("keyless").subjects, [SUBJECT]);
        let passed: Vec<&str> = report
            .steps
            .iter()
            .filter(|step| step.outcome == verify::Outcome::Passed)
            .map(|step| step.what.as_str())
            .collect();
        for step in [
            "signature",
            "log entry",
            last_time,
            "certificate chain",
            "SCT",
            "identity",
        ] {
            assert!(passed.contains(&step), "{step} in {passed:?}");
        }
    }
}

#[test]
fn another_subject_is_refused_and_shown_where_it_parts() {
    let instance = Instance::new();
    let tag = SUBJECT.replace("refs/heads/main", "refs/tags/v1.2.0");
    let leaf = instance.leaf_for(&tag, ISSUER, now(), &instance.ct_key);
    let bundle = instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, Log::V2);
    let identities = [identity("https://elsewhere"), identity(SUBJECT)];
    let (result, report) = check(&bundle, &keyless(&identities), &instance.trusted_root());
    assert_eq!(
        result.expect_err("another subject").to_string(),
        format!(
            "none of the expected identities matched what was in the certificate, got subjects \
             [{tag}] with issuer {ISSUER}"
        )
    );
    let step = report.failure().expect("a failed step");
    assert_eq!(
        (step.what.as_str(), &*step.expected, &*step.observed),
        ("subject", SUBJECT, &*tag)
    );
    assert!(step.hint.contains("@refs/⟪heads/main⟫"), "{}", step.hint);
    assert!(
        step.hint
            .contains("a run for a tag, the policy expects a branch"),
        "{}",
        step.hint
    );
}

#[test]
fn another_issuer_is_refused() {
    let instance = Instance::new();
    let leaf = instance.leaf_for(SUBJECT, "https://evil", now(), &instance.ct_key);
    let bundle = instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, Log::V1);
    let identities = [identity(SUBJECT)];
    let (result, report) = check(&bundle, &keyless(&identities), &instance.trusted_root());
    assert!(matches!(result, Err(Error::Identity { .. })));
    assert_eq!(report.failure().expect("a failed step").what, "issuer");
}

#[test]
fn a_changed_payload_or_signature_is_refused() {
    let instance = Instance::new();
    for change in [
        (|envelope: &mut bundle::DsseEnvelope| envelope.payload.push(b' '))
            as fn(&mut bundle::DsseEnvelope),
        |envelope| envelope.payload_type.push('x'),
        |envelope| envelope.signatures[0].sig[10] ^= 1,
    ] {
        let mut bundle = signed(&instance, Log::V2);
        let Content::DsseEnvelope(envelope) = &mut bundle.content else {
            panic!("an envelope")
        };
        change(envelope);
        let result = check_default(&bundle, &instance.trusted_root());
        assert!(matches!(result, Err(Error::Signature)), "{result:?}");
    }
}

#[test]
fn two_signatures_in_an_envelope_are_refused() {
    let instance = Instance::new();
    let mut bundle = signed(&instance, Log::V2);
    let Content::DsseEnvelope(envelope) = &mut bundle.content else {
        panic!("an envelope")
    };
    envelope.signatures.push(envelope.signatures[0].clone());
    let result = check_default(&bundle, &instance.trusted_root());
    assert!(matches!(result, Err(Error::EnvelopeSignatures { got: 2 })));
}

#[test]
fn an_unlogged_signature_is_refused() {
    let instance = Instance::new();
    let bundle = signed(&instance, Log::None);
    let result = check_default(&bundle, &instance.trusted_root());
    assert!(matches!(result, Err(Error::NotLogged)));
}

#[test]
fn an_entry_of_another_signature_is_refused() {
    let instance = Instance::new();
    for log in [Log::V1, Log::V2] {
        let other = signed(&instance, log).verification_material.tlog_entries;
        let mut bundle = signed(&instance, log);
        bundle.verification_material.tlog_entries = other;
        let result = check_default(&bundle, &instance.trusted_root());
        assert!(
            matches!(result, Err(Error::Log(LogError::SignatureMismatch))),
            "{result:?}"
        );
    }
}

#[test]
fn an_entry_with_another_certificate_of_the_same_key_is_refused() {
    let instance = Instance::new();
    let leaf = instance.leaf();
    let mut bundle = instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, Log::V1);
    let Content::DsseEnvelope(envelope) = &bundle.content else {
        panic!("an envelope")
    };
    let other = instance.leaf().certificate.to_pem();
    let entry = instance.log_v1(&support::dsse_v1_body(envelope, &other), now());
    bundle.verification_material.tlog_entries = vec![entry];
    let result = check_default(&bundle, &instance.trusted_root());
    assert!(
        matches!(result, Err(Error::Log(LogError::CertificateMismatch))),
        "{result:?}"
    );
}

#[test]
fn an_entry_of_another_payload_or_kind_is_refused() {
    let instance = Instance::new();
    let leaf = instance.leaf();
    let bundle = instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, Log::V1);
    let Content::DsseEnvelope(envelope) = &bundle.content else {
        panic!("an envelope")
    };
    let pem = leaf.certificate.to_pem();
    let mut other = envelope.clone();
    other.payload.push(b' ');
    let signature = &envelope.signatures[0].sig;
    for (body, digest) in [
        (support::dsse_v1_body(&other, &pem), true),
        (
            support::hashedrekord_v1_body(&envelope.pae(), signature, &pem),
            false,
        ),
    ] {
        let mut bundle = bundle.clone();
        bundle.verification_material.tlog_entries = vec![instance.log_v1(&body, now())];
        let result = check_default(&bundle, &instance.trusted_root());
        match result {
            Err(Error::Log(LogError::DigestMismatch { .. })) => assert!(digest),
            Err(Error::Log(LogError::Kind { .. })) => assert!(!digest),
            other => panic!("{other:?}"),
        }
    }
}

/// A log, a change to the entry, and whether the error is the one for it.
type Case = (
    &'static str,
    Log,
    fn(&mut TransparencyLogEntry),
    fn(&LogError) -> bool,
);

fn check_entries(cases: &[Case]) {
    let instance = Instance::new();
    for (name, log, change, wanted) in cases {
        let mut bundle = signed(&instance, *log);
        change(entry(&mut bundle));
        match check_default(&bundle, &instance.trusted_root()) {
            Err(Error::Log(error)) => assert!(wanted(&error), "{name}: {error:?}"),
            other => panic!("{name}: {other:?}"),
        }
    }
}

fn proof(entry: &mut TransparencyLogEntry) -> &mut bundle::InclusionProof {
    entry.inclusion_proof.as_mut().expect("a proof")
}

fn checkpoint(entry: &mut TransparencyLogEntry) -> &mut String {
    proof(entry).checkpoint.as_mut().expect("a checkpoint")
}

#[test]
fn every_field_of_a_log_entry_is_checked() {
    check_entries(&[
        (
            "negative index",
            Log::V1,
            |e| e.log_index = -1,
            |e| matches!(e, LogError::Field { .. }),
        ),
        (
            "index",
            Log::V1,
            |e| e.log_index = 8,
            |e| matches!(e, LogError::Promise),
        ),
        (
            "time",
            Log::V1,
            |e| e.integrated_time += 1,
            |e| matches!(e, LogError::Promise),
        ),
        (
            "promise",
            Log::V1,
            |e| e.inclusion_promise.as_mut().expect("one")[9] ^= 1,
            |e| matches!(e, LogError::Promise),
        ),
        (
            "kind",
            Log::V1,
            |e| e.kind_version.as_mut().expect("one").kind = "intoto".to_owned(),
            |e| matches!(e, LogError::Kind { .. }),
        ),
        (
            "unknown log",
            Log::V2,
            |e| e.log_id.as_mut().expect("one").key_id[0] ^= 1,
            |e| matches!(e, LogError::UnknownLog),
        ),
    ]);
}

#[test]
fn every_part_of_an_inclusion_proof_is_checked() {
    check_entries(&[
        (
            "hash",
            Log::V1,
            |e| proof(e).hashes[0][0] ^= 1,
            |e| matches!(e, LogError::Inclusion(_)),
        ),
        (
            "length",
            Log::V2,
            |e| proof(e).hashes.clear(),
            |e| matches!(e, LogError::Inclusion(_)),
        ),
        (
            "shape",
            Log::V2,
            |e| proof(e).hashes[0].truncate(31),
            |e| matches!(e, LogError::ProofShape),
        ),
        (
            "no checkpoint",
            Log::V2,
            |e| proof(e).checkpoint = None,
            |e| matches!(e, LogError::NoCheckpoint),
        ),
        (
            "no proof",
            Log::V2,
            |e| e.inclusion_proof = None,
            |e| matches!(e, LogError::NoProof),
        ),
        (
            "checkpoint text",
            Log::V2,
            |e| *checkpoint(e) = checkpoint(e).replacen("\n2\n", "\n3\n", 1),
            |e| matches!(e, LogError::Checkpoint(_)),
        ),
        (
            "origin",
            Log::V2,
            |e| *checkpoint(e) = checkpoint(e).replacen("localhost", "elsewhere", 1),
            |e| matches!(e, LogError::Origin { .. }),
        ),
    ]);
}

#[test]
fn a_checkpoint_of_another_tree_is_refused() {
    let instance = Instance::new();
    let mut bundle = signed(&instance, Log::V2);
    let other = signed(&instance, Log::V2)
        .verification_material
        .tlog_entries
        .remove(0);
    let checkpoint = other.inclusion_proof.expect("one").checkpoint;
    entry(&mut bundle)
        .inclusion_proof
        .as_mut()
        .expect("one")
        .checkpoint = checkpoint;
    let result = check_default(&bundle, &instance.trusted_root());
    assert!(
        matches!(result, Err(Error::Log(LogError::CheckpointMismatch))),
        "{result:?}"
    );
}

#[test]
fn the_same_entry_twice_is_refused() {
    let instance = Instance::new();
    let mut bundle = signed(&instance, Log::V1);
    let twice = entry(&mut bundle).clone();
    bundle.verification_material.tlog_entries.push(twice);
    let result = check_default(&bundle, &instance.trusted_root());
    assert!(matches!(result, Err(Error::Log(LogError::Duplicate))));
}

#[test]
fn a_log_outside_its_validity_is_refused() {
    let instance = Instance::new();
    let mut root = instance.trusted_root();
    root.tlogs[0].public_key.valid_for = Some(ValidityPeriod::since(now() + minutes(5)));
    let result = check_default(&signed(&instance, Log::V1), &root);
    assert!(matches!(
        result,
        Err(Error::Log(LogError::LogValidity { .. }))
    ));
}

#[test]
fn a_signature_that_nobody_dated_is_refused() {
    let instance = Instance::new();
    let mut bundle = signed(&instance, Log::V2);
    bundle.verification_material.rfc3161_timestamps.clear();
    let result = check_default(&bundle, &instance.trusted_root());
    assert!(matches!(result, Err(Error::NoVerifiedTime)), "{result:?}");
}

#[test]
fn a_required_timestamp_that_is_missing_is_refused() {
    let instance = Instance::new();
    let bundle = signed(&instance, Log::V1);
    let identities = [identity(SUBJECT)];
    let requirements = Requirements {
        timestamp: true,
        ..keyless(&identities)
    };
    let (result, _) = check(&bundle, &requirements, &instance.trusted_root());
    assert!(matches!(
        result,
        Err(Error::Timestamp(TimestampError::Missing))
    ));
}

#[test]
fn timestamps_by_others_or_about_others_are_refused() {
    let instance = Instance::new();
    let mut bundle = signed(&instance, Log::V2);
    let other = Instance::new();
    let Content::DsseEnvelope(envelope) = &bundle.content else {
        panic!("an envelope")
    };
    let signature = envelope.signatures[0].sig.clone();
    for stamp in [
        other.timestamp(&signature, now()),
        instance.timestamp(b"another signature", now()),
        vec![0x30, 0],
        Vec::new(),
    ] {
        bundle.verification_material.rfc3161_timestamps = vec![stamp];
        let result = check_default(&bundle, &instance.trusted_root());
        assert!(matches!(result, Err(Error::Timestamp(_))), "{result:?}");
    }
    bundle.verification_material.rfc3161_timestamps = vec![instance.timestamp(&signature, now())];
    let mut root = instance.trusted_root();
    root.timestamp_authorities[0].valid_for = Some(ValidityPeriod::since(now() + minutes(1)));
    let result = check_default(&bundle, &root);
    assert!(matches!(
        result,
        Err(Error::Timestamp(TimestampError::Validity { .. }))
    ));
}

#[test]
fn a_certificate_used_outside_its_validity_is_refused() {
    let instance = Instance::new();
    for (offset, problem) in [(-30, "expired before"), (30, "was issued after")] {
        let issued_at = now() + minutes(offset);
        let leaf = instance.leaf_for(SUBJECT, ISSUER, issued_at, &instance.ct_key);
        for log in [Log::V1, Log::V2] {
            let bundle = instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, log);
            let result = check_default(&bundle, &instance.trusted_root());
            assert!(
                matches!(&result, Err(Error::Expiry { problem: got, .. }) if *got == problem),
                "{result:?}"
            );
        }
    }
}

#[test]
fn a_certificate_by_another_authority_is_refused() {
    let instance = Instance::new();
    let other = Instance::new();
    let leaf = other.leaf();
    let bundle = instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, Log::V2);
    let error = check_default(&bundle, &instance.trusted_root()).expect_err("unknown authority");
    assert!(
        error
            .to_string()
            .starts_with("cert verification failed: x509: certificate signed by unknown authority"),
        "{error}"
    );
}

#[test]
fn the_policys_authority_must_be_in_the_trust_root() {
    let instance = Instance::new();
    let bundle = signed(&instance, Log::V2);
    let identities = [identity(SUBJECT)];
    for (url, passes) in [
        (CA_URL, true),
        ("http://localhost:5555/", true),
        ("https://fulcio.sigstore.dev", false),
    ] {
        let signer = Signer::Keyless {
            identities: &identities,
            authority_url: Some(url),
        };
        let requirements = Requirements {
            signer,
            ..keyless(&identities)
        };
        let (result, _) = check(&bundle, &requirements, &instance.trusted_root());
        assert_eq!(result.is_ok(), passes, "{url}");
        if let Err(error) = result {
            let text = error.to_string();
            assert!(text.contains(url) && text.contains(CA_URL), "{text}");
        }
    }
}

#[test]
fn an_authority_outside_its_validity_is_refused() {
    let instance = Instance::new();
    let mut root = instance.trusted_root();
    let end = Some(now() - minutes(1));
    root.certificate_authorities[0].valid_for = Some(ValidityPeriod {
        start: Some(now() - minutes(60)),
        end,
    });
    let result = check_default(&signed(&instance, Log::V2), &root);
    assert!(
        matches!(result, Err(Error::NoAuthority { .. })),
        "{result:?}"
    );
}

#[test]
fn a_certificate_without_a_valid_sct_is_refused_unless_that_is_asked_for() {
    let instance = Instance::new();
    let rogue = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
    let missing = instance.leaf_without_sct();
    let unknown = instance.leaf_for(SUBJECT, ISSUER, now(), &rogue);
    let identities = [identity(SUBJECT)];
    for (leaf, none) in [(missing, true), (unknown, false)] {
        let bundle = instance.sign_image(&leaf, DIGEST, SIGN_PREDICATE, Log::V2);
        let result = check_default(&bundle, &instance.trusted_root());
        assert!(
            matches!(
                (&result, none),
                (Err(Error::NoSct), true) | (Err(Error::Sct { .. }), false)
            ),
            "{result:?}"
        );
        let ignoring = Requirements {
            sct: false,
            ..keyless(&identities)
        };
        check(&bundle, &ignoring, &instance.trusted_root())
            .0
            .expect("without SCT");
    }
    let mut root = instance.trusted_root();
    root.ctlogs[0].public_key.valid_for = Some(ValidityPeriod::since(now() + minutes(1)));
    let result = check_default(&signed(&instance, Log::V2), &root);
    assert!(matches!(result, Err(Error::Sct { .. })), "{result:?}");
}

#[test]
fn a_key_decides_alone() {
    let instance = Instance::new();
    let key = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
    let other = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
    let root = instance.trusted_root();
    for (log, logged) in [(Log::None, false), (Log::V1, true), (Log::V2, true)] {
        let bundle = instance.sign_image_by_key(&key, DIGEST, log);
        for required in [false, true] {
            let requirements = |key| Requirements {
                signer: Signer::Key {
                    key,
                    hash: HashAlgorithm::Sha256,
                },
                sct: false,
                log: required,
                timestamp: false,
            };
            let (result, _) = check(&bundle, &requirements(key.public_key()), &root);
            assert_eq!(result.is_ok(), logged || !required, "{log:?} {required}");
            let (result, _) = check(&bundle, &requirements(other.public_key()), &root);
            assert!(matches!(result, Err(Error::Signature)));
        }
    }
    let bundle = instance.sign_image_by_key(&key, DIGEST, Log::V2);
    let result = check_default(&bundle, &root);
    assert!(matches!(result, Err(Error::NoCertificate)));
}

/// Verifies a legacy signature after `change` had its way with payload and annotations.
fn check_legacy(
    instance: &Instance,
    change: impl FnOnce(&mut Vec<u8>, &mut serde_json::Value),
) -> Result<Verified, Error> {
    let (mut payload, mut annotations) = instance.sign_legacy(&instance.leaf(), DIGEST);
    change(&mut payload, &mut annotations);
    let get = |name: &str| annotations[name].as_str().unwrap_or_default();
    let read = Annotations {
        signature: get("dev.cosignproject.cosign/signature"),
        certificate: get("dev.sigstore.cosign/certificate"),
        bundle: get("dev.sigstore.cosign/bundle"),
        timestamp: get("dev.sigstore.cosign/rfc3161timestamp"),
    };
    let trust = Trust::new(&instance.trusted_root()).expect("a usable root");
    let identities = [identity(SUBJECT)];
    let mut report = Report::default();
    let requirements = keyless(&identities);
    let result = verify::verify_legacy_signature(
        &payload,
        &read,
        DIGEST,
        &requirements,
        &trust,
        &mut report,
    );
    assert_eq!(result.is_err(), report.failure().is_some(), "{report:#?}");
    result
}

#[test]
fn legacy_signatures_verify_and_every_change_is_refused() {
    let instance = Instance::new();
    check_legacy(&instance, |_, _| {}).expect("verifies");
    let set = |name: &'static str, value: &'static str| {
        check_legacy(&instance, move |_, annotations| {
            annotations[name] = value.into()
        })
        .expect_err(name)
    };
    assert!(matches!(
        set("dev.cosignproject.cosign/signature", "%%"),
        Error::Signature
    ));
    assert!(matches!(
        set("dev.cosignproject.cosign/signature", "AAAA"),
        Error::Signature
    ));
    assert!(matches!(
        set("dev.sigstore.cosign/certificate", ""),
        Error::NoCertificate
    ));
    assert!(matches!(
        set("dev.sigstore.cosign/certificate", "x"),
        Error::Certificate(_)
    ));
    assert!(matches!(
        set("dev.sigstore.cosign/bundle", ""),
        Error::NotLogged
    ));
    assert!(matches!(
        set("dev.sigstore.cosign/bundle", "{}"),
        Error::Log(_)
    ));
    assert!(matches!(
        set("dev.sigstore.cosign/rfc3161timestamp", "{}"),
        Error::Timestamp(_)
    ));
    let changed = check_legacy(&instance, |payload, _| payload.push(b' '));
    assert!(matches!(changed, Err(Error::Signature)));
}

#[test]
fn a_legacy_signature_of_another_image_is_refused() {
    let instance = Instance::new();
    let result = check_legacy(&instance, |payload, annotations| {
        let other = DIGEST.replace('a', "b");
        (*payload, *annotations) = instance.sign_legacy(&instance.leaf(), &other);
    });
    assert!(matches!(result, Err(Error::Claim(_))), "{result:?}");
}

#[test]
fn a_digest_in_the_bundle_that_is_not_the_artifacts_is_refused() {
    let instance = Instance::new();
    let mut bundle = signed(&instance, Log::V2);
    bundle.content = Content::MessageSignature(bundle::MessageSignature {
        message_digest: Some(bundle::HashOutput {
            algorithm: bundle::HashAlgorithm::Sha2_256,
            digest: vec![0xbb; 32],
        }),
        signature: vec![1],
    });
    let result = check_default(&bundle, &instance.trusted_root());
    assert!(matches!(result, Err(Error::MessageDigest)));
}
