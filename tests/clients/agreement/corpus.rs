//! Bundles by an instance whose keys are at hand, so that one thing at a time is signed differently and all
//! else holds.

use bundle::{
    Bundle, Content, HashAlgorithm, HashOutput, MessageSignature, SigningMaterial,
    TransparencyLogEntry, TrustedRoot, VerificationMaterial,
};
use crypto::{KeyKind, SigningKey};
use serde_json::{Value, json};

use super::support::{
    ISSUER, Instance, Leaf, Log, SUBJECT, b64, hashedrekord_v1_body, hashedrekord_v2_body, minutes,
    now,
};
use super::{Case, Kind};

const MESSAGE: &[u8] = b"an artifact of the corpus";

/// An instance, and another that nobody trusts.
struct Maker {
    instance: Instance,
    other: Instance,
    leaf: Leaf,
    cases: Vec<Case>,
}

/// All cases; the names of those that must be accepted begin with `good`.
pub(crate) fn cases() -> Vec<Case> {
    let instance = Instance::new();
    let mut maker = Maker {
        leaf: instance.leaf(),
        instance,
        other: Instance::new(),
        cases: Vec::new(),
    };
    maker.good();
    maker.certificates();
    maker.entries();
    maker.proofs();
    maker.timestamps();
    maker.signatures();
    maker.roots();
    maker.cases
}

fn entry(bundle: &mut Bundle) -> &mut TransparencyLogEntry {
    &mut bundle.verification_material.tlog_entries[0]
}

/// Writes `value` at a place of the body's `spec`, if there is such a place, and nothing anew.
fn in_body(bundle: &mut Bundle, place: &[&str], value: &str) {
    let body = &mut entry(bundle).canonicalized_body;
    let mut whole: Value = serde_json::from_slice(body).expect("JSON");
    let pointer = format!("/spec/{}", place.join("/"));
    if let Some(found) = whole.pointer_mut(&pointer) {
        *found = value.into();
        *body = ::entry::canonicalize(&whole);
    }
}

fn proof(bundle: &mut Bundle) -> &mut bundle::InclusionProof {
    entry(bundle).inclusion_proof.as_mut().expect("it has one")
}

impl Maker {
    fn add(&mut self, name: &str, bundle: &Bundle) {
        self.add_for(name, bundle, SUBJECT, ISSUER);
    }

    fn add_for(&mut self, name: &str, bundle: &Bundle, subject: &str, issuer: &str) {
        self.cases.push(Case {
            name: name.to_owned(),
            kind: Kind::Blob,
            bundle: bundle.to_json(),
            root: self.instance.trusted_root(),
            artifact: MESSAGE.to_vec(),
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
        });
    }

    /// A bundle over the message, by `leaf`, logged and dated by `by`.
    fn bundle_by(&self, leaf: &Leaf, by: &Instance, log: Log) -> Bundle {
        let signature = leaf.key.sign(MESSAGE).expect("signs");
        let (entries, timestamps) = match log {
            Log::V1 => {
                let body = hashedrekord_v1_body(MESSAGE, &signature, &leaf.certificate.to_pem());
                (vec![by.log_v1(&body, now() + minutes(1))], Vec::new())
            }
            Log::V2 => {
                let certificate =
                    json!({"x509Certificate": {"rawBytes": b64(leaf.certificate.der())}});
                let body = hashedrekord_v2_body(MESSAGE, &signature, &certificate);
                let stamp = by.timestamp(&signature, now() + minutes(1));
                (vec![by.log_v2(&body)], vec![stamp])
            }
            Log::None => {
                let stamp = by.timestamp(&signature, now() + minutes(1));
                (Vec::new(), vec![stamp])
            }
        };
        let material = VerificationMaterial {
            signer: SigningMaterial::Certificate(leaf.certificate.der().to_vec()),
            tlog_entries: entries,
            rfc3161_timestamps: timestamps,
        };
        let message = MessageSignature {
            message_digest: Some(HashOutput {
                algorithm: HashAlgorithm::Sha2_256,
                digest: crypto::sha256(MESSAGE).to_vec(),
            }),
            signature,
        };
        Bundle::new(material, Content::MessageSignature(message))
    }

