//! Which namespaces the API server asks about.

use serde_json::json;

use crate::world::{Kubectl, World, eventually};

/// An image that no policy names; nobody fetches it.
const UNKNOWN: &str = "registry.example/app@sha256:\
    0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn namespaces_that_a_cluster_needs_are_not_asked_about_and_opting_in_turns_the_rule_round() {
    let world = World::start(&[], &[]);
    let kubectl = Kubectl::new(&world.cluster);
    kubectl.namespace("ingress-nginx-system", &json!({}));
    kubectl.namespace("exempt", &json!({"webhooks.knative.dev/exclude": "true"}));
    kubectl.account("default");
    kubectl.account("kube-public");
    let excluded = [
        "kube-system",
        "kube-public",
        "cosign-system",
        "ingress-nginx-system",
        "exempt",
    ];
    for namespace in excluded {
        let _ = kubectl.pod(namespace, "app", UNKNOWN).succeeds();
    }
    kubectl
        .pod("default", "app", UNKNOWN)
        .fails_with("no matching policies");

    for (word, warns) in [("warn", true), ("allow", false)] {
        let data = json!({"data": {"no-match-policy": word}}).to_string();
        let map = [
            "patch",
            "configmap",
            "config-policy-controller",
            "--patch",
            &data,
        ];
        let _ = kubectl
            .run(&[&map[..], &["--namespace", "cosign-system"]].concat())
            .succeeds();
        eventually("the setting is in force", || {
            let outcome = kubectl.run(&["run", "probe", "--image", UNKNOWN, "--dry-run=server"]);
            let warned = outcome.all().contains("Warning: no matching policies");
            (outcome.is_success() && warned == warns).then_some(())
        });
    }

    // The manifests bring the settings back as well.
    world.register(&kubectl, &["--opt-in"]);
    kubectl.namespace("opted-in", &json!({"policy.sigstore.dev/include": "true"}));
    eventually("the changed registration is in force", || {
        kubectl
            .pod("default", "app", UNKNOWN)
            .is_success()
            .then_some(())
    });
    kubectl
        .pod("opted-in", "app", UNKNOWN)
        .fails_with("no matching policies");
}
