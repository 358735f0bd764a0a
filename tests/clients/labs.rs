//! An exercise by a student's own tools: the commands of its text, with cosign.

use tests::{Outcome, Sandbox, Siglab, siglab};

use crate::scene::Scene;

const POLICY: &str = "siglab-lab/policies/fleet-org.yaml";

/// A lab whose webhook reads the student's folder.
fn room() -> Scene {
    let home = Sandbox::new();
    let policies = home.dir().join("siglab-lab/policies");
    let set = format!("admission.policies={}", policies.display());
    let siglab = Siglab::start_with(&["--set", &set]);
    Scene { siglab, home }
}

fn lab(scene: &Scene, arguments: &[&str]) -> Outcome {
    let admin = scene.siglab.admin();
    let common = ["lab", "--lab", &admin];
    scene
        .home
        .run(&siglab(), &[&common[..], arguments].concat())
}

/// The exercise about tags, with the policy that solves its first task.
fn at_the_second_task() -> Scene {
    let scene = room();
    let _ = lab(&scene, &["start", "9"]).succeeds();
    let policy = String::from_utf8(scene.home.read(POLICY)).expect("text");
    let main = "subject: https://github.com/fleet-org/agent-router/.github/workflows/release.yml@refs/heads/main";
    assert!(policy.contains(main), "{policy}");
    let issuer = format!("{}/github-actions", scene.issuer());
    let tags = format!(
        "{main}\n      - issuer: {issuer}\n        subjectRegExp: \
         ^https://github\\.com/fleet-org/agent-router/\\.github/workflows/release\\.yml@refs/tags/v\\d+\\.\\d+\\.\\d+$"
    );
    scene.home.write(POLICY, policy.replace(main, &tags));
    let _ = lab(&scene, &["check", "9", "--task", "1"]).succeeds();
    let _ = scene.initialize("cosign").succeeds();
    scene
}

/// `cosign sign --identity-token=$OIDC_TOKEN $IMAGE_DIGEST`.
fn sign(scene: &Scene, claims: &str) {
    let text = String::from_utf8(scene.home.read("siglab-lab/09-branch-or-tag/exercise.md"));
    let text = text.expect("text");
    let mut lines = text.lines();
    let image = lines.find_map(|line| line.strip_prefix("IMAGE_DIGEST="));
    let token = scene.token_with(&format!("preset=github-actions&{claims}"));
    let image = image.expect("the text names the image");
    let _ = scene
        .run(
            "cosign",
            &["sign", "--yes", "--identity-token", &token, image],
        )
        .succeeds();
}

#[test]
fn a_release_that_cosign_signed_on_its_tag_solves_the_exercise() {
    let scene = at_the_second_task();
    lab(&scene, &["check", "9"]).fails_with("nobody has signed this digest yet");
    sign(
        &scene,
        "repository=fleet-org/agent-router&ref=refs/tags/v1.3.0",
    );
    let _ = lab(&scene, &["check", "9"])
        .succeeds()
        .says("11 of 11 points");
}

#[test]
fn a_release_that_cosign_signed_on_a_branch_does_not() {
    let scene = at_the_second_task();
    sign(
        &scene,
        "repository=fleet-org/agent-router&ref=refs/heads/next",
    );
    lab(&scene, &["check", "9"]).fails_with("ref must be refs/tags/v1.3.0");
}

#[test]
fn cosign_sees_the_signatures_that_the_story_tells_of() {
    let scene = room();
    let _ = lab(&scene, &["start", "3"]).succeeds();
    let text = scene
        .home
        .read("siglab-lab/03-expected-and-observed/exercise.md");
    let text = String::from_utf8(text).expect("text");
    let mut lines = text.lines();
    let image = lines.find_map(|line| line.strip_prefix("cosign tree "));
    let tree = scene.run(
        "cosign",
        &["tree", image.expect("the text has the command")],
    );
    let _ = tree
        .succeeds()
        .says("https://sigstore.dev/cosign/sign/v1 artifacts via OCI referrer");
}
