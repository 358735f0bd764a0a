//! Archives as other tools write them.

use airgap::{Error, ImportOptions, Warning, check, import};
use oci::{Algorithm, Digest};
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::fixture::{Files, Lab, Signed, annotated, file, scratch, silent};

/// A legacy archive: two images that share a layer, one of them by a link.
fn docker_save() -> (Vec<u8>, [Vec<u8>; 2]) {
    let layers = [b"layer one".to_vec(), b"layer two".to_vec()];
    let diff_ids = layers
        .each_ref()
        .map(|layer| Digest::of(Algorithm::Sha256, layer));
    let config = |diff_ids: &[Digest]| {
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers",
            "diff_ids": diff_ids}})
        .to_string()
        .into_bytes()
    };
    let configs = [config(&diff_ids), config(&diff_ids[..1])];
    let name = |bytes: &[u8]| format!("{}.json", Digest::of(Algorithm::Sha256, bytes).hex());
    let ids = ["a", "b", "c"].map(|letter| letter.repeat(64));
    let layer = |id: &str| format!("{id}/layer.tar");
    let manifest = json!([
        {"Config": name(&configs[0]), "RepoTags": ["app:v1", "localhost:5000/other:v2"],
            "Layers": [layer(&ids[0]), layer(&ids[1])]},
        {"Config": name(&configs[1]), "RepoTags": ["base:v1"], "Layers": [layer(&ids[2])]},
    ]);
    let mut files = Files::default();
    files.add(&name(&configs[0]), configs[0].clone());
    files.add(&name(&configs[1]), configs[1].clone());
    files.add(&layer(&ids[0]), layers[0].clone());
    files.add(&layer(&ids[1]), layers[1].clone());
    files.add(&format!("{}/VERSION", ids[0]), "1.0");
    files.add("manifest.json", manifest.to_string());
    files.add("repositories", "{}");
    let mut bytes = files.tar();
    bytes.truncate(bytes.len() - 1024);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    builder
        .append_link(
            &mut header,
            layer(&ids[2]),
            format!("../{}", layer(&ids[0])),
        )
        .unwrap();
    bytes.extend(builder.into_inner().unwrap());
    (bytes, layers)
}

#[tokio::test]
async fn legacy_layer_links_are_read() {
    let lab = Lab::start().await;
    let (bytes, layers) = docker_save();
    let (_dir, path) = file(&bytes);
    let options = ImportOptions::default();
    let report = import(&path, &lab.endpoints(), &lab.registry, &options, silent())
        .await
        .unwrap();
    let names: Vec<&str> = report
        .images
        .iter()
        .map(|image| image.repository.as_str())
        .collect();
    assert_eq!(names, ["library/app", "library/base", "other"]);
    let manifest = lab.json("library/app/manifests/v1").await;
    let kinds = "application/vnd.oci.image.layer.v1.tar";
    for (descriptor, layer) in manifest["layers"].as_array().unwrap().iter().zip(&layers) {
        assert_eq!(descriptor["mediaType"], kinds);
        let digest = descriptor["digest"].as_str().unwrap();
        assert_eq!(
            lab.get(&format!("library/app/blobs/{digest}"))
                .await
                .as_ref(),
            Ok(layer)
        );
    }
    let base = lab.json("library/base/manifests/v1").await;
    assert_eq!(base["layers"].as_array().unwrap().len(), 1);
    assert_eq!(base["layers"][0], manifest["layers"][0]);
    let made = report
        .warnings
        .iter()
        .filter(|it| matches!(it, Warning::Synthesised { .. }));
    assert_eq!(made.count(), 2);
    // The same archive makes the same manifest.
    let again = check(&path, &options, silent()).await.unwrap();
    assert_eq!(again.images, report.images);
}

#[tokio::test]
async fn legacy_layers_must_be_those_of_the_configuration() {
    let (bytes, _) = docker_save();
    let text = b"layer two";
    let at = bytes
        .windows(text.len())
        .position(|window| window == text)
        .unwrap();
    let mut changed = bytes.clone();
    changed[at] = b'L';
    let (_dir, path) = file(&changed);
    let error = check(&path, &ImportOptions::default(), silent())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");

    let at = bytes.windows(2).position(|window| window == b"os").unwrap();
    let mut changed = bytes;
    changed[at] = b'O';
    let (_dir, path) = file(&changed);
    let error = check(&path, &ImportOptions::default(), silent())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
}