    fn bundle(&self, log: Log) -> Bundle {
        self.bundle_by(&self.leaf, &self.instance, log)
    }

    /// A good bundle by either log with one thing changed, `name` for each.
    fn changed(&mut self, name: &str, change: impl Fn(&mut Bundle)) {
        for log in [Log::V1, Log::V2] {
            let mut bundle = self.bundle(log);
            change(&mut bundle);
            self.add(&format!("{log:?} {name}"), &bundle);
        }
    }

    fn good(&mut self) {
        let (v1, v2) = (self.bundle(Log::V1), self.bundle(Log::V2));
        self.add("good v1", &v1);
        self.add("good v2", &v2);
        let mut stamped = v1.clone();
        let signature = signature(&v1).to_vec();
        let stamp = self.instance.timestamp(&signature, now() + minutes(2));
        stamped.verification_material.rfc3161_timestamps = vec![stamp];
        self.add("good v1 with a timestamp", &stamped);
        let mut chained = v2;
        chained.verification_material.signer =
            SigningMaterial::Certificate(self.leaf.certificate.der().to_vec());
        self.add("good v2 again", &chained);
    }

    fn certificates(&mut self) {
        let unknown = SigningKey::generate(KeyKind::EcdsaP256).expect("randomness");
        let (own, key) = (&self.instance, &self.instance.ct_key);
        let leaf = |at, key: &SigningKey| own.leaf_for(SUBJECT, ISSUER, at, key);
        let leaves = [
            ("certificate by another authority", self.other.leaf()),
            ("certificate without SCT", own.leaf_without_sct()),
            ("SCT by another log", leaf(now(), &unknown)),
            (
                "certificate that had expired",
                leaf(now() - minutes(30), key),
            ),
            ("certificate of later", leaf(now() + minutes(30), key)),
        ];
        for (name, leaf) in &leaves {
            for log in [Log::V1, Log::V2] {
                let bundle = self.bundle_by(leaf, &self.instance, log);
                self.add(&format!("{log:?} {name}"), &bundle);
            }
        }
        for log in [Log::V1, Log::V2] {
            let bundle = self.bundle(log);
            self.add_for(
                &format!("{log:?} other subject"),
                &bundle,
                "https://other",
                ISSUER,
            );
            self.add_for(
                &format!("{log:?} other issuer"),
                &bundle,
                SUBJECT,
                "https://other",
            );
            self.add_for(
                &format!("{log:?} subject in upper case"),
                &bundle,
                &SUBJECT.to_uppercase(),
                ISSUER,
            );
        }
        let other = self.instance.leaf();
        self.changed("another certificate of the same subject", |bundle| {
            bundle.verification_material.signer =
                SigningMaterial::Certificate(other.certificate.der().to_vec());
        });
    }

