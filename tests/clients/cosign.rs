//! cosign v3: its defaults, by bundles.

use crate::scene::{EMAIL, Scene, entry, split, text, timestamps};

#[test]
fn an_image_is_signed_and_verified_with_default_settings() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let (bundle, count) = scene.bundle_of(&image);
    assert_eq!(count, 1);
    let entry = entry(&bundle);
    assert_eq!(entry["kindVersion"]["kind"], "hashedrekord");
    assert_eq!(
        entry["kindVersion"]["version"], "0.0.2",
        "Rekor v2 is the default"
    );
    assert_eq!(timestamps(&bundle), 1);
    let _ = scene
        .verify(&image, EMAIL)
        .succeeds()
        .says("Existence of the claims in the transparency log was verified offline");
}

#[test]
fn another_identity_issuer_or_digest_does_not_verify() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let issuer = scene.issuer();
    scene
        .verify_by(&image, ("mallory@lab.example", &issuer), &[])
        .fails_with("no matching");
    scene
        .verify_by(&image, (EMAIL, "http://localhost:1"), &[])
        .fails_with("no matching");
    let unsigned = scene.image("app", "two");
    scene
        .verify_by(&unsigned, (EMAIL, &issuer), &[])
        .fails_with("no signatures found");
}

#[test]
fn a_second_signature_stands_beside_the_first() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let token = scene.token_with("email=bob@lab.example");
    scene.sign_by(&token, &[], &image);
    assert_eq!(scene.bundle_of(&image).1, 2);
    for identity in [EMAIL, "bob@lab.example"] {
        let _ = scene.verify(&image, identity).succeeds();
    }
}

#[test]
fn rekor_v1_alone_gives_an_entry_with_a_promise() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let token = scene.token();
    let config = scene.siglab.file("signing_config_rekor_v1.json");
    let root = scene.siglab.file("trusted_root.json");
    let flags = ["--signing-config", &config, "--trusted-root", &root];
    scene.sign_by(&token, &flags, &image);
    let (bundle, _) = scene.bundle_of(&image);
    let entry = entry(&bundle);
    assert_eq!(entry["kindVersion"]["kind"], "dsse");
    assert_eq!(entry["kindVersion"]["version"], "0.0.1");
    assert!(!text(&entry["inclusionPromise"]["signedEntryTimestamp"]).is_empty());
    let _ = scene.verify(&image, EMAIL).succeeds();
    scene
        .verify(&image, "mallory@lab.example")
        .fails_with("no matching");
}

/// Signs a blob, verifies it, and changes one thing after another.
fn blob(scene: &Scene, config: &[&str], kind: (&str, &str)) {
    let blob = scene
        .home
        .write("blob.txt", "hello\n")
        .display()
        .to_string();
    scene.sign_blob(&[&["--bundle", "blob.bundle"], config].concat(), &blob);
    let bundle: serde_json::Value =
        serde_json::from_slice(&scene.home.read("blob.bundle")).unwrap();
    let found = &entry(&bundle)["kindVersion"];
    assert_eq!((text(&found["kind"]), text(&found["version"])), kind);
    let verify = |identity: &str, file: &str| {
        let identity = format!("--certificate-identity={identity}");
        let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
        let flags = [
            "verify-blob",
            "--bundle",
            "blob.bundle",
            &identity,
            &issuer,
            file,
        ];
        scene.run("cosign", &flags)
    };
    let _ = verify(EMAIL, &blob).succeeds().says("Verified OK");
    verify("mallory@lab.example", &blob).fails_with("no matching");
    let other = scene
        .home
        .write("other.txt", "hallo\n")
        .display()
        .to_string();
    let refused = verify(EMAIL, &other);
    assert!(!refused.is_success(), "another blob verified");
}

#[test]
fn a_blob_is_signed_and_verified_by_rekor_v2() {
    let scene = Scene::initialized();
    blob(&scene, &[], ("hashedrekord", "0.0.2"));
}

#[test]
fn a_blob_is_signed_and_verified_by_rekor_v1() {
    let scene = Scene::initialized();
    let config = scene.siglab.file("signing_config_rekor_v1.json");
    let root = scene.siglab.file("trusted_root.json");
    let flags = ["--signing-config", &config, "--trusted-root", &root];
    blob(&scene, &flags, ("hashedrekord", "0.0.1"));
}

#[test]
fn an_attestation_is_made_and_verified() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let predicate = scene
        .home
        .write("predicate.json", r#"{"builder": {"id": "lab"}}"#);
    let token = scene.token();
    let attest = [
        "attest",
        "--yes",
        "--identity-token",
        &token,
        "--type",
        "slsaprovenance1",
        "--predicate",
        predicate.to_str().unwrap(),
        &image,
    ];
    let _ = scene.run("cosign", &attest).succeeds();
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    let verify = [
        "verify-attestation",
        "--type",
        "slsaprovenance1",
        &identity,
        &issuer,
        &image,
    ];
    let _ = scene.run("cosign", &verify).succeeds();
    let verify = [
        "verify-attestation",
        "--type",
        "spdx",
        &identity,
        &issuer,
        &image,
    ];
    assert!(
        !scene.run("cosign", &verify).is_success(),
        "another predicate type verified"
    );
    let wrong = "--certificate-identity=mallory@lab.example";
    let verify = [
        "verify-attestation",
        "--type",
        "slsaprovenance1",
        wrong,
        &issuer,
        &image,
    ];
    scene.run("cosign", &verify).fails_with("no matching");
}

