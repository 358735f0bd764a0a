//! The objects that decisions rest on: policies, trust roots, secrets and settings, compiled.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value;

use crate::config::{Config, NoMatchPolicy, PolicyCombination};
use crate::documents::{Origin, StoreError};
use crate::policy::{
    Authority, ClusterImagePolicy, Glob, KeyRef, Limits, Policy, decode_leniently, decode_strictly,
    default_policy, default_trust_root, validate,
};
use crate::rego::Rego;
use crate::trust_root::{self, TrustRoot};

/// A public key of a policy, read.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) key: crypto::PublicKey,
    pub(crate) hash: crypto::HashAlgorithm,
}

/// An authority with everything resolved that it refers to.
#[derive(Debug)]
pub(crate) struct CompiledAuthority {
    pub(crate) wire: Authority,
    pub(crate) keys: Vec<Key>,
    pub(crate) identities: Vec<verify::Identity>,
    /// One for each attestation.
    pub(crate) attestation_policies: Vec<Option<Rego>>,
    /// Over all of it, referred objects included.
    pub(crate) hash: crypto::Sha256Digest,
}

/// A policy, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct CompiledPolicy {
    pub(crate) name: String,
    pub(crate) spec: crate::policy::Spec,
    pub(crate) globs: Vec<Glob>,
    pub(crate) authorities: Vec<CompiledAuthority>,
    pub(crate) expression: Option<Rego>,
    /// Why it cannot be evaluated; it denies what it matches then.
    pub(crate) broken: Option<String>,
}

impl CompiledPolicy {
    pub(crate) fn warns(&self) -> bool {
        self.spec.mode == "warn"
    }

    pub(crate) fn matches_image(&self, name: &str) -> bool {
        self.globs.iter().any(|glob| glob.matches(name))
    }

    /// Whether the policy is about images of this registry, or has its signatures there.
    pub(crate) fn names_registry(&self, registry: &str) -> bool {
        let sources = self.authorities.iter().flat_map(|one| &one.wire.source);
        let mut hosts = sources.filter_map(|source| source.oci.split('/').next());
        self.globs.iter().any(|glob| glob.names_registry(registry))
            || hosts.any(|host| host == registry)
    }
}

/// One consistent set of objects.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// By name.
    pub(crate) policies: BTreeMap<String, CompiledPolicy>,
    pub(crate) trust_roots: BTreeMap<String, trust_root::Spec>,
    pub(crate) no_match_policy: NoMatchPolicy,
    pub(crate) policy_combination: PolicyCombination,
    pub(crate) authorities_required: bool,
    /// What could not be used, and why.
    pub(crate) problems: Vec<StoreError>,
    secrets: BTreeMap<(String, String), BTreeMap<String, Vec<u8>>>,
    config_maps: BTreeMap<(String, String), BTreeMap<String, String>>,
}

impl Objects {
    /// Compiles `documents`; later ones of the same kind and name replace earlier ones. An object that
    /// upstream's webhook would refuse, or that refers to something that is not there, is noted in
    /// `problems`; such a policy denies what it matches.
    pub(crate) fn compile(documents: &[Origin], config: &Config) -> Self {
        let mut objects = Self {
            no_match_policy: config.no_match_policy,
            policy_combination: config.policy_combination,
            authorities_required: config.fail_on_empty_authorities,
            ..Self::default()
        };
        let is_policy = |origin: &&Origin| text(&origin.object, "/kind") == "ClusterImagePolicy";
        // What policies refer to comes first.
        let (policies, others): (Vec<_>, Vec<_>) = documents.iter().partition(is_policy);
        for origin in others.into_iter().chain(policies) {
            let object = &origin.object;
            let read = match text(object, "/kind").as_str() {
                "ClusterImagePolicy" => objects.add_policy(object, config),
                "ConfigMap" => objects.add_config_map(object, config),
                "Secret" => objects.add_secret(object),
                "TrustRoot" => objects.add_trust_root(object),
                other => Err(format!("kind {other:?} is not read here")),
            };
            if let Err(reason) = read {
                objects.problems.push(failed(origin, reason));
            }
        }
        objects.add_inlined_policies(config);
        objects
    }

