//! One authority of a policy against one image: static, by key, or keyless.

use std::sync::Arc;

use bundle::{CertificateAuthority, TrustedRoot, ValidityPeriod};
use futures::FutureExt as _;
use oci::ImageReference;
use serde_json::{Value, json};
use verify::{
    Annotations, Artifact, Report, Requirements, SIGN_PREDICATE, Signer, SignerIdentity, Statement,
    Trust, Verified,
};

use crate::decision::Evaluation;
use crate::discovery::{self, Candidate, Content, Format, Found, Place, Wanted};
use crate::policy::{Attestation, Keyless};
use crate::record::{Attempt, AuthorityDecision};
use crate::registry::Keychain;
use crate::store::CompiledAuthority;
use crate::trust::Trusted;

/// What came out, and what a policy expression sees of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) decision: AuthorityDecision,
    /// `{"signatures": […]}`, `{"attestations": {…}}` or `{"static": true}`.
    pub(crate) matched: Value,
}

/// A candidate that verified.
struct Accepted {
    verified: Verified,
    statement: Option<Statement>,
}

/// Evaluates `authority`; whatever goes wrong is a failure of the authority.
pub(crate) async fn evaluate(
    evaluation: &Evaluation<'_>,
    authority: &CompiledAuthority,
    reference: &ImageReference,
) -> Outcome {
    let mut decision = AuthorityDecision {
        authority: authority.wire.name.clone(),
        ..AuthorityDecision::default()
    };
    let result = match &authority.wire.fixed {
        Some(fixed) if fixed.action == "pass" => Ok(json!({"static": true})),
        Some(fixed) => Err(format!("disallowed by static policy: {}", fixed.message)),
        None => check(evaluation, authority, reference, &mut decision.attempts).await,
    };
    let matched = match result {
        Ok(matched) => {
            decision.passed = true;
            matched
        }
        Err(error) => {
            decision.error = error;
            Value::Null
        }
    };
    Outcome { decision, matched }
}

async fn check(
    evaluation: &Evaluation<'_>,
    authority: &CompiledAuthority,
    reference: &ImageReference,
    attempts: &mut Vec<Attempt>,
) -> Result<Value, String> {
    let name = &authority.wire.name;
    let wire = &authority.wire;
    let kind = if wire.key.is_some() {
        "key"
    } else if wire.keyless.is_some() {
        "keyless"
    } else {
        return Err("authority has neither key, keyless, or static specified".to_owned());
    };
    let wanted = if wire.attestations.is_empty() {
        Wanted::Signatures
    } else {
        Wanted::Attestations
    };
    let trusted = trusted(evaluation, authority)
        .await
        .map_err(|error| format!("constructing checkOpts for {name}: {error:#}"))?;
    let place = crate::cache::Key::new(authority, reference, &trusted.hashes);
    if let Some(known) = evaluation.cached(&place) {
        attempts.extend(known.attempts);
        return Ok(known.matched);
    }
    let trust = trusted
        .read()
        .map_err(|error| format!("constructing checkOpts for {name}: {error}"))?;
    let what = if wanted == Wanted::Signatures {
        "signature"
    } else {
        "attestation"
    };
    let failed = |error: String| {
        format!("{what} {kind} validation failed for authority {name} for {reference}: {error}")
    };
    let found = find(evaluation, authority, reference, wanted)
        .await
        .map_err(failed)?;
    let accepted = judge(&found, authority, reference, wanted, &trust, attempts).map_err(failed)?;
    let matched = match wanted {
        Wanted::Signatures => {
            let signatures: Vec<Value> = accepted.iter().map(signature).collect();
            json!({"signatures": signatures})
        }
        Wanted::Attestations => check_attestations(authority, reference, &accepted)?,
    };
    evaluation.keep(place, attempts, &matched);
    Ok(matched)
}

