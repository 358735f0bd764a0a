//! rekor-cli against the v1 API.

use crate::scene::{Scene, sha256_hex, text};

/// A key, a signature over a file, and both as rekor-cli takes them.
pub(crate) fn signed_file(scene: &Scene) {
    scene.home.write("file.txt", "hello\n");
    let key = [
        "ecparam",
        "-genkey",
        "-name",
        "prime256v1",
        "-noout",
        "-out",
        "key.pem",
    ];
    let _ = scene.run("openssl", &key).succeeds();
    let _ = scene
        .run(
            "openssl",
            &["ec", "-in", "key.pem", "-pubout", "-out", "key.pub"],
        )
        .succeeds();
    let sign = [
        "dgst", "-sha256", "-sign", "key.pem", "-out", "file.sig", "file.txt",
    ];
    let _ = scene.run("openssl", &sign).succeeds();
}

#[test]
fn rekor_cli_uploads_verifies_searches_and_reads() {
    let scene = Scene::new();
    signed_file(&scene);
    let server = scene.siglab.url("rekor", "v1");
    let rekor = |arguments: &[&str]| {
        scene.run(
            "rekor-cli",
            &[arguments, &["--rekor_server", &server]].concat(),
        )
    };
    let digest = sha256_hex(b"hello\n");
    let entry = [
        "--type",
        "hashedrekord",
        "--artifact-hash",
        &digest,
        "--signature",
        "file.sig",
        "--public-key",
        "key.pub",
        "--pki-format",
        "x509",
    ];
    let _ = rekor(&[&["upload"][..], &entry].concat())
        .succeeds()
        .says("Created entry at index 0");
    let _ = rekor(&[&["upload"][..], &entry].concat()).says("Entry already exists");
    let _ = rekor(&[&["verify"][..], &entry].concat())
        .succeeds()
        .says("Inclusion Proof");
    let _ = rekor(&["get", "--log-index", "0"]).succeeds().says("LogID");
    let found = rekor(&["search", "--sha", &digest, "--format", "json"])
        .succeeds()
        .text();
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    let uuid = text(&found["UUIDs"][0]).to_owned();
    let _ = rekor(&["get", "--uuid", &uuid]).succeeds();
    let by_key = ["--public-key", "key.pub", "--pki-format", "x509"];
    for search in [&by_key[..], &["--artifact", "file.txt"]] {
        let _ = rekor(&[&["search"], search].concat())
            .succeeds()
            .says(&uuid);
    }
    let _ = rekor(&["loginfo"])
        .succeeds()
        .says("Verification Successful");
    let missing = "0".repeat(64);
    rekor(&["get", "--uuid", &missing]).fails_with("404");
}

#[test]
fn rekor_cli_finds_the_log_consistent_as_it_grows() {
    let scene = Scene::new();
    let server = scene.siglab.url("rekor", "v1");
    for round in 0..3 {
        signed_file(&scene);
        let flags = [
            "upload",
            "--rekor_server",
            &server,
            "--artifact",
            "file.txt",
            "--signature",
            "file.sig",
            "--public-key",
            "key.pub",
            "--pki-format",
            "x509",
        ];
        let _ = scene
            .run("rekor-cli", &flags)
            .succeeds()
            .says(&format!("index {round}"));
        let loginfo = ["loginfo", "--rekor_server", &server];
        let _ = scene
            .run("rekor-cli", &loginfo)
            .succeeds()
            .says("Verification Successful");
    }
    let proof = scene.run(
        "rekor-cli",
        &[
            "logproof",
            "--rekor_server",
            &server,
            "--first-size",
            "1",
            "--last-size",
            "3",
            "--format",
            "json",
        ],
    );
    let proof: serde_json::Value = serde_json::from_str(&proof.succeeds().text()).unwrap();
    // RFC 6962 §2.1.2: from one leaf to three it is the second leaf and the third.
    assert_eq!(proof["Hashes"].as_array().unwrap().len(), 2, "{proof}");
}
