//! TUF clients that are not Sigstore clients.

use crate::scene::{Scene, sha256_hex};

const PYTHON: &str = include_str!("scripts/update.py");
const JS: &str = include_str!("scripts/update.js");

/// Updates twice from the lab as it is, then again after it came back on other ports, from what the
/// client kept.
fn updates(client: &str, script: &str, kept: &str) {
    let mut scene = Scene::new();
    std::fs::create_dir(scene.home.dir().join("metadata")).unwrap();
    let root = scene.siglab.file("root.json");
    let update = |scene: &Scene| {
        let mirror = scene.siglab.url("tuf", "http");
        scene
            .run(client, &[script, &mirror, &root])
            .succeeds()
            .says("trusted_root.json")
    };
    let _ = update(&scene);
    let _ = update(&scene);
    let before = scene.home.read(kept);
    let file = scene.get(&format!(
        "file://{}",
        scene.siglab.file("trusted_root.json")
    ));
    assert_eq!(before, file);
    scene.siglab.restart();
    let _ = update(&scene);
    assert_ne!(scene.home.read(kept), before, "the ports are others");
}

#[test]
fn python_tuf_updates_from_the_mirror() {
    let scripts = tests::Sandbox::new();
    let script = scripts.write("update.py", PYTHON).display().to_string();
    updates("tuf", &script, "trusted_root.json");
}

#[test]
fn tuf_js_updates_from_the_mirror() {
    let scripts = tests::Sandbox::new();
    let script = scripts.write("update.js", JS).display().to_string();
    updates("sigstore-js", &script, "tuf-js/trusted_root.json");
}

#[test]
fn the_root_checksum_is_that_of_the_file() {
    let scene = Scene::new();
    let mirror = scene.siglab.url("tuf", "http");
    let url = format!("{mirror}/root.json");
    let digest = sha256_hex(&scene.get(&url));
    let initialize = [
        "initialize",
        "--mirror",
        &mirror,
        "--root",
        &url,
        "--root-checksum",
    ];
    let _ = scene
        .run("cosign", &[&initialize[..], &[&digest]].concat())
        .succeeds();
    let wrong = "0".repeat(64);
    scene
        .run("cosign", &[&initialize[..], &[&wrong]].concat())
        .fails_with("checksum");
}
