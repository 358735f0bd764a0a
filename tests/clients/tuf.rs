//! TUF clients that are not Sigstore clients.

use crate::scene::{Scene, sha256_hex};

const PYTHON_TUF: &str = r#"
import sys
from tuf.ngclient import Updater
mirror, root = sys.argv[1:]
updater = Updater(metadata_dir="metadata", metadata_base_url=mirror, target_base_url=mirror + "/targets",
                  target_dir=".", bootstrap=open(root, "rb").read())
updater.refresh()
for name in ("trusted_root.json", "signing_config.v0.2.json", "rekor.pub", "ctfe.pub"):
    info = updater.get_targetinfo(name)
    updater.download_target(info, name)
    print(name, info.length)
"#;

#[test]
fn python_tuf_updates_from_the_mirror() {
    let mut scene = Scene::new();
    let script = scene
        .home
        .write("update.py", PYTHON_TUF)
        .display()
        .to_string();
    std::fs::create_dir(scene.home.dir().join("metadata")).unwrap();
    let root = scene.siglab.file("root.json");
    // Twice from the lab as it is, then again after it came back, from what the client kept.
    for _ in 0..2 {
        let mirror = scene.siglab.url("tuf", "http");
        let _ = scene
            .run("tuf", &[&script, &mirror, &root])
            .succeeds()
            .says("trusted_root.json");
    }
    let before = scene.home.read("trusted_root.json");
    let file = scene.get(&format!(
        "file://{}",
        scene.siglab.file("trusted_root.json")
    ));
    assert_eq!(before, file);
    scene.siglab.restart();
    let mirror = scene.siglab.url("tuf", "http");
    let _ = scene.run("tuf", &[&script, &mirror, &root]).succeeds();
    assert_ne!(
        scene.home.read("trusted_root.json"),
        before,
        "the ports are others"
    );
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
