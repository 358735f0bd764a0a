//! OpenAPI of the two kinds: the types of the fields and what `kubectl explain` says about them. What they
//! mean is validated by the webhook.

use serde_json::{Value, json};

/// What a field is for, by the end of its path; the longest that fits counts.
const DESCRIPTIONS: [(&str, &str); 93] = [
    ("spec", "What is asked for."),
    ("status", "What the controller makes of it."),
    ("spec.images", "Images that the policy is about."),
    (
        "images.glob",
        "Registry and repository with *, which stops at a slash, and **, which does not. Images are compared with their digest and without their tag: end it in /** or @*.",
    ),
    (
        "spec.authorities",
        "Who may vouch for an image. One that does suffices.",
    ),
    (
        "authorities.name",
        "Name of the authority in messages and for spec.policy; authority-N without.",
    ),
    ("authorities.key", "A public key that must have signed."),
    (
        "authorities.keyless",
        "Somebody with a certificate for an identity must have signed.",
    ),
    (
        "authorities.static",
        "Decides without looking at signatures.",
    ),
    (
        "static.action",
        "pass admits every image of the policy, fail denies them.",
    ),
    ("static.message", "What a denial says."),
    ("key.data", "The public key, PEM."),
    (
        "key.hashAlgorithm",
        "Hash that goes with the key: sha256, sha384 or sha512; sha256 without.",
    ),
    (
        "key.kms",
        "Reference to a key management service. Not supported: use data or secretRef.",
    ),
    (
        "key.secretRef",
        "Secret of the controller's namespace whose only entry is the key.",
    ),
    (
        "ca-cert.data",
        "The certificates, PEM, the issuing one first.",
    ),
    ("ca-cert.hashAlgorithm", "Means nothing for certificates."),
    ("ca-cert.kms", "Not supported: use data or secretRef."),
    (
        "ca-cert.secretRef",
        "Secret of the controller's namespace whose only entry has the certificates.",
    ),
    ("secretRef.name", "Name of the secret."),
    (
        "secretRef.namespace",
        "The controller's namespace, or nothing.",
    ),
    (
        "keyless.url",
        "URL of the certificate authority, which must be in the trust root.",
    ),
    (
        "keyless.ca-cert",
        "Certificates of the only authority, instead of those of the trust root.",
    ),
    (
        "keyless.identities",
        "Who may have signed; any one of them.",
    ),
    (
        "identities.issuer",
        "Issuer of the identity token, as it is.",
    ),
    (
        "identities.issuerRegExp",
        "Expression that matches somewhere in the issuer; begin it with ^ and end it with $.",
    ),
    (
        "identities.subject",
        "Subject of the certificate, as it is: an email address, or a workflow with its ref.",
    ),
    (
        "identities.subjectRegExp",
        "Expression that matches somewhere in the subject; begin it with ^ and end it with $.",
    ),
    (
        "keyless.trustRootRef",
        "TrustRoot to verify by, instead of the controller's own trust.",
    ),
    (
        "keyless.insecureIgnoreSCT",
        "Accept certificates that no certificate transparency log has seen.",
    ),
    (
        "authorities.source",
        "Where signatures are, if not beside the image; one at most.",
    ),
    ("source.oci", "Repository of the signatures."),
    (
        "source.tagPrefix",
        "What the tags of signatures begin with.",
    ),
    (
        "source.signaturePullSecrets",
        "Secrets of the workload's namespace to read them with, instead of its pull secrets.",
    ),
    ("signaturePullSecrets.name", "Name of the secret."),
    (
        "authorities.ctlog",
        "Transparency log that must have the signature.",
    ),
    (
        "ctlog.url",
        "URL of the log, which must be in the trust root.",
    ),
    ("ctlog.trustRootRef", "TrustRoot whose logs count."),
    (
        "authorities.attestations",
        "Statements about the image that must be there; all of them.",
    ),
    ("attestations.name", "Name in messages and for spec.policy."),
    (
        "attestations.predicateType",
        "Type of the statement: a URL, or a short name such as vuln.",
    ),
    ("attestations.policy", "What the statement must fulfil."),
    (
        "authorities.rfc3161timestamp",
        "Timestamp that must be there.",
    ),
    (
        "rfc3161timestamp.trustRootRef",
        "TrustRoot whose timestamp authorities count.",
    ),
    (
        "authorities.signatureFormat",
        "bundle or legacy; both are looked for without.",
    ),
    (
        "spec.mode",
        "enforce denies, warn admits with a warning; enforce without.",
    ),
    (
        "spec.match",
        "Objects that the policy is about: any entry that fits; all objects without.",
    ),
    (
        "match.group",
        "Group of the resource; empty for Pods, apps or batch for the others.",
    ),
    ("match.version", "Version of the resource, or *."),
    (
        "match.resource",
        "pods, deployments, replicasets, statefulsets, daemonsets, jobs or cronjobs.",
    ),
    (
        "match.selector",
        "Labels of the object itself, not of its template.",
    ),
    (
        "selector.matchLabels",
        "Labels that must be as given; all of them.",
    ),
    (
        "selector.matchExpressions",
        "Rules about labels; all of them.",
    ),
    ("matchExpressions.key", "The label."),
    (
        "matchExpressions.operator",
        "In, NotIn, Exists or DoesNotExist.",
    ),
    ("matchExpressions.values", "Values for In and NotIn."),
    (
        "spec.policy",
        "What signatures, image and object must fulfil together, after an authority vouched.",
    ),
    ("policy.type", "rego. CUE is not supported."),
    (
        "policy.data",
        "The expression: package sigstore with isCompliant.",
    ),
    (
        "policy.remote",
        "Not supported: the controller contacts no host that is not configured.",
    ),
    ("remote.url", "Not supported."),
    ("remote.sha256sum", "Not supported."),
    (
        "policy.configMapRef",
        "ConfigMap of the controller's namespace with the expression.",
    ),
    ("configMapRef.name", "Name of the ConfigMap."),
    (
        "configMapRef.namespace",
        "Means nothing: it is the controller's.",
    ),
    ("configMapRef.key", "Entry of the ConfigMap."),
    (
        "policy.fetchConfigFile",
        "Show the image's configuration as input.config; in spec.policy only.",
    ),
    (
        "policy.includeSpec",
        "Show the object's spec as input.spec; in spec.policy only.",
    ),
    (
        "policy.includeObjectMeta",
        "Show the object's metadata as input.metadata; in spec.policy only.",
    ),
    (
        "policy.includeTypeMeta",
        "Show kind and version as input.typemeta; in spec.policy only.",
    ),
    ("spec.sigstoreKeys", "Keys and certificates, listed."),
    (
        "sigstoreKeys.certificateAuthorities",
        "Authorities whose signing certificates count.",
    ),
    (
        "sigstoreKeys.timestampAuthorities",
        "Authorities whose timestamps count.",
    ),
    (
        "sigstoreKeys.tLogs",
        "Transparency logs whose entries count.",
    ),
    (
        "sigstoreKeys.ctLogs",
        "Certificate transparency logs whose SCTs count.",
    ),
    (
        "certificateAuthorities.subject",
        "Subject of the authority.",
    ),
    ("timestampAuthorities.subject", "Subject of the authority."),
    ("subject.organization", "Its organization."),
    ("subject.commonName", "Its common name."),
    ("certificateAuthorities.uri", "URL of the authority."),
    ("timestampAuthorities.uri", "URL of the authority."),
    ("certChain", "Base64 of the PEM chain, the root last."),
    ("baseURL", "URL of the log."),
    ("tLogs.hashAlgorithm", "Hash of the log's tree: sha-256."),
    ("ctLogs.hashAlgorithm", "Hash of the log's tree: sha-256."),
    ("publicKey", "Base64 of the PEM of its public key."),
    ("spec.remote", "A TUF repository that is followed."),
    ("remote.mirror", "URL of the repository."),
    (
        "spec.repository",
        "A TUF repository inside this object, which needs no network.",
    ),
    (
        "repository.mirrorFS",
        "Base64 of a tar.gz whose files are under repository/.",
    ),
    (
        "root",
        "Base64 of the repository's root.json that is started from.",
    ),
    ("targets", "Directory of the targets; targets without."),
    (
        "trustedRootTarget",
        "Name of the target; trusted_root.json without.",
    ),
];

