//! Referrers: the list, its index, and the tag that stands in for it.

use std::{fs, path::Path};

use registry::{Config, ReferrersMode};
use serde_json::{Value, json};

use crate::lab::{IMAGE, INDEX, Lab, NOTHING, digests, image, sha256, signature};

fn fallback_tag(digest: &str) -> String {
    digest.replace(':', "-")
}

#[tokio::test]
async fn any_digest_has_a_list_known_or_not() {
    let lab = Lab::new().await;
    let reply = lab.get(&format!("/v2/a/referrers/{}", sha256(b"x"))).await;
    assert_eq!(reply.is(200).header("content-type"), INDEX);
    assert_eq!(
        reply.json(),
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": []})
    );
    for reference in ["sha256:bad", "v1", "md5:00"] {
        let reply = lab.get(&format!("/v2/a/referrers/{reference}")).await;
        reply.is_error(400, "DIGEST_INVALID");
    }
}

#[tokio::test]
async fn an_entry_says_what_the_manifest_says() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let manifest = signature(&subject, "one");
    let digest = sha256(manifest.to_string().as_bytes());
    let reply = lab.put("a", &digest, &manifest).await;
    assert_eq!(reply.is(201).header("oci-subject"), subject);
    let list = lab.get(&format!("/v2/a/referrers/{subject}")).await.json();
    assert_eq!(
        list["manifests"],
        json!([{
            "mediaType": IMAGE,
            "digest": digest,
            "size": manifest.to_string().len(),
            "artifactType": "application/vnd.example.signature",
            "annotations": {"text": "one"},
        }])
    );
}

#[tokio::test]
async fn indexes_have_subjects_too_by_tag_as_well() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [],
        "subject": {"mediaType": IMAGE, "digest": subject, "size": 1},
    });
    assert_eq!(
        lab.put("a", "tagged", &index)
            .await
            .is(201)
            .header("oci-subject"),
        subject
    );
    let list = lab.get(&format!("/v2/a/referrers/{subject}")).await.json();
    assert_eq!(list["manifests"][0]["mediaType"], INDEX);
    assert_eq!(list["manifests"][0].get("artifactType"), None);
}

#[tokio::test]
async fn lists_are_filtered_by_artifact_type() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let one = lab.signature("a", &subject, "one").await;
    let mut plain = image("layer");
    plain["subject"] = json!({"mediaType": IMAGE, "digest": subject, "size": 1});
    lab.put("a", "plain", &plain).await.is(201);
    let ask = async |query: &str| lab.get(&format!("/v2/a/referrers/{subject}{query}")).await;
    let all = ask("").await;
    assert_eq!(
        (
            digests(&all.json()).len(),
            all.header("oci-filters-applied")
        ),
        (2, "")
    );
    let signatures = ask("?artifactType=application/vnd.example.signature").await;
    assert_eq!(signatures.header("oci-filters-applied"), "artifactType");
    assert_eq!(digests(&signatures.json()), [one]);
    // The plus sign escaped and not; the type of an image without one is that of its config.
    for plus in ["%2B", "+"] {
        let reply = ask(&format!(
            "?artifactType=application/vnd.oci.image.config.v1{plus}json"
        ))
        .await;
        assert_eq!(digests(&reply.json()).len(), 1);
    }
    assert_eq!(digests(&ask("?artifactType=none").await.json()).len(), 0);
}

#[tokio::test]
async fn entries_are_in_order_of_their_push_and_in_pages_on_request() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let mut pushed = Vec::new();
    for n in 0..5 {
        pushed.push(lab.signature("a", &subject, &n.to_string()).await);
        lab.clock.advance(1);
    }
    // Pushed again it stays where it was, once.
    lab.signature("a", &subject, "0").await;
    assert_eq!(lab.referrers("a", &subject).await, pushed);
    let page = lab.get(&format!("/v2/a/referrers/{subject}?n=2")).await;
    assert_eq!(digests(&page.json()), pushed[..2]);
    let link = page
        .header("link")
        .strip_prefix('<')
        .unwrap()
        .split('>')
        .next()
        .unwrap();
    let page = lab.get(link).await;
    assert_eq!(digests(&page.json()), pushed[2..4]);
}

#[tokio::test]
async fn an_entry_outlives_its_subject_and_not_its_manifest() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let referrer = lab.signature("a", &subject, "one").await;
    lab.delete(&format!("/v2/a/manifests/{subject}"))
        .await
        .is(202);
    assert_eq!(
        lab.referrers("a", &subject).await,
        std::slice::from_ref(&referrer)
    );
    lab.delete(&format!("/v2/a/manifests/{referrer}"))
        .await
        .is(202);
    assert_eq!(lab.referrers("a", &subject).await.len(), 0);
}

