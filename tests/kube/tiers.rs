//! Production takes the release workflow's images, staging also those of its own, development anybody's of the
//! company: as far as policies can say it by labels, the rest by a rule of the cluster's own.

use serde_json::{Value, json};
use tests::Outcome;

use crate::world::{Corner, eventually, github};

/// A policy for Pods with the label `tier`, whose signers are `identities`.
fn tier(corner: &Corner, tier: &str, identities: &Value) -> Value {
    let mut authority = corner.authority("app");
    authority["keyless"]["identities"] = identities.clone();
    json!({
        "images": [{"glob": corner.glob()}], "authorities": [authority],
        "match": [{
            "version": "v1", "resource": "pods", "selector": {"matchLabels": {"tier": tier}},
        }],
    })
}

/// Pods have the tier of their namespace: what ties the label that policies see to the namespace that a team
/// was given.
fn tiers_are_the_namespaces() -> String {
    let pods = json!({"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
        "operations": ["CREATE", "UPDATE"]});
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "tiers"},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {
                "resourceRules": [pods],
                "namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
            },
            "validations": [{
                "expression": "object.metadata.?labels.?tier.orValue('') == \
                               namespaceObject.metadata.labels.tier",
                "message": "the label tier must be the namespace's",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "tiers"},
        "spec": {"policyName": "tiers", "validationActions": ["Deny"]},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [policy, binding]}).to_string()
}

/// The policies of the three tiers, and their namespaces.
fn set_up(corner: &Corner) {
    let siglab = &corner.world.siglab;
    let issuer = github(siglab);
    let workflow = |name: &str| {
        let path = format!("tiers/app/.github/workflows/{name}.yml@refs/heads/main");
        json!({"issuer": issuer, "subject": format!("https://github.com/{path}")})
    };
    let company = json!([
        {"issuer": siglab.url("oidc", "http"), "subjectRegExp": "^[^@]+@fleet\\.example$"},
        {"issuer": issuer, "subjectRegExp": "^https://github\\.com/tiers/"},
    ]);
    let tiers = [
        ("prod", json!([workflow("release")])),
        ("staging", json!([workflow("release"), workflow("staging")])),
        ("dev", company),
    ];
    for (name, identities) in &tiers {
        let full = format!("tiers-{name}");
        corner.policy(&full, &tier(corner, name, identities));
        corner.kubectl.namespace(&full, &json!({"tier": name}));
    }
    let _ = corner.kubectl.apply(&tiers_are_the_namespaces()).succeeds();
}

/// Images by who signed them: the release, a staging workflow, a person of the company, a stranger.
fn images(corner: &Corner) -> [(&'static str, String); 4] {
    let siglab = &corner.world.siglab;
    let released = corner.signed("app");
    let staged = corner.image("staged");
    let workflow = "tiers/app/.github/workflows/staging.yml@refs/heads/main";
    let staging = format!("repository=tiers/app&workflow_ref={workflow}");
    corner.author.sign(siglab, &staged, &staging);
    let person = corner.image("person");
    corner
        .author
        .sign_as(siglab, &person, "email=dev@fleet.example");
    let stranger = corner.image("stranger");
    corner
        .author
        .sign_as(siglab, &stranger, "email=dev@elsewhere.example");
    [
        ("released", released),
        ("staged", staged),
        ("person", person),
        ("stranger", stranger),
    ]
}

#[test]
fn tiers_accept_the_identities_of_their_own_and_no_others() {
    let corner = Corner::new("tiers");
    set_up(&corner);
    let images = images(&corner);
    for (tier, admitted) in [("prod", 1), ("staging", 2), ("dev", 3)] {
        for (index, (name, image)) in images.iter().enumerate() {
            let outcome = corner.tiered(&format!("tiers-{tier}"), tier, name, image);
            if index < admitted {
                let _ = outcome.succeeds();
            } else {
                outcome.fails_with(&format!("failed policy: tiers-{tier}"));
            }
        }
    }
    let liar = eventually("a label above the namespace's is refused", || {
        let image = format!("--image={}", images[2].1);
        let labels = [
            "--labels=tier=dev",
            "--namespace=tiers-prod",
            "--dry-run=server",
        ];
        let outcome = corner
            .kubectl
            .run(&[&["run", "liar", &image], &labels[..]].concat());
        (!outcome.is_success()).then_some(outcome)
    });
    liar.fails_with("the label tier must be the namespace's");
    let without = corner.tiered("tiers", "", "without", &images[0].1);
    without.fails_with("no matching policies");
}

impl Corner {
    /// `kubectl run` with the label `tier`.
    fn tiered(&self, namespace: &str, tier: &str, name: &str, image: &str) -> Outcome {
        let (image, labels) = (format!("--image={image}"), format!("--labels=tier={tier}"));
        self.kubectl
            .run(&["run", name, &image, &labels, "--namespace", namespace])
    }
}
