//! A whole signing instance in memory: authority, CT log, both transparency logs, timestamp authority.
//! It shares formats with what it tests, and no verification.

#![allow(dead_code, reason = "each test binary uses a part")]

use base64::Engine as _;
use bundle::{
    Bundle, CertificateAuthority, Content, DsseEnvelope, DsseSignature, InclusionProof, KeyDetails,
    KindVersion, LogId, PublicKey, SigningMaterial, TransparencyLog, TransparencyLogEntry,
    TrustedRoot, ValidityPeriod, VerificationMaterial,
};
use crypto::{HashAlgorithm, KeyKind, SigningKey};
use jiff::{SignedDuration, Timestamp};
use note::{Checkpoint, Scheme, Signer};
use serde_json::{Value, json};
use x509::{
    AuthorityBuilder, Certificate, EndEntityBuilder, FulcioExtensions, FulcioField, LeafTemplate,
    Name, San, Sct, SignedEntry,
};

pub(crate) const ISSUER: &str = "https://token.actions.githubusercontent.com";
pub(crate) const SUBJECT: &str =
    "https://github.com/fleet-org/agent-router/.github/workflows/release.yml@refs/heads/main";
pub(crate) const CA_URL: &str = "http://localhost:5555";
pub(crate) const LOG_V1_URL: &str = "http://localhost:3000";
pub(crate) const LOG_V2_URL: &str = "http://localhost:3003";
pub(crate) const TSA_URL: &str = "http://localhost:3004/api/v1/timestamp";

/// When everything is signed, unless a test says otherwise.
pub(crate) fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().expect("a time")
}

pub(crate) fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

fn key(kind: KeyKind) -> SigningKey {
    SigningKey::generate(kind).expect("randomness")
}

fn name(common_name: &str) -> Name {
    Name {
        organization: "TEST".to_owned(),
        common_name: common_name.to_owned(),
    }
}

pub(crate) struct Instance {
    pub(crate) root: Certificate,
    pub(crate) root_key: SigningKey,
    pub(crate) ct_key: SigningKey,
    pub(crate) v1_key: SigningKey,
    pub(crate) v2: Signer,
    pub(crate) tsa_root: Certificate,
    pub(crate) tsa_leaf: Certificate,
    pub(crate) tsa_key: SigningKey,
}

/// Where and how a signature is logged and dated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Log {
    V1,
    V2,
    None,
}

/// A key with its certificate.
pub(crate) struct Leaf {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

impl Instance {
    pub(crate) fn new() -> Self {
        let (start, end) = (now() - minutes(60 * 24), now() + minutes(60 * 24 * 365));
        let root_key = key(KeyKind::EcdsaP256);
        let root = AuthorityBuilder::new(name("ca"), start, end)
            .self_signed(&root_key)
            .expect("a root");
        let tsa_root_key = key(KeyKind::EcdsaP256);
        let tsa_root = AuthorityBuilder::new(name("tsa root"), start, end)
            .self_signed(&tsa_root_key)
            .expect("a root");
        let tsa_key = key(KeyKind::EcdsaP256);
        let tsa_leaf = EndEntityBuilder::new(name("tsa"), start, end)
            .ext_key_usage(&[x509::oid::EKU_TIME_STAMPING], true)
            .issued_by(&tsa_root, &tsa_root_key, tsa_key.public_key())
            .expect("a leaf");
        let v2 = Signer::new("localhost", Scheme::Note, key(KeyKind::Ed25519)).expect("a name");
        Self {
            root,
            root_key,
            ct_key: key(KeyKind::EcdsaP256),
            v1_key: key(KeyKind::EcdsaP256),
            v2,
            tsa_root,
            tsa_leaf,
            tsa_key,
        }
    }

