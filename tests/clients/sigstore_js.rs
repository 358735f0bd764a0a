//! sigstore-js: signing by signing config, verifying by TUF mirror, and across to cosign.

use tests::Outcome;

use crate::scene::{EMAIL, Scene, entry, text, timestamps};

const SIGN: &str = include_str!("scripts/sign.js");
const VERIFY: &str = include_str!("scripts/verify.js");

fn sign(scene: &Scene, config: &str, kind: &str) -> serde_json::Value {
    scene.home.write("file.txt", "hello\n");
    scene.home.write("sign.js", SIGN);
    let token = scene.token();
    let config = scene.siglab.file(config);
    let _ = scene
        .run(
            "sigstore-js",
            &["sign.js", &token, &config, kind, "bundle.json"],
        )
        .succeeds();
    serde_json::from_slice(&scene.home.read("bundle.json")).unwrap()
}

fn verify(scene: &Scene, identity: &str, issuer: &str) -> Outcome {
    scene.home.write("verify.js", VERIFY);
    let mirror = scene.siglab.url("tuf", "http");
    let root = scene.siglab.file("root.json");
    scene.run(
        "sigstore-js",
        &["verify.js", "bundle.json", &mirror, &root, identity, issuer],
    )
}

fn verifies_alone(scene: &Scene) {
    let issuer = scene.issuer();
    let _ = verify(scene, EMAIL, &issuer).succeeds().says("verified");
    verify(scene, "mallory@lab.example", &issuer).fails_with("UNTRUSTED_SIGNER_ERROR");
    verify(scene, EMAIL, "http://localhost:1").fails_with("UNTRUSTED_SIGNER_ERROR");
    scene.home.write("file.txt", "hallo\n");
}

#[test]
fn a_blob_is_signed_by_rekor_v1_and_verified() {
    let scene = Scene::new();
    let bundle = sign(&scene, "signing_config_rekor_v1.json", "messageSignature");
    assert_eq!(text(&entry(&bundle)["kindVersion"]["version"]), "0.0.1");
    assert_eq!(timestamps(&bundle), 1);
    verifies_alone(&scene);
    verify(&scene, EMAIL, &scene.issuer()).fails_with("SIGNATURE_ERROR");
}

#[test]
fn an_envelope_is_signed_by_rekor_v1_and_verified() {
    let scene = Scene::new();
    let bundle = sign(&scene, "signing_config_rekor_v1.json", "dsseEnvelope");
    assert_eq!(text(&entry(&bundle)["kindVersion"]["kind"]), "dsse");
    verifies_alone(&scene);
}

#[test]
fn a_blob_is_signed_by_rekor_v2_and_verified_by_cosign_too() {
    let scene = Scene::initialized();
    let bundle = sign(&scene, "signing_config.json", "messageSignature");
    assert_eq!(text(&entry(&bundle)["kindVersion"]["version"]), "0.0.2");
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let flags = [
        "verify-blob",
        "--bundle",
        "bundle.json",
        &identity,
        &issuer,
        "file.txt",
    ];
    let _ = scene.run("cosign", &flags).succeeds().says("Verified OK");
    verifies_alone(&scene);
}

#[test]
fn an_envelope_is_signed_by_rekor_v2_and_verified() {
    let scene = Scene::new();
    let bundle = sign(&scene, "signing_config.json", "dsseEnvelope");
    assert_eq!(text(&entry(&bundle)["kindVersion"]["version"]), "0.0.2");
    verifies_alone(&scene);
}