/// Those of `found` that verify; at least one.
fn judge(
    found: &Found,
    authority: &CompiledAuthority,
    reference: &ImageReference,
    wanted: Wanted,
    trust: &Trust,
    attempts: &mut Vec<Attempt>,
) -> Result<Vec<Accepted>, String> {
    let requirements = requirements(authority);
    let digest = reference
        .digest()
        .ok_or("the image has no digest")?
        .to_string();
    let mut accepted = Vec::new();
    let mut errors = Vec::new();
    let looked = found.candidates.len();
    for candidate in &found.candidates {
        let mut report = Report::default();
        let checked = verify_candidate(
            candidate,
            wanted,
            &digest,
            &requirements,
            trust,
            &mut report,
        );
        let verified = matches!(checked, Ok(Some(_)));
        match checked {
            Ok(Some(one)) => accepted.push(one),
            Ok(None) => continue,
            Err(error) => errors.push(shortened(error)),
        }
        let mut steps = report.steps;
        for step in &mut steps {
            for text in [&mut step.expected, &mut step.observed, &mut step.hint] {
                *text = shortened(std::mem::take(text));
            }
        }
        attempts.push(Attempt {
            source: candidate.source.clone(),
            verified,
            steps,
        });
    }
    if accepted.is_empty() {
        return Err(nothing_accepted(wanted, &errors, looked, found.total));
    }
    Ok(accepted)
}

/// Longest text that something a registry sent may make in a reason, in bytes.
const TEXT_MAX: usize = 4096;

/// A certificate may name somebody in megabytes.
fn shortened(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX));
        text.push('…');
    }
    text
}

/// What cosign says when nothing passed.
fn nothing_accepted(wanted: Wanted, errors: &[String], looked: usize, total: usize) -> String {
    let mut text = match wanted {
        Wanted::Signatures if errors.is_empty() => return "no signatures found".to_owned(),
        Wanted::Signatures => format!("no matching signatures: {}", errors.join("\n ")),
        Wanted::Attestations => format!("no matching attestations: {}", errors.join("\n ")),
    };
    if total > looked {
        text.push_str(&format!(" (looked at {looked} of {total})"));
    }
    text
}

/// What is trusted for an authority, and the hashes of what that was taken from.
struct Base {
    root: Arc<TrustedRoot>,
    /// The TrustRoot that `root` was taken from, which may be unchanged.
    whole: Option<Trusted>,
    hashes: Vec<crypto::Sha256Digest>,
}

impl Base {
    /// With certificates and keys read: once for all authorities when nothing was changed.
    fn read(&self) -> Result<Arc<Trust>, String> {
        match &self.whole {
            Some(whole) if Arc::ptr_eq(&whole.root, &self.root) => whole.read.clone(),
            _ => Trust::new(&self.root)
                .map(Arc::new)
                .map_err(|error| error.to_string()),
        }
    }
}

/// What is trusted for this authority. Keyless trust may come from up to three TrustRoots.
async fn trusted(
    evaluation: &Evaluation<'_>,
    authority: &CompiledAuthority,
) -> anyhow::Result<Base> {
    let wire = &authority.wire;
    let log_ref = wire
        .ctlog
        .as_ref()
        .map_or("", |ctlog| &*ctlog.trust_root_ref);
    let stamp_ref = wire
        .rfc3161_timestamp
        .as_ref()
        .map_or("", |stamp| &*stamp.trust_root_ref);
    let keyless = wire.keyless.as_ref();
    let own_ref = keyless.map_or("", |keyless| &*keyless.trust_root_ref);
    let mut base = Base {
        root: Arc::default(),
        whole: None,
        hashes: Vec::new(),
    };
    if keyless.is_some() {
        let trusted = evaluation.trusted(own_ref).await?;
        base.root = Arc::clone(&trusted.root);
        base.hashes.push(trusted.hash);
        base.whole = Some(trusted);
    }
    let logged = wire.ctlog.as_ref().is_some_and(|log| log.url.is_some());
    let (own_logs, own_stamps) = match keyless {
        Some(_) => (
            log_ref.is_empty() || log_ref == own_ref,
            stamp_ref.is_empty() || stamp_ref == own_ref,
        ),
        // A key needs only what is asked of it.
        None => (
            log_ref.is_empty() && !logged,
            wire.rfc3161_timestamp.is_none(),
        ),
    };
    if !own_logs {
        let trusted = evaluation.trusted(log_ref).await?;
        let root = Arc::make_mut(&mut base.root);
        root.tlogs.clone_from(&trusted.root.tlogs);
        base.hashes.push(trusted.hash);
    }
    if !own_stamps {
        let trusted = evaluation.trusted(stamp_ref).await?;
        let root = Arc::make_mut(&mut base.root);
        root.timestamp_authorities
            .clone_from(&trusted.root.timestamp_authorities);
        base.hashes.push(trusted.hash);
    }
    if let Some(own) = keyless.map(own_authority).transpose()?.flatten() {
        Arc::make_mut(&mut base.root).certificate_authorities = vec![own];
    }
    check_log_url(authority, &base.root)?;
    Ok(base)
}

