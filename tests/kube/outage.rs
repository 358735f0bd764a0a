//! A webhook that does not answer: what stays closed, what comes up, and how one gets out.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::cluster::Cluster;
use crate::world::{Kubectl, World, eventually, in_force, manifests, policy};

const IMAGE: &str = "registry.example/app@sha256:\
    0000000000000000000000000000000000000000000000000000000000000000";
const WORKLOADS: &str = "policy.sigstore.dev";

#[test]
fn without_the_webhook_nothing_is_admitted_until_both_registrations_ignore_it() {
    let World { siglab, cluster } = World::start(&[], &[]);
    let kubectl = Kubectl::new(&cluster);
    kubectl.account("default");
    let spec = json!({
        "images": [{"glob": "**"}], "authorities": [{"static": {"action": "pass"}}],
    });
    let _ = kubectl.apply(&policy("admit-all", &spec)).succeeds();
    eventually("the policy is in force", || {
        kubectl
            .pod("default", "before", IMAGE)
            .is_success()
            .then_some(())
    });
    let url = siglab.url("admission", "https");
    drop(siglab);

    let failed = format!("failed calling webhook \"{WORKLOADS}\"");
    kubectl.pod("default", "closed", IMAGE).fails_with(&failed);
    let refused = kubectl.apply(&policy("another", &spec));
    refused.fails_with("failed calling webhook \"defaulting.clusterimagepolicy.sigstore.dev\"");
    let _ = kubectl.pod("kube-system", "open", IMAGE).succeeds();

    // The way out that the lesson names opens only half of the door: tags are resolved by a registration of
    // their own, which is asked first.
    let ignore = r#"[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]"#;
    let open = |kind: &str| {
        let patch = ["patch", kind, WORKLOADS, "--type=json", "--patch", ignore];
        let _ = kubectl.run(&patch).succeeds();
    };
    open("validatingwebhookconfiguration");
    kubectl.pod("default", "half", IMAGE).fails_with(&failed);
    open("mutatingwebhookconfiguration");
    eventually("the API server does without the webhook", || {
        kubectl
            .pod("default", "open", IMAGE)
            .is_success()
            .then_some(())
    });

    // The same from the manifests, which need no lab when URL and authority are given.
    let authority = kubectl.get(&["validatingwebhookconfiguration", WORKLOADS]);
    let authority = authority["webhooks"][0]["clientConfig"]["caBundle"].as_str();
    let pem = crate::world::decoded(authority.expect("an authority"));
    let home = tests::Sandbox::new();
    let file = home.write("ca.pem", pem).display().to_string();
    let flags = ["--url", &url, "--ca-file", &file];
    let _ = kubectl.apply(&manifests(&flags)).succeeds();
    eventually("the manifests close it again", || {
        let outcome = kubectl.run(&["run", "shut", "--image", IMAGE, "--dry-run=server"]);
        outcome.all().contains(&failed).then_some(())
    });
    let _ = kubectl
        .apply(&manifests(&[&flags[..], &["--fail-open"]].concat()))
        .succeeds();
    eventually("the manifests open it", || {
        kubectl
            .pod("default", "ignored", IMAGE)
            .is_success()
            .then_some(())
    });
}