    pub(crate) fn trusted_root(&self) -> TrustedRoot {
        let since = || Some(ValidityPeriod::since(now() - minutes(60)));
        let log = |url: &str, key: &crypto::PublicKey, key_details, id: &[u8]| TransparencyLog {
            base_url: url.to_owned(),
            hash_algorithm: bundle::HashAlgorithm::Sha2_256,
            public_key: PublicKey {
                raw_bytes: key.spki_der().to_vec(),
                key_details,
                valid_for: since(),
            },
            log_id: LogId {
                key_id: id.to_vec(),
            },
            ..TransparencyLog::default()
        };
        let p256 = KeyDetails::EcdsaP256Sha256;
        let (v1, ct) = (self.v1_key.public_key(), self.ct_key.public_key());
        let v2 = self.v2.verifier();
        TrustedRoot {
            certificate_authorities: vec![CertificateAuthority {
                uri: CA_URL.to_owned(),
                cert_chain: vec![self.root.der().to_vec()],
                valid_for: since(),
                ..CertificateAuthority::default()
            }],
            tlogs: vec![
                log(LOG_V1_URL, v1, p256, &v1.key_id()),
                log(
                    LOG_V2_URL,
                    v2.public_key(),
                    KeyDetails::Ed25519,
                    &v2.key_id(),
                ),
            ],
            ctlogs: vec![log("http://localhost:6962", ct, p256, &ct.key_id())],
            timestamp_authorities: vec![CertificateAuthority {
                uri: TSA_URL.to_owned(),
                cert_chain: vec![self.tsa_leaf.der().to_vec(), self.tsa_root.der().to_vec()],
                valid_for: since(),
                ..CertificateAuthority::default()
            }],
            ..TrustedRoot::default()
        }
    }

    /// A certificate for the default identity, issued now.
    pub(crate) fn leaf(&self) -> Leaf {
        self.leaf_for(SUBJECT, ISSUER, now(), &self.ct_key)
    }

    pub(crate) fn leaf_for(
        &self,
        subject: &str,
        issuer: &str,
        issued_at: Timestamp,
        ct_key: &SigningKey,
    ) -> Leaf {
        let leaf_key = key(KeyKind::EcdsaP256);
        let template = self.template(&leaf_key, subject, issuer, issued_at);
        let pre = template
            .sign_precertificate(&self.root, &self.root_key)
            .expect("signs");
        let tbs = pre.certificate().precertificate_tbs();
        let entry = SignedEntry::Precertificate {
            issuer_key_hash: crypto::sha256(self.root.spki_der()),
            tbs: &tbs,
        };
        let millis = u64::try_from(issued_at.as_millisecond()).expect("after 1970");
        let input = Sct::signature_input(millis, entry, &[]);
        let sct = Sct {
            log_id: ct_key.public_key().key_id(),
            timestamp_ms: millis,
            extensions: Vec::new(),
            hash_algorithm: 4,
            signature_algorithm: 3,
            signature: ct_key.sign(&input).expect("signs"),
        };
        let certificate = pre.embed(&[sct], &self.root_key).expect("signs");
        Leaf {
            key: leaf_key,
            certificate,
        }
    }

    /// A certificate without an SCT.
    pub(crate) fn leaf_without_sct(&self) -> Leaf {
        let leaf_key = key(KeyKind::EcdsaP256);
        let template = self.template(&leaf_key, SUBJECT, ISSUER, now());
        let certificate = template.sign(&self.root, &self.root_key).expect("signs");
        Leaf {
            key: leaf_key,
            certificate,
        }
    }

    fn template(
        &self,
        leaf_key: &SigningKey,
        subject: &str,
        issuer: &str,
        issued_at: Timestamp,
    ) -> LeafTemplate {
        let mut fulcio = FulcioExtensions::new();
        fulcio.set(FulcioField::IssuerV1, issuer);
        fulcio.set(FulcioField::Issuer, issuer);
        fulcio.set(FulcioField::GithubWorkflowRef, "refs/heads/main");
        let san = San::Uri(subject.to_owned());
        LeafTemplate::new(leaf_key.public_key().clone(), san, fulcio, issued_at).expect("a leaf")
    }

    /// A v1 entry with promise, proof and checkpoint, alone in its tree.
    pub(crate) fn log_v1(&self, body: &Value, at: Timestamp) -> TransparencyLogEntry {
        let body = entry::canonicalize(body);
        let id = self.v1_key.public_key().key_id();
        let payload = entry::set_payload(&body, at.as_second(), &hex::encode(id), 7);
        let mut entry = self.proven(&body, |checkpoint| {
            let key = SigningKey::from_pkcs8_der(self.v1_key.to_pkcs8_der()).expect("a key");
            let signer = Signer::new("localhost", Scheme::Spki, key).expect("a name");
            let origin = "localhost - 1193050959916656506".to_owned();
            let checkpoint = Checkpoint {
                origin,
                ..checkpoint
            };
            signer
                .sign(&checkpoint.to_string(), 0)
                .expect("signs")
                .to_string()
        });
        entry.log_index = 7;
        entry.log_id = Some(LogId {
            key_id: id.to_vec(),
        });
        entry.integrated_time = at.as_second();
        entry.inclusion_promise = Some(self.v1_key.sign(&payload).expect("signs"));
        entry
    }