    /// As [`Self::compile`], but nothing may be wrong.
    ///
    /// # Errors
    /// The first problem.
    pub(crate) fn compile_all(documents: &[Origin], config: &Config) -> Result<Self, StoreError> {
        let mut objects = Self::compile(documents, config);
        if objects.problems.is_empty() {
            Ok(objects)
        } else {
            Err(objects.problems.swap_remove(0))
        }
    }

    /// Puts a policy that cannot be evaluated where it denies: what its globs match, or everything when
    /// they cannot be read.
    fn add_broken(&mut self, name: &str, object: &Value, reason: String) -> String {
        let images = object.pointer("/spec/images").and_then(Value::as_array);
        let globs = images.map(|images| {
            let glob = |image: &Value| {
                image
                    .get("glob")
                    .and_then(Value::as_str)
                    .and_then(|glob| Glob::new(glob).ok())
            };
            images
                .iter()
                .map(|image| glob(image).unwrap_or_else(Glob::everything))
                .collect()
        });
        let policy = CompiledPolicy {
            name: name.to_owned(),
            spec: crate::policy::Spec::default(),
            globs: globs.unwrap_or_else(|| vec![Glob::everything()]),
            authorities: Vec::new(),
            expression: None,
            broken: Some(reason.clone()),
        };
        self.policies.insert(name.to_owned(), policy);
        reason
    }

