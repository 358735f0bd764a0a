//! The objects that install the webhook: definitions, permissions, service, deployment, registrations.

mod schema;

use serde_json::{Value, json};

use schema::{policy_versions, trust_root_versions};

/// Namespaces whose Pods are never asked about: what a cluster needs to come up, and the webhook itself.
pub const EXCLUDED_NAMESPACES: [&str; 4] = [
    "kube-system",
    "kube-public",
    "cosign-system",
    "ingress-nginx-system",
];

/// How the webhook is installed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Installation {
    /// Namespace of the webhook.
    pub namespace: String,
    /// Image of the Deployment. Without, there is no Deployment and no Service, and `url` must be set.
    pub image: Option<String>,
    /// Where a webhook outside the cluster is: `https://host:8443`.
    pub url: Option<String>,
    /// PEM of the authority of its certificate; a webhook in the cluster writes it itself.
    pub authority_pem: Option<String>,
    /// Admit what cannot be asked about: failurePolicy Ignore.
    pub fail_open: bool,
    /// Ask only about namespaces with the label `policy.sigstore.dev/include: "true"`, as upstream's
    /// chart, instead of all but [`EXCLUDED_NAMESPACES`].
    pub opt_in: bool,
}

impl Default for Installation {
    fn default() -> Self {
        Self {
            namespace: "cosign-system".to_owned(),
            image: None,
            url: None,
            authority_pem: None,
            fail_open: false,
            opt_in: false,
        }
    }
}

