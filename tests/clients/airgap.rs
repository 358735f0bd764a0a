//! From one lab into another that never meets it: the signatures still decide.

use serde_json::json;
use tests::{Client, Outcome, Sandbox, Siglab, siglab};

use crate::{
    admission::{message, pod, policy, review, sign},
    scene::{Scene, split},
};

/// Runs the program in `home` against a lab.
fn run(home: &Sandbox, lab: &Siglab, arguments: &[&str]) -> Outcome {
    let admin = lab.admin();
    home.run(&siglab(), &[&["--lab", &admin], arguments].concat())
}

/// A file of the archive, unpacked by tar.
fn unpack(home: &Sandbox, archive: &str, name: &str) -> String {
    let tar = Client {
        name: "tar".to_owned(),
        program: "tar".into(),
        variables: Vec::new(),
    };
    let flags = ["--extract", "--file", archive, name];
    let _ = home.run(&tar, &flags).succeeds();
    home.dir().join(name).display().to_string()
}

/// Images of the first lab by their names without its registry, and how they are signed there.
const IMAGES: [(&str, Option<bool>); 4] = [
    ("fleet-org/agent-router", Some(false)),
    ("fleet-org/with-a-tag", Some(true)),
    ("fleet-org/somebody-elses", Some(false)),
    ("fleet-org/unsigned", None),
];

/// Signs and exports in a lab that is gone afterwards: its policy, and the digests of [`IMAGES`].
fn first_lab(home: &mut Sandbox) -> (String, Vec<String>) {
    let scene = Scene {
        siglab: Siglab::start(),
        home: std::mem::take(home),
    };
    let _ = scene.initialize("cosign").succeeds();
    let mut images = Vec::new();
    for (name, legacy) in IMAGES {
        let image = scene.image(name, name);
        if let Some(legacy) = legacy {
            let workflow = match name {
                "fleet-org/somebody-elses" => "mallory-org/app",
                _ => "fleet-org/agent-router",
            };
            sign(&scene, workflow, legacy, &image);
        }
        images.push(image);
    }
    let tags = IMAGES.map(|(name, _)| format!("{}/{name}:latest", scene.siglab.registry()));
    let mut export = vec!["export", "--output", "lab.tar"];
    export.extend(tags.iter().map(String::as_str));
    let exported = run(&scene.home, &scene.siglab, &export).succeeds();
    let _ = exported
        .says("1 signatures")
        .says("in the other room: siglab import lab.tar");
    let digests = images
        .iter()
        .map(|image| split(image).1.to_owned())
        .collect();
    // The webhook of the other lab must not find the first one's, so the policy is for its registry.
    let policy = policy(&scene.siglab).replace(&scene.siglab.registry(), "REGISTRY");
    *home = scene.home;
    (policy, digests)
}

#[test]
fn a_policy_decides_alike_in_a_lab_that_never_met_the_one_that_signed() {
    let mut home = Sandbox::new();
    let (policy, digests) = first_lab(&mut home);
    let root = unpack(&home, "lab.tar", "siglab/trusted_root.json");
    let policies = Sandbox::new();
    let settings = [
        format!("admission.policies={}", policies.dir().display()),
        format!("admission.trusted-root={root}"),
    ];
    let siglab = Siglab::start_with(&["--set", &settings[0], "--set", &settings[1]]);
    let scene = Scene { siglab, home };
    policies.write(
        "policy.yaml",
        policy.replace("REGISTRY", &scene.siglab.registry()),
    );
    let reload = format!("{}/admission/policies/reload", scene.siglab.admin());
    let _ = scene
        .run("curl", &["--fail", "--request", "POST", &reload])
        .succeeds();

    let import = ["import", "lab.tar", "--trust-dir", "trust"];
    let _ = run(&scene.home, &scene.siglab, &import)
        .succeeds()
        .says("0 were there");
    let again = run(&scene.home, &scene.siglab, &import).succeeds();
    let _ = again.says("0 blobs pushed").says("0 manifests pushed");
    let written = scene.home.read("trust/trusted_root.json");
    assert_eq!(written, scene.home.read("siglab/trusted_root.json"));

    let mut decisions = Vec::new();
    for ((name, _), digest) in IMAGES.iter().zip(&digests) {
        let image = format!("{}/{name}@{digest}", scene.siglab.registry());
        let response = review(&scene, "/validations", &pod(&image));
        decisions.push((*name, response["allowed"] == true, message(&response)));
    }
    let allowed: Vec<_> = decisions.iter().map(|(_, allowed, _)| *allowed).collect();
    assert_eq!(allowed, [true, true, false, false], "{decisions:#?}");
    assert!(
        decisions[2]
            .2
            .contains("none of the expected identities matched"),
        "{decisions:#?}"
    );
    assert!(
        decisions[3].2.contains("no signatures found"),
        "{decisions:#?}"
    );
    verified_by_others(&scene, &digests);
}

/// cosign and sigstore's tools, which have nothing of the first lab but its trusted root, agree.
fn verified_by_others(scene: &Scene, digests: &[String]) {
    let trust = "--trusted-root=trust/trusted_root.json";
    let regexp = "--certificate-identity-regexp=^https://github.com/fleet-org/";
    let issuer = "--certificate-oidc-issuer-regexp=/github-actions$";
    for ((name, legacy), digest) in IMAGES.iter().zip(digests) {
        let image = format!("{}/{name}@{digest}", scene.siglab.registry());
        let mut verify = vec!["verify", trust, regexp, issuer];
        if *legacy == Some(true) {
            verify.push("--new-bundle-format=false");
        }
        verify.push(&image);
        let is_ours = matches!(*name, "fleet-org/agent-router" | "fleet-org/with-a-tag");
        let verified = scene.run("cosign", &verify);
        assert_eq!(verified.is_success(), is_ours, "{name}: {}", verified.all());
    }
}

#[test]
fn the_trust_of_the_lab_that_signed_is_what_admits() {
    let mut home = Sandbox::new();
    let (policy, digests) = first_lab(&mut home);
    let policies = Sandbox::new();
    let set = format!("admission.policies={}", policies.dir().display());
    let siglab = Siglab::start_with(&["--set", &set]);
    let scene = Scene { siglab, home };
    policies.write(
        "policy.yaml",
        policy.replace("REGISTRY", &scene.siglab.registry()),
    );
    let reload = format!("{}/admission/policies/reload", scene.siglab.admin());
    let _ = scene
        .run("curl", &["--fail", "--request", "POST", &reload])
        .succeeds();
    let _ = run(&scene.home, &scene.siglab, &["import", "lab.tar"]).succeeds();
    for ((name, _), digest) in IMAGES.iter().zip(&digests) {
        let image = format!("{}/{name}@{digest}", scene.siglab.registry());
        let response = review(&scene, "/validations", &pod(&image));
        assert_eq!(response["allowed"], json!(false), "{name}: {response}");
    }
}
