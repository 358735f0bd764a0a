//! Three verifiers about the same bundles: `libs/verify`, cosign, and the crate `sigstore-verify`. They agree,
//! or the difference has a name here.

#[path = "../../libs/verify/tests/support/mod.rs"]
mod support;

mod corpus;
mod mutations;

use std::sync::atomic::{AtomicUsize, Ordering};

use bundle::{Bundle, Content, TrustedRoot};
use serde_json::Value;
use tests::{Sandbox, client};
use verify::{Artifact, Identity, Pattern, Report, Requirements, Signer, Statement, Trust};

use crate::scene::{EMAIL, Scene, sha256_hex};

/// What is signed.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Attestation,
    Blob,
}

/// A bundle and what it should be about.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// As JSON, which may be none.
    pub(crate) bundle: String,
    pub(crate) root: TrustedRoot,
    pub(crate) artifact: Vec<u8>,
    pub(crate) subject: String,
    pub(crate) issuer: String,
}

/// Who accepts a bundle: ourselves, cosign, sigstore-verify.
type Verdicts = [bool; 3];

/// Where the three part: cases by the end of their names, the verdicts, and why ours is what it is.
struct Divergence {
    cases: &'static [&'static str],
    verdicts: Verdicts,
    reason: &'static str,
}

const ALL: [Divergence; 9] = [
    Divergence {
        cases: &[
            "another kind",
            "another version",
            "changed /verificationMaterial/tlogEntries/0/kindVersion/kind",
            "changed /verificationMaterial/tlogEntries/0/kindVersion/version",
            "without /verificationMaterial/tlogEntries/0/kindVersion/kind",
            "without /verificationMaterial/tlogEntries/0/kindVersion/version",
        ],
        verdicts: [false, true, false],
        reason: "cosign reads the kind from the body and not what the bundle calls it",
    },
    Divergence {
        cases: &[
            "V2 another root",
            "V2 a larger tree",
            "V2 another index in the tree",
            "config.json changed /verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
            "config.json changed /verificationMaterial/tlogEntries/0/inclusionProof/treeSize",
        ],
        verdicts: [false, true, true],
        reason: "the others take root and size of a v2 proof from its checkpoint and its index from the \
                 entry; here a proof that says otherwise is none",
    },
    Divergence {
        cases: &[
            "config.json without /verificationMaterial/tlogEntries/0/inclusionProof/rootHash",
            "config.json without /verificationMaterial/tlogEntries/0/inclusionProof/treeSize",
        ],
        verdicts: [false, true, false],
        reason: "as above, and sigstore-verify cannot read a proof without them",
    },
    Divergence {
        cases: &[
            "V2 log id of another",
            "config.json changed /verificationMaterial/tlogEntries/0/logId/keyId",
        ],
        verdicts: [false, false, true],
        reason: "sigstore-verify finds a v2 log by its checkpoint, here an entry of an unknown log is none",
    },
    Divergence {
        cases: &["V2 changed integrated time"],
        verdicts: [false, false, true],
        reason: "sigstore-verify ignores a time that a v2 log cannot have said",
    },
    Divergence {
        cases: &[
            "V2 another digest in the body",
            "V2 another signature in the body",
            "V2 another certificate in the body",
        ],
        verdicts: [false, true, false],
        reason: "cosign makes the body of a v2 entry anew from the bundle and does not read the one that is \
                 there",
    },
    Divergence {
        cases: &["the entry twice"],
        verdicts: [false, false, true],
        reason: "an entry that is there twice counts once for sigstore-verify; the conformance suite \
                 refuses it",
    },
    Divergence {
        cases: &[
            "V1 with a timestamp of something else",
            "v1.json changed /verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/\
             signedTimestamp",
            "v1.json without /verificationMaterial/timestampVerificationData/rfc3161Timestamps/0/\
             signedTimestamp",
        ],
        verdicts: [false, true, false],
        reason: "cosign looks at no timestamp where the log has said the time; here what is there must hold",
    },
    Divergence {
        cases: &["v1.json without /mediaType"],
        verdicts: [false, false, true],
        reason: "sigstore-verify takes a bundle without a media type for one of version 0.1",
    },
];

impl Case {
    fn verdicts(&self, home: &Sandbox, number: usize) -> (Verdicts, String) {
        let file = |name: &str, bytes: &[u8]| {
            let path = home.write(&format!("{number}-{name}"), bytes);
            path.display().to_string()
        };
        let bundle = file("bundle.json", self.bundle.as_bytes());
        let root = file("trusted_root.json", self.root.to_json().as_bytes());
        let artifact = file("artifact", &self.artifact);
        let flags = [
            "--trusted-root",
            &root,
            "--certificate-identity",
            &self.subject,
            "--certificate-oidc-issuer",
            &self.issuer,
        ];
        let command = match self.kind {
            Kind::Blob => &["verify-blob"][..],
            Kind::Attestation => &["verify-blob-attestation", "--type", "custom"],
        };
        let cosign = [command, &["--bundle", &bundle], &flags, &[&artifact]].concat();
        let cosign = home.run(&client("cosign"), &cosign);
        let other = [&flags[..], &[&artifact, &bundle]].concat();
        let other = home.run(&client("sigstore-verify"), &other);
        let ours = self.ours();
        let verdicts = [ours.is_ok(), cosign.is_success(), other.is_success()];
        let told = format!(
            "ours: {ours:?}\ncosign: {}sigstore-verify: {}",
            cosign.all(),
            other.all()
        );
        (verdicts, told)
    }

