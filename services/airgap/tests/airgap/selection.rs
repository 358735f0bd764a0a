//! What is taken out of an index, and what docker finds in the archive.

use std::io::Read as _;

use airgap::{Error, ExportOptions, ImportOptions, Warning, export, import};
use serde_json::{Value, json};

use crate::fixture::{INDEX, Lab, Made, Signed, scratch, silent};

/// An index of two images, tagged `v1`.
fn two_platforms() -> (Signed, [Made; 2], Made) {
    let mut all = Signed::default();
    let images = ["arm64", "amd64"].map(|architecture| all.image(architecture));
    let manifests = ["arm64", "amd64"]
        .iter()
        .zip(&images)
        .map(|(architecture, image)| {
            let mut descriptor = image.descriptor();
            descriptor["platform"] = json!({"os": "linux", "architecture": architecture});
            descriptor
        });
    let manifests: Vec<Value> = manifests.collect();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let index = all.manifest(INDEX, &index);
    all.tags.push(("v1".to_owned(), index.clone()));
    (all, images, index)
}

fn limited_to(platforms: &[&str]) -> ExportOptions {
    ExportOptions {
        platforms: platforms.iter().map(|text| text.parse().unwrap()).collect(),
        ..ExportOptions::default()
    }
}

/// `manifest.json` of an archive.
fn listed(path: &std::path::Path) -> Option<Value> {
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|entry| entry.path().unwrap().ends_with("manifest.json"))?;
    let mut text = String::new();
    entry.read_to_string(&mut text).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

/// What docker is told of an image.
fn entry(image: &Made, tags: &[String]) -> Value {
    let manifest: Value = serde_json::from_slice(&image.bytes).unwrap();
    let path = |blob: &Value| {
        let digest = blob["digest"].as_str().unwrap();
        format!("blobs/{}", digest.replacen(':', "/", 1))
    };
    let layers: Vec<String> = manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(path)
        .collect();
    json!({"Config": path(&manifest["config"]), "RepoTags": tags, "Layers": layers})
}

#[tokio::test]
async fn an_index_is_carried_with_the_images_of_one_platform() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (all, [arm64, amd64], index) = two_platforms();
    from.put("app", &all).await;
    let (_dir, path) = scratch("lab.tar");
    let images = [from.image("app:v1")];
    let options = limited_to(&["linux/arm64"]);
    let report = export(&from.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    let sparse = Warning::SparseIndex {
        index: index.digest.clone(),
        missing: 1,
    };
    assert_eq!((report.manifests, &report.warnings[..]), (2, &[sparse][..]));
    let tag = format!("{}/app:v1", from.registry);
    assert_eq!(listed(&path), Some(json!([entry(&arm64, &[tag])])));

    let options = ImportOptions::default();
    import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(to.get("app/manifests/v1").await, Ok(arm64.bytes));
    let other = to.get(&format!("app/manifests/{}", amd64.digest)).await;
    assert_eq!(other, Err(404));
}

#[tokio::test]
async fn several_platforms_are_carried_and_one_that_is_not_there_is_refused() {
    let lab = Lab::start().await;
    let (all, _, index) = two_platforms();
    lab.put("app", &all).await;
    let (dir, path) = scratch("lab.tar");
    let images = [lab.image("app:v1")];
    let options = limited_to(&["linux/amd64", "linux/arm64"]);
    let report = export(&lab.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    assert_eq!((report.manifests, report.warnings), (3, vec![]));
    std::fs::remove_file(&path).unwrap();
    let options = limited_to(&["linux/s390x", "windows/amd64"]);
    let refused = export(&lab.endpoints(), &images, &options, &path, silent()).await;
    let Err(error @ Error::NoPlatform { .. }) = refused else {
        panic!("{refused:?}")
    };
    let said = format!(
        "index {} has no image for linux/s390x or windows/amd64",
        index.digest
    );
    assert_eq!(error.to_string(), said);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn docker_finds_each_image_under_all_its_tags() {
    let lab = Lab::start().await;
    let (mut all, [_, amd64], index) = two_platforms();
    all.tags.push(("v2".to_owned(), index));
    lab.put("app", &all).await;
    let (_dir, path) = scratch("lab.tar");
    let images = ["app:v1", "app:v2"].map(|name| lab.image(name));
    let options = ExportOptions::default();
    export(&lab.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    let tags = ["app:v1", "app:v2"].map(|name| format!("{}/{name}", lab.registry));
    assert_eq!(listed(&path), Some(json!([entry(&amd64, &tags)])));
}

#[tokio::test]
async fn what_docker_cannot_hold_is_not_listed_for_it() {
    let lab = Lab::start().await;
    let mut all = Signed::default();
    let config = all.blob("application/vnd.oci.empty.v1+json", "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": crate::fixture::IMAGE, "config": config,
        "artifactType": "application/vnd.example", "layers": [all.blob("text/plain", "artifact")],
    });
    let artifact = all.manifest(crate::fixture::IMAGE, &manifest);
    all.tags.push(("v1".to_owned(), artifact));
    lab.put("artifact", &all).await;
    let (_dir, path) = scratch("lab.tar");
    let images = [lab.image("artifact:v1")];
    let options = ExportOptions::default();
    export(&lab.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    assert_eq!(listed(&path), None);
}
