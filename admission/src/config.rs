//! Settings of the admission webhook.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What happens to an image that no policy is about.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoMatchPolicy {
    /// It is admitted.
    Allow,
    /// It is denied.
    #[default]
    Deny,
    /// It is admitted with a warning.
    Warn,
}

/// How many of the matching policies must pass.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyCombination {
    /// All, as upstream.
    #[default]
    All,
    /// Any one.
    Any,
}

/// Settings; the defaults are those of a working lab. Keys are read with `-` for `_` too.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Directory of YAML or JSON files with ClusterImagePolicy, TrustRoot, Secret and ConfigMap objects.
    /// Watched. By default `policies` in the service's own directory.
    pub policies: Option<PathBuf>,
    /// Take policies, TrustRoots, secrets and configuration maps from the cluster that this file leads to,
    /// instead of the directory.
    pub kubeconfig: Option<PathBuf>,
    /// The same for the cluster that the webhook runs in.
    #[serde(alias = "in-cluster")]
    pub in_cluster: bool,
    /// Seconds between two looks at that directory.
    #[serde(alias = "policies-poll-secs")]
    pub policies_poll_secs: u64,
    /// What happens to an image that no policy is about; the ConfigMap `config-policy-controller` wins.
    #[serde(alias = "no-match-policy")]
    pub no_match_policy: NoMatchPolicy,
    /// Whether a policy must have authorities. Without, it denies whatever it matches.
    #[serde(alias = "fail-on-empty-authorities")]
    pub fail_on_empty_authorities: bool,
    /// How many of the matching policies must pass; the ConfigMap `config-policy-controller` wins.
    #[serde(alias = "policy-combination")]
    pub policy_combination: PolicyCombination,
    /// A `trusted_root.json` to trust instead of the lab's TUF repository.
    #[serde(alias = "trusted-root")]
    pub trusted_root: Option<PathBuf>,
    /// The TUF `root.json` to start from. Without, the first one that the lab's repository serves is kept.
    #[serde(alias = "tuf-root")]
    pub tuf_root: Option<PathBuf>,
    /// Seconds that a trusted root is used before it is looked up again.
    #[serde(alias = "trust-refresh-secs")]
    pub trust_refresh_secs: u64,
    /// The only registries that are contacted, as image names begin: `HOST:PORT`. Without, the lab's and those
    /// that a policy in force names.
    pub registries: Vec<String>,
    /// PEM file of the authorities that registries' TLS certificates are issued by. By default the
    /// machine's, where it has a bundle in a usual place.
    #[serde(alias = "registry-ca")]
    pub registry_ca: Option<PathBuf>,
    /// Docker configuration file with logins for registries, after those of the Pod.
    #[serde(alias = "registry-config")]
    pub registry_config: Option<PathBuf>,
    /// Seconds that the verified signatures of a digest are remembered, by policy and trust root; 0 never.
    #[serde(alias = "cache-secs")]
    pub cache_secs: u32,
    /// Seconds that one decision may take, registry included. Kubernetes waits ten by default.
    #[serde(alias = "decision-secs")]
    pub decision_secs: u64,
    /// Decisions that are kept for the admin door.
    #[serde(alias = "decisions-max")]
    pub decisions_max: usize,
    /// Seconds between two looks at the registrations that name the webhook's authority, in a cluster.
    #[serde(alias = "authority-check-secs")]
    pub authority_check_secs: u64,
    /// Signatures and attestations of one image that are looked at.
    #[serde(alias = "signatures-max")]
    pub signatures_max: usize,
    /// Bytes of signatures, attestations and image configurations that are in memory at a time, all decisions
    /// together. What would need more is denied.
    #[serde(alias = "signature-bytes-max")]
    pub signature_bytes_max: usize,
    /// Namespace of the controller: where secrets and configuration maps are read.
    #[serde(alias = "system-namespace")]
    pub system_namespace: String,
    /// More names for the TLS certificate, beside localhost, the external URL's and `webhook.NAMESPACE`.
    #[serde(alias = "tls-names")]
    pub tls_names: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policies: None,
            kubeconfig: None,
            in_cluster: false,
            policies_poll_secs: 1,
            no_match_policy: NoMatchPolicy::default(),
            fail_on_empty_authorities: true,
            policy_combination: PolicyCombination::default(),
            trusted_root: None,
            tuf_root: None,
            trust_refresh_secs: 10,
            registries: Vec::new(),
            registry_ca: None,
            registry_config: None,
            cache_secs: 60,
            decision_secs: 9,
            decisions_max: 256,
            authority_check_secs: 30,
            signatures_max: 100,
            signature_bytes_max: 256 << 20,
            system_namespace: "cosign-system".to_owned(),
            tls_names: Vec::new(),
        }
    }
}

impl Config {
    /// Whether objects come from a cluster.
    #[must_use]
    pub const fn uses_cluster(&self) -> bool {
        self.in_cluster || self.kubeconfig.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, PolicyCombination};

    #[test]
    fn keys_are_read_with_underscores_and_with_hyphens() {
        for key in ["policy_combination", "policy-combination"] {
            let settings = format!(r#"{{"{key}": "any"}}"#);
            let config: Config = serde_json::from_str(&settings).expect("a setting");
            assert_eq!(config.policy_combination, PolicyCombination::Any);
        }
        assert!(serde_json::from_str::<Config>(r#"{"policycombination": "any"}"#).is_err());
    }
}