    fn add_secret(&mut self, object: &Value) -> Result<(), String> {
        let mut entries = BTreeMap::new();
        for (name, value) in object
            .get("data")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let encoded = value.as_str().unwrap_or_default();
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .map_err(|_| format!("data.{name} is not base64"))?;
            entries.insert(name.clone(), decoded);
        }
        let plain = object.get("stringData").and_then(Value::as_object);
        for (name, value) in plain.into_iter().flatten() {
            entries.insert(
                name.clone(),
                value.as_str().unwrap_or_default().as_bytes().to_vec(),
            );
        }
        self.secrets.insert(place(object), entries);
        Ok(())
    }

    fn add_config_map(&mut self, object: &Value, config: &Config) -> Result<(), String> {
        let data = object.get("data").and_then(Value::as_object);
        let entries: BTreeMap<String, String> = data
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect();
        let place = place(object);
        if place.1 == "config-policy-controller" && place.0 == config.system_namespace {
            if let Some(policy) = entries.get("no-match-policy") {
                self.no_match_policy = match policy.as_str() {
                    "allow" => NoMatchPolicy::Allow,
                    "warn" => NoMatchPolicy::Warn,
                    _ => NoMatchPolicy::Deny,
                };
            }
            if let Some(combination) = entries.get("policy-combination") {
                self.policy_combination = match combination.as_str() {
                    "all" => PolicyCombination::All,
                    "any" => PolicyCombination::Any,
                    other => return Err(format!("policy-combination: {other:?}, not all or any")),
                };
            }
            if let Some(required) = entries.get("fail-on-empty-authorities") {
                self.authorities_required = match required.as_str() {
                    "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
                    "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
                    other => return Err(format!("fail-on-empty-authorities: {other:?}")),
                };
            }
        }
        self.config_maps.insert(place, entries);
        Ok(())
    }

    fn add_trust_root(&mut self, object: &Value) -> Result<(), String> {
        let mut root: TrustRoot = decode_strictly(object)?;
        default_trust_root(&mut root.spec);
        trust_root::validate(&root.spec)
            .denial()
            .map_or(Ok(()), Err)?;
        self.trust_roots.insert(root.name().to_owned(), root.spec);
        Ok(())
    }

    fn add_policy(&mut self, object: &Value, config: &Config) -> Result<(), String> {
        let name = text(object, "/metadata/name");
        if name.is_empty() {
            return Err("missing field(s): metadata.name".to_owned());
        }
        match self.read_policy(&name, object, config) {
            Ok(policy) => {
                self.policies.insert(name, policy);
                Ok(())
            }
            Err(reason) => Err(self.add_broken(&name, object, reason)),
        }
    }

    fn read_policy(
        &self,
        name: &str,
        object: &Value,
        config: &Config,
    ) -> Result<CompiledPolicy, String> {
        let mut policy: ClusterImagePolicy = decode_strictly(object)?;
        default_policy(&mut policy);
        let limits = Limits {
            authorities_required: self.authorities_required,
            system_namespace: &config.system_namespace,
        };
        validate(&policy.spec, limits)
            .denial()
            .map_or(Ok(()), Err)?;
        self.compile_policy(name.to_owned(), policy.spec, config)
    }

    /// Policies in the form that upstream's controller inlines them into a ConfigMap.
    fn add_inlined_policies(&mut self, config: &Config) {
        let place = (
            config.system_namespace.clone(),
            "config-image-policies".to_owned(),
        );
        let Some(entries) = self.config_maps.get(&place).cloned() else {
            return;
        };
        for (name, value) in entries.into_iter().filter(|(name, _)| name != "_example") {
            match self.read_inlined(&name, &value, config) {
                Ok(policy) => {
                    self.policies.insert(name, policy);
                }
                Err(reason) => {
                    let reason =
                        format!("failed to parse the entry {name:?} : {value:?} : {reason}");
                    let reason = self.add_broken(&name, &Value::Null, reason);
                    self.problems.push(StoreError::Object {
                        origin: "config-image-policies".to_owned(),
                        kind: "ClusterImagePolicy".to_owned(),
                        name,
                        reason,
                    });
                }
            }
        }
    }

    fn read_inlined(
        &self,
        name: &str,
        value: &str,
        config: &Config,
    ) -> Result<CompiledPolicy, String> {
        let mut spec: Value = serde_saphyr::from_str(value).map_err(|error| error.to_string())?;
        inlined_attestations(&mut spec);
        let wrapped = serde_json::json!({"metadata": {"name": name}, "spec": spec});
        let mut policy: ClusterImagePolicy = decode_leniently(&wrapped)?;
        default_policy(&mut policy);
        self.compile_policy(name.to_owned(), policy.spec, config)
    }

    fn compile_policy(
        &self,
        name: String,
        spec: crate::policy::Spec,
        config: &Config,
    ) -> Result<CompiledPolicy, String> {
        let globs = spec
            .images
            .iter()
            .flatten()
            .map(|image| Glob::new(&image.glob))
            .collect::<Result<_, _>>()?;
        let authorities = spec
            .authorities
            .iter()
            .map(|authority| self.compile_authority(authority, config))
            .collect::<Result<_, _>>()?;
        let expression = spec
            .policy
            .as_ref()
            .map(|policy| self.compile_rego("ClusterImagePolicy", policy, config))
            .transpose()?;
        Ok(CompiledPolicy {
            name,
            spec,
            globs,
            authorities,
            expression,
            broken: None,
        })
    }

    fn compile_authority(
        &self,
        authority: &Authority,
        config: &Config,
    ) -> Result<CompiledAuthority, String> {
        let keys = match &authority.key {
            Some(key) => vec![self.read_key(key, config)?],
            None => Vec::new(),
        };
        let mut identities = Vec::new();
        let keyless = authority.keyless.as_ref();
        for identity in keyless
            .and_then(|keyless| keyless.identities.as_ref())
            .into_iter()
            .flatten()
        {
            let pattern = |exact: &str, regexp: &str| {
                verify::Pattern::new(Some(exact), Some(regexp))
                    .map_err(|error| error.to_string())?
                    .ok_or_else(|| "an identity needs an issuer and a subject".to_owned())
            };
            identities.push(verify::Identity {
                issuer: pattern(&identity.issuer, &identity.issuer_regexp)?,
                subject: pattern(&identity.subject, &identity.subject_regexp)?,
            });
        }
        let attestation_policies = authority
            .attestations
            .iter()
            .map(|attestation| {
                attestation
                    .policy
                    .as_ref()
                    .map(|policy| self.compile_rego(&attestation.name, policy, config))
                    .transpose()
            })
            .collect::<Result<Vec<_>, String>>()?;
        let hash = authority_hash(authority, &keys, &attestation_policies)?;
        Ok(CompiledAuthority {
            wire: authority.clone(),
            keys,
            identities,
            attestation_policies,
            hash,
        })
    }

    fn read_key(&self, key: &KeyRef, config: &Config) -> Result<Key, String> {
        let hash = match key.hash_algorithm.trim().to_lowercase().as_str() {
            "" | "sha256" => crypto::HashAlgorithm::Sha256,
            "sha384" => crypto::HashAlgorithm::Sha384,
            "sha512" => crypto::HashAlgorithm::Sha512,
            other => return Err(format!("hash algorithm {other} is not supported")),
        };
        let pem = match &key.secret_ref {
            None => key.data.clone(),
            Some(reference) => {
                let place = (config.system_namespace.clone(), reference.name.clone());
                let secret = self
                    .secrets
                    .get(&place)
                    .ok_or_else(|| format!("secret {:?} not found", reference.name))?;
                let mut values = secret.values();
                let name = &reference.name;
                let value = values
                    .next()
                    .ok_or_else(|| format!("secret {name:?} contains no data"))?;
                if values.next().is_some() {
                    return Err(format!(
                        "secret {name:?} contains multiple data entries, only one is supported"
                    ));
                }
                String::from_utf8_lossy(value).into_owned()
            }
        };
        let key = crypto::PublicKey::from_pem(&pem).map_err(|error| error.to_string())?;
        Ok(Key { key, hash })
    }

    fn compile_rego(&self, name: &str, policy: &Policy, config: &Config) -> Result<Rego, String> {
        if policy.kind != "rego" {
            return Err(format!("sorry Type {} is not supported yet", policy.kind));
        }
        let source = match (&policy.config_map_ref, &policy.remote) {
            (Some(reference), _) => {
                let place = (config.system_namespace.clone(), reference.name.clone());
                let map = self
                    .config_maps
                    .get(&place)
                    .ok_or_else(|| format!("configmap {:?} not found", reference.name))?;
                map.get(&reference.key).cloned().ok_or_else(|| {
                    format!(
                        "configmap {:?} does not contain key {}",
                        reference.name, reference.key
                    )
                })?
            }
            (None, Some(remote)) => {
                return Err(format!(
                    "policy.remote {} is not fetched: the controller contacts no host that is not \
                     configured; use policy.data or policy.configMapRef",
                    remote.url
                ));
            }
            (None, None) => policy.data.clone(),
        };
        Rego::compile(name, &source)
    }

    /// A secret's entry.
    pub(crate) fn secret(&self, namespace: &str, name: &str, entry: &str) -> Option<&[u8]> {
        let secret = self.secrets.get(&(namespace.to_owned(), name.to_owned()))?;
        secret.get(entry).map(Vec::as_slice)
    }
}

