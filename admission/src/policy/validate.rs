//! Validation of ClusterImagePolicy, with the texts that its authors know.

use verify::GoRegexp;

use super::Glob;
use super::model::{
    Attestation, Authority, Identity, KeyRef, Keyless, MatchResource, Policy, Source, Spec,
};
use crate::field_error::{FieldErrors, Level};

const RESOURCES: [&str; 7] = [
    "replicasets",
    "deployments",
    "pods",
    "cronjobs",
    "jobs",
    "statefulsets",
    "daemonsets",
];
const KMS_SCHEMES: [&str; 4] = ["awskms://", "azurekms://", "hashivault://", "gcpkms://"];
const SHORT_PREDICATES: [&str; 7] = [
    "custom",
    "slsaprovenance",
    "spdx",
    "spdxjson",
    "cyclonedx",
    "link",
    "vuln",
];

/// What validation depends on besides the policy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a> {
    /// `fail-on-empty-authorities`.
    pub(crate) authorities_required: bool,
    /// The namespace that secrets are read from.
    pub(crate) system_namespace: &'a str,
}

/// Everything that is wrong with a policy, its defaults filled in.
pub(crate) fn validate(spec: &Spec, limits: Limits<'_>) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let images = spec.images.as_deref().unwrap_or_default();
    if images.is_empty() {
        errors.missing(&["spec.images"]);
    }
    for (index, image) in images.iter().enumerate() {
        let path = format!("spec.images[{index}].glob");
        if image.glob.is_empty() {
            errors.missing(&[&path]);
        } else if let Err(error) = Glob::new(&image.glob) {
            errors.invalid(&image.glob, &path, &format!("glob is invalid: {error}"));
        }
    }
    if spec.authorities.is_empty() && limits.authorities_required {
        errors.missing(&["spec.authorities"]);
    }
    for (index, authority) in spec.authorities.iter().enumerate() {
        validate_authority(
            &mut errors,
            authority,
            &format!("spec.authorities[{index}]"),
            limits,
        );
    }
    if !matches!(spec.mode.as_str(), "" | "enforce" | "warn") {
        errors.invalid(&spec.mode, "spec.mode", "unsupported mode");
    }
    for (index, entry) in spec.matches.iter().enumerate() {
        validate_match(&mut errors, entry, &format!("spec.match[{index}]"));
    }
    if let Some(policy) = &spec.policy {
        validate_policy(&mut errors, policy, "spec");
    }
    errors
}

fn validate_authority(
    errors: &mut FieldErrors,
    authority: &Authority,
    path: &str,
    limits: Limits<'_>,
) {
    let paths = ["key", "keyless", "static"].map(|field| format!("{path}.{field}"));
    let paths = paths.each_ref().map(String::as_str);
    match (&authority.key, &authority.keyless, &authority.fixed) {
        (None, None, None) => errors.neither(&paths),
        (Some(key), None, None) => validate_key(errors, key, paths[0], limits),
        (None, Some(keyless), None) => validate_keyless(errors, keyless, paths[1], limits),
        (None, None, Some(fixed)) => {
            let action = format!("{path}.static.action");
            match fixed.action.as_str() {
                "" => errors.missing(&[&action]),
                "pass" | "fail" => {}
                other => errors.invalid(other, &action, "unsupported action"),
            }
            for (field, given) in [
                ("attestations", !authority.attestations.is_empty()),
                ("source", !authority.source.is_empty()),
                ("ctlog", authority.ctlog.is_some()),
                ("rfc3161timestamp", authority.rfc3161_timestamp.is_some()),
            ] {
                if given {
                    errors.both(&[paths[2], &format!("{path}.{field}")]);
                }
            }
        }
        _ => errors.both(&paths),
    }
    if usize::from(authority.key.is_some())
        + usize::from(authority.keyless.is_some())
        + usize::from(authority.fixed.is_some())
        != 1
    {
        return;
    }
    validate_sources(errors, &authority.source, path);
    for attestation in &authority.attestations {
        validate_attestation(errors, attestation, &format!("{path}.attestations"));
    }
}

fn validate_key(errors: &mut FieldErrors, key: &KeyRef, path: &str, limits: Limits<'_>) {
    let paths = ["data", "kms", "secretref"].map(|field| format!("{path}.{field}"));
    let paths = paths.each_ref().map(String::as_str);
    let given = [
        !key.data.is_empty(),
        !key.kms.is_empty(),
        key.secret_ref.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => errors.neither(&paths),
        1 => {}
        _ => errors.both(&paths),
    }
    if !key.data.is_empty() && crypto::PublicKey::from_pem(&key.data).is_err() {
        errors.invalid(&key.data, paths[0], "");
    }
    let hash = key.hash_algorithm.trim().to_lowercase();
    if !matches!(
        hash.as_str(),
        "" | "sha224" | "sha256" | "sha384" | "sha512"
    ) {
        errors.invalid(&key.hash_algorithm, &format!("{path}.hashAlgorithm"), "");
    }
    if !key.kms.is_empty() {
        validate_kms(errors, &key.kms, paths[1]);
    }
    if let Some(secret) = &key.secret_ref
        && !secret.namespace.is_empty()
        && secret.namespace != limits.system_namespace
    {
        errors.invalid(
            &secret.namespace,
            &format!("{path}.secretref.namespace"),
            "secretref.namespace is invalid. If set, it should use the same namespace where the \
             policy-controller was deployed",
        );
    }
}

