//! What is wrong with a policy, and what is not as it seems: globs that match nothing, authorities that
//! admit all, fields that mean nothing.

use std::collections::BTreeSet;

use oci::ImageReference;
use serde::Serialize;
use serde_json::Value;

use crate::Config;
use crate::documents;
use crate::policy::{
    Authority, ClusterImagePolicy, Glob, Keyless, Limits, Policy, Spec, decode_strictly,
    default_policy, validate,
};
use crate::trust_root::{self, TrustRoot};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The webhook refuses the object.
    Error,
    /// It is accepted and does not do what it seems to.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing about one object.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// Name of the object.
    pub name: String,
    /// How bad.
    pub severity: Severity,
    /// Field path, or nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// What, and what to do about it.
    pub message: String,
}

/// Looks at every ClusterImagePolicy and TrustRoot of a YAML text; the worst first.
///
/// # Errors
/// When the text is not YAML.
pub fn lint(text: &str) -> Result<Vec<Finding>, String> {
    let documents = documents::parse("policies", text).map_err(|error| error.to_string())?;
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    for document in &documents {
        let object = &document.object;
        let name = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut linter = Linter {
            name,
            findings: &mut findings,
        };
        let kind = object.get("kind").and_then(Value::as_str);
        if !seen.insert((kind, name)) {
            linter.warn("metadata.name", "takes the place of another of this name");
        }
        match kind {
            Some("ClusterImagePolicy") => linter.policy(object),
            Some("TrustRoot") => linter.trust_root(object),
            Some("Secret" | "ConfigMap") => {}
            other => {
                let message = format!("kind {:?} is not read", other.unwrap_or_default());
                linter.find(Severity::Note, "", message);
            }
        }
    }
    findings.sort_by_key(|finding| finding.severity);
    Ok(findings)
}

