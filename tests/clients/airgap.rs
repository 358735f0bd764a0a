//! From one lab into another that never meets it: the signatures still decide.

use serde_json::{Value, json};
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

/// Puts a file into force among the webhook's policies.
fn put_policy(scene: &Scene, policies: &Sandbox, name: &str, text: &str) {
    policies.write(name, text.replace("REGISTRY", &scene.siglab.registry()));
    let reload = format!("{}/admission/policies/reload", scene.siglab.admin());
    let _ = scene
        .run("curl", &["--fail", "--request", "POST", &reload])
        .succeeds();
}

/// Whether each of [`IMAGES`] is admitted, and why not.
fn decisions(scene: &Scene, digests: &[String]) -> Vec<(bool, String)> {
    let images = IMAGES.iter().zip(digests);
    images
        .map(|((name, _), digest)| {
            let image = format!("{}/{name}@{digest}", scene.siglab.registry());
            let response = review(scene, "/validations", &pod(&image));
            (response["allowed"] == true, message(&response))
        })
        .collect()
}

/// The two of the policy's workflow are admitted, in either form; the others are denied for their own
/// reasons.
fn decided_as_where_they_were_signed(scene: &Scene, digests: &[String]) {
    let decisions = decisions(scene, digests);
    let allowed: Vec<_> = decisions.iter().map(|(allowed, _)| *allowed).collect();
    assert_eq!(allowed, [true, true, false, false], "{decisions:#?}");
    let stranger = &decisions[2].1;
    assert!(
        stranger.contains("none of the expected identities matched"),
        "{stranger}"
    );
    let unsigned = &decisions[3].1;
    assert!(unsigned.contains("no signatures found"), "{unsigned}");
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
    put_policy(&scene, &policies, "policy.yaml", &policy);

    let import = ["import", "lab.tar", "--trust-dir", "trust"];
    let _ = run(&scene.home, &scene.siglab, &import)
        .succeeds()
        .says("0 were there");
    let again = run(&scene.home, &scene.siglab, &import).succeeds();
    let _ = again.says("0 blobs pushed").says("0 manifests pushed");
    let written = scene.home.read("trust/trusted_root.json");
    assert_eq!(written, scene.home.read("siglab/trusted_root.json"));

    decided_as_where_they_were_signed(&scene, &digests);
    verified_by_others(&scene, &digests);
}

/// cosign, which has nothing of the first lab but its trusted root, agrees.
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
fn a_policy_names_the_trust_that_came_with_the_images_beside_the_labs_own() {
    let mut home = Sandbox::new();
    let (policy, digests) = first_lab(&mut home);
    let policies = Sandbox::new();
    let set = format!("admission.policies={}", policies.dir().display());
    let siglab = Siglab::start_with(&["--set", &set]);
    let scene = Scene { siglab, home };
    put_policy(&scene, &policies, "policy.yaml", &policy);
    let import = ["import", "lab.tar", "--trust-dir", "trust"];
    let _ = run(&scene.home, &scene.siglab, &import).succeeds();
    let untrusted = decisions(&scene, &digests);
    assert!(
        untrusted.iter().all(|(allowed, _)| !allowed),
        "{untrusted:#?}"
    );

    let mut policy: Value = serde_json::from_str(&policy).expect("it is JSON");
    let authority = &mut policy["spec"]["authorities"][0];
    authority["keyless"]["trustRootRef"] = json!("imported");
    authority["ctlog"]["trustRootRef"] = json!("imported");
    let trust = String::from_utf8(scene.home.read("trust/trust-root.yaml")).expect("text");
    put_policy(&scene, &policies, "imported.yaml", &trust);
    put_policy(&scene, &policies, "policy.yaml", &policy.to_string());
    decided_as_where_they_were_signed(&scene, &digests);
}
