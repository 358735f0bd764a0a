//! Registry clients, and the distribution specification's own suite.

use std::path::Path;

use crate::scene::{Scene, split};

#[test]
fn crane_pushes_lists_copies_pulls_and_deletes() {
    let scene = Scene::new();
    let image = scene.image("team/app", "one");
    let registry = scene.siglab.registry();
    let (_, digest) = split(&image);
    let tagged = format!("{registry}/team/app:latest");
    let _ = scene
        .run("crane", &["digest", &tagged])
        .succeeds()
        .says(digest);
    let _ = scene
        .run("crane", &["ls", &format!("{registry}/team/app")])
        .succeeds()
        .says("latest");
    let copy = format!("{registry}/other/app:v1");
    let _ = scene.run("crane", &["copy", &tagged, &copy]).succeeds();
    let _ = scene
        .run("crane", &["digest", &copy])
        .succeeds()
        .says(digest);
    let _ = scene.run("crane", &["pull", &copy, "image.tar"]).succeeds();
    let _ = scene
        .run("crane", &["validate", "--remote", &copy])
        .succeeds()
        .says("PASS");
    let _ = scene
        .run(
            "crane",
            &["delete", &format!("{registry}/other/app@{digest}")],
        )
        .succeeds();
    scene
        .run("crane", &["digest", &copy])
        .fails_with("MANIFEST_UNKNOWN");
}

#[test]
fn oras_pushes_attaches_discovers_and_pulls() {
    let scene = Scene::new();
    let registry = scene.siglab.registry();
    scene.home.write("artifact.txt", "artifact\n");
    scene.home.write("sbom.json", "{}\n");
    let artifact = format!("{registry}/artifact:v1");
    let push = ["push", "--plain-http", &artifact, "artifact.txt:text/plain"];
    let _ = scene.run("oras", &push).succeeds();
    let attach = [
        "attach",
        "--plain-http",
        "--artifact-type",
        "application/sbom",
        &artifact,
    ];
    let _ = scene
        .run("oras", &[&attach[..], &["sbom.json"]].concat())
        .succeeds();
    let discover = ["discover", "--plain-http", "--format", "json", &artifact];
    let _ = scene
        .run("oras", &discover)
        .succeeds()
        .says("application/sbom");
    let _ = scene
        .run(
            "oras",
            &["pull", "--plain-http", "--output", "out", &artifact],
        )
        .succeeds();
    assert_eq!(scene.home.read("out/artifact.txt"), b"artifact\n");
    let copy = format!("{registry}/copy/artifact:v1");
    let flags = [
        "copy",
        "--recursive",
        "--from-plain-http",
        "--to-plain-http",
        &artifact,
        &copy,
    ];
    let _ = scene.run("oras", &flags).succeeds();
    let discover = ["discover", "--plain-http", "--format", "json", &copy];
    let _ = scene
        .run("oras", &discover)
        .succeeds()
        .says("application/sbom");
}

#[test]
fn skopeo_copies_in_and_out_and_inspects() {
    let scene = Scene::new();
    let image = scene.image("app", "one");
    let source = format!("docker://{image}");
    let flags = [
        "copy",
        "--insecure-policy",
        "--src-tls-verify=false",
        &source,
        "oci:layout:v1",
    ];
    let _ = scene.run("skopeo", &flags).succeeds();
    let back = format!("docker://{}/back:v1", scene.siglab.registry());
    let flags = [
        "copy",
        "--insecure-policy",
        "--dest-tls-verify=false",
        "oci:layout:v1",
        &back,
    ];
    let _ = scene.run("skopeo", &flags).succeeds();
    let (_, digest) = split(&image);
    let _ = scene
        .run("skopeo", &["inspect", "--tls-verify=false", &back])
        .succeeds()
        .says(digest);
}

/// Runs the conformance suite and prints its counts; results stay under `target/conformance`.
#[expect(clippy::print_stdout, reason = "the counts are a result")]
fn conformance(version: &str) {
    let mut scene = Scene::new();
    let results = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/conformance")
        .join(version);
    scene.home.set("OCI_REGISTRY", scene.siglab.registry());
    scene.home.set("OCI_TLS", "disabled");
    scene.home.set("OCI_REPO1", "conformance/one");
    scene.home.set("OCI_REPO2", "conformance/two");
    scene.home.set("OCI_VERSION", version);
    scene
        .home
        .set("OCI_RESULTS_DIR", results.display().to_string());
    let outcome = scene.run("conformance", &[]).succeeds();
    let text = outcome.all();
    // `Pass..........: 860`
    let count = |word: &str| -> u32 {
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(word));
        let number = lines.find_map(|line| line.split_once(".:")?.1.trim().parse().ok());
        number.unwrap_or_else(|| panic!("no count of {word} in\n{text}"))
    };
    let [pass, fail, skip, disabled, error] =
        ["Pass", "FAIL", "Skip", "Disabled", "Error"].map(count);
    println!(
        "OCI conformance {version}: {pass} passed, {fail} failed, {skip} not implemented, \
         {disabled} disabled, {error} errors"
    );
    assert_eq!((fail, skip, error), (0, 0, 0), "see {}", results.display());
    assert!(pass > 800, "only {pass} checks ran");
}

#[test]
fn the_conformance_suite_passes_for_1_1() {
    conformance("1.1");
}

#[test]
fn the_conformance_suite_passes_for_dev() {
    conformance("dev");
}