/// A `ctlog.url` names a log of the trust root, unless a TrustRoot says which logs count.
fn check_log_url(authority: &CompiledAuthority, root: &TrustedRoot) -> anyhow::Result<()> {
    let Some(ctlog) = &authority.wire.ctlog else {
        return Ok(());
    };
    let keyless = authority.wire.keyless.as_ref();
    let referred = !ctlog.trust_root_ref.is_empty()
        || keyless.is_some_and(|keyless| !keyless.trust_root_ref.is_empty());
    let Some(url) = ctlog.url.as_ref().filter(|_| !referred) else {
        return Ok(());
    };
    let known: Vec<&str> = root.tlogs.iter().map(|log| log.base_url.as_str()).collect();
    let same = |known: &&str| known.trim_end_matches('/') == url.trim_end_matches('/');
    anyhow::ensure!(
        known.iter().any(same),
        "ctlog.url {url} is not a transparency log of the trust root, which has {}",
        known.join(", ")
    );
    Ok(())
}

/// The authority of `ca-cert`, issuing certificate first and root last.
fn own_authority(keyless: &Keyless) -> anyhow::Result<Option<CertificateAuthority>> {
    let Some(key) = &keyless.ca_cert else {
        return Ok(None);
    };
    let chain = x509::Certificate::chain_from_pem(&key.data)
        .map_err(|error| anyhow::anyhow!("ca-cert holds no certificates: {error}"))?;
    anyhow::ensure!(!chain.is_empty(), "ca-cert holds no certificates");
    Ok(Some(CertificateAuthority {
        uri: "ca-cert".to_owned(),
        cert_chain: chain
            .iter()
            .map(|certificate| certificate.der().to_vec())
            .collect(),
        valid_for: Some(ValidityPeriod::since(jiff::Timestamp::UNIX_EPOCH)),
        ..CertificateAuthority::default()
    }))
}

// Divergence: what a policy configures is required. Upstream ignores the log of a keyless authority without
// ctlog but with a trustRootRef, and takes signatures without the timestamp that is configured.
fn requirements(authority: &CompiledAuthority) -> Requirements<'_> {
    let wire = &authority.wire;
    let stamped = wire.rfc3161_timestamp.is_some();
    let logged = wire
        .ctlog
        .as_ref()
        .is_some_and(|ctlog| ctlog.url.is_some() || !ctlog.trust_root_ref.is_empty());
    match (&wire.keyless, authority.keys.first()) {
        (None, Some(key)) => Requirements {
            signer: Signer::Key {
                key: &key.key,
                hash: key.hash,
            },
            sct: false,
            log: logged,
            timestamp: stamped,
        },
        (keyless, _) => {
            let url = keyless.as_ref().and_then(|keyless| {
                keyless
                    .url
                    .as_deref()
                    .filter(|_| keyless.trust_root_ref.is_empty())
            });
            let unlogged = keyless
                .as_ref()
                .and_then(|keyless| keyless.insecure_ignore_sct)
                .unwrap_or(false);
            Requirements {
                signer: Signer::Keyless {
                    identities: &authority.identities,
                    authority_url: url,
                },
                sct: !unlogged,
                log: logged || !stamped,
                timestamp: stamped,
            }
        }
    }
}

