//! Which images of an object are decided.

use crate::support::Webhook;
use crate::support::pod_request;
use crate::support::policy;
use admission::Config;
use serde_json::Value;
use serde_json::json;

fn deployment(image: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"image": image}]}}},
    })
}

#[tokio::test]
async fn an_image_that_changes_in_a_scale_down_is_checked() {
    let spec = json!({
        "images": [{"glob": "**"}], "authorities": [{"static": {"action": "fail"}}],
    });
    let webhook = Webhook::open(&[policy("p", &spec)], Config::default()).await;
    let image = |name: &str| format!("r.example/{name}@sha256:{}", "a".repeat(64));
    let update = |new: Value, old: Value| {
        json!({
            "uid": "u", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "operation": "UPDATE", "object": new, "oldObject": old,
        })
    };
    let allowed =
        async |request: Value| webhook.review("/validations", request).await["allowed"] == true;
    let old = deployment(&image("a"), 3);
    assert!(allowed(update(deployment(&image("a"), 1), old.clone())).await);
    assert!(!allowed(update(deployment(&image("evil"), 1), old.clone())).await);
    assert!(!allowed(update(deployment(&image("a"), 4), old)).await);
    assert!(!allowed(update(deployment(&image("a"), 1), Value::Null)).await);
}

#[tokio::test]
async fn every_image_of_a_pod_is_decided_and_equal_findings_are_merged() {
    let spec = json!({
        "images": [{"glob": "**"}], "authorities": [{"static": {"action": "fail"}}],
    });
    let webhook = Webhook::open(&[policy("sf", &spec)], Config::default()).await;
    let image = format!("r.example/app@sha256:{}", "a".repeat(64));
    let container = json!({"name": "c", "image": image});
    let mut request = pod_request(&image);
    request["object"]["spec"] = json!({
        "containers": [container, container], "initContainers": [container],
        "volumes": [{"name": "v", "image": {"reference": "r.example/other:tag"}}, {"name": "w"}],
    });
    let response = webhook.review("/validations", request).await;
    assert_eq!(
        response["status"]["message"],
        format!(
            "validation failed: failed policy: sf: spec.containers[0].image, \
             spec.containers[1].image, spec.initContainers[0].image\n{image} disallowed by static \
             policy: \ninvalid value: r.example/other:tag must be an image digest: spec.volumes[0].image"
        )
    );
}
