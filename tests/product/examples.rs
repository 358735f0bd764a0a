//! The examples of examples/, run as their readers run them; and the Rust fixture, judged by cosign.

use siglab_testing::blocking::Lab;
use tests::{Sandbox, client, documents::repository, siglab, tool};

/// Who signs.
const EMAIL: &str = "alice@lab.example";

#[test]
fn the_python_example_passes() {
    let mut home = Sandbox::new();
    home.provide(&[siglab()]);
    home.set("PYTHONDONTWRITEBYTECODE", "1");
    let folder = repository().join("examples/python").display().to_string();
    let flags = ["-p", "no:cacheprovider", &folder];
    let _ = home
        .run(&client("pytest"), &flags)
        .succeeds()
        .says("1 passed");
}

#[test]
fn the_go_example_passes() {
    let mut home = Sandbox::new();
    home.provide(&[siglab(), client("cosign")]);
    // Its own code only: nothing is fetched, and the standard library is compiled once.
    let cache = repository().join("target/go-cache").display().to_string();
    home.set("GOCACHE", cache);
    home.set("GOPROXY", "off");
    home.set("GOTOOLCHAIN", "local");
    let folder = repository().join("examples/go").display().to_string();
    let _ = home
        .run(&tool("go"), &["-C", &folder, "test", "-count=1", "-v", "."])
        .succeeds()
        .says("--- PASS: TestASignatureVerifies");
}

/// The lab of `siglab-testing` in this process, and cosign beside it.
#[test]
fn cosign_signs_and_verifies_in_labs_of_the_rust_fixture() {
    let labs = [Lab::start().unwrap(), Lab::start().unwrap()];
    let bundles = labs.each_ref().map(|lab| {
        let home = initialized(lab);
        let token = lab.token([("email", EMAIL)]).unwrap();
        home.write("file.txt", "hello\n");
        let sign = ["sign-blob", "--yes", "--identity-token", &token];
        let _ = home
            .run(
                &client("cosign"),
                &[&sign[..], &["--bundle", "bundle.json", "file.txt"]].concat(),
            )
            .succeeds();
        let bundle = home.read("bundle.json");
        (home, bundle)
    });
    for (number, lab) in labs.iter().enumerate() {
        let (home, own) = &bundles[number];
        let (_, foreign) = &bundles[1 - number];
        let issuer = lab.url("oidc", "http");
        let verify = |bundle: &[u8]| {
            home.write("bundle.json", bundle);
            let flags = [
                "verify-blob",
                "--bundle=bundle.json",
                "--certificate-identity",
                EMAIL,
                "--certificate-oidc-issuer",
                &issuer,
                "file.txt",
            ];
            home.run(&client("cosign"), &flags)
        };
        let _ = verify(own).succeeds().says("Verified OK");
        assert!(!verify(foreign).is_success());
    }
}

fn initialized(lab: &Lab) -> Sandbox {
    let home = Sandbox::new();
    let root = lab.file("root.json").display().to_string();
    let flags = [
        "initialize",
        "--mirror",
        &lab.url("tuf", "http"),
        "--root",
        &root,
    ];
    let _ = home.run(&client("cosign"), &flags).succeeds();
    home
}
