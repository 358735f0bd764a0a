//! What a registry's users do beyond a push: logins, uploads in pieces, copies, deletions, and signatures
//! made at once in each of the three referrers modes.

use serde_json::Value;
use tests::{Outcome, Sandbox, Siglab, client};

use crate::{
    scene::{EMAIL, Scene, split, text},
    sign::LEGACY,
    wire,
};

/// A lab with settings of its registry.
fn lab(home: Sandbox, settings: &[&str]) -> Scene {
    let settings: Vec<String> = settings
        .iter()
        .map(|set| format!("registry.{set}"))
        .collect();
    Scene::with(home, &settings)
}

/// A lab that anybody may read and `ann` may write, with that way of asking for credentials.
fn guarded(scheme: &str) -> Scene {
    let home = Sandbox::new();
    let users = home.dir().join("users").display().to_string();
    let add = ["-B", "-C", "5", "-b", "-c", &users, "ann", "secret"];
    let _ = home.run(&client("htpasswd"), &add).succeeds();
    let settings = [
        "auth.access=anonymous-read".to_owned(),
        format!("auth.scheme={scheme}"),
        format!("auth.htpasswd={users}"),
    ];
    lab(home, &settings.each_ref().map(String::as_str))
}

fn append(scene: &Scene, layer: &str, reference: &str) -> Outcome {
    let flags = [
        "append",
        "--oci-empty-base",
        "--new_layer",
        layer,
        "--new_tag",
        reference,
    ];
    scene.run("crane", &flags)
}

/// crane is refused at a HEAD, whose answer has no body, or at a request that says more.
fn refused(outcome: &Outcome) {
    let said = outcome.all();
    let is_told = said.contains("UNAUTHORIZED") || said.contains("401 Unauthorized");
    assert!(!outcome.is_success() && is_told, "{said}");
}

/// `client login` as `ann`, with further arguments before the registry's name.
fn login(scene: &Scene, client: &str, command: &[&str], password: &str) -> Outcome {
    let registry = scene.siglab.registry();
    let credentials = ["--username", "ann", "--password", password, &registry];
    scene.run(client, &[command, &credentials].concat())
}

/// crane pushes an image once it is logged in, and cosign signs it: the image by digest.
fn crane_and_cosign_log_in(scene: &Scene) -> String {
    let registry = scene.siglab.registry();
    let layer = scene.layer("one");
    let image = format!("{registry}/team/app:v1");
    refused(&append(scene, &layer, &image));
    // Both keep what they are given; the next request tells.
    let command = ["auth", "login"];
    let _ = login(scene, "crane", &command, "guess").succeeds();
    refused(&append(scene, &layer, &image));
    let _ = login(scene, "crane", &command, "secret").succeeds();
    let _ = append(scene, &layer, &image).succeeds();
    let digest = scene.run("crane", &["digest", &image]).succeeds().text();
    let by_digest = format!("{registry}/team/app@{}", digest.trim());
    let _ = login(scene, "cosign", &["login"], "secret").succeeds();
    scene.sign(&by_digest);
    by_digest
}

/// oras pushes an artifact once it is logged in: its name.
fn oras_logs_in(scene: &Scene) -> String {
    let command = ["login", "--plain-http"];
    assert!(!login(scene, "oras", &command, "guess").is_success());
    let accepted = login(scene, "oras", &command, "secret");
    let _ = accepted.succeeds().says("Login Succeeded");
    scene.home.write("artifact.txt", "artifact\n");
    let artifact = format!("{}/artifact:v1", scene.siglab.registry());
    let push = ["push", "--plain-http", &artifact, "artifact.txt:text/plain"];
    let _ = scene.run("oras", &push).succeeds();
    artifact
}

/// skopeo copies an image once it is logged in.
fn skopeo_logs_in(scene: &Scene, image: &str) {
    let command = ["login", "--tls-verify=false"];
    assert!(!login(scene, "skopeo", &command, "guess").is_success());
    let accepted = login(scene, "skopeo", &command, "secret");
    let _ = accepted.succeeds().says("Login Succeeded");
    let from = format!("docker://{image}");
    let to = format!("docker://{}/copy:v1", scene.siglab.registry());
    let plain = ["--src-tls-verify=false", "--dest-tls-verify=false"];
    let copy = [&["copy", "--insecure-policy"], &plain[..], &[&from, &to]].concat();
    let _ = scene.run("skopeo", &copy).succeeds();
}