#[test]
fn a_github_workflow_signs_without_flags() {
    let mut scene = Scene::initialized();
    let image = scene.image("app", "one");
    let issuer = format!("{}/github-actions", scene.issuer());
    let url = format!("{issuer}/idtoken?api-version=2.0");
    scene.home.set("ACTIONS_ID_TOKEN_REQUEST_URL", url);
    let bearer = String::from_utf8(scene.get(&format!("{issuer}/request-token"))).unwrap();
    scene.home.set("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer);
    let _ = scene.run("cosign", &["sign", "--yes", &image]).succeeds();
    let regexp = "--certificate-identity-regexp=^https://github.com/.*/\\.github/workflows/";
    let issuer = format!("--certificate-oidc-issuer={issuer}");
    let _ = scene
        .run("cosign", &["verify", regexp, &issuer, &image])
        .succeeds();
}

#[test]
fn a_token_in_the_environment_signs_without_flags() {
    let mut scene = Scene::initialized();
    let image = scene.image("app", "one");
    let token = scene.token();
    scene.home.set("SIGSTORE_ID_TOKEN", token);
    let _ = scene.run("cosign", &["sign", "--yes", &image]).succeeds();
    let _ = scene.verify(&image, EMAIL).succeeds();
}

#[test]
fn a_key_of_ones_own_signs_and_verifies() {
    let mut scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.home.set("COSIGN_PASSWORD", "secret");
    let _ = scene.run("cosign", &["generate-key-pair"]).succeeds();
    let _ = scene
        .run("cosign", &["sign", "--yes", "--key", "cosign.key", &image])
        .succeeds();
    let _ = scene
        .run("cosign", &["verify", "--key", "cosign.pub", &image])
        .succeeds();
    let other = scene.image("app", "two");
    scene
        .run("cosign", &["verify", "--key", "cosign.pub", &other])
        .fails_with("no signatures");
}

#[test]
fn signatures_verify_after_a_restart_on_other_ports() {
    let mut scene = Scene::initialized();
    let image = scene.image("app", "one");
    let issuer = scene.issuer();
    scene.sign(&image);
    scene.siglab.restart();
    let _ = scene.initialize("cosign").succeeds();
    let (name, digest) = split(&image);
    let image = format!("{}/{name}@{digest}", scene.siglab.registry());
    let _ = scene.verify_by(&image, (EMAIL, &issuer), &[]).succeeds();
    scene.sign(&image);
    let _ = scene.verify(&image, EMAIL).succeeds();
}

#[test]
fn another_labs_trust_refuses_what_this_one_signed() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let other = tests::Siglab::start();
    let root = other.file("trusted_root.json");
    let by = (EMAIL, &*scene.issuer());
    let refused = scene.verify_by(&image, by, &["--trusted-root", &root]);
    assert!(!refused.is_success(), "another lab's root verified");
}

#[test]
fn services_in_programs_of_their_own_sign_and_verify() {
    let scene = Scene::apart();
    let _ = scene.initialize("cosign").succeeds();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let _ = scene.verify(&image, EMAIL).succeeds();
}

#[test]
fn signatures_made_at_once_are_all_kept() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let emails = scene.sign_at_once(&image);
    assert_eq!(scene.bundle_of(&image).1, emails.len());
    for email in &emails {
        let _ = scene.verify(&image, email).succeeds();
    }
}

#[test]
fn openssl_builds_the_chain_of_a_signing_certificate() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let (bundle, _) = scene.bundle_of(&image);
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let leaf = text(&bundle["verificationMaterial"]["certificate"]["rawBytes"]);
    scene.home.write(
        "leaf.pem",
        crypto::to_pem("CERTIFICATE", &STANDARD.decode(leaf).unwrap()),
    );
    let bundle = scene.json(&format!(
        "{}/api/v2/trustBundle",
        scene.siglab.url("fulcio", "http")
    ));
    let chain: Vec<_> = bundle["chains"][0]["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect();
    scene.home.write("root.pem", chain.last().unwrap());
    scene.home.write("chain.pem", chain.join("\n"));
    let verify = [
        "verify",
        "-x509_strict",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "chain.pem",
    ];
    let _ = scene
        .run("openssl", &[&verify[..], &["leaf.pem"]].concat())
        .succeeds();
    let shown = scene
        .run("openssl", &["x509", "-in", "leaf.pem", "-noout", "-text"])
        .succeeds();
    let shown = shown
        .says("Code Signing")
        .says("CT Precertificate SCTs")
        .text();
    assert!(shown.contains(&format!("email:{EMAIL}")), "{shown}");
}

#[test]
fn copies_trees_and_downloads_carry_the_signatures() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let _ = scene
        .run("cosign", &["tree", &image])
        .succeeds()
        .says("artifacts via OCI referrer");
    let copy = format!("{}/copy:v1", scene.siglab.registry());
    let flags = [
        "copy",
        "--recursive",
        "--from-plain-http",
        "--to-plain-http",
        &image,
        &copy,
    ];
    let _ = scene.run("oras", &flags).succeeds();
    let (_, digest) = split(&image);
    let copied = format!("{}/copy@{digest}", scene.siglab.registry());
    let _ = scene.verify(&copied, EMAIL).succeeds();
}