struct Linter<'a> {
    name: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Linter<'_> {
    fn find(&mut self, severity: Severity, path: &str, message: impl Into<String>) {
        self.findings.push(Finding {
            name: self.name.to_owned(),
            severity,
            path: path.to_owned(),
            message: message.into(),
        });
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.find(Severity::Warning, path, message);
    }

    fn trust_root(&mut self, object: &Value) {
        match decode_strictly::<TrustRoot>(object) {
            Err(error) => self.find(Severity::Error, "", error),
            Ok(root) => {
                if let Some(denial) = trust_root::validate(&root.spec).denial() {
                    self.find(Severity::Error, "", denial);
                }
            }
        }
    }

    fn policy(&mut self, object: &Value) {
        let mut policy: ClusterImagePolicy = match decode_strictly(object) {
            Ok(policy) => policy,
            Err(error) => return self.find(Severity::Error, "", error),
        };
        let written = policy.spec.clone();
        default_policy(&mut policy);
        let config = Config::default();
        let limits = Limits {
            authorities_required: true,
            system_namespace: &config.system_namespace,
        };
        let errors = validate(&policy.spec, limits);
        if let Some(denial) = errors.denial() {
            self.find(Severity::Error, "", denial);
        }
        for warning in errors.warnings() {
            self.warn("", warning);
        }
        for (index, image) in policy.spec.images.iter().flatten().enumerate() {
            self.glob(&image.glob, &format!("spec.images[{index}].glob"));
        }
        self.authorities(&policy.spec, &written);
        self.matches(&policy.spec);
        if policy.spec.mode == "warn" {
            self.find(
                Severity::Note,
                "spec.mode",
                "denies nothing: its findings are warnings",
            );
        }
        if let Some(policy) = &policy.spec.policy {
            self.expression("ClusterImagePolicy", policy, "spec.policy");
        }
    }

    fn glob(&mut self, glob: &str, path: &str) {
        let Ok(compiled) = Glob::new(glob) else {
            return;
        };
        if matches!(glob, "*" | "*/*") {
            let completed = if glob == "*" {
                "index.docker.io/library/*"
            } else {
                "index.docker.io/*/*"
            };
            return self.warn(path, format!("means {completed}; every image is \"**\""));
        }
        if glob == "docker.io" || glob.starts_with("docker.io/") {
            let message = "matches nothing: images of Docker Hub are named index.docker.io/…";
            return self.warn(path, message);
        }
        let last = glob.rsplit('/').next().unwrap_or_default();
        if last.contains(':') && !glob.contains('@') && glob.contains('/') {
            let message =
                "matches nothing: images are compared as name@sha256:…, the tag is removed";
            return self.warn(path, message);
        }
        let first = glob.split('/').next().unwrap_or_default();
        let is_host = first.contains(['.', ':']) || first == "localhost";
        let may_be_host = first.contains("**") || (first.contains('*') && glob.contains('/'));
        if !is_host && !may_be_host {
            let message = "matches nothing: names without a registry are completed to \
                           index.docker.io/…";
            return self.warn(path, message);
        }
        if !glob.contains('*') && !glob.contains('@') {
            let example = format!("{glob}@sha256:{}", "0".repeat(64));
            let names_image = glob.parse::<ImageReference>().is_ok() && !compiled.matches(&example);
            if names_image {
                let message = format!(
                    "matches nothing: images are compared with their digest; write {glob}@*"
                );
                return self.warn(path, message);
            }
        }
        if glob.ends_with("**") && !glob.ends_with("/**") && glob != "**" {
            let stem = glob.trim_end_matches('*');
            self.warn(
                path,
                format!("matches {stem}-anything/… too; end it in /** for what is below"),
            );
        }
    }

    fn authorities(&mut self, spec: &Spec, written: &Spec) {
        let mut names = Vec::new();
        for (index, authority) in spec.authorities.iter().enumerate() {
            let path = format!("spec.authorities[{index}]");
            if names.contains(&&authority.name) {
                self.warn(&format!("{path}.name"), "is another authority's name too");
            }
            names.push(&authority.name);
            if authority
                .fixed
                .as_ref()
                .is_some_and(|fixed| fixed.action == "pass")
            {
                let message = "admits every image that the policy matches, whatever the other \
                               authorities say";
                self.warn(&format!("{path}.static"), message);
            }
            self.authority(authority, &path);
            let defaulted = written
                .authorities
                .get(index)
                .and_then(|one| one.keyless.as_ref());
            if let (Some(keyless), Some(defaulted)) = (&authority.keyless, defaulted) {
                self.keyless(keyless, defaulted.url.is_none(), &format!("{path}.keyless"));
            }
        }
    }

    fn authority(&mut self, authority: &Authority, path: &str) {
        let format = authority.signature_format.as_str();
        if !matches!(format, "" | "legacy" | "bundle") {
            let message = format!("{format:?} is no format: both are looked for; legacy upstream");
            self.warn(&format!("{path}.signatureFormat"), message);
        }
        let source = authority.source.first();
        if format == "bundle" && source.is_some_and(|source| !source.oci.is_empty()) {
            let message = "means nothing for bundles, which are in the image's own repository";
            self.warn(&format!("{path}.source"), message);
        }
        if source.is_some_and(|source| !source.oci.is_empty() && !source.oci.contains('/')) {
            let message = "names a registry; a repository is needed";
            self.warn(&format!("{path}.source[0].oci"), message);
        }
        if let Some(ctlog) = &authority.ctlog
            && ctlog.url.is_none()
            && ctlog.trust_root_ref.is_empty()
        {
            self.warn(
                &format!("{path}.ctlog"),
                "without url and trustRootRef asks for nothing",
            );
        }
        if authority.key.is_some() && authority.ctlog.is_none() {
            let message = "a key without ctlog accepts signatures that no log has seen";
            self.find(Severity::Note, path, message);
        }
        for (index, attestation) in authority.attestations.iter().enumerate() {
            let path = format!("{path}.attestations[{index}]");
            match &attestation.policy {
                Some(policy) => {
                    self.expression(&attestation.name, policy, &format!("{path}.policy"))
                }
                None => {
                    let message = "without a policy asks only that there is one of this type";
                    self.find(Severity::Note, &path, message);
                }
            }
        }
        if !authority.attestations.is_empty() {
            let message = "asks for attestations, and not for a signature on the image";
            self.find(Severity::Note, path, message);
        }
    }

    fn keyless(&mut self, keyless: &Keyless, defaulted: bool, path: &str) {
        if defaulted && keyless.url.is_some() && keyless.trust_root_ref.is_empty() {
            let url = keyless.url.as_deref().unwrap_or_default();
            self.warn(path, format!("without url means {url}"));
        }
        if keyless.ca_cert.is_some() {
            let message = "is not looked at upstream, where such an authority never passes";
            self.find(Severity::Note, &format!("{path}.ca-cert"), message);
        }
        if keyless.insecure_ignore_sct == Some(true) {
            let message = "accepts certificates that no certificate transparency log has seen";
            self.warn(&format!("{path}.insecureIgnoreSCT"), message);
        }
        for (index, identity) in keyless.identities.iter().flatten().enumerate() {
            let path = format!("{path}.identities[{index}]");
            if is_anybody(&identity.issuer_regexp) && is_anybody(&identity.subject_regexp) {
                self.warn(&path, "admits whatever anybody at all has signed");
            }
            for (field, regexp) in [
                ("issuerRegExp", &identity.issuer_regexp),
                ("subjectRegExp", &identity.subject_regexp),
            ] {
                self.regexp(regexp, &format!("{path}.{field}"));
            }
            for (field, exact) in [("issuer", &identity.issuer), ("subject", &identity.subject)] {
                if exact.contains('*') {
                    let message = format!("is compared as it is; patterns belong in {field}RegExp");
                    self.warn(&format!("{path}.{field}"), message);
                }
            }
        }
    }

    fn regexp(&mut self, regexp: &str, path: &str) {
        if regexp.is_empty() || verify::GoRegexp::new(regexp).is_err() {
            return;
        }
        if is_anybody(regexp) {
            return self.warn(path, "matches everybody");
        }
        if !(regexp.starts_with('^') && regexp.ends_with('$')) {
            let message = "is not anchored: it matches anywhere in the text; begin it with ^ and end \
                           it with $";
            self.warn(path, message);
        }
    }

    fn matches(&mut self, spec: &Spec) {
        for (index, entry) in spec.matches.iter().enumerate() {
            let path = format!("spec.match[{index}]");
            if entry.resource.is_empty() {
                self.warn(&path, "without a resource matches nothing");
                continue;
            }
            let group = match entry.resource.as_str() {
                "pods" => "",
                "cronjobs" | "jobs" => "batch",
                _ => "apps",
            };
            if entry.group != group {
                let message = format!(
                    "matches nothing: {} are in the group {group:?}, not {:?}",
                    entry.resource, entry.group
                );
                self.warn(&path, message);
            }
            if entry.version.is_empty() {
                self.warn(
                    &path,
                    "without a version matches nothing; any version is \"*\"",
                );
            }
        }
    }

    fn expression(&mut self, name: &str, policy: &Policy, path: &str) {
        let reference = policy.config_map_ref.as_ref();
        if reference.is_some_and(|reference| !reference.namespace.is_empty()) {
            let message = "means nothing: the controller's own namespace is looked in";
            self.warn(&format!("{path}.configMapRef.namespace"), message);
        }
        if policy.remote.is_some() {
            let message = "is not fetched by this controller; use data or configMapRef";
            self.find(Severity::Error, &format!("{path}.remote"), message);
        }
        if policy.kind == "rego" && !policy.data.is_empty() {
            match crate::rego::Rego::compile(name, &policy.data) {
                Err(error) => self.find(Severity::Error, &format!("{path}.data"), error),
                Ok(_) if !policy.data.contains("package sigstore") => {
                    let message = "never passes: data.sigstore.isCompliant is what is asked";
                    self.warn(&format!("{path}.data"), message);
                }
                Ok(_) => {}
            }
        }
    }
}