fn authority_hash(
    wire: &Authority,
    keys: &[Key],
    expressions: &[Option<Rego>],
) -> Result<crypto::Sha256Digest, String> {
    let keys: Vec<String> = keys.iter().map(|key| key.key.to_pem()).collect();
    let expressions: Vec<Option<&str>> = expressions
        .iter()
        .map(|one| one.as_ref().map(Rego::source))
        .collect();
    let whole =
        serde_json::to_vec(&(wire, keys, expressions)).map_err(|error| error.to_string())?;
    Ok(crypto::sha256(&whole))
}

/// An inlined attestation has its policy's fields beside its own.
fn inlined_attestations(spec: &mut Value) {
    let authorities = spec.get_mut("authorities").and_then(Value::as_array_mut);
    for authority in authorities.into_iter().flatten() {
        let attestations = authority
            .get_mut("attestations")
            .and_then(Value::as_array_mut);
        for attestation in attestations.into_iter().flatten() {
            let Some(fields) = attestation.as_object_mut() else {
                continue;
            };
            let kind = fields
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if !kind.is_empty() && !fields.contains_key("policy") {
                let policy = serde_json::json!({"type": kind, "data": fields.get("data")});
                fields.insert("policy".to_owned(), policy);
            }
        }
    }
}

fn failed(origin: &Origin, reason: String) -> StoreError {
    StoreError::Object {
        origin: origin.file.clone(),
        kind: text(&origin.object, "/kind"),
        name: text(&origin.object, "/metadata/name"),
        reason,
    }
}