    /// A v2 entry with proof and checkpoint.
    pub(crate) fn log_v2(&self, body: &Value) -> TransparencyLogEntry {
        let body = entry::canonicalize(body);
        let mut entry = self.proven(&body, |checkpoint| {
            self.v2
                .sign(&checkpoint.to_string(), 0)
                .expect("signs")
                .to_string()
        });
        entry.log_id = Some(LogId {
            key_id: self.v2.verifier().key_id().to_vec(),
        });
        entry
    }

    /// The entry is second in a tree of two.
    fn proven(&self, body: &[u8], sign: impl FnOnce(Checkpoint) -> String) -> TransparencyLogEntry {
        let sibling = merkle::leaf_hash(b"another entry");
        let root_hash = merkle::node_hash(&sibling, &merkle::leaf_hash(body));
        let checkpoint = Checkpoint {
            origin: "localhost".to_owned(),
            tree_size: 2,
            root_hash,
            extensions: Vec::new(),
        };
        let value: Value = serde_json::from_slice(body).expect("JSON");
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        TransparencyLogEntry {
            log_index: 1,
            kind_version: Some(KindVersion {
                kind: text("kind"),
                version: text("apiVersion"),
            }),
            inclusion_proof: Some(InclusionProof {
                log_index: 1,
                root_hash: root_hash.to_vec(),
                tree_size: 2,
                hashes: vec![sibling.to_vec()],
                checkpoint: Some(sign(checkpoint)),
            }),
            canonicalized_body: body.to_vec(),
            ..TransparencyLogEntry::default()
        }
    }

    /// A timestamp response over `signature`.
    pub(crate) fn timestamp(&self, signature: &[u8], at: Timestamp) -> Vec<u8> {
        let imprint = tsp::MessageImprint::of(HashAlgorithm::Sha256, signature);
        let authority = tsp::Authority {
            key: &self.tsa_key,
            leaf: &self.tsa_leaf,
            others: &[],
        };
        let stamp = tsp::Stamp {
            policy: x509::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.2"),
            serial: x509::random_serial().expect("randomness"),
            gen_time: at,
            accuracy_secs: 1,
        };
        authority
            .respond(&tsp::TimestampRequest::new(imprint), &stamp)
            .expect("signs")
    }

    /// A bundle over an in-toto statement about the image with `digest`.
    pub(crate) fn sign_image(
        &self,
        leaf: &Leaf,
        digest: &str,
        predicate: &str,
        log: Log,
    ) -> Bundle {
        let envelope = envelope(&leaf.key, &statement(digest, predicate));
        let signature = envelope.signatures[0].sig.clone();
        let (entries, timestamps) = match log {
            Log::V1 => {
                let body = dsse_v1_body(&envelope, &leaf.certificate.to_pem());
                (vec![self.log_v1(&body, now() + minutes(1))], Vec::new())
            }
            Log::V2 => {
                let body = hashedrekord_v2_body(
                    &envelope.pae(),
                    &signature,
                    &json!({"x509Certificate": {"rawBytes": b64(leaf.certificate.der())}}),
                );
                let stamp = self.timestamp(&signature, now() + minutes(1));
                (vec![self.log_v2(&body)], vec![stamp])
            }
            Log::None => (
                Vec::new(),
                vec![self.timestamp(&signature, now() + minutes(1))],
            ),
        };
        let material = VerificationMaterial {
            signer: SigningMaterial::Certificate(leaf.certificate.der().to_vec()),
            tlog_entries: entries,
            rfc3161_timestamps: timestamps,
        };
        Bundle::new(material, Content::DsseEnvelope(envelope))
    }

