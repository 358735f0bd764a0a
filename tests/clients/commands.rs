//! The commands of the program that look into a lab: what they show, their JSON, and what they say to type
//! next.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tests::{Outcome, Sandbox, siglab};

use crate::scene::{EMAIL, Scene, text};

const RELEASE: &str = "https://github.com/fleet-org/agent-router/.github/workflows/release.yml";

/// Runs the program against the scene's lab.
fn run(scene: &Scene, arguments: &[&str]) -> Outcome {
    let admin = scene.siglab.admin();
    scene
        .home
        .run(&siglab(), &[&["--lab", &admin], arguments].concat())
}

/// Runs it with `--json`: one object on one line, which says whether it went well.
fn run_json(scene: &Scene, arguments: &[&str]) -> Value {
    let outcome = run(scene, &[&["--json"], arguments].concat());
    let printed = outcome.text();
    assert_eq!(printed.lines().count(), 1, "{arguments:?}: {printed}");
    let object: Value = serde_json::from_str(&printed)
        .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {printed}"));
    assert_eq!(
        object["ok"],
        outcome.is_success(),
        "{arguments:?}: {object}"
    );
    object
}

/// Writes a policy for the release workflow on main, as a file beside the images.
fn policy(scene: &Scene) -> String {
    let policy = json!({
        "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
        "metadata": {"name": "main-only"},
        "spec": {
            "images": [{"glob": format!("{}/fleet-org/*", scene.siglab.registry())}],
            "authorities": [{
                "name": "release",
                "keyless": {
                    "url": scene.siglab.url("fulcio", "http"),
                    "identities": [{
                        "issuer": format!("{}/github-actions", scene.issuer()),
                        "subject": format!("{RELEASE}@refs/heads/main"),
                    }],
                },
            }],
        },
    });
    let file = scene.home.write("policy.yaml", policy.to_string());
    file.display().to_string()
}

/// Writes a Pod of the image, and a Service beside it.
fn manifest(scene: &Scene, image: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent"},
        "spec": {"containers": [{"name": "agent", "image": image}]},
    });
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "agent"}});
    let file = scene
        .home
        .write("pod.yaml", format!("{pod}\n---\n{service}\n"));
    file.display().to_string()
}

/// An image signed by the release workflow, run for `reference`; by its tag.
fn signed(scene: &Scene, content: &str, reference: &str) -> String {
    let image = scene.image("fleet-org/agent-router", content);
    let reference = format!("ref={reference}");
    let repository = "repository=fleet-org/agent-router";
    let _ = run(scene, &["sign", &image, repository, &reference]).succeeds();
    image.split('@').next().unwrap_or_default().to_owned() + ":latest"
}

#[test]
fn an_explanation_shows_both_subjects_and_where_they_part() {
    let scene = Scene::new();
    let policy = policy(&scene);
    let image = signed(&scene, "one", "refs/tags/v1.2.0");
    let manifest = manifest(&scene, &image);
    let explain = ["explain", "--filename", &manifest, "--policy", &policy];
    let shown = run(&scene, &explain);
    assert!(!shown.is_success());
    let lines = shown.text();
    let lines: Vec<&str> = lines.lines().collect();
    let at = |part: &str| {
        let found = lines.iter().position(|line| line.contains(part));
        found.unwrap_or_else(|| panic!("no {part} in {lines:#?}"))
    };
    let expected = at(&format!("expected     {RELEASE}@refs/heads/main"));
    assert!(lines[expected + 1].contains(&format!("observed     {RELEASE}@refs/tags/v1.2.0")));
    let mark = lines[expected + 2].find('^').expect("a mark");
    assert_eq!(lines[expected].get(mark..), Some("heads/main"));
    assert_eq!(lines[expected + 1].get(mark..), Some("tags/v1.2.0"));
    let _ = shown
        .says("a run for a tag, the policy expects a branch")
        .says("validation failed: failed policy: main-only")
        .says("service/agent: the policies are not asked about it");

    let image = signed(&scene, "two", "refs/heads/main");
    let verify = ["verify", &image, "--policy", &policy];
    let _ = run(&scene, &verify).succeeds().says("release passed");
    let decision = run_json(&scene, &verify);
    let authority = &decision["decision"]["images"][0]["policies"][0]["authorities"][0];
    assert_eq!(authority["passed"], true, "{decision}");
    // Without a policy in a file those in force are asked, and there are none.
    let manifest = self::manifest(&scene, &image);
    run(&scene, &["explain", "-f", &manifest]).fails_with("no matching policies");
}