    fn entries(&mut self) {
        let leaf = self.instance.leaf();
        let others = [Log::V1, Log::V2].map(|log| self.bundle_by(&leaf, &self.instance, log));
        for (other, log) in others.iter().zip([Log::V1, Log::V2]) {
            let mut bundle = self.bundle(log);
            bundle.verification_material.tlog_entries =
                other.verification_material.tlog_entries.clone();
            self.add(&format!("{log:?} entry of another signature"), &bundle);
            let bundle = self.bundle_by(&self.leaf, &self.other, log);
            self.add(&format!("{log:?} entry by another log"), &bundle);
        }
        self.changed("no entry", |bundle| {
            bundle.verification_material.tlog_entries.clear();
        });
        self.changed("the entry twice", |bundle| {
            let again = entry(bundle).clone();
            bundle.verification_material.tlog_entries.push(again);
        });
        self.changed("log id of another", |bundle| {
            let id = entry(bundle).log_id.as_mut().expect("it has one");
            id.key_id[0] ^= 1;
        });
        self.changed("another digest in the body", |bundle| {
            in_body(bundle, &["data", "hash", "value"], "00");
            in_body(bundle, &["hashedRekordV002", "data", "digest"], "AAAA");
        });
        self.changed("another signature in the body", |bundle| {
            in_body(bundle, &["signature", "content"], "AAAA");
            in_body(
                bundle,
                &["hashedRekordV002", "signature", "content"],
                "AAAA",
            );
        });
        let pem = b64(leaf.certificate.to_pem().as_bytes());
        let der = b64(leaf.certificate.der());
        self.changed("another certificate in the body", |bundle| {
            in_body(bundle, &["signature", "publicKey", "content"], &pem);
            let place = ["hashedRekordV002", "signature", "verifier"];
            let place = [&place[..], &["x509Certificate", "rawBytes"]].concat();
            in_body(bundle, &place, &der);
        });
        self.changed("changed log index", |bundle| entry(bundle).log_index += 1);
        self.changed("negative log index", |bundle| entry(bundle).log_index = -1);
        self.changed("changed integrated time", |bundle| {
            entry(bundle).integrated_time += 1;
        });
        self.changed("another kind", |bundle| {
            let kind = entry(bundle).kind_version.as_mut().expect("it has one");
            "intoto".clone_into(&mut kind.kind);
        });
        self.changed("another version", |bundle| {
            let kind = entry(bundle).kind_version.as_mut().expect("it has one");
            "0.0.9".clone_into(&mut kind.version);
        });
        let mut unpromised = self.bundle(Log::V1);
        entry(&mut unpromised).inclusion_promise = None;
        self.add("V1 no promise", &unpromised);
        self.changed("a promise by nobody", |bundle| {
            entry(bundle).inclusion_promise = Some(vec![0x30, 6, 2, 1, 1, 2, 1, 1]);
        });
    }

    fn proofs(&mut self) {
        self.changed("no proof", |bundle| entry(bundle).inclusion_proof = None);
        self.changed("another hash in the proof", |bundle| {
            proof(bundle).hashes[0][0] ^= 1;
        });
        self.changed("a hash too many", |bundle| {
            proof(bundle).hashes.push(vec![0; 32]);
        });
        self.changed("a hash too few", |bundle| proof(bundle).hashes.clear());
        self.changed("a short hash", |bundle| {
            proof(bundle).hashes[0].pop();
        });
        self.changed("another root", |bundle| proof(bundle).root_hash[0] ^= 1);
        self.changed("a larger tree", |bundle| proof(bundle).tree_size += 1);
        self.changed("another index in the tree", |bundle| {
            proof(bundle).log_index = 0;
        });
        self.changed("no checkpoint", |bundle| proof(bundle).checkpoint = None);
        self.changed("a changed checkpoint", |bundle| {
            let checkpoint = proof(bundle).checkpoint.as_mut().expect("it has one");
            *checkpoint = checkpoint.replacen("\n2\n", "\n3\n", 1);
        });
        self.changed("an unsigned checkpoint", |bundle| {
            let checkpoint = proof(bundle).checkpoint.as_mut().expect("it has one");
            let end = checkpoint.find("\n\n").expect("a note") + 2;
            checkpoint.truncate(end);
        });
        for log in [Log::V1, Log::V2] {
            let mut other = self.bundle_by(&self.leaf, &self.other, log);
            let foreign = proof(&mut other).checkpoint.clone();
            let mut bundle = self.bundle(log);
            proof(&mut bundle).checkpoint = foreign;
            self.add(&format!("{log:?} checkpoint by another key"), &bundle);
        }
    }

