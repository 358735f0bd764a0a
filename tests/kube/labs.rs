//! The exercises of `siglab lab` in a real cluster: policies and registrations through kubectl, grades from
//! what the API server and the controllers do.

use std::path::PathBuf;

use tests::{Outcome, Sandbox, siglab};

use crate::world::{Kubectl, World, eventually};

/// Who works through the exercises.
struct Student<'a> {
    world: &'a World,
    home: Sandbox,
}

impl Student<'_> {
    fn lab(&self, arguments: &[&str]) -> Outcome {
        let admin = self.world.siglab.admin();
        let common = ["lab", "--lab", &admin];
        self.home.run(&siglab(), &[&common[..], arguments].concat())
    }

    fn start(&self, number: &str) {
        let kubeconfig = self.world.cluster.path("administrator.yaml");
        let kubeconfig = kubeconfig.display().to_string();
        let _ = self
            .lab(&["start", number, "--kubeconfig", &kubeconfig])
            .succeeds();
    }

    fn folder(&self, exercise: &str) -> PathBuf {
        self.home.dir().join("siglab-lab").join(exercise)
    }
}

fn world() -> World {
    let world = World::start(&[], &[]);
    let kubectl = Kubectl::new(&world.cluster);
    for namespace in ["default", "kube-system", "cosign-system"] {
        kubectl.account(namespace);
    }
    world
}

#[test]
fn the_scenario_is_graded_by_what_the_cluster_does() {
    let world = world();
    let kubectl = Kubectl::new(&world.cluster);
    let student = Student {
        world: &world,
        home: Sandbox::new(),
    };
    let before = kubectl.get(&["validatingwebhookconfiguration", "policy.sigstore.dev"]);
    student.start("1");
    let folder = student.folder("01-second-policy");
    let deployment = folder.join("audit-collector-deployment.yaml");
    let deployment = deployment.display().to_string();
    let created = kubectl
        .run(&["apply", "--filename", &deployment])
        .succeeds();
    let _ = created.says("deployment.apps/audit-collector created");
    let event = eventually("an event names the denial", || {
        let events = ["events", "--field-selector", "reason=FailedCreate"];
        let events = kubectl.get(&[&events[..], &["--namespace", "default"]].concat());
        events["items"].as_array()?.first().cloned()
    });
    let text = event["message"].as_str().expect("a message");
    let denied = "admission webhook \"policy.sigstore.dev\" denied the request: validation failed: \
                  failed policy: fleet-org-must-be-signed";
    assert!(text.contains(denied), "{text}");
    student.lab(&["check", "1"]).fails_with(denied);

    // The log is where the two identities stand side by side.
    let subject = |repository: &str| {
        format!("https://github.com/{repository}/.github/workflows/release.yml@refs/heads/main")
    };
    let (expected, observed) = (
        subject("fleet-org/agent-router"),
        subject("fleet-org/audit-collector"),
    );
    let log = world.siglab.log();
    let both = |line: &str| line.contains(&expected) && line.contains(&observed);
    assert!(log.lines().any(both), "{log}");

    // A policy as wide as the first is one team too many.
    let wide = ["solve", "1", "--wrong", "all-of-the-organisation"];
    let _ = student.lab(&wide).succeeds();
    student
        .lab(&["check", "1"])
        .fails_with("must name the team's own images only");
    let _ = student.lab(&["solve", "1"]).succeeds();
    let restart = ["rollout", "restart", "deployment/audit-collector"];
    let _ = kubectl.run(&restart).succeeds();
    let passed = eventually("the Deployment has its Pod", || {
        let outcome = student.lab(&["check", "1"]);
        outcome.is_success().then_some(outcome)
    });
    let _ = passed.says("12 of 12 points");

    let _ = student.lab(&["reset", "1"]).succeeds();
    let policies = kubectl.get(&["clusterimagepolicies"]);
    assert_eq!(policies["items"].as_array().map(Vec::len), Some(0));
    let after = kubectl.get(&["validatingwebhookconfiguration", "policy.sigstore.dev"]);
    assert_eq!(after["webhooks"], before["webhooks"]);
}

#[test]
fn the_door_is_opened_and_closed_with_kubectl() {
    let world = world();
    let kubectl = Kubectl::new(&world.cluster);
    let student = Student {
        world: &world,
        home: Sandbox::new(),
    };
    let patch = |kind: &str, pointer: &str, value: &str| {
        let kind = format!("{kind}webhookconfiguration");
        let patch = format!(r#"[{{"op": "replace", "path": "{pointer}", "value": "{value}"}}]"#);
        let name = "policy.sigstore.dev";
        let patch = ["patch", &kind, name, "--type=json", "--patch", &patch];
        let _ = kubectl.run(&patch).succeeds();
    };
    let (policy, url) = ("/webhooks/0/failurePolicy", "/webhooks/0/clientConfig/url");
    student.start("5");
    patch("validating", policy, "Ignore");
    let half = "the mutating registration policy.sigstore.dev is asked first";
    student.lab(&["check", "5", "--task", "1"]).fails_with(half);
    patch("mutating", policy, "Ignore");
    let debug = student.folder("05-webhook-down").join("pods/debug.yaml");
    eventually("the people on call get their Pod", || {
        let create = ["create", "--filename", &debug.display().to_string()];
        kubectl.run(&create).is_success().then_some(())
    });
    let _ = student.lab(&["check", "5", "--task", "1"]).succeeds();

    let webhook = world.siglab.url("admission", "https");
    patch("mutating", url, &format!("{webhook}/mutations"));
    patch("validating", url, &format!("{webhook}/validations"));
    let open = "failurePolicy must be Fail again";
    student.lab(&["check", "5"]).fails_with(open);
    patch("mutating", policy, "Fail");
    patch("validating", policy, "Fail");
    let passed = eventually("enforcement is back", || {
        let outcome = student.lab(&["check", "5"]);
        outcome.is_success().then_some(outcome)
    });
    let _ = passed.says("12 of 12 points");
    let _ = student.lab(&["reset", "5"]).succeeds();
    let pods = kubectl.get(&["pods", "--namespace", "default"]);
    assert_eq!(pods["items"].as_array().map(Vec::len), Some(0));
}

#[test]
fn every_other_exercise_begins_unsolved_and_ends_solved_in_a_cluster() {
    let world = world();
    let student = Student {
        world: &world,
        home: Sandbox::new(),
    };
    for number in 2..=10 {
        let number = number.to_string();
        student.start(&number);
        student.lab(&["check", &number]).fails_with("hint");
        let _ = student.lab(&["solve", &number]).succeeds();
        let checked = eventually("the solution is in force", || {
            let outcome = student.lab(&["check", &number]);
            outcome.is_success().then_some(outcome)
        });
        let _ = checked.says("points");
        let _ = student.lab(&["reset", &number]).succeeds();
    }
}

#[test]
fn a_cluster_that_asks_another_webhook_is_refused() {
    let world = world();
    let other = tests::Siglab::start();
    let home = Sandbox::new();
    let kubeconfig = world.cluster.path("administrator.yaml");
    let (admin, kubeconfig) = (other.admin(), kubeconfig.display().to_string());
    let start = [
        "lab",
        "--lab",
        &admin,
        "start",
        "2",
        "--kubeconfig",
        &kubeconfig,
    ];
    home.run(&siglab(), &start)
        .fails_with("does not follow this cluster");
    let kubectl = Kubectl::new(&world.cluster);
    let policies = kubectl.get(&["clusterimagepolicies"]);
    assert_eq!(policies["items"].as_array().map(Vec::len), Some(0));
}
