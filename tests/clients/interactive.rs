//! A person signs in: by a real browser, or on another device.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tests::{Client, client};

use crate::scene::{EMAIL, Scene, entry};

const BROWSE: &str = include_str!("scripts/browse.js");

/// A home in which opening a URL makes a browser sign in.
fn with_browser() -> Scene {
    let mut scene = Scene::initialized();
    let browse = scene.home.write("browse.js", BROWSE).display().to_string();
    let modules = client("puppeteer").variables[0].1.display().to_string();
    let opener = scene.home.write(
        "xdg-open",
        format!(
            "#!/bin/sh\nNODE_PATH={modules} node {browse} \"$1\" {EMAIL} >> browse.log 2>&1 &\n"
        ),
    );
    std::fs::set_permissions(&opener, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:/usr/local/bin:/usr/bin:/bin",
        scene.home.dir().display()
    );
    scene.home.set("PATH", path);
    scene
        .home
        .set("BROWSER", format!("{} %s", opener.display()));
    scene.home.write("file.txt", "hello\n");
    scene
}

/// Runs a command line on a terminal.
fn on_a_terminal(scene: &Scene, line: &str) {
    let script = Client {
        name: "script".to_owned(),
        program: "script".into(),
        variables: Vec::new(),
    };
    let flags = ["--quiet", "--return", "--command", line, "typescript"];
    let outcome = scene.home.run(&script, &flags);
    let log = String::from_utf8_lossy(&scene.home.read("browse.log")).into_owned();
    assert!(outcome.is_success(), "{}\n{log}", outcome.all());
}

#[test]
fn cosign_signs_after_a_browser_sign_in() {
    let scene = with_browser();
    let cosign = client("cosign").program.display().to_string();
    on_a_terminal(
        &scene,
        &format!("{cosign} sign-blob --yes --bundle bundle.json file.txt"),
    );
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
    let _ = scene.run("cosign", &flags).succeeds();
}

#[test]
fn sigstore_python_signs_after_a_browser_sign_in() {
    let scene = with_browser();
    let sigstore = client("sigstore").program.display().to_string();
    let config = scene.siglab.file("trust_config.json");
    on_a_terminal(
        &scene,
        &format!("{sigstore} --trust-config {config} sign file.txt"),
    );
    let issuer = scene.issuer();
    let flags = [
        "--trust-config",
        &config,
        "verify",
        "identity",
        "--cert-identity",
        EMAIL,
    ];
    let flags = [&flags[..], &["--cert-oidc-issuer", &issuer, "file.txt"]].concat();
    let _ = scene.run("sigstore", &flags).succeeds();
}

#[test]
fn cosign_signs_after_a_sign_in_on_another_device() {
    let scene = Scene::initialized();
    scene.home.write("file.txt", "hello\n");
    let flags = ["sign-blob", "--yes", "--bundle", "bundle.json", "file.txt"];
    let cosign = scene.home.start(&client("cosign"), &flags);
    let code = cosign.line_with("user_code=");
    let code = code.split("user_code=").nth(1).expect("a code").trim();
    let answer = format!("user_code={code}&other={EMAIL}&decision=allow");
    let url = format!("{}/device", scene.issuer());
    let _ = scene
        .run("curl", &["--silent", "--fail", "--data", &answer, &url])
        .succeeds();
    let _ = cosign.end().succeeds();
    let bundle: Value = serde_json::from_slice(&scene.home.read("bundle.json")).unwrap();
    assert_eq!(entry(&bundle)["kindVersion"]["version"], "0.0.2");
}