/// Versions of ClusterImagePolicy.
pub(super) fn policy_versions() -> Value {
    let schema = whole(policy_schema());
    json!([
        version("v1alpha1", true, &schema),
        version("v1beta1", false, &schema),
    ])
}

/// Versions of TrustRoot.
pub(super) fn trust_root_versions() -> Value {
    json!([version("v1alpha1", true, &whole(trust_root_schema()))])
}

fn whole(spec: Value) -> Value {
    let mut schema = object(&[("spec", spec), ("status", open())]);
    describe(&mut schema, "");
    schema
}

fn version(name: &str, storage: bool, schema: &Value) -> Value {
    json!({
        "name": name, "served": true, "storage": storage,
        "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}},
    })
}

/// Writes into every field below `path` what it is for.
fn describe(schema: &mut Value, path: &str) {
    let items = schema.get_mut("items");
    if let Some(items) = items {
        describe(items, path);
    }
    let fields = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, field) in fields.into_iter().flatten() {
        let path = format!("{path}.{name}");
        let fitting = DESCRIPTIONS.iter().filter(|(end, _)| {
            let rest = path.strip_suffix(end);
            rest.is_some_and(|rest| rest.ends_with('.'))
        });
        if let Some((_, text)) = fitting.max_by_key(|(end, _)| end.len()) {
            let mut described = json!({"description": text});
            if let (Some(described), Some(field)) =
                (described.as_object_mut(), field.as_object_mut())
            {
                described.append(field);
            }
            *field = described;
        }
        describe(field, &path);
    }
}

