//! gitsign: a commit signed without a key.

use tests::{Client, Outcome, client};

use crate::scene::{EMAIL, Scene};

fn git(scene: &Scene, arguments: &[&str]) -> Outcome {
    let git = Client {
        name: "git".to_owned(),
        program: "git".into(),
        variables: Vec::new(),
    };
    scene.home.run(&git, arguments)
}

/// A repository with one file that is not committed yet, whose commits gitsign signs by the scene's lab.
fn repository() -> Scene {
    let mut scene = Scene::new();
    let variables = [
        ("GITSIGN_FULCIO_URL", scene.siglab.url("fulcio", "http")),
        ("GITSIGN_REKOR_URL", scene.siglab.url("rekor", "v1")),
        ("GITSIGN_OIDC_ISSUER", scene.issuer()),
        ("GITSIGN_FULCIO_ROOT", scene.siglab.file("fulcio-chain.pem")),
        ("SIGSTORE_ROOT_FILE", scene.siglab.file("fulcio-chain.pem")),
        ("SIGSTORE_REKOR_PUBLIC_KEY", scene.siglab.file("rekor.pub")),
        (
            "SIGSTORE_CT_LOG_PUBLIC_KEY_FILE",
            scene.siglab.file("ctlog.pub"),
        ),
        ("SIGSTORE_ID_TOKEN", scene.token()),
        ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
    ];
    for (name, value) in variables {
        scene.home.set(name, value);
    }
    // Its verification takes the trusted root, its signing only keys in files.
    let _ = scene.initialize("gitsign").succeeds();
    let _ = git(&scene, &["init", "--quiet"]).succeeds();
    let program = client("gitsign").program.display().to_string();
    for (key, value) in [
        ("user.name", "Alice"),
        ("user.email", EMAIL),
        ("commit.gpgsign", "true"),
        ("gpg.format", "x509"),
        ("gpg.x509.program", &program),
    ] {
        let _ = git(&scene, &["config", key, value]).succeeds();
    }
    scene.home.write("file.txt", "hello\n");
    let _ = git(&scene, &["add", "file.txt"]).succeeds();
    scene
}

#[test]
fn a_commit_is_signed_and_verified() {
    let scene = repository();
    let _ = git(&scene, &["commit", "--quiet", "--message", "one"]).succeeds();
    let verify = |identity: &str, issuer: &str| {
        let identity = format!("--certificate-identity={identity}");
        let issuer = format!("--certificate-oidc-issuer={issuer}");
        scene.run("gitsign", &["verify", &identity, &issuer, "HEAD"])
    };
    let verified = verify(EMAIL, &scene.issuer()).succeeds();
    let _ = verified
        .says("Validated Rekor entry: true")
        .says("Validated Certificate claims: true");
    let nobody = "none of the expected identities matched";
    verify("mallory@lab.example", &scene.issuer()).fails_with(nobody);
    verify(EMAIL, "http://localhost:1").fails_with(nobody);

    // The same signature over another commit.
    let raw = git(&scene, &["cat-file", "commit", "HEAD"])
        .succeeds()
        .text();
    scene
        .home
        .write("commit", raw.replace("\n\none\n", "\n\ntwo\n"));
    let forged = git(&scene, &["hash-object", "-t", "commit", "-w", "commit"])
        .succeeds()
        .text();
    let _ = git(&scene, &["reset", "--quiet", forged.trim()]).succeeds();
    assert!(
        !verify(EMAIL, &scene.issuer()).is_success(),
        "a changed commit verified"
    );
}
