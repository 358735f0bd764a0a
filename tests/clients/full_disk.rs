//! A file system that is full, and has space again: nothing is lost, nothing needs a restart. RELIABILITY P7.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tempfile::TempDir;
use tests::{Sandbox, Siglab, siglab};

use crate::{
    rekor::signed_file,
    scene::{Scene, sha256_hex},
};

/// A file system of its own, in memory.
struct Disk(TempDir);

impl Disk {
    fn new(size: &str) -> Self {
        let dir = TempDir::with_prefix("siglab-disk-").expect("a temporary directory");
        let mounted = Command::new("mount")
            .args([
                "--types",
                "tmpfs",
                "--options",
                &format!("size={size}"),
                "tmpfs",
            ])
            .arg(dir.path())
            .status();
        assert!(
            mounted.expect("mount is there").success(),
            "a tmpfs cannot be mounted: this test needs root"
        );
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes until there is no space left.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = File::create(&path).expect("a file");
        for chunk in [vec![0; 1 << 20], vec![0; 1]] {
            let full = loop {
                if let Err(error) = file.write_all(&chunk) {
                    break error;
                }
            };
            assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

/// The file that [`signed_file`] signed as a proposal for Rekor v1, in a file.
fn proposal(scene: &Scene) -> String {
    let proposal = json!({
        "apiVersion": "0.0.1", "kind": "hashedrekord",
        "spec": {
            "signature": {
                "content": STANDARD.encode(scene.home.read("file.sig")),
                "publicKey": { "content": STANDARD.encode(scene.home.read("key.pub")) },
            },
            "data": { "hash": { "algorithm": "sha256", "value": sha256_hex(b"hello\n") } },
        },
    });
    let path = scene.home.write("proposal.json", proposal.to_string());
    format!("@{}", path.display())
}

/// Status, headers and body of a POST of `proposal`.
fn post(scene: &Scene, proposal: &str) -> String {
    let url = format!("{}/api/v1/log/entries", scene.siglab.url("rekor", "v1"));
    let json = "content-type: application/json";
    let arguments = [
        "--silent",
        "--include",
        "--header",
        json,
        "--data-binary",
        proposal,
        &url,
    ];
    scene.run("curl", &arguments).succeeds().text()
}

fn assert_reads(scene: &Scene, image: &str) {
    let server = scene.siglab.url("rekor", "v1");
    let get = ["get", "--log-index", "0", "--rekor_server", &server];
    let _ = scene.run("rekor-cli", &get).succeeds().says("LogID");
    let loginfo = ["loginfo", "--rekor_server", &server];
    let verified = "Verification Successful";
    let _ = scene.run("rekor-cli", &loginfo).succeeds().says(verified);
    let _ = scene
        .run("crane", &["validate", "--remote", image])
        .succeeds();
}

#[test]
fn a_full_disk_refuses_writes_serves_reads_and_heals_without_a_restart() {
    let disk = Disk::new("192m");
    let mut scene = Scene {
        siglab: Siglab::start_on(disk.path()),
        home: Sandbox::new(),
    };
    signed_file(&scene);
    let first = post(&scene, &proposal(&scene));
    assert!(first.starts_with("HTTP/1.1 201"), "{first}");
    let image = scene.image("before", "kept");

    let filler = disk.fill();
    signed_file(&scene);
    let second = proposal(&scene);
    let refused = post(&scene, &second);
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
    assert!(refused.contains("space"), "the cause is named: {refused}");
    let ready = |scene: &Scene| {
        let url = format!("{}/readyz", scene.siglab.admin());
        scene.run("curl", &["--silent", "--include", &url]).text()
    };
    let unready = ready(&scene);
    assert!(unready.starts_with("HTTP/1.1 503"), "{unready}");
    let _ = scene.push("refused", "refused").fails_with("");
    assert_reads(&scene, &image);

    fs::remove_file(filler).expect("removed");
    let accepted = post(&scene, &second);
    assert!(accepted.starts_with("HTTP/1.1 201"), "{accepted}");
    let _ = scene.push("refused", "refused").succeeds();
    assert_reads(&scene, &image);
    let healed = ready(&scene);
    assert!(healed.starts_with("HTTP/1.1 200"), "{healed}");
    assert!(scene.siglab.is_running());

    scene.siglab.stop();
    let data = scene.siglab.data_dir().display().to_string();
    let fsck = scene.home.run(&siglab(), &["fsck", &data]);
    let _ = fsck.succeeds().says("2 entries");
}
