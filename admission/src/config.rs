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

/// Settings; the defaults are those of a working lab.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Directory of YAML or JSON files with ClusterImagePolicy, TrustRoot, Secret and ConfigMap objects.
    /// Watched. By default `policies` in the service's own directory.
    pub policies: Option<PathBuf>,
    /// Take policies, TrustRoots, secrets and configuration maps from the cluster that this file leads to,
    /// instead of the directory.
    pub kubeconfig: Option<PathBuf>,
    /// The same for the cluster that the webhook runs in.
    pub in_cluster: bool,
    /// Seconds between two looks at that directory.
    pub policies_poll_secs: u64,
    /// What happens to an image that no policy is about; the ConfigMap `config-policy-controller` wins.
    pub no_match_policy: NoMatchPolicy,
    /// Whether a policy must have authorities. Without, it denies whatever it matches.
    pub fail_on_empty_authorities: bool,
    /// How many of the matching policies must pass.
    pub policy_combination: PolicyCombination,
    /// A `trusted_root.json` to trust instead of the lab's TUF repository.
    pub trusted_root: Option<PathBuf>,
    /// The TUF `root.json` to start from. Without, the first one that the lab's repository serves is kept.
    pub tuf_root: Option<PathBuf>,
    /// Seconds that a trusted root is used before it is looked up again.
    pub trust_refresh_secs: u64,
    /// PEM file of the authorities that registries' TLS certificates are issued by. By default the
    /// machine's, where it has a bundle in a usual place.
    pub registry_ca: Option<PathBuf>,
    /// Docker configuration file with logins for registries, after those of the Pod.
    pub registry_config: Option<PathBuf>,
    /// Seconds that the verified signatures of a digest are remembered, by policy and trust root; 0 never.
    pub cache_secs: u32,
    /// Seconds that one decision may take, registry included. Kubernetes waits ten by default.
    pub decision_secs: u64,
    /// Decisions that are kept for the admin door.
    pub decisions_max: usize,
    /// Signatures and attestations of one image that are looked at.
    pub signatures_max: usize,
    /// Namespace of the controller: where secrets and configuration maps are read.
    pub system_namespace: String,
    /// More names for the TLS certificate, beside localhost, the external URL's and `webhook.NAMESPACE`.
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
            registry_ca: None,
            registry_config: None,
            cache_secs: 60,
            decision_secs: 9,
            decisions_max: 256,
            signatures_max: 100,
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
