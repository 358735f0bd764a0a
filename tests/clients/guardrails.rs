//! A lab is never taken for the public instance: its artefacts are refused under the public roots, one by
//! one, and the program leaves alone what public clients trust.

use serde_json::Value;
use tests::{Client, Outcome, Sandbox, siglab};

use crate::scene::{EMAIL, Scene};

/// A bundle of the lab in `b.json`, of `blob.txt`.
fn signed() -> Scene {
    let scene = Scene::initialized();
    scene.home.write("blob.txt", "hello\n");
    scene.sign_blob(&["--bundle", "b.json"], "blob.txt");
    scene
}

/// Trusted roots of the production and the staging instance, where sigstore-python ships them.
fn public_roots(home: &Sandbox) -> Vec<Value> {
    let python = tests::client("sigstore").program;
    let venv = python.ancestors().nth(2).expect("a virtual environment");
    let find = Client {
        name: "find".to_owned(),
        program: "find".into(),
        variables: Vec::new(),
    };
    let venv = venv.display().to_string();
    let flags = [&venv, "-path", "*/_store/*", "-name", "trusted_root.json"];
    let found = home.run(&find, &flags).succeeds().text();
    let roots: Vec<Value> = found
        .lines()
        .map(|path| serde_json::from_slice(&home.read(path)).expect("a trusted root"))
        .collect();
    assert_eq!(roots.len(), 2, "production and staging: {found}");
    roots
}

/// cosign's verdict under a trusted root.
fn verify(scene: &Scene, root: &Value) -> Outcome {
    scene.home.write("root.json", root.to_string());
    let trust = ["--trusted-root", "root.json"];
    scene.verify_blob("b.json", &trust, "blob.txt")
}

/// The lab's own trusted root.
fn own_root(scene: &Scene) -> Value {
    scene.json(&format!(
        "file://{}",
        scene.siglab.file("trusted_root.json")
    ))
}

#[test]
fn cosign_refuses_every_artefact_of_a_lab_under_the_public_roots() {
    let scene = signed();
    let own = own_root(&scene);
    let _ = verify(&scene, &own).succeeds().says("Verified OK");
    for public in public_roots(&scene.home) {
        assert!(
            !verify(&scene, &public).is_success(),
            "a public root verified a lab's signature"
        );
        // Everything is the lab's but one authority, which is the public instance's.
        for (part, problem) in [
            ("certificateAuthorities", "certificate"),
            ("ctlogs", "certificate timestamp"),
            ("tlogs", "log"),
            ("timestampAuthorities", "timestamp"),
        ] {
            let mut mixed = own.clone();
            mixed[part] = public[part].clone();
            assert_ne!(mixed[part], own[part], "{part}");
            verify(&scene, &mixed).fails_with(problem);
        }
    }
}

#[test]
fn cosign_with_nothing_but_what_it_ships_refuses_a_labs_signature() {
    let scene = signed();
    let fresh = Sandbox::new();
    for name in ["blob.txt", "b.json"] {
        fresh.write(name, scene.home.read(name));
    }
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let flags = [
        "verify-blob",
        "--bundle",
        "b.json",
        &identity,
        &issuer,
        "blob.txt",
    ];
    assert!(!fresh.run(&tests::client("cosign"), &flags).is_success());
}

#[test]
fn sigstore_python_with_the_roots_that_it_ships_refuses_a_labs_signature() {
    let scene = Scene::new();
    let config = scene.siglab.file("trust_config.json");
    scene.home.write("file.txt", "hello\n");
    scene.sign_file(&["--trust-config", &config], &scene.token(), "file.txt");
    let by = (EMAIL, &*scene.issuer());
    for shipped in [&[][..], &["--staging"]] {
        scene
            .verify_file(shipped, by, &["--offline"], "file.txt")
            .fails_with("FAIL: file.txt");
    }
}

#[test]
fn the_program_leaves_the_trust_of_public_clients_alone() {
    let scene = Scene::new();
    let admin = scene.siglab.admin();
    let run = |arguments: &[&str]| {
        scene
            .home
            .run(&siglab(), &[&["--lab", &admin], arguments].concat())
            .succeeds()
    };
    let image = scene.image("app", "one");
    let token = scene.token();
    let _ = run(&["trust", "trust"])
        .says("LAB TRUST ROOT")
        .says("for testing only");
    let _ = run(&["sign", "--identity-token", &token, &image]);
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let _ = run(&["verify", &identity, &issuer, &image]);
    let _ = run(&["export", &image, "--output", "lab.tar"]);
    for place in [".sigstore", "tuf", ".local", ".cache", ".config"] {
        assert!(
            !scene.home.dir().join(place).exists(),
            "{place} was written"
        );
    }
}