#[test]
fn policies_are_linted_without_a_lab() {
    let scene = Scene::new();
    let lint = |spec: Value| {
        let policy = json!({
            "apiVersion": "policy.sigstore.dev/v1beta1", "kind": "ClusterImagePolicy",
            "metadata": {"name": "p"}, "spec": spec,
        });
        scene.home.write("p.yaml", policy.to_string());
        let nowhere = ["--lab", "http://localhost:1"];
        let lint = ["policy", "lint", "p.yaml"];
        scene.home.run(&siglab(), &[&nowhere[..], &lint].concat())
    };
    let pass = json!([{"static": {"action": "pass"}}]);
    let _ = lint(json!({"images": [{"glob": "nginx*"}], "authorities": pass}))
        .succeeds()
        .says("spec.images[0].glob: matches nothing")
        .says("admits every image that the policy matches");
    lint(json!({"images": [{"glob": "["}], "authorities": []}))
        .fails_with("invalid value: [: spec.images[0].glob");
}

#[test]
fn what_it_attests_is_verified_by_cosign_as_of_its_type() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let token = scene.token();
    let identity = format!("--certificate-identity={EMAIL}");
    let issuer = format!("--certificate-oidc-issuer={}", scene.issuer());
    scene
        .home
        .write("vex.json", "{\"statements\": [{\"status\": \"fixed\"}]}");
    scene.home.write("note.txt", "looked at by hand");
    let predicates = [
        ("openvex", "vex.json", "https://openvex.dev/ns"),
        (
            "custom",
            "note.txt",
            "https://cosign.sigstore.dev/attestation/v1",
        ),
        (
            "https://example.com/review",
            "vex.json",
            "https://example.com/review",
        ),
    ];
    for (kind, file, url) in predicates {
        let attest = ["attest", "--predicate", file, "--type", kind];
        let attest = [&attest[..], &["--identity-token", &token, &image]].concat();
        let made = run_json(&scene, &attest);
        assert_eq!(made["predicateType"], url);
        let verify = [
            "verify-attestation",
            &identity,
            &issuer,
            "--type",
            kind,
            &image,
        ];
        let shown = scene.run("cosign", &verify).succeeds().text();
        let envelope: Value =
            serde_json::from_str(shown.lines().next().expect("one")).expect("JSON");
        let payload = STANDARD.decode(text(&envelope["payload"])).expect("base64");
        let statement: Value = serde_json::from_slice(&payload).expect("JSON");
        assert_eq!(statement["predicateType"], url);
    }
    let other = [
        "verify-attestation",
        &identity,
        &issuer,
        "--type",
        "slsaprovenance",
        &image,
    ];
    assert!(!scene.run("cosign", &other).is_success());
    run(
        &scene,
        &["attest", "--predicate", "vex.json", "--type", "x", &image],
    )
    .fails_with("next:  siglab help attest");
    // An attestation is no signature.
    let verify = ["verify", &identity, &issuer, &image];
    run(&scene, &verify).fails_with("none of 0 signatures");
}

#[test]
fn entries_of_both_logs_are_shown_and_proven() {
    let scene = Scene::initialized();
    let artifact = scene
        .home
        .write("a.txt", "an artifact")
        .display()
        .to_string();
    for config in ["signing_config.json", "signing_config_rekor_v1.json"] {
        for _ in 0..3 {
            let config = scene.siglab.file(config);
            let flags = ["--signing-config", &config, "--bundle", "b.json"];
            scene.sign_blob(&flags, &artifact);
        }
    }
    let tail = run(&scene, &["log", "tail"]).succeeds();
    assert_eq!(tail.text().matches(EMAIL).count(), 6, "{}", tail.text());
    for log in ["v1", "v2"] {
        for index in ["0", "2"] {
            let entry = run_json(&scene, &["log", "get", index, "--log", log]);
            assert_eq!(entry["signer"], EMAIL, "{entry}");
            assert_eq!(entry["inclusionProof"]["treeSize"], 3);
            let proof = run_json(&scene, &["log", "prove", index, "--log", log]);
            assert_eq!(proof["rootHash"], entry["inclusionProof"]["rootHash"]);
            assert_eq!(proof["signedBy"], "localhost");
        }
        let shown = run(&scene, &["log", "prove", "1", "--log", log]).succeeds();
        let _ = shown.says("included").says("signed");
    }
    run(&scene, &["log", "get", "3"]).fails_with("next:  siglab log tail");
}

