//! sigstore-python: by trust config and by TUF instance, and across to cosign.

use tests::Outcome;

use crate::scene::{EMAIL, Scene, entry, text, timestamps};

fn sign(scene: &Scene, trust: &[&str], file: &str) {
    scene.sign_file(trust, &scene.token(), file);
}

fn verify(scene: &Scene, trust: &[&str], identity: &str, issuer: &str, file: &str) -> Outcome {
    scene.verify_file(trust, (identity, issuer), &[], file)
}

#[test]
fn a_trust_config_signs_and_verifies() {
    let scene = Scene::new();
    let config = scene.siglab.file("trust_config.json");
    let trust = ["--trust-config", &config];
    scene.home.write("file.txt", "hello\n");
    sign(&scene, &trust, "file.txt");
    let json = scene.home.read("file.txt.sigstore.json");
    let bundle: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(text(&entry(&bundle)["kindVersion"]["version"]), "0.0.2");
    assert_eq!(timestamps(&bundle), 1);
    let issuer = scene.issuer();
    let _ = verify(&scene, &trust, EMAIL, &issuer, "file.txt")
        .succeeds()
        .says("OK: file.txt");
    verify(&scene, &trust, "mallory@lab.example", &issuer, "file.txt").fails_with("FAIL: file.txt");
    verify(&scene, &trust, EMAIL, "http://localhost:1", "file.txt").fails_with("FAIL: file.txt");
    scene.home.write("file.txt", "hallo\n");
    verify(&scene, &trust, EMAIL, &issuer, "file.txt").fails_with("FAIL: file.txt");
}

#[test]
fn rekor_v1_signs_and_verifies() {
    let scene = Scene::new();
    let config: serde_json::Value = serde_json::from_slice(&scene.get(&format!(
        "file://{}",
        scene.siglab.file("trust_config.json")
    )))
    .unwrap();
    let v1: serde_json::Value = serde_json::from_slice(&scene.get(&format!(
        "file://{}",
        scene.siglab.file("signing_config_rekor_v1.json")
    )))
    .unwrap();
    let mut config = config;
    config["signingConfig"] = v1;
    let config = scene
        .home
        .write("v1.json", config.to_string())
        .display()
        .to_string();
    let trust = ["--trust-config", &config];
    scene.home.write("file.txt", "hello\n");
    sign(&scene, &trust, "file.txt");
    let json = scene.home.read("file.txt.sigstore.json");
    let bundle: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(text(&entry(&bundle)["kindVersion"]["version"]), "0.0.1");
    let _ = verify(&scene, &trust, EMAIL, &scene.issuer(), "file.txt").succeeds();
}

#[test]
fn an_instance_is_trusted_by_its_tuf_root() {
    let scene = Scene::new();
    let mirror = scene.siglab.url("tuf", "http");
    let instance = ["--instance", &mirror];
    let root = scene.siglab.file("root.json");
    let _ = scene
        .run(
            "sigstore",
            &["--instance", &mirror, "trust-instance", &root],
        )
        .succeeds();
    scene.home.write("file.txt", "hello\n");
    sign(&scene, &instance, "file.txt");
    let _ = verify(&scene, &instance, EMAIL, &scene.issuer(), "file.txt").succeeds();
}

#[test]
fn each_verifies_what_the_other_signed() {
    let scene = Scene::initialized();
    let config = scene.siglab.file("trust_config.json");
    let trust = ["--trust-config", &config];
    scene.home.write("file.txt", "hello\n");
    sign(&scene, &trust, "file.txt");
    let verified = scene.verify_blob("file.txt.sigstore.json", &[], "file.txt");
    let _ = verified.succeeds().says("Verified OK");

    let token = scene.token();
    let flags = ["sign-blob", "--yes", "--identity-token", &token];
    let flags = [
        &flags[..],
        &["--bundle", "file.txt.sigstore.json", "file.txt"],
    ]
    .concat();
    let _ = scene.run("cosign", &flags).succeeds();
    let _ = verify(&scene, &trust, EMAIL, &scene.issuer(), "file.txt").succeeds();
}
