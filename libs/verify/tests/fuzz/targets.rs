//! What is fuzzed: each target takes bytes, and asserts what must hold for any.

use bundle::{Bundle, Content, SigningMaterial, TrustedRoot, VerificationMaterial};
use crypto::HashAlgorithm;
use serde_json::Value;
use verify::{
    Annotations, Artifact, GoRegexp, Identity, Pattern, Report, Requirements, Signer, Trust,
    Verified,
};
use x509::Certificate;

use crate::seeds::{DIGEST, own_bundles, public_trust, signed, suite, suite_bundles};
use crate::support::{ISSUER, SUBJECT};

/// One reader.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    pub(crate) run: fn(&[u8]),
}

/// All of them.
pub(crate) const TARGETS: [Target; 8] = [
    Target {
        name: "bundle",
        seeds: || [own_bundles(), suite("bundle.sigstore.json")].concat(),
        run: bundle,
    },
    Target {
        name: "certificate",
        seeds: certificates,
        run: certificate,
    },
    Target {
        name: "entry",
        seeds: entries,
        run: entry,
    },
    Target {
        name: "checkpoint",
        seeds: checkpoints,
        run: checkpoint,
    },
    Target {
        name: "timestamp",
        seeds: timestamps,
        run: timestamp,
    },
    Target {
        name: "trusted-root",
        seeds: || {
            let own = signed().root.to_json().into_bytes();
            [vec![own], suite("trusted_root.json")].concat()
        },
        run: trusted_root,
    },
    Target {
        name: "legacy",
        seeds: legacy_documents,
        run: legacy,
    },
    Target {
        name: "expression",
        seeds: || {
            let texts = [
                "^https://github.com/(a|b)+/[^/]*\\.yml@refs/(heads|tags)/.{0,9}$",
                "(?i)[[:alpha:]]\\pL\\x{10FFFF}\\Q.*\\E(?P<n>x*?)\\b",
            ];
            texts.map(|text| text.as_bytes().to_vec()).to_vec()
        },
        run: expression,
    },
];

/// Verifies, with what must hold whatever comes out: an error has its step, and no step after it.
fn verify(bundle: &Bundle, trust: &Trust, log: bool) -> Option<Verified> {
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
        log,
        timestamp: false,
    };
    let artifact = Artifact::Digest(HashAlgorithm::Sha256, &[0xaa; 32]);
    let mut report = Report::default();
    let result = verify::verify_bundle(bundle, artifact, &requirements, trust, &mut report);
    assert_eq!(result.is_err(), report.failure().is_some(), "{result:?}");
    result.ok()
}

/// What a verified bundle says: the signed content, who, and when.
fn said(bundle: &Bundle) -> (Vec<u8>, Vec<u8>) {
    let leaf = bundle.verification_material.signer.leaf();
    let content = match &bundle.content {
        Content::DsseEnvelope(envelope) => envelope.payload.clone(),
        Content::MessageSignature(message) => message.signature.clone(),
    };
    (content, leaf.map(<[u8]>::to_vec).unwrap_or_default())
}

/// A bundle that verifies by our instance must say what the instance signed.
fn must_be_ours(bundle: &Bundle) {
    let Some(verified) = verify(bundle, &signed().trust, true) else {
        return;
    };
    let known = signed().bundles.iter().any(|good| {
        let times = verify(good, &signed().trust, true).map(|good| good.times);
        said(good) == said(bundle) && times == Some(verified.times.clone())
    });
    assert!(known, "{}", bundle.to_json());
}

/// Each of the instance's bundles with the same change must say what the instance signed, or nothing.
fn changed_must_be_ours(change: impl Fn(&mut VerificationMaterial)) {
    for good in &signed().bundles {
        let mut bundle = good.clone();
        change(&mut bundle.verification_material);
        must_be_ours(&bundle);
    }
}

fn bundle(bytes: &[u8]) {
    let Ok(bundle) = Bundle::from_json(bytes) else {
        return;
    };
    must_be_ours(&bundle);
    verify(&bundle, public_trust(), false);
    let again = Bundle::from_json(bundle.to_json().as_bytes()).expect("what is written is read");
    assert_eq!(again, bundle);
}

fn certificates() -> Vec<Vec<u8>> {
    let bundles = [signed().bundles.clone(), suite_bundles()].concat();
    let leaves = bundles.iter().filter_map(|bundle| {
        let leaf = bundle.verification_material.signer.leaf();
        leaf.map(<[u8]>::to_vec)
    });
    let authorities = &signed().root.certificate_authorities;
    let chains = authorities.iter().flat_map(|one| one.cert_chain.clone());
    leaves.chain(chains).collect()
}

