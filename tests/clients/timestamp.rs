//! openssl and timestamp-cli against the timestamp authority.

use tests::Outcome;

use crate::scene::Scene;

/// Asks for a timestamp of file.txt with openssl's request of these flags: response.tsr, and the chain.
fn stamp(scene: &Scene, flags: &[&str]) {
    let query = ["ts", "-query", "-data", "file.txt", "-out", "request.tsq"];
    let _ = scene
        .run("openssl", &[&query[..], flags].concat())
        .succeeds();
    let base = scene.siglab.url("tsa", "http");
    let flags = [
        "--silent",
        "--fail",
        "--header",
        "Content-Type: application/timestamp-query",
        "--data-binary",
        "@request.tsq",
        "--output",
        "response.tsr",
    ];
    let url = format!("{base}/api/v1/timestamp");
    let _ = scene
        .run("curl", &[&flags[..], &[&url]].concat())
        .succeeds();
    chain(scene, &base);
}

/// openssl's verdict about response.tsr, of what these flags say.
fn verify(scene: &Scene, what: &[&str]) -> Outcome {
    let flags = ["ts", "-verify", "-in", "response.tsr"];
    let trust = ["-CAfile", "root.pem", "-untrusted", "chain.pem"];
    scene.run("openssl", &[&flags[..], &trust, what].concat())
}

#[test]
fn openssl_verifies_a_timestamp_of_every_hash() {
    let scene = Scene::new();
    scene.home.write("file.txt", "hello\n");
    scene.home.write("other.txt", "hallo\n");
    for hash in ["-sha256", "-sha384", "-sha512"] {
        stamp(&scene, &[hash, "-cert"]);
        let _ = verify(&scene, &["-queryfile", "request.tsq"])
            .succeeds()
            .says("Verification: OK");
        let _ = verify(&scene, &["-data", "file.txt"]).succeeds();
        verify(&scene, &["-data", "other.txt"]).fails_with("Verification: FAILED");
    }
}

/// The chain, and its root alone.
fn chain(scene: &Scene, base: &str) {
    let pem = String::from_utf8(scene.get(&format!("{base}/api/v1/timestamp/certchain"))).unwrap();
    let root = pem.rfind("-----BEGIN").expect("a chain");
    scene.home.write("chain.pem", &pem);
    scene.home.write("root.pem", &pem[root..]);
}

#[test]
fn a_request_without_certificates_is_verified_with_the_chain() {
    let scene = Scene::new();
    scene.home.write("file.txt", "hello\n");
    stamp(&scene, &["-sha256", "-no_nonce"]);
    let _ = verify(&scene, &["-data", "file.txt"]).succeeds();
}

#[test]
fn timestamp_cli_requests_and_verifies() {
    let scene = Scene::new();
    scene.home.write("file.txt", "hello\n");
    let server = scene.siglab.url("tsa", "http");
    let stamp = [
        "--timestamp_server",
        &server,
        "timestamp",
        "--hash",
        "sha256",
        "--artifact",
        "file.txt",
        "--certificate=true",
        "--nonce",
        "17",
        "--out",
        "response.tsr",
    ];
    let _ = scene
        .run("timestamp-cli", &stamp)
        .succeeds()
        .says("Artifact timestamped at");
    chain(&scene, &server);
    let verify = |file: &str| {
        let flags = ["verify", "--timestamp", "response.tsr", "--artifact", file];
        let flags = [&flags[..], &["--certificate-chain", "chain.pem"]].concat();
        scene.run("timestamp-cli", &flags)
    };
    let _ = verify("file.txt")
        .succeeds()
        .says("Successfully verified timestamp");
    scene.home.write("other.txt", "hallo\n");
    assert!(!verify("other.txt").is_success());
}