fn object(fields: &[(&str, Value)]) -> Value {
    let properties: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({"type": "object", "properties": properties})
}

fn list(items: &Value) -> Value {
    json!({"type": "array", "items": items})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn open() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

fn texts(names: &[&str]) -> Value {
    let fields: Vec<(&str, Value)> = names.iter().map(|name| (*name, text())).collect();
    object(&fields)
}

fn key_schema() -> Value {
    object(&[
        ("data", text()),
        ("hashAlgorithm", text()),
        ("kms", text()),
        ("secretRef", texts(&["name", "namespace"])),
    ])
}

fn expression_schema(levels: bool) -> Value {
    let mut fields = vec![
        ("type", text()),
        ("data", text()),
        ("remote", texts(&["url", "sha256sum"])),
        ("configMapRef", texts(&["name", "namespace", "key"])),
    ];
    if levels {
        let flags = [
            "fetchConfigFile",
            "includeSpec",
            "includeObjectMeta",
            "includeTypeMeta",
        ];
        fields.extend(flags.map(|name| (name, flag())));
    }
    object(&fields)
}

fn policy_schema() -> Value {
    let keyless = object(&[
        ("url", text()),
        ("ca-cert", key_schema()),
        (
            "identities",
            list(&texts(&[
                "issuer",
                "issuerRegExp",
                "subject",
                "subjectRegExp",
            ])),
        ),
        ("trustRootRef", text()),
        ("insecureIgnoreSCT", flag()),
    ]);
    let source = object(&[
        ("oci", text()),
        ("tagPrefix", text()),
        ("signaturePullSecrets", list(&texts(&["name"]))),
    ]);
    let attestation = object(&[
        ("name", text()),
        ("predicateType", text()),
        ("policy", expression_schema(true)),
    ]);
    let authority = object(&[
        ("name", text()),
        ("key", key_schema()),
        ("keyless", keyless),
        ("static", texts(&["action", "message"])),
        ("source", list(&source)),
        ("ctlog", texts(&["url", "trustRootRef"])),
        ("attestations", list(&attestation)),
        ("rfc3161timestamp", texts(&["trustRootRef"])),
        ("signatureFormat", text()),
    ]);
    let selector = object(&[
        (
            "matchLabels",
            json!({"type": "object", "additionalProperties": text()}),
        ),
        (
            "matchExpressions",
            list(&object(&[
                ("key", text()),
                ("operator", text()),
                ("values", list(&text())),
            ])),
        ),
    ]);
    let matches = object(&[
        ("group", text()),
        ("version", text()),
        ("resource", text()),
        ("selector", selector),
    ]);
    object(&[
        ("images", list(&texts(&["glob"]))),
        ("authorities", list(&authority)),
        ("mode", text()),
        ("match", list(&matches)),
        ("policy", expression_schema(true)),
    ])
}

fn trust_root_schema() -> Value {
    let subject = texts(&["organization", "commonName"]);
    let bytes = json!({"type": "string", "format": "byte"});
    let authority = object(&[
        ("subject", subject),
        ("uri", text()),
        ("certChain", bytes.clone()),
    ]);
    let log = object(&[
        ("baseURL", text()),
        ("hashAlgorithm", text()),
        ("publicKey", bytes.clone()),
    ]);
    let keys = object(&[
        ("certificateAuthorities", list(&authority)),
        ("tLogs", list(&log)),
        ("ctLogs", list(&log)),
        ("timestampAuthorities", list(&authority)),
    ]);
    let target = [
        ("targets", text()),
        ("trustedRootTarget", text()),
        ("root", bytes.clone()),
    ];
    let with = |field: (&'static str, Value)| {
        let mut fields = target.to_vec();
        fields.push(field);
        object(&fields)
    };
    object(&[
        ("sigstoreKeys", keys),
        ("remote", with(("mirror", text()))),
        ("repository", with(("mirrorFS", bytes))),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{DESCRIPTIONS, Value, policy_versions, trust_root_versions};

    fn descriptions(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
        if let Some(items) = schema.get("items") {
            descriptions(items, path, found);
        }
        let fields = schema.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            let path = format!("{path}.{name}");
            let text = field.get("description").and_then(Value::as_str);
            found.insert(
                text.unwrap_or_else(|| panic!("{path} is not described"))
                    .to_owned(),
            );
            descriptions(field, &path, found);
        }
    }

    #[test]
    fn every_field_is_described_and_every_description_used() {
        let mut found = BTreeSet::new();
        for versions in [policy_versions(), trust_root_versions()] {
            for version in versions.as_array().expect("a list") {
                descriptions(&version["schema"]["openAPIV3Schema"], "", &mut found);
            }
        }
        for (path, text) in DESCRIPTIONS {
            assert!(found.contains(text), "{path} describes nothing");
        }
    }
}
