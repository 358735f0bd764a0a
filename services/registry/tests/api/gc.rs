//! Garbage collection: what stays and what goes.

use registry::{Config, GcOptions, GcReport};
use serde_json::json;

use crate::lab::{IMAGE, INDEX, Lab, NOTHING, image, sha256};

const HOUR: i64 = 3600;

/// Stops the registry, collects, and starts it again.
async fn collect(lab: &mut Lab, options: GcOptions) -> GcReport {
    let clock = lab.clock.clone();
    let mut report = GcReport::default();
    lab.restart(|dir| {
        let mut stages = Vec::new();
        report = registry::gc(dir, clock, &options, &mut |progress| {
            assert!(progress.done <= progress.total);
            stages.push(progress.stage);
        })
        .unwrap();
        assert_eq!(
            (stages.first(), stages.last()),
            (Some(&"repositories"), Some(&"contents"))
        );
    })
    .await;
    report
}

fn now() -> GcOptions {
    GcOptions {
        grace_secs: 0,
        ..GcOptions::default()
    }
}

#[tokio::test]
async fn what_a_tag_leads_to_stays() {
    let mut lab = Lab::new().await;
    let child = lab.image("a", "child", "layer").await;
    let entry = json!({"mediaType": IMAGE, "digest": child, "size": 1});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    lab.put("a", "index", &index).await.is(201);
    lab.delete("/v2/a/manifests/child").await.is(202);
    let report = collect(&mut lab, now()).await;
    assert_eq!(report, GcReport::default());
    lab.get(&format!("/v2/a/manifests/{child}")).await.is(200);
    lab.get(&format!("/v2/a/blobs/{}", sha256(b"layer")))
        .await
        .is(200);
}

#[tokio::test]
async fn an_untagged_signature_of_a_live_image_stays_and_so_does_its_own() {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let signature = lab.signature("a", &subject, "one").await;
    let countersignature = lab.signature("a", &signature, "two").await;
    collect(&mut lab, now()).await;
    assert_eq!(
        lab.referrers("a", &subject).await,
        std::slice::from_ref(&signature)
    );
    assert_eq!(lab.referrers("a", &signature).await, [countersignature]);
}

#[tokio::test]
async fn an_image_goes_with_its_signatures_and_its_bytes() {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    let signature = lab.signature("a", &subject, "one").await;
    lab.image("a", "other", "other").await;
    lab.blob("b", b"layer").await;
    lab.delete("/v2/a/manifests/v1").await.is(202);
    let dry = collect(
        &mut lab,
        GcOptions {
            dry_run: true,
            ..now()
        },
    )
    .await;
    lab.get(&format!("/v2/a/manifests/{subject}")).await.is(200);
    let report = collect(&mut lab, now()).await;
    assert_eq!(dry, report);
    let mut gone = [subject.clone(), signature];
    gone.sort_unstable();
    assert_eq!(report.manifests["a"], gone);
    assert_eq!(report.blobs["a"], [sha256(b"layer")]);
    // The blob of `b` is in no manifest.
    assert_eq!(report.blobs["b"], [sha256(b"layer")]);
    assert_eq!(report.contents, 3);
    lab.get(&format!("/v2/a/manifests/{subject}")).await.is(404);
    assert_eq!(lab.referrers("a", &subject).await.len(), 0);
    lab.get("/v2/a/manifests/other").await.is(200);
}

#[tokio::test]
async fn a_signature_does_not_keep_what_it_signs() {
    let mut lab = Lab::new().await;
    let subject = lab.image("a", "v1", "layer").await;
    lab.signature("a", &subject, "one").await;
    lab.delete("/v2/a/manifests/v1").await.is(202);
    assert_eq!(collect(&mut lab, now()).await.manifests["a"].len(), 2);
}

#[tokio::test]
async fn signatures_of_absent_images_stay_unless_asked_for() {
    let mut lab = Lab::new().await;
    let subject = sha256(b"an image of another repository");
    let signature = lab.signature("signatures", &subject, "one").await;
    assert_eq!(collect(&mut lab, now()).await, GcReport::default());
    let found = lab.referrers("signatures", &subject).await;
    assert_eq!(found, std::slice::from_ref(&signature));
    let report = collect(
        &mut lab,
        GcOptions {
            orphan_referrers: true,
            ..now()
        },
    )
    .await;
    assert_eq!(report.manifests["signatures"], [signature]);
    assert_eq!(lab.referrers("signatures", &subject).await.len(), 0);
}

