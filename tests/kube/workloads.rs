//! Every kind that makes Pods is asked about by itself.

use serde_json::{Value, json};

use crate::world::Corner;

fn object(kind: &str, image: &str) -> Value {
    let labels = json!({"app": "app"});
    let template = json!({
        "metadata": {"labels": labels},
        "spec": {"containers": [{"name": "app", "image": image}]},
    });
    let mut job = template.clone();
    job["spec"]["restartPolicy"] = json!("Never");
    let selected = json!({"selector": {"matchLabels": labels}, "template": template});
    let (api, spec) = match kind {
        "Job" => ("batch/v1", json!({"template": job})),
        "CronJob" => (
            "batch/v1",
            json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": job}}}),
        ),
        "StatefulSet" => {
            let mut spec = selected;
            spec["serviceName"] = json!("app");
            ("apps/v1", spec)
        }
        _ => ("apps/v1", selected),
    };
    json!({
        "apiVersion": api, "kind": kind,
        "metadata": {"name": "app", "namespace": "workloads"}, "spec": spec,
    })
}

#[test]
fn each_kind_is_denied_by_the_path_of_its_template() {
    let corner = Corner::new("workloads");
    let spec = json!({
        "images": [{"glob": corner.glob()}], "authorities": [corner.authority("app")],
    });
    corner.policy("workloads", &spec);
    let unsigned = corner.image("other");
    let signed = corner.signed("app");
    let kinds = [
        "Deployment",
        "ReplicaSet",
        "StatefulSet",
        "DaemonSet",
        "Job",
        "CronJob",
    ];
    for kind in kinds {
        let path = match kind {
            "CronJob" => "spec.jobTemplate.spec.template.spec.containers[0].image",
            _ => "spec.template.spec.containers[0].image",
        };
        let denied = format!("failed policy: workloads: {path}");
        corner
            .kubectl
            .apply(&object(kind, &unsigned).to_string())
            .fails_with(&denied);
        let _ = corner
            .kubectl
            .apply(&object(kind, &signed).to_string())
            .succeeds();
    }
}

#[test]
fn an_ephemeral_container_and_a_changed_image_are_checked() {
    let corner = Corner::new("changes");
    let spec = json!({
        "images": [{"glob": corner.glob()}], "authorities": [corner.authority("app")],
    });
    corner.policy("changes", &spec);
    let unsigned = corner.image("other");
    let signed = corner.signed("app");
    let _ = corner.pod("app", &signed).succeeds();
    let debug = |image: &str| {
        let patch = json!({
            "spec": {"ephemeralContainers": [{"name": "debug", "image": image}]},
        });
        let patch = patch.to_string();
        let sub = "--subresource=ephemeralcontainers";
        let flags = [
            "patch",
            "pod",
            "app",
            sub,
            "--patch",
            &patch,
            "--namespace",
            "changes",
        ];
        corner.kubectl.run(&flags)
    };
    debug(&unsigned).fails_with("failed policy: changes: spec.ephemeralContainers[0].image");
    let _ = debug(&signed).succeeds();

    let image = format!("app={unsigned}");
    let set = ["set", "image", "pod/app", &image, "--namespace", "changes"];
    corner
        .kubectl
        .run(&set)
        .fails_with("failed policy: changes: spec.containers[0].image");
    let label = [
        "label",
        "pod",
        "app",
        "checked=yes",
        "--namespace",
        "changes",
    ];
    let _ = corner.kubectl.run(&label).succeeds();
    let delete = [
        "delete",
        "pod",
        "app",
        "--now",
        "--wait=false",
        "--namespace",
        "changes",
    ];
    let _ = corner.kubectl.run(&delete).succeeds();
}
