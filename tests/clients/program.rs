//! The program itself, used as its README says; what it signs is judged by others.

use tests::{Client, Outcome, Sandbox, siglab};

use crate::scene::{EMAIL, Scene};

/// Runs the program against the scene's lab.
fn run(scene: &Scene, arguments: &[&str]) -> Outcome {
    let admin = scene.siglab.admin();
    scene
        .home
        .run(&siglab(), &[&["--lab", &admin], arguments].concat())
}

#[test]
fn the_demo_comes_out_right_twice() {
    let home = Sandbox::new();
    for _ in 0..2 {
        let _ = home.run(&siglab(), &["demo"]).succeeds().says("denied");
    }
}

#[test]
fn its_token_has_no_newline_and_signs() {
    let scene = Scene::initialized();
    let token = run(&scene, &["token", "--email", EMAIL]).succeeds().text();
    assert_eq!(token.trim(), token);
    let image = scene.image("app", "one");
    scene.sign_by(&token, &[], &image);
}

#[test]
fn what_it_signs_is_verified_by_cosign_and_the_other_way_round() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let token = scene.token();
    let _ = run(&scene, &["sign", "--identity-token", &token, &image]).succeeds();
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let _ = scene.verify(&image, EMAIL).succeeds();

    let other = scene.image("app", "two");
    scene.sign_by(&token, &[], &other);
    let _ = run(&scene, &["verify", &identity, &issuer, &other]).succeeds();
    let wrong = "--certificate-identity=mallory@lab.example";
    let refused = run(&scene, &["verify", wrong, &issuer, &other]);
    assert!(!refused.is_success());
    let _ = refused.says(EMAIL).says("mallory@lab.example");
}

#[test]
fn its_trust_directory_has_the_checksum_of_the_root() {
    let scene = Scene::new();
    let _ = run(&scene, &["trust", "trust"]).succeeds();
    let sum = Client {
        name: "sh".to_owned(),
        program: "sh".into(),
        variables: Vec::new(),
    };
    let line = "cd trust && sha256sum --check root.json.sha256";
    let _ = scene
        .home
        .run(&sum, &["-c", line])
        .succeeds()
        .says("root.json: OK");
    for name in [
        "trusted_root.json",
        "signing_config.json",
        "trust_config.json",
        "trust-root.yaml",
    ] {
        assert!(!scene.home.read(&format!("trust/{name}")).is_empty());
    }
}

#[test]
fn a_second_program_on_the_same_directory_stops_at_once() {
    let scene = Scene::new();
    let dir = scene.siglab.data_dir().display().to_string();
    let second = scene
        .home
        .run(&siglab(), &["up", "--port", "0", "--data-dir", &dir]);
    second.fails_with("in use by another process");
}
