//! Debian's docker: an own daemon on an own socket and directory, without networks or containers.

use std::{
    fs,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tests::{Outcome, Sandbox, client, siglab};

use crate::scene::{EMAIL, Scene, split};

/// How long the daemon may take to start.
const START_MAX: Duration = Duration::from_secs(60);

/// A running daemon. It ends, and what it keeps goes away, with the value.
struct Daemon {
    child: Child,
    dir: TempDir,
}

impl Daemon {
    fn start() -> Self {
        let dir = TempDir::with_prefix("siglab-docker-").expect("a temporary directory");
        let path = |name: &str| dir.path().join(name).display().to_string();
        let log = fs::File::create(dir.path().join("log")).expect("a log file");
        let child = Command::new(client("dockerd").program)
            .args(["--host", &format!("unix://{}", path("docker.sock"))])
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--storage-driver", "vfs"])
            .args(["--bridge", "none", "--iptables=false"])
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", dir.path())
            // Any way out leads to a proxy that does not exist.
            .env("HTTP_PROXY", "http://127.0.0.1:9")
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .env("NO_PROXY", "localhost,127.0.0.1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("dockerd can be started: scripts/install-clients dockerd");
        Self { child, dir }
    }

    /// Waits until `home`'s docker reaches it.
    fn serve(&mut self, home: &mut Sandbox) {
        let socket = self.dir.path().join("docker.sock");
        home.set("DOCKER_HOST", format!("unix://{}", socket.display()));
        let deadline = Instant::now() + START_MAX;
        while !home.run(&client("docker"), &["version"]).is_success() {
            let ended = self.child.try_wait().expect("the daemon can be watched");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "dockerd does not start:\n{}",
                fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // In order, so that the containerd that it started ends too.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A lab with these settings, beside a daemon that `home`'s docker uses.
fn scene(mut home: Sandbox, settings: &[String]) -> (Scene, Daemon) {
    let mut daemon = Daemon::start();
    daemon.serve(&mut home);
    (Scene::with(home, settings), daemon)
}

fn docker(scene: &Scene, arguments: &[&str]) -> Outcome {
    scene.run("docker", arguments)
}

/// Makes an image of one file in the daemon.
fn import(scene: &Scene, content: &str, reference: &str) {
    let layer = scene.layer(content);
    let _ = docker(scene, &["import", &layer, reference]).succeeds();
}

/// What docker knows of an image.
fn inspect(scene: &Scene, reference: &str) -> Value {
    let text = docker(scene, &["image", "inspect", reference])
        .succeeds()
        .text();
    let all: Value = serde_json::from_str(&text).expect("docker writes JSON");
    all[0].clone()
}

/// The digest that a push or a pull says.
fn digest_of(outcome: &Outcome) -> String {
    let text = outcome.all();
    let (_, rest) = text
        .split_once("igest: ")
        .unwrap_or_else(|| panic!("no digest in\n{text}"));
    rest.split_whitespace().next().expect("a digest").to_owned()
}

/// A lab whose registry knows `ann` alone, and asks for credentials that way.
fn guarded(scheme: &str) -> (Scene, Daemon) {
    let home = Sandbox::new();
    let users = home.dir().join("users").display().to_string();
    let add = ["-B", "-C", "5", "-b", "-c", &users, "ann", "secret"];
    let _ = home.run(&client("htpasswd"), &add).succeeds();
    let settings = [
        "registry.auth.access=authenticated".to_owned(),
        format!("registry.auth.scheme={scheme}"),
        format!("registry.auth.htpasswd={users}"),
    ];
    scene(home, &settings)
}

#[test]
fn docker_logs_in_with_a_password() {
    let (scene, _daemon) = guarded("basic");
    let registry = scene.siglab.registry();
    let image = format!("{registry}/team/app:v1");
    import(&scene, "one", &image);
    docker(&scene, &["push", &image]).fails_with("no basic auth credentials");
    let login = [
        "login",
        "--username",
        "ann",
        "--password",
        "secret",
        &registry,
    ];
    let _ = docker(&scene, &login).succeeds().says("Login Succeeded");
    let _ = docker(&scene, &["push", &image]).succeeds();
    let _ = docker(&scene, &["rmi", &image]).succeeds();
    let _ = docker(&scene, &["pull", &image]).succeeds();
}

#[test]
fn docker_logs_in_pushes_mounts_and_pulls() {
    let (scene, _daemon) = guarded("bearer");
    let registry = scene.siglab.registry();
    let image = format!("{registry}/team/app:v1");
    import(&scene, "one", &image);

    docker(&scene, &["push", &image]).fails_with("denied");
    let login = |password: &str| {
        docker(
            &scene,
            &[
                "login",
                "--username",
                "ann",
                "--password",
                password,
                &registry,
            ],
        )
    };
    login("guess").fails_with("unauthorized");
    let _ = login("secret").succeeds().says("Login Succeeded");
    let pushed = digest_of(&docker(&scene, &["push", &image]).succeeds());
    let _ = scene
        .run("crane", &["digest", &image])
        .succeeds()
        .says(&pushed);

    // The same layer under another name is mounted, not sent.
    let other = format!("{registry}/team/copy:v1");
    let _ = docker(&scene, &["tag", &image, &other]).succeeds();
    let _ = docker(&scene, &["push", &other])
        .succeeds()
        .says("Mounted from team/app");

    let id = inspect(&scene, &image)["Id"].clone();
    let _ = docker(&scene, &["rmi", &image, &other]).succeeds();
    let pulled = docker(&scene, &["pull", &image]).succeeds();
    assert_eq!(digest_of(&pulled), pushed);
    let by_digest = format!("{registry}/team/app@{pushed}");
    let _ = docker(&scene, &["pull", &by_digest]).succeeds();
    let kept = inspect(&scene, &image);
    assert_eq!(kept["Id"], id);
    assert_eq!(kept["RepoDigests"][0], by_digest);

    let _ = docker(&scene, &["logout", &registry]).succeeds();
    let _ = docker(&scene, &["rmi", "--force", &image, &by_digest]).succeeds();
    docker(&scene, &["pull", &image]).fails_with("denied");
}

#[test]
fn docker_pushes_an_index_and_pulls_its_own_platform() {
    let (scene, _daemon) = scene(Sandbox::new(), &[]);
    let registry = scene.siglab.registry();
    let of = |platform: &str| format!("{registry}/app:{platform}");
    for platform in ["amd64", "arm64"] {
        import(&scene, platform, &of(platform));
        let _ = docker(&scene, &["push", &of(platform)]).succeeds();
    }
    let index = format!("{registry}/app:all");
    let parts = [of("amd64"), of("arm64")];
    let create = [
        "manifest",
        "create",
        "--insecure",
        &index,
        &parts[0],
        &parts[1],
    ];
    let _ = docker(&scene, &create).succeeds();
    for (platform, part) in ["amd64", "arm64"].iter().zip(&parts) {
        let annotate = [
            "manifest", "annotate", "--os", "linux", "--arch", platform, &index, part,
        ];
        let _ = docker(&scene, &annotate).succeeds();
    }
    let _ = docker(&scene, &["manifest", "push", "--insecure", &index]).succeeds();
    let manifest = scene.run("crane", &["manifest", &index]).succeeds().text();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let kind = "application/vnd.docker.distribution.manifest.list.v2+json";
    assert_eq!(manifest["mediaType"], kind);
    assert_eq!(manifest["manifests"].as_array().map_or(0, Vec::len), 2);

    let machine = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else {
        "arm64"
    };
    let id = inspect(&scene, &of(machine))["Id"].clone();
    let _ = docker(&scene, &["rmi", "--force", &parts[0], &parts[1]]).succeeds();
    let _ = docker(&scene, &["pull", &index]).succeeds();
    assert_eq!(inspect(&scene, &index)["Id"], id);
}

#[test]
fn what_docker_saves_is_imported_signed_exported_and_loaded() {
    let (scene, _daemon) = scene(Sandbox::new(), &[]);
    let _ = scene.initialize("cosign").succeeds();
    import(&scene, "one", "example.test/team/app:v1");
    let id = inspect(&scene, "example.test/team/app:v1")["Id"].clone();
    let save = ["save", "--output", "saved.tar", "example.test/team/app:v1"];
    let _ = docker(&scene, &save).succeeds();
    let admin = scene.siglab.admin();
    let run = |arguments: &[&str]| {
        scene
            .home
            .run(&siglab(), &[&["--lab", &admin], arguments].concat())
            .succeeds()
    };
    let _ = run(&["import", "saved.tar"]).says("team/app:v1");
    let image = format!("{}/team/app:v1", scene.siglab.registry());
    let digest = scene.run("crane", &["digest", &image]).succeeds().text();
    let by_digest = format!("{}/team/app@{}", scene.siglab.registry(), digest.trim());
    scene.sign(&by_digest);
    let _ = scene.verify(&by_digest, EMAIL).succeeds();
    assert_eq!(scene.bundle_of(&by_digest).1, 1);
    assert_eq!(split(&by_digest).0, "team/app");

    let _ = docker(&scene, &["rmi", "example.test/team/app:v1"]).succeeds();
    let _ = run(&[
        "export",
        &image,
        "--platform",
        "linux/amd64",
        "--output",
        "lab.tar",
    ]);
    let loaded = docker(&scene, &["load", "--input", "lab.tar"]).succeeds();
    let _ = loaded.says(&format!("Loaded image: {image}"));
    assert_eq!(inspect(&scene, &image)["Id"], id);
}