fn place(object: &Value) -> (String, String) {
    let namespace = text(object, "/metadata/namespace");
    let namespace = if namespace.is_empty() {
        "default".to_owned()
    } else {
        namespace
    };
    (namespace, text(object, "/metadata/name"))
}

fn text(object: &Value, pointer: &str) -> String {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Config, Objects, Origin};

    fn origin(object: Value) -> Origin {
        Origin {
            file: "f.yaml".to_owned(),
            object,
        }
    }

    fn policy(name: &str, spec: &Value) -> Origin {
        origin(json!({
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
            "metadata": {"name": name}, "spec": spec,
        }))
    }

    #[test]
    fn a_policy_that_cannot_be_used_stays_and_denies_what_it_matches() {
        let missing = json!({"secretRef": {"name": "gone"}});
        let documents = [
            policy(
                "key",
                &json!({"images": [{"glob": "r/a**"}], "authorities": [{"key": missing}]}),
            ),
            policy(
                "glob",
                &json!({"images": [{"glob": "["}], "authorities": []}),
            ),
            policy("shape", &json!({"images": 1})),
        ];
        let objects = Objects::compile(&documents, &Config::default());
        assert_eq!(objects.problems.len(), 3);
        assert!(
            objects
                .policies
                .values()
                .all(|policy| policy.broken.is_some())
        );
        let matching = |image: &str| {
            let matching = objects
                .policies
                .values()
                .filter(|one| one.matches_image(image));
            matching.map(|one| one.name.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(matching("r/a@sha256:0"), ["glob", "key", "shape"]);
        assert_eq!(matching("r/b@sha256:0"), ["glob", "shape"]);
        let error = Objects::compile_all(&documents, &Config::default()).expect_err("all or none");
        assert_eq!(
            error.to_string(),
            "f.yaml: ClusterImagePolicy \"key\": secret \"gone\" not found"
        );
    }

    #[test]
    fn the_hash_of_an_authority_is_over_what_it_refers_to() {
        let hash = |rego: &str| {
            let map = json!({
                "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "cosign-system"},
                "data": {"k": format!("package sigstore\n{rego}")},
            });
            let expression = json!({"type": "rego", "configMapRef": {"name": "m", "key": "k"}});
            let authority = json!({
                "keyless": {"url": "https://f", "identities": [{"issuer": "i", "subject": "s"}]},
                "attestations": [{"name": "a", "predicateType": "https://p", "policy": expression}],
            });
            let spec = json!({"images": [{"glob": "**"}], "authorities": [authority]});
            let documents = [policy("p", &spec), origin(map)];
            let objects = Objects::compile_all(&documents, &Config::default()).expect("valid");
            objects.policies["p"].authorities[0].hash
        };
        assert_eq!(hash("isCompliant = true"), hash("isCompliant = true"));
        assert_ne!(hash("isCompliant = true"), hash("isCompliant = false"));
    }
}