impl Installation {
    /// All objects, in the order in which they can be applied.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        let mut objects = vec![
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {
                    "name": self.namespace, "labels": {"policy.sigstore.dev/include": "false"},
                },
            }),
            self.policy_definition(),
            trust_root_definition(),
        ];
        if let Some(image) = &self.image {
            objects.extend(self.permissions());
            objects.extend(self.workload(image));
        }
        objects.extend(self.registrations());
        objects
    }

    /// As a YAML stream.
    ///
    /// # Errors
    /// Never for objects of this module.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        let mut stream = String::new();
        for object in self.objects() {
            stream.push_str("---\n");
            stream.push_str(&serde_saphyr::to_string(&object)?);
            if !stream.ends_with('\n') {
                stream.push('\n');
            }
        }
        Ok(stream)
    }

    fn client_config(&self, path: &str) -> Value {
        let mut config = match &self.url {
            Some(url) => json!({"url": format!("{}{path}", url.trim_end_matches('/'))}),
            None => json!({
                "service": {"name": "webhook", "namespace": self.namespace, "path": path},
            }),
        };
        if let Some(pem) = &self.authority_pem {
            use base64::Engine as _;
            config["caBundle"] = json!(base64::engine::general_purpose::STANDARD.encode(pem));
        }
        config
    }

    fn policy_definition(&self) -> Value {
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "clusterimagepolicies.policy.sigstore.dev"},
            "spec": {
                "group": "policy.sigstore.dev", "scope": "Cluster",
                "names": {
                    "kind": "ClusterImagePolicy", "plural": "clusterimagepolicies",
                    "singular": "clusterimagepolicy", "shortNames": ["cip"],
                    "categories": ["all", "sigstore"],
                },
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {
                        "conversionReviewVersions": ["v1"],
                        "clientConfig": self.client_config("/resource-conversion"),
                    },
                },
                "versions": policy_versions(),
            },
        })
    }

    fn permissions(&self) -> Vec<Value> {
        let subjects = json!([
            {"kind": "ServiceAccount", "name": "webhook", "namespace": self.namespace},
        ]);
        let role = |kind: &str| {
            json!({
                "apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "policy-controller",
            })
        };
        let watch = json!(["get", "list", "watch"]);
        let keep = json!(["get", "update"]);
        let api = "rbac.authorization.k8s.io/v1";
        vec![
            json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": "webhook", "namespace": self.namespace},
            }),
            json!({
                "apiVersion": api, "kind": "ClusterRole",
                "metadata": {"name": "policy-controller"},
                "rules": [
                    {
                        "apiGroups": ["policy.sigstore.dev"],
                        "resources": ["clusterimagepolicies", "trustroots"], "verbs": watch,
                    },
                    {
                        "apiGroups": ["policy.sigstore.dev"],
                        "resources": ["clusterimagepolicies/status", "trustroots/status"],
                        "verbs": ["patch"],
                    },
                    {"apiGroups": [""], "resources": ["secrets", "serviceaccounts"], "verbs": ["get"]},
                    {
                        "apiGroups": ["admissionregistration.k8s.io"],
                        "resources": [
                            "validatingwebhookconfigurations", "mutatingwebhookconfigurations",
                        ],
                        "resourceNames": [
                            "policy.sigstore.dev", "validating.clusterimagepolicy.sigstore.dev",
                            "defaulting.clusterimagepolicy.sigstore.dev",
                        ],
                        "verbs": keep,
                    },
                    {
                        "apiGroups": ["apiextensions.k8s.io"],
                        "resources": ["customresourcedefinitions"],
                        "resourceNames": ["clusterimagepolicies.policy.sigstore.dev"], "verbs": keep,
                    },
                ],
            }),
            json!({
                "apiVersion": api, "kind": "ClusterRoleBinding",
                "metadata": {"name": "policy-controller"},
                "subjects": subjects, "roleRef": role("ClusterRole"),
            }),
            json!({
                "apiVersion": api, "kind": "Role",
                "metadata": {"name": "policy-controller", "namespace": self.namespace},
                "rules": [
                    {"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": watch},
                ],
            }),
            json!({
                "apiVersion": api, "kind": "RoleBinding",
                "metadata": {"name": "policy-controller", "namespace": self.namespace},
                "subjects": subjects, "roleRef": role("Role"),
            }),
        ]
    }

    fn workload(&self, image: &str) -> Vec<Value> {
        let labels = json!({"app": "policy-controller"});
        let probe = json!({
            "httpGet": {
                "path": "/healthz", "port": "https", "scheme": "HTTPS",
                "httpHeaders": [{"name": "k-kubelet-probe", "value": "webhook"}],
            },
        });
        let container = json!({
            "name": "policy-controller", "image": image,
            "args": [
                "--set", "admission.in_cluster=true",
                "--set", format!("admission.system_namespace={}", self.namespace),
                "--data-dir", "/state",
            ],
            "ports": [{"name": "https", "containerPort": 8443}],
            "readinessProbe": probe, "livenessProbe": probe,
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                "runAsNonRoot": true, "capabilities": {"drop": ["ALL"]},
            },
            "volumeMounts": [{"name": "state", "mountPath": "/state"}],
        });
        vec![
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": "webhook", "namespace": self.namespace},
                "spec": {
                    "selector": labels,
                    "ports": [{"name": "https", "port": 443, "targetPort": "https"}],
                },
            }),
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {
                    "name": "policy-controller", "namespace": self.namespace, "labels": labels,
                },
                "spec": {
                    "replicas": 1, "selector": {"matchLabels": labels},
                    "template": {
                        "metadata": {"labels": labels},
                        "spec": {
                            "serviceAccountName": "webhook", "containers": [container],
                            "securityContext": {
                                "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                            },
                            "volumes": [{"name": "state", "emptyDir": {}}],
                        },
                    },
                },
            }),
        ]
    }

    fn registrations(&self) -> Vec<Value> {
        let workloads = "policy.sigstore.dev";
        let own = |operations: &[&str]| {
            let rule = |versions: &[&str], names: &[&str]| {
                json!({
                    "apiGroups": ["policy.sigstore.dev"], "apiVersions": versions,
                    "resources": names, "operations": operations,
                })
            };
            json!([
                rule(
                    &["v1alpha1", "v1beta1"],
                    &["clusterimagepolicies", "clusterimagepolicies/status"],
                ),
                rule(&["v1alpha1"], &["trustroots", "trustroots/status"]),
            ])
        };
        let validating = ["CREATE", "UPDATE", "DELETE"];
        let mut registrations = vec![
            self.registration("Validating", workloads, "/validations", validated()),
            self.registration("Mutating", workloads, "/mutations", mutated()),
            self.registration(
                "Validating",
                "validating.clusterimagepolicy.sigstore.dev",
                "/validating",
                own(&validating),
            ),
            self.registration(
                "Mutating",
                "defaulting.clusterimagepolicy.sigstore.dev",
                "/defaulting",
                own(&validating[..2]),
            ),
        ];
        for registration in &mut registrations[..2] {
            let webhook = &mut registration["webhooks"][0];
            webhook["namespaceSelector"] = self.namespace_selector();
            webhook["timeoutSeconds"] = json!(25);
            webhook["failurePolicy"] = json!(if self.fail_open { "Ignore" } else { "Fail" });
        }
        registrations
    }

    fn namespace_selector(&self) -> Value {
        let expression = |key: &str, operator: &str| json!({"key": key, "operator": operator});
        let mut chosen = if self.opt_in {
            expression("policy.sigstore.dev/include", "In")
        } else {
            expression("kubernetes.io/metadata.name", "NotIn")
        };
        let mut excluded: Vec<&str> = EXCLUDED_NAMESPACES.to_vec();
        if !excluded.contains(&&*self.namespace) {
            excluded.push(&self.namespace);
        }
        chosen["values"] = if self.opt_in {
            json!(["true"])
        } else {
            json!(excluded)
        };
        let exclude = expression("webhooks.knative.dev/exclude", "DoesNotExist");
        json!({"matchExpressions": [chosen, exclude]})
    }

    fn registration(&self, kind: &str, name: &str, path: &str, rules: Value) -> Value {
        let mut webhook = json!({
            "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail", "matchPolicy": "Equivalent",
            "clientConfig": self.client_config(path), "rules": rules,
        });
        if kind == "Mutating" {
            webhook["reinvocationPolicy"] = json!("IfNeeded");
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": format!("{kind}WebhookConfiguration"),
            "metadata": {"name": name}, "webhooks": [webhook],
        })
    }
}

