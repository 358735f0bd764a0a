//! Images with their signatures from one registry to another, by tools that are not siglab's.

use tests::{Outcome, Sandbox, Siglab, client};

use crate::{
    scene::{EMAIL, Scene, split},
    sign::LEGACY,
};

fn oras(scene: &Scene, arguments: &[&str]) -> Outcome {
    scene.run("oras", arguments).succeeds()
}

/// An image that cosign signed, and a lab to move it to.
fn signed(from: Siglab) -> (Scene, String, Siglab) {
    let scene = Scene {
        siglab: from,
        home: Sandbox::new(),
    };
    let _ = scene.initialize("cosign").succeeds();
    let image = scene.image("app", "one");
    scene.sign(&image);
    (scene, image, Siglab::start())
}

/// cosign's verdict about the image in the other lab, with the trust of the first.
fn verifies(scene: &Scene, image: &str, to: &Siglab, more: &[&str]) -> bool {
    let (name, digest) = split(image);
    let moved = format!("{}/{name}@{digest}", to.registry());
    let by = (EMAIL, &*scene.issuer());
    scene.verify_by(&moved, by, more).is_success()
}

#[test]
fn oras_backs_up_and_restores_an_image_with_its_signatures() {
    let (scene, image, to) = signed(Siglab::start());
    let (name, _) = split(&image);
    let from = format!("{}/{name}:latest", scene.siglab.registry());
    let backup = [
        "backup",
        "--plain-http",
        "--include-referrers",
        "--output",
        "backup.tar",
        &from,
    ];
    let _ = oras(&scene, &backup);
    let target = format!("{}/{name}:latest", to.registry());
    let _ = oras(
        &scene,
        &["restore", "--plain-http", "--input", "backup.tar", &target],
    );
    assert!(verifies(&scene, &image, &to, &[]));
}

#[test]
fn oras_copies_signatures_out_of_fallback_tags() {
    let from = Siglab::start_with(&["--set", "registry.referrers=fallback"]);
    let (scene, image, to) = signed(from);
    let (name, digest) = split(&image);
    let target = format!("{}/{name}:v1", to.registry());
    let copy = [
        "copy",
        "--recursive",
        "--from-plain-http",
        "--to-plain-http",
        &image,
        &target,
    ];
    let _ = oras(&scene, &copy);
    assert!(verifies(&scene, &image, &to, &[]));
    let tags = [
        "repo",
        "tags",
        "--plain-http",
        &format!("{}/{name}", to.registry()),
    ];
    let tags = oras(&scene, &tags).text();
    let fallback = digest.replace(':', "-");
    assert!(
        !tags.contains(&fallback),
        "a registry with the API needs no such tag: {tags}"
    );
}

#[test]
fn skopeo_syncs_a_repository_with_its_signature_tags() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.sign_in_a_tag(&scene.token(), &image);
    let to = Siglab::start();
    let (from, target) = (format!("{}/app", scene.siglab.registry()), to.registry());
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let sync = [
        "sync", "--src", "docker", "--dest", "docker", "--all", &from, &target,
    ];
    let policy = scene.home.write(
        "policy.json",
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    );
    let policy = policy.display().to_string();
    let flags = [&["--policy", &policy], &sync[..1], &plain, &sync[1..]].concat();
    let _ = scene.run("skopeo", &flags).succeeds();
    assert!(verifies(&scene, &image, &to, &[LEGACY]));
}

#[test]
fn crane_changes_and_copies_every_tag_of_a_repository() {
    let scene = Scene::new();
    let image = scene.image("app", "one");
    let registry = scene.siglab.registry();
    let label = format!("{registry}/app:labelled");
    let mutate = ["mutate", "--label", "made=twice", "--tag", &label, &image];
    let _ = scene.run("crane", &mutate).succeeds();
    let _ = scene
        .run("crane", &["config", &label])
        .succeeds()
        .says("made");
    let to = Siglab::start();
    let copy = [
        "copy",
        "--all-tags",
        &format!("{registry}/app"),
        &format!("{}/app", to.registry()),
    ];
    let _ = scene.run("crane", &copy).succeeds();
    let of = |registry: &str| {
        let listed = scene
            .run("crane", &["ls", &format!("{registry}/app")])
            .succeeds()
            .text();
        let digests = listed.lines().map(|tag| {
            let reference = format!("{registry}/app:{tag}");
            scene
                .home
                .run(&client("crane"), &["digest", &reference])
                .succeeds()
                .text()
        });
        (listed.clone(), digests.collect::<Vec<_>>())
    };
    assert_eq!(of(&registry), of(&to.registry()));
}