    fn ours(&self) -> Result<(), String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let bundle = Bundle::from_json(self.bundle.as_bytes()).map_err(|error| text(&error))?;
        let trust = Trust::new(&self.root).map_err(|error| text(&error))?;
        let identities = [Identity {
            issuer: Pattern::Exact(self.issuer.clone()),
            subject: Pattern::Exact(self.subject.clone()),
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
        let artifact = Artifact::Message(&self.artifact);
        let mut report = Report::default();
        verify::verify_bundle(&bundle, artifact, &requirements, &trust, &mut report)
            .map_err(|error| text(&error))?;
        if let Content::DsseEnvelope(envelope) = &bundle.content {
            let digest = format!("sha256:{}", sha256_hex(&self.artifact));
            let statement = Statement::read(envelope).map_err(|error| text(&error))?;
            statement.about(&digest).map_err(|error| text(&error))?;
        }
        Ok(())
    }
}

/// Asks all three about all cases, a few at a time.
fn judge(cases: &[Case]) -> Vec<(Verdicts, String)> {
    let home = Sandbox::new();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(number) else {
                return done;
            };
            done.push((number, case.verdicts(&home, number)));
        }
    };
    let mut all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter();
        joined
            .flat_map(|thread| thread.join().expect("a judge ends"))
            .collect()
    });
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, verdicts)| verdicts).collect()
}

/// Every case is judged alike by all, or as its divergence says; those are accepted whose names begin with
/// `good`.
fn agree(cases: &[Case]) {
    let mut wrong = Vec::new();
    let mut accepted = Vec::new();
    for (case, (verdicts, told)) in cases.iter().zip(judge(cases)) {
        let is_named = |one: &&Divergence| one.cases.iter().any(|name| case.name.ends_with(name));
        let named = ALL.iter().find(is_named);
        let same = verdicts[1..].iter().all(|verdict| *verdict == verdicts[0]);
        let fits = named.map_or(same, |named| named.verdicts == verdicts);
        if same && verdicts[0] {
            accepted.push(case.name.as_str());
        }
        if !fits {
            let reason = named.map(|named| named.reason).unwrap_or_default();
            wrong.push(format!("{} {verdicts:?} {reason}\n{told}", case.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
    let good = cases.iter().map(|case| case.name.as_str());
    let good: Vec<&str> = good.filter(|name| name.starts_with("good")).collect();
    assert_eq!(accepted, good);
}

#[test]
fn three_verifiers_agree_about_bundles_in_which_one_thing_was_signed_differently() {
    let cases = corpus::cases();
    assert!(cases.len() > 80, "{}", cases.len());
    agree(&cases);
}

#[test]
fn three_verifiers_agree_about_cosigns_bundles_with_any_field_changed() {
    let cases = changed(Kind::Blob);
    assert!(cases.len() > 50, "{}", cases.len());
    agree(&cases);
}

#[test]
fn three_verifiers_agree_about_cosigns_attestations_with_any_field_changed() {
    let cases = changed(Kind::Attestation);
    assert!(cases.len() > 50, "{}", cases.len());
    agree(&cases);
}

/// What cosign signs in a lab, for either log, and the same with each field changed.
fn changed(kind: Kind) -> Vec<Case> {
    let scene = Scene::initialized();
    let artifact = scene.home.write("artifact.txt", "an artifact of the lab");
    let artifact = artifact.display().to_string();
    scene.home.write("predicate.json", "{\"seen\": true}");
    let root = scene.siglab.file("trusted_root.json");
    let root = TrustedRoot::from_json(&std::fs::read(root).expect("written at start"));
    let root = root.expect("a trusted root");
    let sign = match kind {
        Kind::Blob => &["sign-blob"][..],
        Kind::Attestation => &[
            "attest-blob",
            "--type",
            "custom",
            "--predicate",
            "predicate.json",
        ],
    };
    let mut cases = Vec::new();
    for config in ["signing_config.json", "signing_config_rekor_v1.json"] {
        let file = scene.siglab.file(config);
        let token = scene.token();
        let flags = [
            "--yes",
            "--signing-config",
            &file,
            "--bundle",
            "bundle.json",
            "--identity-token",
            &token,
            &artifact,
        ];
        let _ = scene.run("cosign", &[sign, &flags].concat()).succeeds();
        let json: Value = serde_json::from_slice(&scene.home.read("bundle.json")).expect("JSON");
        let case = Case {
            name: config.to_owned(),
            kind,
            bundle: json.to_string(),
            root: root.clone(),
            artifact: b"an artifact of the lab".to_vec(),
            subject: EMAIL.to_owned(),
            issuer: scene.issuer(),
        };
        cases.extend(mutations::of(&case, &json));
        cases.push(Case {
            name: format!("good {config}"),
            ..case
        });
    }
    cases
}