#[tokio::test]
async fn nothing_young_goes() {
    let mut lab = Lab::new().await;
    lab.image("a", "v1", "layer").await;
    lab.delete("/v2/a/manifests/v1").await.is(202);
    lab.clock.advance(HOUR - 1);
    let loose = lab.blob("a", b"loose").await;
    assert_eq!(
        collect(&mut lab, GcOptions::default()).await,
        GcReport::default()
    );
    lab.clock.advance(1);
    let report = collect(&mut lab, GcOptions::default()).await;
    assert_eq!(report.manifests["a"].len(), 1);
    lab.get(&format!("/v2/a/blobs/{loose}")).await.is(200);
    // Pushed again it is young again.
    lab.clock.advance(HOUR - 2);
    lab.blob("a", b"loose").await;
    lab.clock.advance(HOUR - 1);
    assert_eq!(
        collect(&mut lab, GcOptions::default()).await,
        GcReport::default()
    );
}

#[tokio::test]
async fn a_running_registry_collects_through_its_admin_door() {
    use runtime::Service as _;
    let lab = Lab::new().await;
    lab.image("a", "v1", "layer").await;
    lab.delete("/v2/a/manifests/v1").await.is(202);
    let ask = async |uri: &str| {
        let request = axum::http::Request::post(uri)
            .body(axum::body::Body::empty())
            .unwrap();
        lab.send(lab.service().admin(), request).await
    };
    let report = ask("/gc?dry_run=true&grace_secs=0").await.is(200).json();
    assert_eq!(report["contents"], 3);
    assert_eq!(ask("/gc").await.is(200).json()["contents"], 0);
    assert_eq!(ask("/gc?grace_secs=0").await.is(200).json()["contents"], 3);
    ask("/gc?nonsense=1").await.is(400);
    assert_eq!(
        lab.get("/v2/_catalog").await.json(),
        json!({"repositories": []})
    );
}

#[tokio::test]
async fn a_directory_in_use_is_left_alone() {
    let lab = Lab::with(Config::default()).await;
    let _lock = runtime::files::DirLock::take(lab.path()).unwrap();
    let clock = lab.clock.clone();
    let error = registry::gc(lab.path(), clock, &now(), &mut |_| {}).unwrap_err();
    assert!(format!("{error:#}").contains("in use"), "{error:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_go_on_while_garbage_is_collected() {
    use runtime::Service as _;
    let lab = Lab::new().await;
    // Without grace a blob may go before its manifest comes; then the client is told, and begins anew.
    let push = async |client: usize| {
        for n in 0..15 {
            let layer = format!("{client} {n}");
            let tag = format!("c{client}-{n}");
            loop {
                for content in [b"{}".as_slice(), layer.as_bytes()] {
                    let digest = sha256(content);
                    let uri = format!("/v2/a/blobs/uploads/?digest={digest}");
                    lab.ask("POST", &uri, NOTHING, content.to_vec())
                        .await
                        .is(201);
                }
                let reply = lab.put("a", &tag, &image(&layer)).await;
                if reply.status == 201 {
                    break;
                }
                reply.is_error(400, "MANIFEST_BLOB_UNKNOWN");
            }
        }
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let collect = async {
        let mut runs = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            let request = axum::http::Request::post("/gc?grace_secs=0");
            let request = request.body(axum::body::Body::empty()).unwrap();
            lab.send(lab.service().admin(), request).await.is(200);
            runs += 1;
        }
        runs
    };
    let pushes = async {
        tokio::join!(push(0), push(1), push(2));
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    };
    let (runs, ()) = tokio::join!(collect, pushes);
    assert!(runs > 1, "{runs}");
    for client in 0..3 {
        for n in 0..15 {
            lab.get(&format!("/v2/a/manifests/c{client}-{n}"))
                .await
                .is(200);
            let layer = sha256(format!("{client} {n}").as_bytes());
            lab.get(&format!("/v2/a/blobs/{layer}")).await.is(200);
        }
    }
    lab.get(&format!("/v2/a/blobs/{}", sha256(b"{}")))
        .await
        .is(200);
}