fn every_client_logs_in(scheme: &str) {
    let scene = guarded(scheme);
    let _ = scene.initialize("cosign").succeeds();
    let image = crane_and_cosign_log_in(&scene);
    let artifact = oras_logs_in(&scene);
    skopeo_logs_in(&scene, &image);

    // Somebody without a login reads, and that is all.
    let nobody = Scene {
        siglab: scene.siglab,
        home: Sandbox::new(),
    };
    let (_, digest) = split(&image);
    let shown = nobody.run("crane", &["digest", &image]).succeeds();
    let _ = shown.says(digest);
    let pull = ["pull", "--plain-http", "--output", "out", &artifact];
    let _ = nobody.run("oras", &pull).succeeds();
    refused(&nobody.run("crane", &["delete", &image]));
}

#[test]
fn every_client_logs_in_for_tokens() {
    every_client_logs_in("bearer");
}

#[test]
fn every_client_logs_in_with_passwords() {
    every_client_logs_in("basic");
}

#[test]
fn buildah_commits_pushes_an_index_and_pulls_it() {
    let mut scene = Scene::new();
    let registry = scene.siglab.registry();
    let logins = scene.home.write("logins.json", "{}");
    scene
        .home
        .set("REGISTRY_AUTH_FILE", logins.display().to_string());
    scene.home.write("app.txt", "one\n");
    let root = scene.home.dir().join("buildah").display().to_string();
    let run = scene.home.dir().join("buildah-run").display().to_string();
    let buildah = |arguments: &[&str]| {
        let store = [
            "--root",
            &root,
            "--runroot",
            &run,
            "--storage-driver",
            "vfs",
        ];
        scene
            .run("buildah", &[&store[..], arguments].concat())
            .succeeds()
    };
    let container = buildah(&["from", "scratch"]).text();
    let _ = buildah(&["copy", container.trim(), "app.txt", "/app.txt"]);
    let _ = buildah(&["commit", "--format", "oci", container.trim(), "app"]);
    let id = buildah(&["images", "--quiet", "--no-trunc", "app"]).text();
    let _ = buildah(&["manifest", "create", "all"]);
    let _ = buildah(&["manifest", "add", "all", "app"]);
    let index = format!("docker://{registry}/team/app:v1");
    let push = [
        "manifest",
        "push",
        "--all",
        "--tls-verify=false",
        "all",
        &index,
    ];
    let _ = buildah(&push);
    let manifest = scene.run("crane", &["manifest", &format!("{registry}/team/app:v1")]);
    let manifest: Value = serde_json::from_str(&manifest.succeeds().text()).unwrap();
    assert_eq!(
        manifest["mediaType"],
        "application/vnd.oci.image.index.v1+json"
    );
    let _ = buildah(&["rm", "--all"]);
    let _ = buildah(&["rmi", "--all", "--force"]);
    let pulled = buildah(&["pull", "--tls-verify=false", &index]).text();
    assert!(id.trim().ends_with(pulled.trim()), "{id} {pulled}");
}

/// The value of a header in what `curl --include` printed.
fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let mut lines = answer.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(found, _)| found.eq_ignore_ascii_case(name));
    found
        .unwrap_or_else(|| panic!("no {name} in\n{answer}"))
        .1
        .trim()
}