#[test]
fn a_cluster_comes_up_before_its_own_enforcement() {
    let cluster = Cluster::start();
    let kubectl = Kubectl::new(&cluster);
    // Everything is installed at once, and the webhook has no Pod yet.
    let flags = ["--image", "localhost/siglab-admission:lab"];
    let _ = kubectl.apply(&manifests(&flags)).succeeds();
    kubectl.account("default");
    kubectl.account("kube-system");
    let failed = format!("failed calling webhook \"{WORKLOADS}\"");
    kubectl.pod("default", "app", IMAGE).fails_with(&failed);
    let _ = kubectl.pod("kube-system", "network", IMAGE).succeeds();
    eventually("the webhook's own Pod is made", || {
        let selector = "--selector=app=policy-controller";
        let pods = kubectl.get(&["pods", "--namespace", "cosign-system", selector]);
        pods["items"].as_array()?.first().cloned()
    });

    // Without the exclusion it would wait for itself.
    let everywhere = r#"[{"op": "remove", "path": "/webhooks/0/namespaceSelector"}]"#;
    for kind in [
        "validatingwebhookconfiguration",
        "mutatingwebhookconfiguration",
    ] {
        let patch = [
            "patch",
            kind,
            WORKLOADS,
            "--type=json",
            "--patch",
            everywhere,
        ];
        let _ = kubectl.run(&patch).succeeds();
    }
    eventually("the API server asks about every namespace", || {
        let pod = kubectl.run(&[
            "run",
            "probe",
            "--image",
            IMAGE,
            "--namespace",
            "kube-system",
            "--dry-run=server",
        ]);
        pod.all().contains(&failed).then_some(())
    });
    let _ = kubectl
        .run(&[
            "delete",
            "pod",
            "--namespace",
            "cosign-system",
            "--all",
            "--now",
        ])
        .succeeds();
    let event = eventually("the webhook's own Pod is not made", || {
        let events = ["events", "--field-selector", "reason=FailedCreate"];
        let events = kubectl.get(&[&events[..], &["--namespace", "cosign-system"]].concat());
        events["items"].as_array()?.first().cloned()
    });
    let text = event["message"].as_str().expect("a message");
    assert!(text.contains(&failed), "{text}");
}

#[test]
fn the_webhook_follows_the_cluster_across_a_restart_of_the_api_server() {
    let mut world = World::start(&[], &[]);
    let kubectl = Kubectl::new(&world.cluster);
    kubectl.account("default");
    let apply = |name: &str, action: &str| {
        let spec = json!({
            "images": [{"glob": "**"}], "authorities": [{"static": {"action": action}}],
        });
        let _ = kubectl.apply(&policy(name, &spec)).succeeds();
    };
    let home = tests::Sandbox::new();
    apply("deny-all", "fail");
    in_force(&world, &home, "deny-all");
    world.cluster.restart_api_server();
    kubectl
        .pod("default", "denied", IMAGE)
        .fails_with("disallowed by static policy");
    apply("admit-all", "pass");
    in_force(&world, &home, "admit-all");
    kubectl
        .pod("default", "denied", IMAGE)
        .fails_with("failed policy: deny-all");
    let _ = kubectl.run(&["delete", "cip", "deny-all"]).succeeds();
    eventually("the policy that is gone denies nothing", || {
        kubectl
            .pod("default", "admitted", IMAGE)
            .is_success()
            .then_some(())
    });
}

#[test]
fn a_registration_that_lost_the_authority_is_repaired() {
    let World { siglab, cluster } = World::start(&[], &["admission.authority_check_secs=1"]);
    let kubectl = Kubectl::new(&cluster);
    kubectl.account("default");
    let kind = "validatingwebhookconfiguration";
    let authority = || {
        let object = kubectl.get(&[kind, WORKLOADS]);
        object["webhooks"][0]["clientConfig"]["caBundle"].clone()
    };
    let before = authority();
    let other = include_str!("../../libs/tsp/tests/vectors/upstream-chain.pem");
    let other = STANDARD.encode(other);
    let patch = json!([{
        "op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": other,
    }]);
    let patch = [
        "patch",
        kind,
        WORKLOADS,
        "--type=json",
        "--patch",
        &patch.to_string(),
    ];
    let _ = kubectl.run(&patch).succeeds();
    eventually("the authority is back", || {
        (authority() == before).then_some(())
    });
    let denied = "admission webhook \"policy.sigstore.dev\" denied the request";
    eventually("the API server asks the webhook again", || {
        let outcome = kubectl.run(&["run", "asked", "--image", IMAGE, "--dry-run=server"]);
        outcome.all().contains(denied).then_some(())
    });
    drop(siglab);
}