fn validate_kms(errors: &mut FieldErrors, reference: &str, path: &str) {
    let details = if KMS_SCHEMES
        .iter()
        .any(|scheme| reference.starts_with(scheme))
    {
        // Divergence: well-formed references are refused too, because the lab reaches no key service.
        "key management services are not supported by this controller; use key.data or key.secretRef"
    } else {
        "malformed KMS format, should be prefixed by any of the supported providers: \
         [awskms:// azurekms:// hashivault:// gcpkms://]"
    };
    errors.invalid(reference, path, details);
}

fn validate_keyless(errors: &mut FieldErrors, keyless: &Keyless, path: &str, limits: Limits<'_>) {
    let paths = [format!("{path}.ca-cert"), format!("{path}.url")];
    let paths = paths.each_ref().map(String::as_str);
    match (&keyless.url, &keyless.ca_cert) {
        (None, None) => errors.neither(&paths),
        (Some(_), Some(_)) => errors.both(&paths),
        _ => {}
    }
    if let Some(key) = &keyless.ca_cert
        && keyless.url.is_none()
    {
        validate_ca_cert(errors, key, paths[0], limits);
    }
    let identities = keyless.identities.as_deref().unwrap_or_default();
    if identities.is_empty() {
        errors.missing(&[&format!("{path}.identities")]);
    }
    for (index, identity) in identities.iter().enumerate() {
        validate_identity(errors, identity, &format!("{path}.identities[{index}]"));
    }
}

/// A `ca-cert` may hold a certificate where a key holds a public key.
fn validate_ca_cert(errors: &mut FieldErrors, key: &KeyRef, path: &str, limits: Limits<'_>) {
    let is_chain = key.data.contains("-----BEGIN CERTIFICATE-----")
        && crypto::from_pem_chain(&key.data).is_ok_and(|chain| !chain.is_empty());
    if is_chain && key.kms.is_empty() && key.secret_ref.is_none() {
        return;
    }
    validate_key(errors, key, path, limits);
}

fn validate_identity(errors: &mut FieldErrors, identity: &Identity, path: &str) {
    for (exact, regexp, names) in [
        (
            &identity.issuer,
            &identity.issuer_regexp,
            ["issuer", "issuerRegExp"],
        ),
        (
            &identity.subject,
            &identity.subject_regexp,
            ["subject", "subjectRegExp"],
        ),
    ] {
        let paths = names.map(|name| format!("{path}.{name}"));
        let paths = paths.each_ref().map(String::as_str);
        match (exact.is_empty(), regexp.is_empty()) {
            (true, true) => errors.missing(&paths),
            (false, false) => errors.both(&paths),
            _ => {}
        }
        if !regexp.is_empty()
            && let Err(error) = GoRegexp::new(regexp)
        {
            errors.invalid(regexp, paths[1], &format!("regex is invalid: {error}"));
        }
    }
}

fn validate_sources(errors: &mut FieldErrors, sources: &[Source], path: &str) {
    if sources.len() > 1 {
        errors.invalid(
            "source",
            &format!("{path}.source"),
            "only single source is supported",
        );
    }
    for (index, source) in sources.iter().enumerate() {
        if !source.oci.is_empty()
            && let Err(error) = check_source(&source.oci)
        {
            errors.invalid(&source.oci, &format!("{path}.source[{index}].oci"), &error);
        }
        for (secret, name) in source.signature_pull_secrets.iter().enumerate() {
            if name.name.is_empty() {
                let path = format!("{path}.source[{index}].signaturePullSecrets[{secret}].name");
                errors.missing(&[&path]);
            }
        }
    }
}

/// A registry, or a repository whose registry is spelled out.
fn check_source(oci: &str) -> Result<(), String> {
    let registry_error = || format!("registries must be valid RFC 3986 URI authorities: {oci}");
    match oci.split_once('/') {
        Some((registry, _)) if registry.contains(['.', ':']) => {
            let reference = oci.parse::<oci::ImageReference>();
            let only_name = !oci.contains('@') && !oci[registry.len()..].contains(':');
            if reference.is_ok() && only_name {
                Ok(())
            } else {
                Err(format!(
                    "repository can only contain the characters `abcdefghijklmnopqrstuvwxyz\
                     0123456789_-./`: {}",
                    &oci[registry.len() + 1..]
                ))
            }
        }
        Some(_) => Err(registry_error()),
        None => {
            let authority = format!("http://{oci}/");
            let parsed = url::Url::parse(&authority).map_err(|_| registry_error())?;
            if parsed.username().is_empty() && parsed.path() == "/" && !oci.contains(['?', '#']) {
                Ok(())
            } else {
                Err(registry_error())
            }
        }
    }
}