#[test]
fn an_upload_in_pieces_goes_on_after_a_restart_and_is_read_in_ranges() {
    let mut scene = Scene::new();
    let content = "0123456789abcdefghij";
    scene.home.write("head", &content[..8]);
    scene.home.write("tail", &content[8..]);
    let base = scene.siglab.url("registry", "http");
    let start = format!("{base}/v2/app/blobs/uploads/");
    let (status, started) = wire::send(&scene, &["--include", "--request", "POST", &start]);
    assert_eq!(status, 202, "{started}");
    let location = header(&started, "location").to_owned();
    assert!(location.starts_with("/v2/app/blobs/uploads/"), "{location}");
    let piece = |scene: &Scene, method: &str, url: &str, range: &str, file: &str| {
        let range = format!("Content-Range: {range}");
        let data = format!("@{file}");
        let flags = [
            "--include",
            "--request",
            method,
            "--header",
            &range,
            "--data-binary",
            &data,
        ];
        wire::send(scene, &[&flags[..], &[url]].concat())
    };
    let at = format!("{base}{location}");
    let (status, answer) = piece(&scene, "PATCH", &at, "0-7", "head");
    assert_eq!((status, header(&answer, "range")), (202, "0-7"));
    let (status, answer) = piece(&scene, "PATCH", &at, "9-19", "tail");
    assert_eq!((status, header(&answer, "range")), (416, "0-7"));

    scene.siglab.restart();
    let base = scene.siglab.url("registry", "http");
    let at = format!("{base}{location}");
    let (status, answer) = wire::send(&scene, &["--include", &at]);
    assert_eq!((status, header(&answer, "range")), (204, "0-7"));
    let digest = format!("sha256:{}", crate::scene::sha256_hex(content.as_bytes()));
    let (status, answer) = piece(
        &scene,
        "PUT",
        &format!("{at}?digest={digest}"),
        "8-19",
        "tail",
    );
    assert_eq!(
        (status, header(&answer, "docker-content-digest")),
        (201, &*digest)
    );

    let blob = format!("{base}/v2/app/blobs/{digest}");
    for (range, want) in [
        ("0-3", &content[..4]),
        ("5-", &content[5..]),
        ("-4", &content[16..]),
    ] {
        let (status, answer) = wire::send(&scene, &["--range", range, &blob]);
        assert_eq!((status, &*answer), (206, want), "{range}");
    }
    scene.home.write("part", &content[..8]);
    let resume = ["--continue-at", "8", "--output", "part", &blob];
    let _ = wire::send(&scene, &resume);
    assert_eq!(scene.home.read("part"), content.as_bytes());
}

#[test]
fn a_blob_is_mounted_from_another_repository_and_deleted_from_one_alone() {
    let scene = Scene::new();
    let image = scene.image("team/app", "one");
    let registry = scene.siglab.registry();
    let copy = format!("{registry}/other/app:v1");
    let log = scene
        .run("crane", &["copy", "--verbose", &image, &copy])
        .succeeds();
    let _ = log.says("mounted blob");
    let manifest = scene.run("crane", &["manifest", &copy]).succeeds().text();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let layer = text(&manifest["layers"][0]["digest"]).to_owned();
    let at = |name: &str| {
        format!(
            "{}/v2/{name}/blobs/{layer}",
            scene.siglab.url("registry", "http")
        )
    };
    let delete = |name: &str| wire::send(&scene, &["--request", "DELETE", &at(name)]).0;
    let head = |name: &str| wire::send(&scene, &["--head", &at(name)]).0;
    assert_eq!(delete("other/app"), 202);
    assert_eq!((head("other/app"), head("team/app")), (404, 200));
    // A digest that the other repository may not see is not mounted, nor is its absence an error.
    let mount = format!(
        "{}/v2/third/app/blobs/uploads/",
        scene.siglab.url("registry", "http")
    );
    let mount = format!("{mount}?mount={layer}&from=other/app");
    assert_eq!(wire::send(&scene, &["--request", "POST", &mount]).0, 202);
}

#[test]
fn skopeo_oras_and_crane_delete_and_list() {
    let scene = Scene::new();
    let registry = scene.siglab.registry();
    let tags = ["one", "two", "three"].map(|tag| {
        let reference = format!("{registry}/app:{tag}");
        let _ = append(&scene, &scene.layer(tag), &reference).succeeds();
        reference
    });
    let listed = |scene: &Scene| {
        scene
            .run("crane", &["ls", &format!("{registry}/app")])
            .succeeds()
            .text()
    };
    assert_eq!(listed(&scene), "one\nthree\ntwo\n");
    let oras = ["repo", "tags", "--plain-http", &format!("{registry}/app")];
    assert_eq!(
        scene.run("oras", &oras).succeeds().text(),
        "one\nthree\ntwo\n"
    );
    let target = format!("docker://{}", tags[0]);
    let _ = scene
        .run("skopeo", &["delete", "--tls-verify=false", &target])
        .succeeds();
    let delete = ["manifest", "delete", "--plain-http", "--force", &tags[1]];
    let _ = scene.run("oras", &delete).succeeds();
    assert_eq!(listed(&scene), "three\n");
    let _ = scene.run("crane", &["delete", &tags[2]]).succeeds();
    assert_eq!(listed(&scene), "");
    let catalog = scene
        .run("crane", &["catalog", &registry])
        .succeeds()
        .text();
    assert!(catalog.lines().all(|line| line == "app"), "{catalog}");
}