fn is_anybody(regexp: &str) -> bool {
    let compiled = verify::GoRegexp::new(regexp).ok();
    let matches = |text| compiled.as_ref().is_some_and(|one| one.is_match(text));
    !regexp.is_empty() && matches("") && matches("https://anybody.example")
}

#[cfg(test)]
mod tests {
    use super::{Severity, lint};

    /// Severity, path and message of all findings about a policy with this spec.
    fn findings(spec: &str) -> Vec<(Severity, String, String)> {
        let text = format!("kind: ClusterImagePolicy\nmetadata: {{name: p}}\nspec: {spec}\n");
        let all = lint(&text).expect("YAML");
        all.into_iter()
            .map(|one| (one.severity, one.path, one.message))
            .collect()
    }

    fn glob(glob: &str) -> String {
        let key = "key: {data: x}";
        let all = findings(&format!(
            "{{images: [{{glob: \"{glob}\"}}], authorities: [{{{key}}}]}}"
        ));
        let found = all
            .into_iter()
            .find(|(_, path, _)| path == "spec.images[0].glob");
        found.map(|(_, _, message)| message).unwrap_or_default()
    }

    #[test]
    fn globs_that_do_not_mean_what_they_seem_are_found() {
        for (pattern, part) in [
            ("*", "means index.docker.io/library/*"),
            ("docker.io/**", "index.docker.io"),
            ("ghcr.io/foo/bar:v1*", "the tag is removed"),
            ("nginx*", "completed to index.docker.io"),
            ("ghcr.io/foo/bar", "write ghcr.io/foo/bar@*"),
            ("ghcr.io/foo**", "matches ghcr.io/foo-anything/… too"),
        ] {
            assert!(glob(pattern).contains(part), "{pattern}: {}", glob(pattern));
        }
        for good in [
            "**",
            "ghcr.io/foo/**",
            "ghcr.io/foo/*",
            "ghcr.io/foo/bar@*",
            "localhost:5000/*",
        ] {
            assert_eq!(glob(good), "", "{good}");
        }
    }

