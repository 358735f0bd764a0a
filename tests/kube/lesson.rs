//! The lesson's scenario with kubectl, its policy verbatim but for hosts: a webhook that is asked about Pods,
//! and of which one passing policy is enough.

use serde_json::{Value, json};

use crate::world::{Author, Kubectl, World, eventually, github, in_force};

const SUBJECT: &str = "/.github/workflows/release.yml@refs/heads/main";

/// The lesson's policy for images that match `glob`, signed by the release workflow of `repository`.
fn policy(world: &World, name: &str, glob: &str, repository: &str) -> String {
    format!(
        r#"apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata:
  name: {name}
spec:
  images:
  - glob: "{registry}/{glob}"
  authorities:
  - name: fleet-org-actions
    keyless:
      url: {fulcio}
      identities:
      - issuer: {issuer}
        subject: https://github.com/{repository}{SUBJECT}
    ctlog:
      url: {rekor}
"#,
        registry = world.siglab.registry(),
        fulcio = world.siglab.url("fulcio", "http"),
        issuer = github(&world.siglab),
        rekor = world.siglab.url("rekor", "v1"),
    )
}

fn deployment(image: &str) -> String {
    let labels = json!({"app": "audit-collector"});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "audit-collector", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "collector", "image": image}]},
            },
        },
    })
    .to_string()
}

/// The text of a condition that says Pods cannot be made.
fn failure(kubectl: &Kubectl, kind: &str) -> Option<String> {
    let list = kubectl.get(&[kind, "--namespace", "default"]);
    let mut conditions = list["items"]
        .as_array()?
        .iter()
        .filter_map(|object| object["status"]["conditions"].as_array())
        .flatten();
    let failed = conditions.find(|condition| condition["type"] == "ReplicaFailure")?;
    failed["message"].as_str().map(str::to_owned)
}

#[test]
fn a_deployment_is_created_and_its_pods_denied_until_a_second_policy_names_the_team() {
    let settings = ["admission.policy_combination=any"];
    let world = World::start(&["--pods-only", "--no-match-policy=allow"], &settings);
    let kubectl = Kubectl::new(&world.cluster);
    kubectl.account("default");
    let author = Author::new(&world.siglab);
    let apply = |name: &str, glob: &str, repository: &str| {
        let _ = kubectl
            .apply(&policy(&world, name, glob, repository))
            .succeeds();
        in_force(&world, &author.home, name);
    };
    apply(
        "fleet-org-must-be-signed",
        "fleet-org/*",
        "fleet-org/agent-router",
    );

    let digest = author.image(&world.siglab, "fleet-org/audit-collector");
    author.sign(
        &world.siglab,
        &digest,
        "repository=fleet-org/audit-collector",
    );
    let tag = format!(
        "{}/fleet-org/audit-collector:v0.3.1",
        world.siglab.registry()
    );
    let created = kubectl.apply(&deployment(&tag)).succeeds();
    let _ = created.says("deployment.apps/audit-collector created");

    let denied = "admission webhook \"policy.sigstore.dev\" denied the request: validation failed: \
                  failed policy: fleet-org-must-be-signed: spec.containers[0].image";
    for kind in ["replicaset", "deployment"] {
        let text = eventually("a condition names the denial", || failure(&kubectl, kind));
        assert!(text.contains(denied), "{kind}: {text}");
    }
    let failed = [
        "events",
        "--field-selector",
        "reason=FailedCreate",
        "--namespace",
        "default",
    ];
    let event = eventually("an event names the denial", || {
        let events = kubectl.get(&failed);
        events["items"].as_array()?.first().cloned()
    });
    assert_eq!(event["involvedObject"]["kind"], "ReplicaSet");
    let text = event["message"].as_str().expect("a message");
    assert!(text.contains(denied), "{text}");
    assert!(
        text.contains("none of the expected identities matched"),
        "{text}"
    );

    // The log is where the two subjects stand side by side.
    let log = world.siglab.log();
    let both = |line: &&str| {
        line.contains(&format!("fleet-org/agent-router{SUBJECT}"))
            && line.contains(&format!("fleet-org/audit-collector{SUBJECT}"))
    };
    assert!(log.lines().any(|line| both(&line)), "{log}");

    apply(
        "audit-collector",
        "fleet-org/audit-collector*",
        "fleet-org/audit-collector",
    );
    let restart = [
        "rollout",
        "restart",
        "deployment/audit-collector",
        "--namespace",
        "default",
    ];
    let _ = kubectl.run(&restart).succeeds();
    let pod = eventually("the Deployment has its Pod", || {
        let pods = kubectl.get(&["pods", "--namespace", "default"]);
        pods["items"].as_array()?.first().cloned()
    });
    // What runs is what was verified.
    let (_, digest) = digest.split_once('@').expect("a digest");
    let image: &Value = &pod["spec"]["containers"][0]["image"];
    assert_eq!(*image, format!("{tag}@{digest}"));
}