fn rule(group: &str, versions: &[&str], resources: &[String]) -> Value {
    json!({
        "apiGroups": [group], "apiVersions": versions, "resources": resources,
        "operations": ["CREATE", "UPDATE"],
    })
}

const APPS: [&str; 4] = ["daemonsets", "deployments", "replicasets", "statefulsets"];

fn validated() -> Value {
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    json!([
        rule("", &["v1"], &names(&["pods", "pods/ephemeralcontainers"])),
        rule("apps", &["v1"], &names(&APPS)),
        rule("batch", &["v1"], &names(&["cronjobs", "jobs"])),
        rule("batch", &["v1beta1"], &names(&["cronjobs"])),
    ])
}

/// Never the sub-resource of ephemeral containers, as upstream.
fn mutated() -> Value {
    let with_status = |names: &[&str]| {
        names
            .iter()
            .flat_map(|name| [(*name).to_owned(), format!("{name}/status")])
            .collect::<Vec<_>>()
    };
    json!([
        rule("", &["v1"], &with_status(&["pods"])),
        rule("apps", &["v1"], &with_status(&APPS)),
        rule("batch", &["v1"], &with_status(&["cronjobs", "jobs"])),
        rule("batch", &["v1beta1"], &with_status(&["cronjobs"])),
    ])
}

fn trust_root_definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "trustroots.policy.sigstore.dev"},
        "spec": {
            "group": "policy.sigstore.dev", "scope": "Cluster",
            "names": {
                "kind": "TrustRoot", "plural": "trustroots", "singular": "trustroot",
                "categories": ["all", "sigstore"],
            },
            "versions": trust_root_versions(),
        },
    })
}
