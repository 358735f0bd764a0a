//! What is on disk, and what happens when it is no longer what it was.

use std::{
    fs,
    path::{Path, PathBuf},
};

use registry::{Fault, FsckReport};

use crate::lab::{Lab, sha256};

fn content(dir: &Path, digest: &str) -> PathBuf {
    let hex = digest.strip_prefix("sha256:").unwrap();
    dir.join("blobs/sha256").join(&hex[..2]).join(hex)
}

fn damage(path: &Path) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"!", 0).unwrap();
}

/// Checks the stopped registry.
fn fsck(lab: &mut Lab) -> FsckReport {
    lab.stop();
    registry::fsck(lab.path(), lab.clock.clone(), &mut |_| {}).unwrap()
}

#[tokio::test]
async fn the_same_content_is_kept_once() {
    let lab = Lab::new().await;
    let digest = lab.blob("a", b"shared").await;
    lab.blob("b/c", b"shared").await;
    assert_eq!(fs::read(content(lab.path(), &digest)).unwrap(), b"shared");
    let hex = digest.strip_prefix("sha256:").unwrap();
    for name in ["a", "b/c"] {
        let link = format!("repositories/{name}/_blobs/sha256/{hex}");
        assert!(fs::metadata(lab.path().join(link)).unwrap().len() < 100);
    }
}

#[tokio::test]
async fn a_tag_remembers_the_digest_as_it_was_written() {
    let lab = Lab::new().await;
    let digest = lab.image("a", "v1", "layer").await;
    let tag = fs::read_to_string(lab.path().join("repositories/a/_tags/v1")).unwrap();
    assert_eq!(tag, format!("{digest}\n"));
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let mut lab = Lab::new().await;
    let digest = lab.image("a/b", "v1", "layer").await;
    lab.restart(|_| {}).await;
    let reply = lab.get("/v2/a/b/manifests/v1").await;
    assert_eq!(reply.is(200).header("docker-content-digest"), digest);
    assert_eq!(
        lab.get(&format!("/v2/a/b/blobs/{}", sha256(b"layer")))
            .await
            .body,
        b"layer"
    );
}

#[tokio::test]
async fn damaged_content_is_never_served_and_can_be_pushed_again() {
    let lab = Lab::new().await;
    let manifest = lab.image("a", "v1", "layer").await;
    let layer = sha256(b"layer");
    for (digest, uri) in [
        (&layer, format!("/v2/a/blobs/{layer}")),
        (&manifest, "/v2/a/manifests/v1".to_owned()),
    ] {
        damage(&content(lab.path(), digest));
        lab.get(&uri).await.is(404);
        lab.head(&uri).await.is(404);
        assert!(!content(lab.path(), digest).exists());
    }
    assert_eq!(
        fs::read_dir(lab.path().join("quarantine")).unwrap().count(),
        2
    );
    lab.image("a", "v1", "layer").await;
    lab.get("/v2/a/manifests/v1").await.is(200);
    lab.get(&format!("/v2/a/blobs/{layer}")).await.is(200);
}

#[tokio::test]
async fn a_large_damaged_blob_breaks_off_before_its_end() {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let lab = Lab::new().await;
    let bytes = vec![7; 2_000_000];
    let digest = lab.blob("a", &bytes).await;
    damage(&content(lab.path(), &digest));
    let uri = format!("/v2/a/blobs/{digest}");
    let request = axum::http::Request::get(&uri)
        .body(axum::body::Body::empty())
        .unwrap();
    let response = lab.router().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-length"], "2000000");
    assert!(response.into_body().collect().await.is_err());
    lab.get(&uri).await.is(404);
}

#[tokio::test]
async fn a_sound_registry_passes_its_check() {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    lab.signature("a", &subject, "one").await;
    let report = fsck(&mut lab);
    assert_eq!(report.faults, []);
    assert_eq!(
        (report.repositories, report.links, report.contents),
        (1, 5, 4)
    );
}

#[tokio::test]
async fn the_check_names_what_is_wrong() {
    let mut lab = Lab::new().await;
    let one = lab.image("a", "v1", "one").await;
    let two = lab.image("a", "v2", "two").await;
    let signature = lab.signature("a", &one, "text").await;
    let (layer_one, layer_two) = (sha256(b"one"), sha256(b"two"));
    let manifests = lab.path().join("repositories/a/_manifests/sha256");
    let link = |digest: &str| manifests.join(digest.strip_prefix("sha256:").unwrap());
    damage(&content(lab.path(), &layer_one));
    fs::remove_file(content(lab.path(), &layer_two)).unwrap();
    fs::remove_file(link(&two)).unwrap();
    // It parses, and does not fit its content.
    let text = fs::read_to_string(link(&one)).unwrap();
    runtime::files::replace(
        &link(&signature),
        text.replace("\"size\":", "\"size\":9").as_bytes(),
    )
    .unwrap();
    let repository = "a".to_owned();
    let mut expected = vec![
        Fault::ContentMissing {
            repository: repository.clone(),
            digest: layer_two,
        },
        Fault::LinkDamaged {
            repository: repository.clone(),
            digest: signature,
        },
        Fault::TagDangling {
            repository,
            tag: "v2".to_owned(),
        },
        Fault::ContentDamaged { digest: layer_one },
    ];
    let mut found = fsck(&mut lab).faults;
    let key = |fault: &Fault| format!("{fault:?}");
    expected.sort_by_key(key);
    found.sort_by_key(key);
    assert_eq!(found, expected);
}

#[tokio::test]
async fn half_written_files_are_swept() {
    let mut lab = Lab::new().await;
    lab.image("a", "v1", "layer").await;
    let clock = lab.clock.clone();
    lab.restart(|dir| {
        let leftover = dir.join("repositories/a/_tags/.v1.1-1.tmp");
        fs::File::create(&leftover).unwrap();
        let options = registry::GcOptions {
            grace_secs: 0,
            ..registry::GcOptions::default()
        };
        let report = registry::gc(dir, clock, &options, &mut |_| {}).unwrap();
        assert_eq!(report.leftovers, 1);
        assert!(!leftover.exists());
    })
    .await;
    assert_eq!(
        lab.get("/v2/a/tags/list").await.json()["tags"],
        serde_json::json!(["v1"])
    );
}

#[tokio::test]
async fn a_link_that_cannot_be_read_is_written_anew_by_a_push() {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let signature = lab.signature("a", &subject, "one").await;
    let hex = signature.strip_prefix("sha256:").unwrap().to_owned();
    lab.restart(|dir| {
        let link = dir.join("repositories/a/_manifests/sha256").join(hex);
        runtime::files::replace(&link, b"{").unwrap();
        fs::remove_dir_all(dir.join("index")).unwrap();
    })
    .await;
    // The others are served, this one is not until it is pushed again.
    lab.get("/v2/a/manifests/v1").await.is(200);
    assert_eq!(lab.referrers("a", &subject).await.len(), 0);
    lab.get(&format!("/v2/a/manifests/{signature}"))
        .await
        .is_error(500, "UNKNOWN");
    lab.signature("a", &subject, "one").await;
    lab.get(&format!("/v2/a/manifests/{signature}"))
        .await
        .is(200);
    assert_eq!(lab.referrers("a", &subject).await, [signature]);
    assert_eq!(fsck(&mut lab).faults, []);
}