#[tokio::test]
async fn referrers_stay_in_their_repository() {
    let lab = Lab::new().await;
    let subject = sha256(b"image of another repository");
    let referrer = lab.signature("signatures", &subject, "one").await;
    assert_eq!(lab.referrers("signatures", &subject).await, [referrer]);
    assert_eq!(lab.referrers("a", &subject).await.len(), 0);
}

#[tokio::test]
async fn signatures_pushed_at_the_same_time_are_all_kept() {
    for mode in [ReferrersMode::On, ReferrersMode::Fallback] {
        let lab = Lab::with(Config {
            referrers: mode,
            ..Config::default()
        })
        .await;
        let subject = lab.image("a", "v1", "layer").await;
        lab.blob("a", b"{}").await;
        let texts: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        futures::future::join_all(texts.iter().map(|text| lab.signature("a", &subject, text)))
            .await;
        let found = match mode {
            ReferrersMode::On => lab.referrers("a", &subject).await,
            _ => {
                let uri = format!("/v2/a/manifests/{}", fallback_tag(&subject));
                digests(&lab.get(&uri).await.is(200).json())
            }
        };
        assert_eq!(found.len(), 8, "{mode:?}");
    }
}

#[tokio::test]
async fn the_fallback_tag_is_answered_from_the_index_and_not_listed() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let uri = format!("/v2/a/manifests/{}", fallback_tag(&subject));
    lab.get(&uri).await.is(404);
    let referrer = lab.signature("a", &subject, "one").await;
    let reply = lab.get(&uri).await;
    assert_eq!(reply.is(200).header("content-type"), INDEX);
    assert_eq!(reply.header("docker-content-digest"), sha256(&reply.body));
    assert_eq!(digests(&reply.json()), [referrer]);
    assert_eq!(
        lab.head(&uri).await.is(200).header("content-length"),
        reply.body.len().to_string()
    );
    assert_eq!(
        lab.get("/v2/a/tags/list").await.json()["tags"],
        json!(["v1"])
    );
    let lab = Lab::with(Config {
        virtual_fallback_tags: false,
        ..Config::default()
    })
    .await;
    let subject = lab.image("a", "v1", "layer").await;
    lab.signature("a", &subject, "one").await;
    lab.get(&format!("/v2/a/manifests/{}", fallback_tag(&subject)))
        .await
        .is(404);
}

#[tokio::test]
async fn a_stored_fallback_tag_is_served_as_it_is() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    lab.signature("a", &subject, "one").await;
    // As `cosign copy` leaves it: the tag points at the image.
    lab.put("a", &fallback_tag(&subject), &image("layer"))
        .await
        .is(201);
    let reply = lab
        .get(&format!("/v2/a/manifests/{}", fallback_tag(&subject)))
        .await;
    assert_eq!(reply.header("docker-content-digest"), subject);
    assert_eq!(lab.referrers("a", &subject).await.len(), 1);
}

#[tokio::test]
async fn switched_off_there_is_no_list_and_no_subject_header() {
    let lab = Lab::with(Config {
        referrers: ReferrersMode::Off,
        ..Config::default()
    })
    .await;
    let subject = lab.image("a", "v1", "layer").await;
    let reply = lab.put("a", "signature", &signature(&subject, "one")).await;
    assert_eq!(reply.header("oci-subject"), "");
    lab.get(&format!("/v2/a/referrers/{subject}")).await.is(404);
    lab.get(&format!("/v2/a/manifests/{}", fallback_tag(&subject)))
        .await
        .is(404);
}

#[tokio::test]
async fn in_fallback_mode_the_server_keeps_what_clients_would_lose() {
    let lab = Lab::with(Config {
        referrers: ReferrersMode::Fallback,
        ..Config::default()
    })
    .await;
    let subject = lab.image("a", "v1", "layer").await;
    lab.get(&format!("/v2/a/referrers/{subject}")).await.is(404);
    let tag = fallback_tag(&subject);
    let one = lab.signature("a", &subject, "one").await;
    let two = lab.signature("a", &subject, "two").await;
    // Two clients read an empty tag; each writes only its own entry.
    let entry = |digest: &str| json!({"mediaType": IMAGE, "digest": digest, "size": 1});
    for digest in [&one, &two] {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(digest)]});
        lab.put("a", &tag, &index).await.is(201);
    }
    let uri = format!("/v2/a/manifests/{tag}");
    let found = lab.get(&uri).await;
    let mut kept = digests(&found.json());
    kept.sort_unstable();
    let mut both = [one.clone(), two.clone()];
    both.sort_unstable();
    assert_eq!(kept, both);
    // It is a stored manifest like any other.
    let digest = found.header("docker-content-digest");
    assert_eq!(
        lab.get(&format!("/v2/a/manifests/{digest}"))
            .await
            .is(200)
            .body,
        found.body
    );
    // What a client lists without a subject stays too, if it exists.
    let plain = lab.image("a", "plain", "plain").await;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry(&plain)]});
    lab.put("a", &tag, &index).await.is(201);
    assert_eq!(digests(&lab.get(&uri).await.json()).len(), 3);
    lab.delete(&format!("/v2/a/manifests/{one}")).await.is(202);
    assert!(!digests(&lab.get(&uri).await.json()).contains(&one));
}