fn validate_attestation(errors: &mut FieldErrors, attestation: &Attestation, path: &str) {
    if attestation.name.is_empty() {
        errors.missing(&[&format!("{path}.name")]);
    }
    let predicate = &attestation.predicate_type;
    let predicate_path = format!("{path}.predicateType");
    if predicate.is_empty() {
        errors.missing(&[&predicate_path]);
    } else if SHORT_PREDICATES.contains(&predicate.as_str()) || !is_request_uri(predicate) {
        errors.push(
            Level::Warning,
            format!("invalid value: {predicate}"),
            &[&predicate_path],
            "deprecated value, please use RFC 3986 conformant values",
        );
    }
    if let Some(policy) = &attestation.policy {
        let path = format!("{path}.policy");
        validate_policy(errors, policy, &path);
        for (field, given) in [
            ("fetchConfigFile", policy.fetch_config_file),
            ("includeSpec", policy.include_spec),
            ("includeObjectMeta", policy.include_object_meta),
            ("includeTypeMeta", policy.include_type_meta),
        ] {
            if given.is_some() {
                errors.disallowed(&format!("{path}.{field}"));
            }
        }
    }
}

fn validate_policy(errors: &mut FieldErrors, policy: &Policy, path: &str) {
    match policy.kind.as_str() {
        "rego" => {}
        // Divergence: CUE is refused when the policy is written, not when an image is admitted.
        "cue" => errors.invalid(
            "cue",
            &format!("{path}.type"),
            "cue policies are not supported by this controller, write the policy in rego",
        ),
        other => errors.invalid(
            other,
            &format!("{path}.type"),
            "only [cue,rego] are supported at the moment",
        ),
    }
    let paths = ["configMapRef", "data", "remote"].map(|field| format!("{path}.{field}"));
    let paths = paths.each_ref().map(String::as_str);
    let given = [
        policy.config_map_ref.is_some(),
        !policy.data.is_empty(),
        policy.remote.is_some(),
    ];
    match given.iter().filter(|given| **given).count() {
        0 => errors.missing(&paths),
        1 => {}
        _ => errors.both(&paths),
    }
    if let Some(remote) = &policy.remote {
        let secure = url::Url::parse(&remote.url)
            .is_ok_and(|url| url.scheme() == "https" && url.host().is_some());
        if !secure {
            errors.invalid(
                &remote.url,
                &format!("{path}.remote.url"),
                "url valid is invalid. host and https scheme are expected",
            );
        }
        if remote.sha256sum.is_empty() {
            errors.missing(&[&format!("{path}.remote.sha256sum")]);
        }
    }
    if let Some(reference) = &policy.config_map_ref {
        for (field, value) in [("key", &reference.key), ("name", &reference.name)] {
            if value.is_empty() {
                errors.missing(&[&format!("{path}.configMapRef.{field}")]);
            }
        }
    }
}

fn validate_match(errors: &mut FieldErrors, entry: &MatchResource, path: &str) {
    if !entry.resource.is_empty() && !RESOURCES.contains(&entry.resource.as_str()) {
        errors.invalid(
            &entry.resource,
            &format!("{path}.resource"),
            "unsupported resource name",
        );
    }
    let unnamed = entry.resource.is_empty() && entry.version.is_empty() && entry.group.is_empty();
    if entry.selector.is_some() && unnamed {
        errors.invalid(
            "",
            &format!("{path}.selector"),
            "selector requires a resource type to match the labels",
        );
    }
}

/// Whether Go's `url.ParseRequestURI` takes it: an absolute URI or an absolute path.
fn is_request_uri(text: &str) -> bool {
    if text.bytes().any(|b| b < 0x20 || b == 0x7f || b == b' ') {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    scheme_of(text).is_some()
}

/// The scheme of RFC 3986 §3.1 that `text` starts with.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let valid = bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    valid.then_some(scheme)
}

/// Go's error for a URL that it cannot parse.
pub(crate) fn go_url_error(text: &str) -> Option<String> {
    let quoted = format!("{text:?}");
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Some(format!(
            "parse {quoted}: net/url: invalid control character in URL"
        ));
    }
    if text.starts_with(':') {
        return Some(format!("parse {quoted}: missing protocol scheme"));
    }
    let first = text.split(['/', '?', '#']).next().unwrap_or_default();
    if first.contains(':') && scheme_of(first).is_none() {
        return Some(format!(
            "parse {quoted}: first path segment in URL cannot contain colon"
        ));
    }
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let escape = rest.get(at..at + 3).unwrap_or_else(|| &rest[at..]);
        let valid = escape.len() == 3 && escape[1..].bytes().all(|b| b.is_ascii_hexdigit());
        if !valid {
            return Some(format!("parse {quoted}: invalid URL escape {escape:?}"));
        }
        rest = &rest[at + 3..];
    }
    None
}