async fn find(
    evaluation: &Evaluation<'_>,
    authority: &CompiledAuthority,
    reference: &ImageReference,
    wanted: Wanted,
) -> Result<Arc<Found>, String> {
    let source = authority.wire.source.first();
    let secrets = source
        .map(|source| source.signature_pull_secrets.as_slice())
        .unwrap_or_default();
    let own_keychain;
    let keychain = if secrets.is_empty() {
        evaluation.keychain().await?
    } else {
        let mut keychain = Keychain::default();
        for secret in secrets {
            keychain.add(&evaluation.pull_secret(&secret.name).await?);
        }
        own_keychain = keychain;
        &own_keychain
    };
    let image = evaluation.repository(reference, keychain)?;
    let tags = match source
        .map(|source| &*source.oci)
        .filter(|oci| !oci.is_empty())
    {
        None => image.clone(),
        Some(oci) => {
            // Divergence: a registry alone is refused; upstream reads it as a repository of Docker Hub.
            let named = oci
                .contains('/')
                .then(|| oci.parse::<ImageReference>().ok())
                .flatten();
            let named = named.ok_or_else(|| format!("source.oci {oci:?} names no repository"))?;
            evaluation.repository(&named, keychain)?
        }
    };
    let format = match authority.wire.signature_format.as_str() {
        "bundle" => Format::Bundle,
        "legacy" => Format::Legacy,
        _ => Format::Any,
    };
    let place = Place {
        image: &image,
        tags: &tags,
        tag_prefix: source
            .and_then(|source| source.tag_prefix.as_deref())
            .unwrap_or_default(),
        digest: reference.digest().ok_or("the image has no digest")?,
    };
    let secrets: Vec<&str> = secrets.iter().map(|secret| &*secret.name).collect();
    let key = format!(
        "{wanted:?} {format:?} {} {} {:?} {} {secrets:?}",
        image.context(),
        tags.context(),
        place.tag_prefix,
        place.digest
    );
    let max = evaluation.signatures_max();
    let look = discovery::find(evaluation.registry(), &place, wanted, format, max);
    let look = look.map(|found| found.map_err(|error| error.to_string()));
    evaluation.find_once(key, look).await
}

