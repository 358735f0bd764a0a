//! The registry over TLS: by a certificate of its own, and by one that openssl made.

use tests::{Outcome, Sandbox};

use crate::scene::Scene;

/// Everybody who trusts `authority` pushes and pulls, and nobody else.
fn is_trusted_through(mut scene: Scene, authority: &str) {
    let registry = scene.siglab.registry();
    scene.home.write("artifact.txt", "artifact\n");
    let artifact = format!("{registry}/artifact:v1");
    let oras = |scene: &Scene, trust: &[&str]| -> Outcome {
        let push = [
            "push",
            "--plain-http=false",
            &artifact,
            "artifact.txt:text/plain",
        ];
        scene.run("oras", &[&push[..], trust].concat())
    };
    oras(&scene, &[]).fails_with("certificate signed by unknown authority");
    let _ = oras(&scene, &["--ca-file", authority]).succeeds();

    let certificates = scene.home.dir().join("certs.d");
    std::fs::create_dir(&certificates).unwrap();
    std::fs::copy(authority, certificates.join("lab.crt")).unwrap();
    let certificates = certificates.display().to_string();
    let source = format!("docker://{artifact}");
    let inspect = |trust: &[&str]| {
        let flags = [&["inspect", "--raw"], trust, &[&source]].concat();
        scene.run("skopeo", &flags)
    };
    inspect(&[]).fails_with("certificate signed by unknown authority");
    let _ = inspect(&["--cert-dir", &certificates]).succeeds();

    let base = format!("https://{registry}/v2/artifact/tags/list");
    let curl = ["--silent", "--show-error", "--fail"];
    scene
        .run("curl", &[&curl[..], &[&base]].concat())
        .fails_with("SSL certificate problem");
    let trusting = [&curl[..], &["--cacert", authority, &base]].concat();
    let _ = scene.run("curl", &trusting).succeeds().says("v1");

    scene.home.set("SSL_CERT_FILE", authority);
    let image = scene.image("app", "one");
    let _ = scene
        .run("crane", &["validate", "--remote", &image])
        .succeeds();
}

#[test]
fn a_certificate_of_its_own_is_trusted_through_its_authority() {
    let scene = Scene::with(Sandbox::new(), &["registry.tls.own=true".to_owned()]);
    let authority = scene.siglab.data_dir().join("registry/tls-authority.pem");
    is_trusted_through(scene, &authority.display().to_string());
}

#[test]
fn a_certificate_of_the_operators_is_used() {
    let home = Sandbox::new();
    let make = "req -x509 -days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key.pem -out \
                certificate.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    let make: Vec<&str> = make.split_whitespace().collect();
    let _ = home.run(&tests::client("openssl"), &make).succeeds();
    let path = |name: &str| home.dir().join(name).display().to_string();
    let certificate = path("certificate.pem");
    let settings = [
        format!("registry.tls.certificate={certificate}"),
        format!("registry.tls.key={}", path("key.pem")),
    ];
    let scene = Scene::with(home, &settings);
    is_trusted_through(scene, &certificate);
}
