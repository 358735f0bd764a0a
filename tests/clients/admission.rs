//! The admission webhook about images that unmodified cosign signed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{Sandbox, Siglab};

use crate::{scene::Scene, wire};

/// The policy of the lesson, its hosts those of the lab.
pub(crate) fn policy(siglab: &Siglab) -> String {
    let authority = json!({
        "name": "fleet-org-actions",
        "keyless": {
            "url": siglab.url("fulcio", "http"),
            "identities": [{
                "issuer": format!("{}/github-actions", siglab.url("oidc", "http")),
                "subject": "https://github.com/fleet-org/agent-router/.github/workflows/release.yml@refs/heads/main",
            }],
        },
        "ctlog": {"url": siglab.url("rekor", "v1")},
    });
    json!({
        "apiVersion": "policy.sigstore.dev/v1beta1",
        "kind": "ClusterImagePolicy",
        "metadata": {"name": "fleet-org-must-be-signed"},
        "spec": {
            "images": [{"glob": format!("{}/fleet-org/*", siglab.registry())}],
            "authorities": [authority],
        },
    })
    .to_string()
}

/// A lab with the policy, and a cosign that trusts it.
fn guarded() -> (Scene, Sandbox) {
    let policies = Sandbox::new();
    let set = format!("admission.policies={}", policies.dir().display());
    let siglab = Siglab::start_with(&["--set", &set]);
    let scene = Scene {
        siglab,
        home: Sandbox::new(),
    };
    let _ = scene.initialize("cosign").succeeds();
    policies.write("policy.yaml", policy(&scene.siglab));
    let image = scene.image("fleet-org/nothing", "nothing");
    let deadline = Instant::now() + Duration::from_secs(20);
    // The webhook looks at the directory now and then.
    while !message(&review(&scene, "/validations", &pod(&image)))
        .contains("fleet-org-must-be-signed")
    {
        assert!(
            Instant::now() < deadline,
            "the webhook did not read the policy"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    (scene, policies)
}

/// Signs as the release workflow of a repository.
pub(crate) fn sign(scene: &Scene, repository: &str, legacy: bool, image: &str) {
    let token = scene.token_with(&format!("preset=github-actions&repository={repository}"));
    let mut flags = vec!["sign", "--yes", "--identity-token", &token];
    let urls = [
        scene.siglab.url("fulcio", "http"),
        scene.siglab.url("rekor", "v1"),
        scene.issuer(),
    ];
    if legacy {
        flags.extend(["--new-bundle-format=false", "--use-signing-config=false"]);
        flags.extend([
            "--fulcio-url",
            &urls[0],
            "--rekor-url",
            &urls[1],
            "--oidc-issuer",
            &urls[2],
        ]);
    }
    flags.push(image);
    let _ = scene.run("cosign", &flags).succeeds();
}

pub(crate) fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app", "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": image}]},
    })
}

/// The webhook's answer about a Pod.
pub(crate) fn review(scene: &Scene, path: &str, object: &Value) -> Value {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "0d1e2f", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "name": "app", "namespace": "default", "operation": "CREATE", "object": object,
            "userInfo": {"username": "alice"}, "dryRun": false,
        },
    });
    scene.home.write("review.json", review.to_string());
    let url = format!("{}{path}", scene.siglab.url("admission", "https"));
    let kind = "Content-Type: application/json";
    let flags = [
        "--insecure",
        "--header",
        kind,
        "--data-binary",
        "@review.json",
        &url,
    ];
    let (status, body) = wire::send(scene, &flags);
    assert_eq!(status, 200, "{body}");
    let answer: Value =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert_eq!(answer["response"]["uid"], "0d1e2f");
    answer["response"].clone()
}

pub(crate) fn message(response: &Value) -> String {
    response["status"]["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn the_workflow_of_the_policy_is_admitted_and_others_are_denied() {
    let (scene, _policies) = guarded();
    let good = scene.image("fleet-org/agent-router", "one");
    sign(&scene, "fleet-org/agent-router", false, &good);
    let response = review(&scene, "/validations", &pod(&good));
    assert_eq!(response["allowed"], true, "{response}");

    let unsigned = scene.image("fleet-org/unsigned", "two");
    let response = review(&scene, "/validations", &pod(&unsigned));
    assert_eq!(response["allowed"], false);
    let text = message(&response);
    assert!(
        text.starts_with("validation failed: failed policy: fleet-org-must-be-signed"),
        "{text}"
    );

    let other = scene.image("fleet-org/audit-collector", "three");
    sign(&scene, "fleet-org/audit-collector", false, &other);
    let response = review(&scene, "/validations", &pod(&other));
    assert_eq!(response["allowed"], false);
    let text = message(&response);
    assert!(
        text.contains("none of the expected identities matched"),
        "{text}"
    );
    let log = scene.siglab.log();
    let line = log
        .lines()
        .find(|line| line.contains("fleet-org/audit-collector/.github/workflows"));
    assert!(
        line.is_some_and(|line| line.contains("fleet-org/agent-router/.github/workflows")),
        "{log}"
    );
}

#[test]
fn a_legacy_signature_of_the_workflow_is_admitted() {
    let (scene, _policies) = guarded();
    let image = scene.image("fleet-org/agent-router", "one");
    sign(&scene, "fleet-org/agent-router", true, &image);
    let response = review(&scene, "/validations", &pod(&image));
    assert_eq!(response["allowed"], true, "{response}");
    let other = scene.image("fleet-org/audit-collector", "two");
    sign(&scene, "fleet-org/audit-collector", true, &other);
    let response = review(&scene, "/validations", &pod(&other));
    assert_eq!(response["allowed"], false);
    let text = message(&response);
    assert!(
        text.contains("none of the expected identities matched"),
        "{text}"
    );
}

#[test]
fn a_tag_is_resolved_to_the_digest_that_was_verified() {
    let (scene, _policies) = guarded();
    let image = scene.image("fleet-org/agent-router", "one");
    sign(&scene, "fleet-org/agent-router", false, &image);
    let (reference, digest) = image.split_once('@').unwrap();
    let response = review(&scene, "/mutations", &pod(&format!("{reference}:latest")));
    assert_eq!(response["allowed"], true, "{response}");
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let patch = STANDARD
        .decode(response["patch"].as_str().expect("a patch"))
        .unwrap();
    assert!(String::from_utf8(patch).unwrap().contains(digest));
}

#[test]
fn an_image_that_is_not_there_is_denied() {
    let (scene, _policies) = guarded();
    let zeros = format!(
        "{}/fleet-org/app@sha256:{}",
        scene.siglab.registry(),
        "0".repeat(64)
    );
    let response = review(&scene, "/validations", &pod(&zeros));
    assert_eq!(response["allowed"], false, "{response}");
}