#[test]
fn every_command_speaks_json_of_one_shape() {
    let scene = Scene::new();
    let image = signed(&scene, "one", "refs/heads/main");
    let policy = policy(&scene);
    let manifest = manifest(&scene, &image);
    let issuer = format!("{}/github-actions", scene.issuer());
    let subject = format!("{RELEASE}@refs/heads/main");
    scene.home.write("note.txt", "looked at by hand");
    let commands: [&[&str]; 16] = [
        &["status"],
        &["env", "--dir", "env"],
        &["token"],
        &["sign", &image],
        &["attest", &image, "--predicate", "note.txt"],
        &[
            "verify",
            &image,
            "--certificate-identity",
            &subject,
            "--certificate-oidc-issuer",
            &issuer,
        ],
        &["verify", &image, "--policy", &policy],
        &["explain", "-f", &manifest, "--policy", &policy],
        &["policy", "lint", &policy],
        &["admit", "-f", &policy],
        &["trust", "trust"],
        &["log", "tail"],
        &["export", &image, "--output", "images.tar"],
        &["import", "images.tar"],
        &["manifests", "admission"],
        &["demo"],
    ];
    for command in commands {
        let said = run_json(&scene, command);
        assert_eq!(said["ok"], true, "{command:?}: {said}");
    }
    let denied = run_json(&scene, &["admit", "-f", &manifest]);
    assert_eq!(denied["ok"], false);
    let refused = run_json(&scene, &["sign", "UPPER CASE"]);
    assert_eq!(
        refused["error"]
            .as_str()
            .map(|text| text.contains("is not an image")),
        Some(true)
    );
    assert!(refused["next"].is_string());
}

#[test]
fn work_on_a_directory_speaks_json_too() {
    let scene = Scene::new();
    let _ = signed(&scene, "one", "refs/heads/main");
    let dir = scene.siglab.data_dir().display().to_string();
    let (mut siglab, home) = (scene.siglab, scene.home);
    siglab.stop();
    for command in [
        &["fsck", dir.as_str()][..],
        &["registry", "gc", &dir, "--dry-run"],
    ] {
        let outcome = home.run(&tests::siglab(), &[&["--json"], command].concat());
        let said: Value = serde_json::from_str(&outcome.succeeds().text()).expect("JSON");
        assert_eq!(said["ok"], true, "{said}");
    }
}

#[test]
fn a_lab_that_serves_says_where_as_json() {
    let home = Sandbox::new();
    let dir = home.dir().join("lab").display().to_string();
    let up = ["--json", "up", "--port", "0", "--data-dir", &dir];
    let lab = home.start(&siglab(), &up);
    let said = lab.line_with("\"ok\":true");
    let said: Value = serde_json::from_str(&said).expect("one object on one line");
    let admin = text(&said["admin_url"]);
    let status = ["--json", "--lab", admin, "status"];
    let status = home.run(&siglab(), &status).succeeds().text();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["instance"], said["instance"]);
    let process = said["process"].to_string();
    let stopped = std::process::Command::new("kill").arg(process).status();
    assert!(stopped.expect("kill is there").success());
    assert_eq!(lab.end().succeeds().text().lines().count(), 1);
}

#[test]
fn errors_end_with_the_next_command_to_type() {
    let scene = Scene::new();
    for (arguments, next) in [
        (&["--lab", "http://localhost:1", "status"][..], "siglab up"),
        (&["trust"], "--help"),
        (&["sign", "UPPER CASE"], "siglab status"),
        (
            &["export", "no/image:here", "-o", "x.tar", "--no-trust"],
            "siglab help export",
        ),
        (&["fsck", "/nowhere"], "siglab help fsck"),
        (&["status", "--ca", "/nowhere"], "siglab help status"),
    ] {
        let refused = match arguments {
            ["--lab", ..] => scene.home.run(&siglab(), arguments),
            _ => run(&scene, arguments),
        };
        assert!(!refused.is_success(), "{arguments:?}");
        let all = refused.all();
        let last = all.trim_end().lines().last().unwrap_or_default();
        assert!(last.contains(next), "{arguments:?}: {last}");
    }
}