fn certificate(bytes: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        let _ = (
            certificate.sans(),
            certificate.scts(),
            certificate.fulcio_extensions(),
            certificate.is_ca(),
            certificate.precertificate_tbs(),
            certificate.subject_text(),
        );
    }
    changed_must_be_ours(|material| {
        material.signer = SigningMaterial::Certificate(bytes.to_vec());
    });
}

/// Log entries with their proofs, as JSON.
fn entries() -> Vec<Vec<u8>> {
    let bundles = [signed().bundles.clone(), suite_bundles()].concat();
    bundles
        .iter()
        .flat_map(|bundle| &bundle.verification_material.tlog_entries)
        .map(|entry| serde_json::to_vec(entry).expect("JSON"))
        .collect()
}

fn entry(bytes: &[u8]) {
    let Ok(entry) = serde_json::from_slice::<bundle::TransparencyLogEntry>(bytes) else {
        let _ = entry::Body::from_canonical(bytes);
        return;
    };
    changed_must_be_ours(|material| material.tlog_entries = vec![entry.clone()]);
}

fn checkpoints() -> Vec<Vec<u8>> {
    let bundles = [signed().bundles.clone(), suite_bundles()].concat();
    bundles
        .iter()
        .flat_map(|bundle| &bundle.verification_material.tlog_entries)
        .filter_map(|entry| entry.inclusion_proof.as_ref()?.checkpoint.clone())
        .map(String::into_bytes)
        .collect()
}

fn checkpoint(bytes: &[u8]) {
    if let Ok(note) = note::SignedNote::parse(bytes) {
        let _ = note::Checkpoint::parse(&note.text);
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    changed_must_be_ours(|material| {
        for entry in &mut material.tlog_entries {
            if let Some(proof) = &mut entry.inclusion_proof {
                proof.checkpoint = Some(text.to_owned());
            }
        }
    });
}

fn timestamps() -> Vec<Vec<u8>> {
    let bundles = [signed().bundles.clone(), suite_bundles()].concat();
    bundles
        .iter()
        .flat_map(|bundle| bundle.verification_material.rfc3161_timestamps.clone())
        .collect()
}

fn timestamp(bytes: &[u8]) {
    let _ = tsp::TimestampToken::from_der(bytes);
    for good in &signed().bundles {
        let mut bundle = good.clone();
        bundle.verification_material.rfc3161_timestamps = vec![bytes.to_vec()];
        if let Some(verified) = verify(&bundle, &signed().trust, true) {
            let good = verify(good, &signed().trust, true).expect("unchanged, it verifies");
            assert!(verified.times.iter().all(|time| good.times.contains(time)));
        }
    }
}

fn trusted_root(bytes: &[u8]) {
    let Ok(root) = TrustedRoot::from_json(bytes) else {
        return;
    };
    if let Ok(trust) = Trust::new(&root) {
        for good in &signed().bundles {
            verify(good, &trust, true);
        }
    }
}

/// A payload beside its annotations.
fn legacy_documents() -> Vec<Vec<u8>> {
    let (payload, annotations) = &signed().legacy;
    let document = |payload: &[u8]| serde_json::json!({"payload": String::from_utf8_lossy(payload), "annotations": annotations});
    [document(payload), document(&signed().attestation)]
        .iter()
        .map(|document| document.to_string().into_bytes())
        .collect()
}

fn legacy(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let annotation = |name: &str| document["annotations"][name].as_str().unwrap_or_default();
    let annotations = Annotations {
        signature: annotation("dev.cosignproject.cosign/signature"),
        certificate: annotation("dev.sigstore.cosign/certificate"),
        bundle: annotation("dev.sigstore.cosign/bundle"),
        timestamp: annotation("dev.sigstore.cosign/rfc3161timestamp"),
    };
    let payload = document["payload"].as_str().unwrap_or_default().as_bytes();
    let any = |text: &str| Pattern::Regexp(GoRegexp::new(text).expect("an expression"));
    let identities = [Identity {
        issuer: any(".*"),
        subject: any(".*"),
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
    let trust = &signed().trust;
    let mut report = Report::default();
    let signature = verify::verify_legacy_signature(
        payload,
        &annotations,
        DIGEST,
        &requirements,
        trust,
        &mut report,
    );
    assert_eq!(signature.is_err(), report.failure().is_some());
    assert!(signature.is_err() || payload == signed().legacy.0);
    let mut report = Report::default();
    let attestation = verify::verify_legacy_attestation(
        payload,
        &annotations,
        DIGEST,
        &requirements,
        trust,
        &mut report,
    );
    // Nobody logged it.
    assert!(attestation.is_err() && report.failure().is_some());
}

fn expression(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(regexp) = GoRegexp::new(&text) {
        let _ = regexp.is_match(SUBJECT);
    }
}