#[test]
fn cosign_saves_loads_copies_downloads_and_cleans() {
    let scene = Scene::initialized();
    let image = scene.image("app", "one");
    let token = scene.token();
    scene.sign_by(&token, &[], &image);
    scene.home.write("predicate.json", r#"{"passed": true}"#);
    let attest = [
        "attest",
        "--yes",
        "--identity-token",
        &token,
        "--predicate",
        "predicate.json",
    ];
    let _ = scene
        .run(
            "cosign",
            &[&attest[..], &["--type", "custom", &image]].concat(),
        )
        .succeeds();

    // `cosign load` pushes a bundle's manifest before its blob.
    let _ = scene
        .run("cosign", &["save", "--dir", "saved", &image])
        .succeeds();
    let other = Siglab::start();
    let (name, digest) = split(&image);
    let moved = format!("{}/{name}:moved", other.registry());
    let _ = scene
        .run("cosign", &["load", "--dir", "saved", &moved])
        .succeeds();
    let moved = format!("{}/{name}@{digest}", other.registry());
    let _ = scene.verify(&moved, EMAIL).succeeds();

    let downloaded = scene
        .run("cosign", &["download", "attestation", &image])
        .succeeds();
    let _ = downloaded.says("payload");
    let _ = scene
        .run("cosign", &["download", "signature", &image])
        .succeeds();
    let _ = scene
        .run("cosign", &["triangulate", &image])
        .succeeds()
        .says("sha256-");

    scene.sign_in_a_tag(&token, &image);
    let copy = format!("{}/copy/app:v1", scene.siglab.registry());
    let _ = scene.run("cosign", &["copy", &image, &copy]).succeeds();
    let copied = format!("{}/copy/app@{digest}", scene.siglab.registry());
    let by = (EMAIL, &*scene.issuer());
    let _ = scene.verify_by(&copied, by, &[LEGACY]).succeeds();

    let _ = scene
        .run("cosign", &["clean", "--force", &image])
        .succeeds();
    assert!(!scene.verify(&image, EMAIL).is_success());
    assert!(!scene.verify_by(&image, by, &[LEGACY]).is_success());
}

/// The status of the referrers API, and the entries of the fallback tag.
fn fallback(scene: &Scene, image: &str) -> (u16, usize) {
    let (name, digest) = split(image);
    let base = format!("{}/v2/{name}", scene.siglab.url("registry", "http"));
    let (status, _) = wire::send(scene, &[&format!("{base}/referrers/{digest}")]);
    let index = scene.json(&format!("{base}/manifests/{}", digest.replace(':', "-")));
    (status, index["manifests"].as_array().map_or(0, Vec::len))
}

#[test]
fn in_fallback_mode_signatures_made_at_once_are_all_kept() {
    let scene = lab(Sandbox::new(), &["referrers=fallback"]);
    let _ = scene.initialize("cosign").succeeds();
    let image = scene.image("app", "one");
    let emails = scene.sign_at_once(&image);
    assert_eq!(fallback(&scene, &image), (404, emails.len()));
    for email in &emails {
        let _ = scene.verify(&image, email).succeeds();
    }
}

/// Without the API and without help, clients overwrite each other's fallback tag: that is what this mode
/// is for. The signatures themselves are all kept, as the registry tells once the API is on.
#[test]
fn switched_off_signatures_made_at_once_are_kept_though_clients_lose_sight_of_them() {
    let mut scene = lab(Sandbox::new(), &["referrers=off"]);
    let _ = scene.initialize("cosign").succeeds();
    let image = scene.image("app", "one");
    let issuer = scene.issuer();
    let emails = scene.sign_at_once(&image);
    let (status, listed) = fallback(&scene, &image);
    assert!(
        status == 404 && (1..=emails.len()).contains(&listed),
        "{status} {listed}"
    );
    scene.siglab.restart();
    let (name, digest) = split(&image);
    let image = format!("{}/{name}@{digest}", scene.siglab.registry());
    assert_eq!(scene.bundle_of(&image).1, emails.len());
    let root = scene.siglab.file("trusted_root.json");
    for email in &emails {
        let by = (&**email, &*issuer);
        let _ = scene
            .verify_by(&image, by, &["--trusted-root", &root])
            .succeeds();
    }
}