    #[test]
    fn authorities_that_admit_more_than_they_seem_to_are_found() {
        let all = findings(
            "{images: [{glob: \"**\"}], authorities: [{static: {action: pass}}, {keyless: {identities: \
             [{issuerRegExp: \".*\", subjectRegExp: \"fleet-org\"}, {issuer: i, subject: \"a*\"}]}, \
             signatureFormat: bundel}]}",
        );
        for (path, part) in [
            ("spec.authorities[0].static", "admits every image"),
            (
                "spec.authorities[1].keyless",
                "without url means https://fulcio.sigstore.dev",
            ),
            (
                "spec.authorities[1].keyless.identities[0].issuerRegExp",
                "matches everybody",
            ),
            (
                "spec.authorities[1].keyless.identities[0].subjectRegExp",
                "is not anchored",
            ),
            (
                "spec.authorities[1].keyless.identities[1].subject",
                "subjectRegExp",
            ),
            ("spec.authorities[1].signatureFormat", "is no format"),
        ] {
            let found = |(_, at, message): &&(Severity, String, String)| {
                at == path && message.contains(part)
            };
            assert!(all.iter().find(found).is_some(), "{path}: {part}: {all:#?}");
        }
    }

    #[test]
    fn what_is_read_and_means_nothing_is_found() {
        let all = findings(
            "{images: [{glob: \"**\"}], authorities: [{keyless: {ca-cert: {data: x}, identities: \
             [{issuerRegExp: \".*\", subjectRegExp: \".*\"}]}}], policy: {type: rego, configMapRef: \
             {name: rules, key: rego, namespace: elsewhere}}}",
        );
        for (path, part) in [
            (
                "spec.authorities[0].keyless.ca-cert",
                "not looked at upstream",
            ),
            (
                "spec.authorities[0].keyless.identities[0]",
                "admits whatever anybody",
            ),
            ("spec.policy.configMapRef.namespace", "means nothing"),
        ] {
            let found = |(_, at, message): &&(Severity, String, String)| {
                at == path && message.contains(part)
            };
            assert!(all.iter().find(found).is_some(), "{path}: {all:#?}");
        }
        let twice = "kind: ClusterImagePolicy\nmetadata: {name: p}\n---\n".repeat(2);
        let all = lint(&twice).expect("YAML");
        let found = all
            .iter()
            .filter(|one| one.message.contains("takes the place"));
        assert_eq!(found.count(), 1);
    }

    #[test]
    fn what_is_refused_comes_first_with_upstreams_text() {
        let all = findings("{images: [{glob: \"*\"}], mode: garbage}");
        assert_eq!(
            all[0],
            (
                Severity::Error,
                String::new(),
                "invalid value: garbage: spec.mode\nunsupported mode\nmissing field(s): \
                 spec.authorities"
                    .to_owned()
            )
        );
        assert_eq!(findings("{bogus: 1}")[0].2, "json: unknown field \"bogus\"");
        assert!(lint("a: [").is_err());
    }

    #[test]
    fn a_match_that_matches_nothing_is_found() {
        let all = findings(
            "{images: [{glob: \"**\"}], authorities: [{key: {data: x}}], match: [{resource: \
             deployments, version: v1}, {group: apps}, {group: apps, resource: deployments}]}",
        );
        let found: Vec<&str> = all
            .iter()
            .filter(|(_, path, _)| path.starts_with("spec.match"))
            .map(|(_, _, message)| message.as_str())
            .collect();
        assert_eq!(
            found,
            [
                "matches nothing: deployments are in the group \"apps\", not \"\"",
                "without a resource matches nothing",
                "without a version matches nothing; any version is \"*\"",
            ]
        );
    }
}