/// `None` for a candidate that is of the other sort: an attestation among signatures, or the reverse.
fn verify_candidate(
    candidate: &Candidate,
    wanted: Wanted,
    digest: &str,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<Option<Accepted>, String> {
    match &candidate.content {
        Content::Broken(reason) => {
            report.fail("bundle", "one that can be read", reason.clone(), "");
            Err(reason.clone())
        }
        Content::Bundle(bundle) => {
            verify_bundle(bundle, wanted, digest, requirements, trust, report)
        }
        Content::Legacy {
            payload,
            annotations,
        } => {
            let get = |name: &str| {
                annotations
                    .get(name)
                    .map(String::as_str)
                    .unwrap_or_default()
            };
            let annotations = Annotations {
                signature: get("dev.cosignproject.cosign/signature"),
                certificate: get("dev.sigstore.cosign/certificate"),
                bundle: get("dev.sigstore.cosign/bundle"),
                timestamp: get("dev.sigstore.cosign/rfc3161timestamp"),
            };
            let accepted = match wanted {
                Wanted::Signatures => verify::verify_legacy_signature(
                    payload,
                    &annotations,
                    digest,
                    requirements,
                    trust,
                    report,
                )
                .map(|verified| Accepted {
                    verified,
                    statement: None,
                }),
                Wanted::Attestations => verify::verify_legacy_attestation(
                    payload,
                    &annotations,
                    digest,
                    requirements,
                    trust,
                    report,
                )
                .map(|(verified, statement)| Accepted {
                    verified,
                    statement: Some(statement),
                }),
            };
            accepted.map(Some).map_err(|error| error.to_string())
        }
    }
}

fn verify_bundle(
    bundle: &bundle::Bundle,
    wanted: Wanted,
    digest: &str,
    requirements: &Requirements<'_>,
    trust: &Trust,
    report: &mut Report,
) -> Result<Option<Accepted>, String> {
    let text = |error: verify::Error| error.to_string();
    let raw = digest
        .strip_prefix("sha256:")
        .and_then(|hex| hex::decode(hex).ok());
    let raw = raw.ok_or("the image's digest is not SHA-256")?;
    let artifact = Artifact::Digest(crypto::HashAlgorithm::Sha256, &raw);
    let envelope = match &bundle.content {
        bundle::Content::MessageSignature(_) if wanted == Wanted::Attestations => return Ok(None),
        bundle::Content::MessageSignature(_) => {
            let verified = verify::verify_bundle(bundle, artifact, requirements, trust, report);
            return Ok(Some(Accepted {
                verified: verified.map_err(text)?,
                statement: None,
            }));
        }
        bundle::Content::DsseEnvelope(envelope) => envelope,
    };
    // What it claims to be is read before it is verified, to tell signatures from attestations; nothing
    // is believed yet.
    let claimed = Statement::read(envelope).map_err(|error| {
        report.fail("claim", "an in-toto statement", error.to_string(), "");
        error.to_string()
    })?;
    let signs = claimed.predicate_type == SIGN_PREDICATE;
    if signs != (wanted == Wanted::Signatures) {
        return Ok(None);
    }
    let verified =
        verify::verify_bundle(bundle, artifact, requirements, trust, report).map_err(text)?;
    let statement = verify::check_statement(envelope, digest, report).map_err(text)?;
    Ok(Some(Accepted {
        verified,
        statement: Some(statement),
    }))
}

/// Every listed attestation needs one that verified, is of its type and passes its policy.
fn check_attestations(
    authority: &CompiledAuthority,
    reference: &ImageReference,
    accepted: &[Accepted],
) -> Result<Value, String> {
    let digest = reference
        .digest()
        .ok_or("the image has no digest")?
        .to_string();
    let name = &authority.wire.name;
    let mut matched = serde_json::Map::new();
    for (attestation, policy) in authority
        .wire
        .attestations
        .iter()
        .zip(&authority.attestation_policies)
    {
        let wanted = verify::predicate_type(&attestation.predicate_type);
        let mut types = Vec::new();
        let mut passed = Vec::new();
        let mut error = None;
        for one in accepted {
            let Some(statement) = &one.statement else {
                continue;
            };
            types.push(statement.predicate_type.clone());
            if statement.predicate_type != wanted {
                continue;
            }
            match policy
                .as_ref()
                .map_or(Ok(()), |policy| policy.evaluate(&statement.json))
            {
                Ok(()) => passed.push(attestation_match(one, attestation, &digest)),
                Err(reason) => {
                    error.get_or_insert(reason);
                }
            }
        }
        if passed.is_empty() {
            return Err(match error {
                Some(reason) => reason,
                None if types.is_empty() => {
                    format!("no matching attestations for authority {name} for {reference}")
                }
                None => format!(
                    "no matching attestations with type {}, checked the following predicateTypes: \
                     \"{}\"",
                    attestation.predicate_type,
                    types.join(",")
                ),
            });
        }
        matched.insert(attestation.name.clone(), Value::Array(passed));
    }
    Ok(json!({"attestations": matched}))
}

fn attestation_match(one: &Accepted, attestation: &Attestation, digest: &str) -> Value {
    let mut entry = signature(one);
    entry["predicateType"] = json!(attestation.predicate_type);
    entry["digest"] = json!(digest);
    entry
}

/// `PolicySignature`: who signed, as far as a certificate says.
fn signature(one: &Accepted) -> Value {
    let mut entry = json!({"id": one.verified.id});
    let Some(signer) = &one.verified.signer else {
        return entry;
    };
    let SignerIdentity {
        issuer,
        subjects,
        extensions,
    } = signer;
    entry["subject"] = json!(subjects.first().map(String::as_str).unwrap_or_default());
    entry["issuer"] = json!(issuer);
    for (name, text) in extensions {
        let key = match *name {
            "GithubWorkflowTrigger" => "githubWorkflowTrigger",
            "GithubWorkflowSHA" => "githubWorkflowSha",
            "GithubWorkflowName" => "githubWorkflowName",
            "GithubWorkflowRepository" => "githubWorkflowRepo",
            "GithubWorkflowRef" => "githubWorkflowRef",
            _ => continue,
        };
        entry[key] = json!(text);
    }
    entry
}
