//! cosign about other things than one image: indexes, blobs with predicates, saved images.

use crate::{
    scene::{EMAIL, Scene, entry, split},
    sign::LEGACY,
};

#[test]
fn an_index_is_signed_with_all_that_is_in_it() {
    let scene = Scene::initialized();
    let one = scene.image("app", "one");
    let two = scene.image("app", "two");
    let index = format!("{}/app:multi", scene.siglab.registry());
    let append = [
        "index",
        "append",
        "--manifest",
        &one,
        "--manifest",
        &two,
        "--tag",
        &index,
    ];
    let _ = scene.run("crane", &append).succeeds();
    let digest = scene.run("crane", &["digest", &index]).succeeds().text();
    let index = format!("{}/app@{}", scene.siglab.registry(), digest.trim());
    let token = scene.token();
    scene.sign_by(&token, &["--recursive"], &index);
    for image in [&index, &one, &two] {
        let _ = scene.verify(image, EMAIL).succeeds();
    }
}

#[test]
fn a_blob_is_attested() {
    let scene = Scene::initialized();
    scene.home.write("file.txt", "hello\n");
    scene.home.write("other.txt", "hallo\n");
    scene.home.write("predicate.json", r#"{"passed": true}"#);
    let token = scene.token();
    let attest = [
        "attest-blob",
        "--yes",
        "--identity-token",
        &token,
        "--predicate",
        "predicate.json",
        "--type",
        "https://lab.example/test/v1",
        "--bundle",
        "bundle.json",
        "file.txt",
    ];
    let _ = scene.run("cosign", &attest).succeeds();
    let bundle: serde_json::Value =
        serde_json::from_slice(&scene.home.read("bundle.json")).unwrap();
    assert_eq!(entry(&bundle)["kindVersion"]["kind"], "hashedrekord");
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let verify = |file: &str| {
        let flags = [
            "verify-blob-attestation",
            "--bundle",
            "bundle.json",
            &identity,
            &issuer,
        ];
        let kind = ["--type", "https://lab.example/test/v1", file];
        scene.run("cosign", &[&flags[..], &kind].concat())
    };
    let _ = verify("file.txt").succeeds();
    assert!(!verify("other.txt").is_success(), "another blob verified");
}

#[test]
fn a_saved_image_is_loaded_into_another_lab_and_verifies_there() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let token = scene.token();
    // The tags of legacy signatures are what `cosign load` carries.
    scene.sign_in_a_tag(&token, &image);
    let _ = scene
        .run("cosign", &["save", "--dir", "saved", &image])
        .succeeds();
    let other = tests::Siglab::start();
    let (name, digest) = split(&image);
    let moved = format!("{}/{name}:moved", other.registry());
    let _ = scene
        .run("cosign", &["load", "--dir", "saved", &moved])
        .succeeds();
    let moved = format!("{}/{name}@{digest}", other.registry());
    let by = (EMAIL, &*scene.issuer());
    let _ = scene.verify_by(&moved, by, &[LEGACY]).succeeds();
}

#[test]
fn a_signature_is_found_in_another_repository() {
    let mut scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.home.set(
        "COSIGN_REPOSITORY",
        format!("{}/signatures", scene.siglab.registry()),
    );
    scene.sign(&image);
    let _ = scene.verify(&image, EMAIL).succeeds();
}
