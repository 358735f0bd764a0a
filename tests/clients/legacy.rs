//! Signatures from before bundles: cosign v3's legacy mode, and cosign v2 with its Fulcio v1 client.

use tests::Siglab;

use crate::scene::{EMAIL, Scene, split};

/// Signs with a cosign by service URLs; `more` are flags that only one of the versions has.
fn sign(scene: &Scene, cosign: &str, more: &[&str], image: &str) {
    let token = scene.token();
    let fulcio = scene.siglab.url("fulcio", "http");
    let rekor = scene.siglab.url("rekor", "v1");
    let issuer = scene.issuer();
    let flags = [
        "sign",
        "--yes",
        "--identity-token",
        &token,
        "--fulcio-url",
        &fulcio,
        "--rekor-url",
        &rekor,
        "--oidc-issuer",
        &issuer,
    ];
    let _ = scene
        .run(cosign, &[&flags[..], more, &[image]].concat())
        .succeeds();
}

fn verify(
    scene: &Scene,
    cosign: &str,
    more: &[&str],
    identity: &str,
    image: &str,
) -> tests::Outcome {
    let identity = format!("--certificate-identity={identity}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let flags = ["verify", &identity, &issuer];
    scene.run(cosign, &[&flags[..], more, &[image]].concat())
}

fn has_signature_tag(scene: &Scene, image: &str) {
    let (name, digest) = split(image);
    let registry = scene.siglab.url("registry", "http");
    let tags = scene.json(&format!("{registry}/v2/{name}/tags/list"));
    let tag = format!("{}.sig", digest.replace(':', "-"));
    assert!(
        tags["tags"]
            .as_array()
            .unwrap()
            .iter()
            .any(|found| found == &*tag),
        "{tags}"
    );
}

#[test]
fn cosign_3_makes_and_verifies_a_signature_tag() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let old = ["--new-bundle-format=false", "--use-signing-config=false"];
    sign(&scene, "cosign", &old, &image);
    has_signature_tag(&scene, &image);
    let old = &old[..1];
    let _ = verify(&scene, "cosign", old, EMAIL, &image).succeeds();
    let refused = verify(&scene, "cosign", old, "mallory@lab.example", &image);
    refused.fails_with("none of the expected identities matched");
}

#[test]
fn cosign_2_signs_by_fulcio_v1_and_verifies_by_targets() {
    let scene = Scene::new();
    let _ = scene.initialize("cosign2").succeeds();
    let image = scene.image("app", "one");
    sign(&scene, "cosign2", &[], &image);
    has_signature_tag(&scene, &image);
    let _ = verify(&scene, "cosign2", &[], EMAIL, &image).succeeds();
    let refused = verify(&scene, "cosign2", &[], "mallory@lab.example", &image);
    refused.fails_with("none of the expected identities matched");
}

#[test]
fn cosign_2_verifies_by_keys_in_files() {
    let mut scene = Scene::new();
    let _ = scene.initialize("cosign2").succeeds();
    let image = scene.image("app", "one");
    sign(&scene, "cosign2", &[], &image);
    let files = [
        ("SIGSTORE_ROOT_FILE", "fulcio-chain.pem"),
        ("SIGSTORE_REKOR_PUBLIC_KEY", "rekor.pub"),
        ("SIGSTORE_CT_LOG_PUBLIC_KEY_FILE", "ctlog.pub"),
    ];
    let own = files.map(|(_, file)| scene.siglab.file(file));
    // Nothing of the lab is cached, so that the files are all there is to trust.
    let nowhere = scene.home.dir().join("no-tuf").display().to_string();
    scene.home.set("TUF_ROOT", nowhere);
    for ((name, _), path) in files.iter().zip(&own) {
        scene.home.set(name, path.clone());
    }
    let _ = verify(&scene, "cosign2", &["--offline"], EMAIL, &image).succeeds();
    let other = Siglab::start();
    for ((name, file), path) in files.iter().zip(&own) {
        scene.home.set(name, other.file(file));
        let refused = verify(&scene, "cosign2", &["--offline"], EMAIL, &image);
        assert!(!refused.is_success(), "another lab's {file} verified");
        scene.home.set(name, path.clone());
    }
}

#[test]
fn cosign_2_attests_and_finds_the_entry_online() {
    let scene = Scene::new();
    let _ = scene.initialize("cosign2").succeeds();
    let image = scene.image("app", "one");
    scene.home.write("predicate.json", r#"{"builder": "lab"}"#);
    let token = scene.token();
    let fulcio = scene.siglab.url("fulcio", "http");
    let rekor = scene.siglab.url("rekor", "v1");
    let attest = [
        "attest",
        "--yes",
        "--identity-token",
        &token,
        "--fulcio-url",
        &fulcio,
        "--rekor-url",
        &rekor,
        "--type",
        "custom",
        "--predicate",
        "predicate.json",
        &image,
    ];
    let _ = scene.run("cosign2", &attest).succeeds();
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let flags = [
        "verify-attestation",
        "--type",
        "custom",
        "--rekor-url",
        &rekor,
    ];
    let _ = scene
        .run(
            "cosign2",
            &[&flags[..], &[&identity, &issuer, &image]].concat(),
        )
        .succeeds();
}
