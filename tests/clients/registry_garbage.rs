//! `siglab registry gc` over what cosign signed: what is dead goes with its signatures, what lives verifies.

use tests::{Outcome, siglab};

use crate::scene::{EMAIL, Scene, split};

fn gc(scene: &Scene, more: &[&str]) -> Outcome {
    let data = scene.siglab.data_dir().display().to_string();
    let flags = [&["registry", "gc", &data], more].concat();
    scene.home.run(&siglab(), &flags)
}

/// Whether crane finds an image after the lab came back on other ports.
fn is_there(scene: &Scene, image: &str) -> bool {
    let (name, digest) = split(image);
    let image = format!("{}/{name}@{digest}", scene.siglab.registry());
    scene.run("crane", &["manifest", &image]).is_success()
}

#[test]
fn untagged_images_go_with_their_signatures_and_signatures_of_the_others_stay() {
    let mut scene = Scene::initialized();
    let issuer = scene.issuer();
    // The second takes the first one's tag.
    let images = ["one", "two"].map(|content| {
        let image = scene.image("app", content);
        scene.sign(&image);
        scene.sign_in_a_tag(&scene.token(), &image);
        image
    });
    // What is signed in a tag of its own is kept by that tag until the tag goes.
    let (_, dead) = split(&images[0]);
    let tag = format!(
        "{}/app:{}.sig",
        scene.siglab.registry(),
        dead.replace(':', "-")
    );
    let _ = scene.run("crane", &["delete", &tag]).succeeds();
    gc(&scene, &["--dry-run"]).fails_with("in use");

    scene.siglab.stop();
    let young = gc(&scene, &["--dry-run"]).succeeds();
    let _ = young.says("0 contents of 0 bytes would be removed");
    let dry = gc(&scene, &["--dry-run", "--grace", "0"]).succeeds();
    let _ = dry
        .says(&format!("manifest app@{dead}"))
        .says("would be removed");
    let dry_again = gc(&scene, &["--dry-run", "--grace", "0"]).succeeds();
    let _ = dry_again.says(&format!("manifest app@{dead}"));
    let removed = gc(&scene, &["--grace", "0"]).succeeds();
    assert!(
        !removed.text().contains(split(&images[1]).1),
        "{}",
        removed.text()
    );
    let _ = gc(&scene, &["--grace", "0"])
        .succeeds()
        .says("0 contents of 0 bytes removed");
    let data = scene.siglab.data_dir().display().to_string();
    let _ = scene.home.run(&siglab(), &["fsck", &data]).succeeds();

    scene.siglab.restart();
    assert!(!is_there(&scene, &images[0]) && is_there(&scene, &images[1]));
    let (name, digest) = split(&images[1]);
    let live = format!("{}/{name}@{digest}", scene.siglab.registry());
    assert_eq!(scene.bundle_of(&live).1, 1);
    let root = scene.siglab.file("trusted_root.json");
    let trust = ["--trusted-root", &*root];
    let by = (EMAIL, &*issuer);
    let _ = scene.verify_by(&live, by, &trust).succeeds();
    let old = [&trust[..], &[crate::sign::LEGACY]].concat();
    let _ = scene.verify_by(&live, by, &old).succeeds();
    let gone = format!(
        "{}/v2/app/referrers/{dead}",
        scene.siglab.url("registry", "http")
    );
    assert_eq!(scene.json(&gone)["manifests"], serde_json::json!([]));
}