#[tokio::test]
async fn legacy_archives_must_hold_what_they_list() {
    let refuse = |manifest: Value, more: &[(&str, &str)]| {
        let mut files = Files::default();
        files.add("manifest.json", manifest.to_string());
        more.iter().for_each(|(name, text)| files.add(name, *text));
        let bytes = files.tar();
        async move {
            let (_dir, path) = file(&bytes);
            check(&path, &ImportOptions::default(), silent())
                .await
                .unwrap_err()
        }
    };
    let config = r#"{"rootfs":{"diff_ids":[]}}"#;
    let error = refuse(json!([{"Config": "c.json", "Layers": []}]), &[]).await;
    assert!(matches!(error, Error::MissingFile { .. }), "{error}");
    let listed = json!([{"Config": "c.json", "Layers": ["l.tar"]}]);
    let error = refuse(listed, &[("c.json", config), ("l.tar", "x")]).await;
    assert!(
        matches!(
            error,
            Error::LayerCount {
                listed: 1,
                configured: 0,
                ..
            }
        ),
        "{error}"
    );
    let listed = json!([{"Config": "c.json", "Layers": [], "RepoTags": ["Not A Name"]}]);
    let error = refuse(listed, &[("c.json", config)]).await;
    assert!(matches!(error, Error::Reference { .. }), "{error}");
    let error = refuse(json!([]), &[]).await;
    assert!(matches!(error, Error::NoImages), "{error}");
    let error = refuse(json!([{"Config": "c.json"}]), &[("c.json", config)]).await;
    assert!(matches!(error, Error::NoNames { count: 1 }), "{error}");
}

#[tokio::test]
async fn cosign_save_layout_keeps_its_bundles() {
    let lab = Lab::start().await;
    let mut all = Signed::default();
    let made = all.image("amd64");
    let mut listed = vec![annotated(
        &made,
        json!({"kind": "dev.cosignproject.cosign/image"}),
    )];
    for (suffix, kind) in [("sig", "sigs"), ("att", "atts")] {
        let legacy = all.legacy(&made, suffix);
        let kind = format!("dev.cosignproject.cosign/{kind}");
        listed.push(annotated(&legacy, json!({ "kind": kind })));
    }
    // Neither is listed in index.json.
    let bundle = all.bundle(&made, "https://sigstore.dev/cosign/sign/v1");
    all.bundle(&bundle, "https://example.test/about-the-bundle");
    let (_dir, path) = scratch("saved");
    Files::layout(&all, &listed).write_to(&path);
    let options = ImportOptions {
        repository: Some("saved/app".parse().unwrap()),
        tag: Some("v1".parse().unwrap()),
        ..ImportOptions::default()
    };
    let report = import(&path, &lab.endpoints(), &lab.registry, &options, silent())
        .await
        .unwrap();
    all.tags.push(("v1".to_owned(), made.clone()));
    lab.assert_has("saved/app", &all).await;
    assert_eq!(lab.tags("saved/app").await.len(), 3);
    assert_eq!((report.images.len(), report.images[0].signatures), (1, 2));
    assert_eq!(report.images[0].attestations, 1);
    assert_eq!((report.nameless, report.warnings), (vec![], vec![]));
}

#[tokio::test]
async fn oras_layouts_of_a_whole_repository_keep_all_tags() {
    let lab = Lab::start().await;
    let (image, index) = Signed::sample();
    let name = "org.opencontainers.image.ref.name";
    let mut listed = Vec::new();
    for (tag, made) in &image.tags {
        listed.push(annotated(made, json!({ name: tag })));
    }
    // A repository of a registry without the API has the referrers' index under a tag, too.
    let fallback = json!({
        "schemaVersion": 2, "mediaType": crate::fixture::INDEX,
        "manifests": image.manifests.iter()
            .filter(|made| image.referrers[&index.digest].contains(&made.digest))
            .map(crate::fixture::Made::descriptor).collect::<Vec<_>>(),
    });
    let mut files_of = Signed {
        blobs: image.blobs.clone(),
        manifests: image.manifests.clone(),
        ..Signed::default()
    };
    let fallback = files_of.manifest(crate::fixture::INDEX, &fallback);
    let tag = format!("sha256-{}", index.digest.hex());
    listed.push(annotated(&fallback, json!({ name: tag })));
    for made in &image.manifests {
        if image
            .referrers
            .values()
            .flatten()
            .any(|digest| *digest == made.digest)
        {
            listed.push(made.descriptor());
        }
    }
    let (_dir, path) = file(&Files::layout(&files_of, &listed).tar());
    let options = ImportOptions {
        repository: Some("app".parse().unwrap()),
        ..ImportOptions::default()
    };
    let report = import(&path, &lab.endpoints(), &lab.registry, &options, silent())
        .await
        .unwrap();
    lab.assert_has("app", &image).await;
    assert!(!lab.tags("app").await.contains(&tag));
    assert_eq!(report.images.len(), 1);
    assert_eq!(report.images[0].digest, index.digest);
}

