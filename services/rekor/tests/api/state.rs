//! What survives a restart, and what is rebuilt.

use std::fs;

use crypto::{KeyKind, SigningKey};
use rekor::{Config, Service, V2Config};
use runtime::{Context, Service as _};
use serde_json::json;

use crate::lab::{Lab, hashedrekord, proposals, v1_key, verify_v1};

async fn found_by_email(lab: &Lab) -> usize {
    let query = json!({ "email": "foo@example.com" }).to_string();
    let answer = lab.post("v1", "/api/v1/index/retrieve", &query).await;
    answer.json().as_array().unwrap().len()
}

async fn with_an_indexed_entry() -> Lab {
    let lab = Lab::start().await;
    lab.create(&proposals()["hashedrekord_cert_with_SANs"])
        .await
        .entry();
    assert_eq!(found_by_email(&lab).await, 1);
    lab
}

#[tokio::test]
async fn a_restarted_log_keeps_key_tree_ids_times_and_promises() {
    let lab = Lab::start().await;
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let proposal = hashedrekord(&key, b"a");
    let (id, entry) = lab.create(&proposal).await.entry();
    let log_key = v1_key(&lab).await;
    let trust = lab.service.trust();
    let lab = lab.restart(|_| {}).await;
    lab.context.clock.advance(3600);
    assert_eq!(lab.service.trust(), trust);
    let (same, again) = lab
        .get("v1", &format!("/api/v1/log/entries/{id}"))
        .await
        .entry();
    assert_eq!(same, id);
    assert_eq!(again["integratedTime"], entry["integratedTime"]);
    verify_v1(&same, &again, &log_key);
    assert_eq!(lab.create(&proposal).await.status, 409);
    let (_, next) = lab.create(&hashedrekord(&key, b"b")).await.entry();
    assert_eq!(next["logIndex"], 1);
}

#[tokio::test]
async fn keys_are_valid_before_the_first_entry() {
    let lab = Lab::start().await;
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let (_, entry) = lab.create(&hashedrekord(&key, b"a")).await.entry();
    let time = entry["integratedTime"].as_i64().unwrap();
    for log in lab.service.trust().tlogs {
        assert!(log.valid_from.as_second() <= time);
        assert_eq!(log.valid_from.subsec_nanosecond(), 0);
    }
}

#[tokio::test]
async fn a_missing_search_index_is_rebuilt() {
    let lab = with_an_indexed_entry().await;
    let lab = lab
        .restart(|context| fs::remove_dir_all(context.dir.join("index")).unwrap())
        .await;
    assert_eq!(found_by_email(&lab).await, 1);
}

#[tokio::test]
async fn a_damaged_search_index_is_rebuilt() {
    let lab = with_an_indexed_entry().await;
    let lab = lab
        .restart(|context| {
            let mut damaged = 0;
            for file in fs::read_dir(context.dir.join("index")).unwrap() {
                let path = file.unwrap().path();
                if path.is_file() {
                    let length = fs::metadata(&path).unwrap().len().min(4096);
                    let noise = vec![0xa5; usize::try_from(length).unwrap()];
                    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
                    std::os::unix::fs::FileExt::write_all_at(&file, &noise, 0).unwrap();
                    damaged += 1;
                }
            }
            assert!(damaged > 0);
        })
        .await;
    assert_eq!(found_by_email(&lab).await, 1);
}

#[tokio::test]
async fn a_stale_search_index_is_brought_up_to_the_log() {
    let lab = Lab::start().await;
    lab.fill(1).await;
    let copy = tempfile::tempdir().unwrap();
    let index = copy.path().join("index");
    let lab = lab
        .restart(|context| {
            copy_dir(&context.dir.join("index"), &index);
        })
        .await;
    lab.create(&proposals()["hashedrekord_cert_with_SANs"])
        .await
        .entry();
    assert_eq!(found_by_email(&lab).await, 1);
    let lab = lab
        .restart(|context| {
            fs::remove_dir_all(context.dir.join("index")).unwrap();
            copy_dir(&index, &context.dir.join("index"));
        })
        .await;
    assert_eq!(found_by_email(&lab).await, 1);
}

#[tokio::test]
async fn a_search_index_of_another_log_is_rebuilt() {
    let other = with_an_indexed_entry().await;
    let copy = tempfile::tempdir().unwrap();
    let index = copy.path().join("index");
    other
        .restart(|context| copy_dir(&context.dir.join("index"), &index))
        .await;
    let lab = Lab::start().await;
    lab.fill(2).await;
    let lab = lab
        .restart(|context| {
            fs::remove_dir_all(context.dir.join("index")).unwrap();
            copy_dir(&index, &context.dir.join("index"));
        })
        .await;
    assert_eq!(found_by_email(&lab).await, 0);
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let path = file.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_service_on_the_directory_is_refused() {
    let lab = Lab::start().await;
    let context = Context::for_test("rekor", &lab.dir.path().join("rekor"));
    let error = Service::open(Config::default(), context).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("cannot open the log"),
        "{error:#}"
    );
}

#[tokio::test]
async fn another_host_name_is_refused() {
    let lab = Lab::start().await;
    let dir = lab.dir.path().join("rekor");
    lab.context.tasks.stop().await;
    drop(lab.service);
    let mut context = Context::for_test("rekor", &dir);
    let url = "http://rekor.example:3000".parse().unwrap();
    context.urls = context.urls.with("rekor", "v1", url);
    let error = Service::open(Config::default(), context).await.unwrap_err();
    assert!(format!("{error:#}").contains("origin"), "{error:#}");
}

#[tokio::test]
async fn a_setting_that_serves_nothing_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let v2 = V2Config {
        max_request_body_size: 0,
        ..V2Config::default()
    };
    let context = Context::for_test("rekor", dir.path());
    let error = Service::open(
        Config {
            v2,
            ..Config::default()
        },
        context,
    )
    .await
    .unwrap_err();
    assert!(
        error.to_string().contains("rekor.v2.max_request_body_size"),
        "{error:#}"
    );
    for unknown in [
        json!({ "v1": { "enabled_entry_types": ["rpm"] } }),
        json!({ "v1": { "enabled_api_endpoints": ["getVersion"] } }),
        json!({ "v2": { "key": "rsa" } }),
        json!({ "v3": {} }),
    ] {
        assert!(
            serde_json::from_value::<Config>(unknown.clone()).is_err(),
            "{unknown}"
        );
    }
}