/// Two referrers, then a restart in which `damage` happens.
async fn after(damage: impl FnOnce(&Path)) {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let one = lab.signature("a", &subject, "one").await;
    lab.clock.advance(1);
    let two = lab.signature("a", &subject, "two").await;
    lab.restart(damage).await;
    assert_eq!(lab.referrers("a", &subject).await, [one, two]);
}

#[tokio::test]
async fn the_index_outlives_a_restart_in_order() {
    after(|dir| assert!(dir.join("index.sealed").exists())).await;
}

#[tokio::test]
async fn a_referrer_pushed_again_keeps_its_place_in_a_rebuilt_index() {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let one = lab.signature("a", &subject, "one").await;
    lab.clock.advance(1);
    let two = lab.signature("a", &subject, "two").await;
    lab.clock.advance(1);
    lab.signature("a", &subject, "one").await;
    let clock = lab.clock.clone();
    lab.restart(|dir| {
        let report = registry::fsck(dir, clock, &mut |_| {}).unwrap();
        assert_eq!(report.faults, []);
        fs::remove_dir_all(dir.join("index")).unwrap();
    })
    .await;
    assert_eq!(lab.referrers("a", &subject).await, [one, two]);
}

#[tokio::test]
async fn the_seal_is_broken_by_what_has_a_subject_only() {
    let mut lab = Lab::new().await;
    lab.restart(|_| {}).await;
    let seal = lab.path().join("index.sealed");
    let subject = lab.image("a", "v1", "layer").await;
    assert!(seal.exists());
    let signature = lab.signature("a", &subject, "one").await;
    assert!(!seal.exists());
    lab.restart(|_| {}).await;
    assert!(seal.exists());
    lab.delete(&format!("/v2/a/manifests/{signature}"))
        .await
        .is(202);
    assert!(!seal.exists());
}

#[tokio::test]
async fn a_missing_index_is_built_from_the_manifests() {
    after(|dir| fs::remove_dir_all(dir.join("index")).unwrap()).await;
}

#[tokio::test]
async fn an_index_without_a_seal_is_built_anew() {
    after(|dir| fs::remove_file(dir.join("index.sealed")).unwrap()).await;
}

#[tokio::test]
async fn a_damaged_index_is_built_anew() {
    after(|dir| {
        let db = dir.join("index/db");
        let length = fs::metadata(&db).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&db).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![0xff; 4096], 0).unwrap();
        file.set_len(length).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_stale_index_is_built_anew() {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let one = lab.signature("a", &subject, "one").await;
    lab.stop();
    // The index and its seal of today, the manifests of tomorrow: as after a copy of the index alone.
    let kept = tempfile::tempdir().unwrap();
    copy(&lab.path().join("index"), &kept.path().join("index"));
    lab.restart(|_| {}).await;
    lab.clock.advance(1);
    let two = lab.signature("a", &subject, "two").await;
    lab.restart(|dir| {
        fs::remove_dir_all(dir.join("index")).unwrap();
        copy(&kept.path().join("index"), &dir.join("index"));
    })
    .await;
    assert_eq!(lab.referrers("a", &subject).await, [one, two]);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[tokio::test]
async fn a_list_is_one_page_however_long() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let index = |n: usize| -> Value {
        json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": [],
            "subject": {"mediaType": IMAGE, "digest": subject, "size": 1},
            "annotations": {"n": n.to_string()},
        })
    };
    for n in 0..300 {
        let manifest = index(n);
        lab.put("a", &sha256(manifest.to_string().as_bytes()), &manifest)
            .await
            .is(201);
    }
    let reply = lab
        .ask("GET", &format!("/v2/a/referrers/{subject}"), NOTHING, "")
        .await;
    assert_eq!(
        (digests(&reply.json()).len(), reply.header("link")),
        (300, "")
    );
}

#[tokio::test]
async fn a_list_is_made_of_its_own_entries_whatever_else_there_is() {
    let lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    for n in 0..3 {
        lab.signature("a", &subject, &n.to_string()).await;
    }
    for n in 0..50 {
        let other = sha256(n.to_string().as_bytes());
        lab.signature("a", &other, "about something else").await;
    }
    // Nothing but the index is left to look at, so that a look at anything else would be noticed.
    for folder in ["blobs", "repositories"] {
        fs::remove_dir_all(lab.path().join(folder)).unwrap();
    }
    let list = lab.get(&format!("/v2/a/referrers/{subject}")).await;
    assert_eq!(digests(&list.is(200).json()).len(), 3);
}