#[tokio::test]
async fn signatures_named_like_their_image_become_its_tags() {
    let lab = Lab::start().await;
    let mut all = Signed::default();
    let (one, other) = (all.image("amd64"), all.image("arm64"));
    let name = |text: &str, kind: &str| {
        json!({"io.containerd.image.name": format!("h.test/{text}"),
            "org.opencontainers.image.ref.name": text, "kind": format!("dev.hauler/{kind}")})
    };
    let signature = all.legacy(&one, "sig");
    let bundle = all.bundle(&other, "https://sigstore.dev/cosign/sign/v1");
    let listed = [
        annotated(&one, name("one:v1", "image")),
        annotated(&other, name("other:v1", "image")),
        annotated(&signature, name("one:v1", "sigs")),
        annotated(
            &bundle,
            name("other:v1", &format!("referrers/{}", bundle.digest.hex())),
        ),
    ];
    let (_dir, path) = file(&Files::layout(&all, &listed).tar());
    let options = ImportOptions::default();
    let report = import(&path, &lab.endpoints(), &lab.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(lab.get("one/manifests/v1").await, Ok(one.bytes.clone()));
    assert_eq!(lab.get("other/manifests/v1").await, Ok(other.bytes.clone()));
    assert_eq!(
        lab.tags("one").await,
        [format!("sha256-{}.sig", one.digest.hex()), "v1".into()]
    );
    assert_eq!(
        lab.referrers("other", &other.digest).await,
        [bundle.digest.to_string()]
    );
    assert_eq!(report.unsigned().count(), 0);
}

#[tokio::test]
async fn listed_children_follow_their_index() {
    let mut all = Signed::default();
    let (amd64, arm64) = (all.image("amd64"), all.image("arm64"));
    let index = json!({
        "schemaVersion": 2, "mediaType": crate::fixture::INDEX,
        "manifests": [amd64.descriptor(), arm64.descriptor()],
    });
    let index = all.manifest(crate::fixture::INDEX, &index);
    // As oras lists them: only the index has a name.
    let tag = json!({"org.opencontainers.image.ref.name": "v1"});
    let listed = [
        amd64.descriptor(),
        arm64.descriptor(),
        annotated(&index, tag),
    ];
    let (_dir, path) = file(&Files::layout(&all, &listed).tar());
    let mut options = ImportOptions::default();
    let refused = check(&path, &options, silent()).await;
    assert!(
        matches!(refused, Err(Error::NoNames { count: 1 })),
        "{refused:?}"
    );
    options.repository = Some("app".parse().unwrap());
    let report = check(&path, &options, silent()).await.unwrap();
    assert_eq!((report.images.len(), report.nameless), (1, vec![]));
    assert_eq!(report.images[0].digest, index.digest);
}

#[tokio::test]
async fn a_layout_inside_a_legacy_archive_is_preferred() {
    let mut all = Signed::default();
    let made = all.image("amd64");
    let listed = annotated(
        &made,
        json!({"io.containerd.image.name": "docker.io/library/a:v1"}),
    );
    let mut files = Files::layout(&all, &[listed]);
    files.add(
        "manifest.json",
        json!([{"Config": "missing", "Layers": []}]).to_string(),
    );
    let (_dir, path) = file(&files.tar());
    let report = check(&path, &ImportOptions::default(), silent())
        .await
        .unwrap();
    assert_eq!(report.images[0].digest, made.digest);
    assert_eq!(report.warnings, []);
}