    fn timestamps(&mut self) {
        let v2 = self.bundle(Log::V2);
        let signature = signature(&v2).to_vec();
        let (own, other) = (&self.instance, &self.other);
        let stamps = [
            ("no timestamp", Vec::new()),
            (
                "timestamp by another",
                vec![other.timestamp(&signature, now() + minutes(1))],
            ),
            (
                "timestamp of something else",
                vec![own.timestamp(b"else", now() + minutes(1))],
            ),
            (
                "timestamp of before",
                vec![own.timestamp(&signature, now() - minutes(30))],
            ),
            (
                "timestamp of after",
                vec![own.timestamp(&signature, now() + minutes(30))],
            ),
            ("timestamp that is none", vec![vec![0x30, 0]]),
        ];
        for (name, stamps) in stamps {
            let mut bundle = v2.clone();
            bundle.verification_material.rfc3161_timestamps = stamps;
            self.add(&format!("V2 {name}"), &bundle);
        }
        let unlogged = self.bundle(Log::None);
        self.add("timestamp and no entry", &unlogged);
        let mut v1 = self.bundle(Log::V1);
        let late = self.instance.timestamp(&signature, now() + minutes(30));
        v1.verification_material.rfc3161_timestamps = vec![late];
        self.add("V1 with a timestamp of something else", &v1);
    }

    fn signatures(&mut self) {
        let other = self.leaf.key.sign(b"something else").expect("signs");
        self.changed("signature of something else", |bundle| {
            message(bundle).signature.clone_from(&other);
        });
        self.changed("no signature", |bundle| message(bundle).signature.clear());
        self.changed("a bit of the signature", |bundle| {
            message(bundle).signature[9] ^= 1;
        });
        self.changed("digest of something else", |bundle| {
            let digest = message(bundle).message_digest.as_mut();
            digest.expect("it has one").digest[0] ^= 1;
        });
        self.changed("another media type", |bundle| {
            "application/vnd.dev.sigstore.bundle.v9.9+json".clone_into(&mut bundle.media_type);
        });
        for log in [Log::V1, Log::V2] {
            let bundle = self.bundle(log);
            self.add(&format!("{log:?} other artifact"), &bundle);
            if let Some(case) = self.cases.last_mut() {
                case.artifact.push(b'x');
            }
        }
    }

    /// Good bundles under roots that lack something.
    fn roots(&mut self) {
        type Change = fn(&mut TrustedRoot);
        let changes: [(&str, Change); 5] = [
            ("a root without CT logs", |root| root.ctlogs.clear()),
            ("a root without logs", |root| root.tlogs.clear()),
            ("a root without authorities", |root| {
                root.certificate_authorities.clear();
            }),
            ("a root whose authority had ended", |root| {
                let valid = root.certificate_authorities[0].valid_for.as_mut();
                valid.expect("it has one").end = Some(now() - minutes(30));
            }),
            ("a root whose logs had ended", |root| {
                for log in &mut root.tlogs {
                    let valid = log.public_key.valid_for.as_mut();
                    valid.expect("it has one").end = Some(now() - minutes(30));
                }
            }),
        ];
        for (name, change) in changes {
            for log in [Log::V1, Log::V2] {
                let bundle = self.bundle(log);
                // An entry of a v2 log has no time that could be outside the log's.
                let timeless = log == Log::V2 && name == "a root whose logs had ended";
                let good = if timeless { "good " } else { "" };
                self.add(&format!("{good}{log:?} {name}"), &bundle);
                if let Some(case) = self.cases.last_mut() {
                    change(&mut case.root);
                }
            }
        }
    }
}

fn message(bundle: &mut Bundle) -> &mut MessageSignature {
    match &mut bundle.content {
        Content::MessageSignature(message) => message,
        Content::DsseEnvelope(_) => unreachable!("only messages are signed here"),
    }
}

fn signature(bundle: &Bundle) -> &[u8] {
    match &bundle.content {
        Content::MessageSignature(message) => &message.signature,
        Content::DsseEnvelope(_) => unreachable!("only messages are signed here"),
    }
}
