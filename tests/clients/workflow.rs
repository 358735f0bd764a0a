//! Workflow identities: what cosign and sigstore-python read from the certificate's extensions.

use crate::scene::Scene;

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";
const SUBJECT: &str =
    "https://github.com/fleet-org/agent-router/.github/workflows/release.yml@refs/tags/v1.2.0";

/// A token of a GitHub workflow, run for a tag.
fn token(scene: &Scene) -> String {
    scene.token_with(&format!(
        "preset=github-actions&repository=fleet-org/agent-router&ref=refs/tags/v1.2.0&sha={SHA}"
    ))
}

#[test]
fn cosign_reads_the_workflow_from_the_certificate() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let token = token(&scene);
    scene.sign_by(&token, &[], &image);
    let issuer = format!("{}/github-actions", scene.issuer());
    let claims = [
        ("repository", "fleet-org/agent-router"),
        ("ref", "refs/tags/v1.2.0"),
        ("sha", SHA),
        ("trigger", "push"),
        ("name", "release"),
    ];
    let verify = |claims: &[String]| {
        let claims: Vec<_> = claims.iter().map(String::as_str).collect();
        scene.verify_by(&image, (SUBJECT, &issuer), &claims)
    };
    let flag = |name: &str, value: &str| format!("--certificate-github-workflow-{name}={value}");
    let all: Vec<_> = claims
        .iter()
        .map(|(name, value)| flag(name, value))
        .collect();
    let _ = verify(&all).succeeds();
    for (name, _) in claims {
        let refused = verify(&[flag(name, "another")]);
        assert!(!refused.is_success(), "another workflow {name} verified");
    }
}

#[test]
fn sigstore_python_verifies_a_github_workflow() {
    let scene = Scene::new();
    let config = scene.siglab.file("trust_config.json");
    scene.home.write("file.txt", "hello\n");
    let token = token(&scene);
    let trust = ["--trust-config", &config];
    scene.sign_file(&trust, &token, "file.txt");
    let issuer = format!("{}/github-actions", scene.issuer());
    let verified = scene.verify_file(&trust, (SUBJECT, &issuer), &[], "file.txt");
    let _ = verified.succeeds();
    // The command for GitHub knows only the public issuer.
    let github = ["verify", "github", "--cert-identity", SUBJECT];
    let github = [&trust[..], &github, &["--sha", SHA, "file.txt"]].concat();
    scene
        .run("sigstore", &github)
        .fails_with("token.actions.githubusercontent.com");
}

#[test]
fn gitlab_kubernetes_and_spiffe_identities_sign() {
    let scene = Scene::initialized();
    for (preset, identity) in [
        ("gitlab", "^https://gitlab"),
        ("kubernetes", "^https://kubernetes.io/namespaces/"),
        ("spiffe", "^spiffe://"),
        ("buildkite", "^https://buildkite.com/"),
    ] {
        let image = scene.image(&format!("by-{preset}"), preset);
        let token = scene.token_with(&format!("preset={preset}"));
        scene.sign_by(&token, &[], &image);
        let identity = format!("--certificate-identity-regexp={identity}");
        let issuer = format!("--certificate-oidc-issuer={}/{preset}", scene.issuer());
        let _ = scene
            .run("cosign", &["verify", &identity, &issuer, &image])
            .succeeds();
    }
}
