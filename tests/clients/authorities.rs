//! The certificate authorities that an operator can choose, judged by cosign and sigstore-python: a root of
//! one's own, an intermediate with an encrypted key, one in memory. The operator's are made by openssl.

use tests::Sandbox;

use crate::scene::{EMAIL, Scene};

/// Runs openssl in `home`; the parts of `command` have no spaces.
fn openssl(home: &Sandbox, command: &str) {
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let _ = home.run(&tests::client("openssl"), &arguments).succeeds();
}

/// `root.pem` and `root.key` as an operator makes them, valid from a minute ago.
fn root(home: &Sandbox) {
    openssl(
        home,
        "req -x509 -days 30 -nodes -newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384 -keyout root.key \
         -out root.pem -subj /O=LAB_operator/CN=operator_root -addext \
         keyUsage=critical,keyCertSign,cRLSign",
    );
}

/// `chain.pem` with an intermediate below that root, and its `issuer.key`, encrypted.
fn intermediate(home: &Sandbox) {
    root(home);
    home.write(
        "extensions",
        "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
         extendedKeyUsage=codeSigning\nsubjectKeyIdentifier=hash\n",
    );
    openssl(
        home,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes-256-cbc -pass pass:open -out \
         issuer.key",
    );
    openssl(
        home,
        "req -new -key issuer.key -passin pass:open -out issuer.csr -subj \
         /O=LAB_operator/CN=operator_issuer",
    );
    openssl(
        home,
        "x509 -req -in issuer.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile extensions \
         -out issuer.pem",
    );
    let chain = [home.read("issuer.pem"), home.read("root.pem")].concat();
    home.write("chain.pem", chain);
}

/// A lab with these settings of Fulcio.
fn lab(home: Sandbox, settings: &[String]) -> Scene {
    let settings: Vec<String> = settings.iter().map(|set| format!("fulcio.{set}")).collect();
    Scene::with(home, &settings)
}

/// Both clients sign and verify, and the other's signature too.
fn signs_and_verifies(scene: &Scene) {
    let _ = scene.initialize("cosign").succeeds();
    let image = scene.image("app", "one");
    scene.sign(&image);
    let _ = scene.verify(&image, EMAIL).succeeds();
    let refused = scene.verify(&image, "mallory@lab.example");
    refused.fails_with("expected SAN value");

    let config = scene.siglab.file("trust_config.json");
    let trust = ["--trust-config", &config];
    scene.home.write("file.txt", "hello\n");
    scene.sign_file(&trust, &scene.token(), "file.txt");
    let by = (EMAIL, &*scene.issuer());
    let _ = scene.verify_file(&trust, by, &[], "file.txt").succeeds();
    let verified = scene.verify_blob("file.txt.sigstore.json", &[], "file.txt");
    let _ = verified.succeeds();
}

/// The common names of the trust bundle, by openssl.
fn issued_below(scene: &Scene, name: &str) {
    let url = format!("{}/api/v1/rootCert", scene.siglab.url("fulcio", "http"));
    scene.home.write("bundle.pem", scene.get(&url));
    let shown = scene.run(
        "openssl",
        &["storeutl", "-noout", "-text", "-certs", "bundle.pem"],
    );
    let _ = shown.succeeds().says(name);
}

#[test]
fn a_root_of_ones_own_issues() {
    let home = Sandbox::new();
    root(&home);
    let path = |name: &str| home.dir().join(name).display().to_string();
    let settings = [
        "ca=file".to_owned(),
        format!("file_ca_cert={}", path("root.pem")),
        format!("file_ca_key={}", path("root.key")),
    ];
    let scene = lab(home, &settings);
    issued_below(&scene, "operator_root");
    signs_and_verifies(&scene);
}

#[test]
fn an_intermediate_with_an_encrypted_key_issues() {
    let home = Sandbox::new();
    intermediate(&home);
    assert!(
        String::from_utf8(home.read("issuer.key"))
            .unwrap()
            .contains("ENCRYPTED")
    );
    let path = |name: &str| home.dir().join(name).display().to_string();
    let settings = [
        "ca=file".to_owned(),
        format!("file_ca_cert={}", path("chain.pem")),
        format!("file_ca_key={}", path("issuer.key")),
        "file_ca_key_password=open".to_owned(),
    ];
    let scene = lab(home, &settings);
    issued_below(&scene, "operator_issuer");
    signs_and_verifies(&scene);
}

#[test]
fn an_authority_in_memory_issues() {
    let scene = lab(Sandbox::new(), &["ca=ephemeral".to_owned()]);
    issued_below(&scene, "fulcio-ephemeral");
    signs_and_verifies(&scene);
}