    /// A bundle by a key, logged in v2 without a timestamp, or not logged.
    pub(crate) fn sign_image_by_key(&self, key: &SigningKey, digest: &str, log: Log) -> Bundle {
        let envelope = envelope(key, &statement(digest, verify::SIGN_PREDICATE));
        let signature = &envelope.signatures[0].sig;
        let spki = json!({"publicKey": {"rawBytes": b64(key.public_key().spki_der())}});
        let entries = match log {
            Log::V1 => {
                let body = dsse_v1_body(&envelope, &key.public_key().to_pem());
                vec![self.log_v1(&body, now())]
            }
            Log::V2 => {
                let body = hashedrekord_v2_body(&envelope.pae(), signature, &spki);
                vec![self.log_v2(&body)]
            }
            Log::None => Vec::new(),
        };
        let material = VerificationMaterial {
            signer: SigningMaterial::PublicKey {
                hint: String::new(),
            },
            tlog_entries: entries,
            rfc3161_timestamps: Vec::new(),
        };
        Bundle::new(material, Content::DsseEnvelope(envelope))
    }

    /// Payload and annotations of a legacy keyless signature, logged in v1.
    pub(crate) fn sign_legacy(&self, leaf: &Leaf, digest: &str) -> (Vec<u8>, Value) {
        let (payload, signature) = simple_signing(&leaf.key, digest);
        let pem = leaf.certificate.to_pem();
        let body = hashedrekord_v1_body(&payload, &signature, &pem);
        let entry = self.log_v1(&body, now() + minutes(1));
        let bundle = json!({
            "SignedEntryTimestamp": b64(entry.inclusion_promise.as_ref().expect("promised")),
            "Payload": {
                "body": b64(&entry.canonicalized_body),
                "integratedTime": entry.integrated_time,
                "logIndex": entry.log_index,
                "logID": hex::encode(self.v1_key.public_key().key_id()),
            },
        });
        let annotations = json!({
            "dev.cosignproject.cosign/signature": b64(&signature),
            "dev.sigstore.cosign/certificate": pem,
            "dev.sigstore.cosign/bundle": bundle.to_string(),
        });
        (payload, annotations)
    }
}

/// A simple signing payload about `digest`, and its signature.
pub(crate) fn simple_signing(key: &SigningKey, digest: &str) -> (Vec<u8>, Vec<u8>) {
    let payload = json!({
        "critical": {
            "identity": {"docker-reference": "r/a"},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
        },
        "optional": null,
    })
    .to_string()
    .into_bytes();
    let signature = key.sign(&payload).expect("signs");
    (payload, signature)
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn statement(digest: &str, predicate: &str) -> Value {
    let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
    json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": predicate,
        "subject": [{"name": "r/a", "digest": {"sha256": hex}}], "predicate": {"answer": 42},
    })
}

pub(crate) fn envelope(key: &SigningKey, statement: &Value) -> DsseEnvelope {
    let mut envelope = DsseEnvelope {
        payload: statement.to_string().into_bytes(),
        payload_type: "application/vnd.in-toto+json".to_owned(),
        signatures: Vec::new(),
    };
    let sig = key.sign(&envelope.pae()).expect("signs");
    envelope.signatures.push(DsseSignature {
        sig,
        keyid: String::new(),
    });
    envelope
}

pub(crate) fn hashedrekord_v1_body(payload: &[u8], signature: &[u8], pem: &str) -> Value {
    json!({
        "apiVersion": "0.0.1", "kind": "hashedrekord",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hex::encode(crypto::sha256(payload))}},
            "signature": {
                "content": b64(signature), "publicKey": {"content": b64(pem.as_bytes())},
            },
        },
    })
}

pub(crate) fn dsse_v1_body(envelope: &DsseEnvelope, pem: &str) -> Value {
    let hash =
        |bytes: &[u8]| json!({"algorithm": "sha256", "value": hex::encode(crypto::sha256(bytes))});
    json!({
        "apiVersion": "0.0.1", "kind": "dsse",
        "spec": {
            "envelopeHash": hash(b"envelope"), "payloadHash": hash(&envelope.payload),
            "signatures": [{
                "signature": b64(&envelope.signatures[0].sig), "verifier": b64(pem.as_bytes()),
            }],
        },
    })
}

pub(crate) fn hashedrekord_v2_body(message: &[u8], signature: &[u8], verifier: &Value) -> Value {
    let mut verifier = verifier.clone();
    verifier["keyDetails"] = json!("PKIX_ECDSA_P256_SHA_256");
    json!({
        "apiVersion": "0.0.2", "kind": "hashedrekord",
        "spec": {"hashedRekordV002": {
            "data": {"algorithm": "SHA2_256", "digest": b64(&crypto::sha256(message))},
            "signature": {"content": b64(signature), "verifier": verifier},
        }},
    })
}
