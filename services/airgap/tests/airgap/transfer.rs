//! What goes from one registry to another.

use airgap::{
    Error, ExportOptions, ImportOptions, NameRule, Phase, Warning, check, export, import,
};
use oci::Digest;
use registry::ReferrersMode;
use serde_json::json;

use crate::fixture::{Files, INDEX, Lab, Made, Signed, annotated, digests, file, scratch, silent};

fn mode(referrers: ReferrersMode) -> registry::Config {
    registry::Config {
        referrers,
        ..registry::Config::default()
    }
}

async fn exported(lab: &Lab, name: &str) -> Vec<u8> {
    let (_dir, path) = scratch("lab.tar");
    let (images, options) = ([lab.image(name)], ExportOptions::default());
    let report = export(&lab.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    assert_eq!(report.warnings, []);
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(report.bytes, bytes.len() as u64);
    bytes
}

#[tokio::test]
async fn round_trip_keeps_every_digest() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (image, _) = Signed::sample();
    from.put("team/app", &image).await;
    let (_dir, path) = scratch("lab.tar");
    let (images, options) = ([from.image("team/app:v1")], ExportOptions::default());
    let report = export(&from.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    assert_eq!(
        report.images[0].reference,
        format!("{}/team/app:v1", from.registry)
    );
    assert_eq!(
        (report.images[0].signatures, report.images[0].attestations),
        (2, 1)
    );
    assert_eq!(report.manifests, image.manifests.len() as u64);
    assert_eq!(report.blobs, image.blobs.len() as u64);

    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    to.assert_has("team/app", &image).await;
    assert_eq!(to.tags("team/app").await, from.tags("team/app").await);
    assert_eq!(report.images.len(), 1);
    assert_eq!(report.images[0].repository, "team/app");
    assert_eq!(report.images[0].tag.as_ref().unwrap().as_str(), "v1");
    assert_eq!(
        (report.images[0].signatures, report.images[0].attestations),
        (2, 1)
    );
    assert_eq!(report.unsigned().count(), 0);
    assert_eq!((report.nameless, report.warnings), (vec![], vec![]));
    assert_eq!(report.manifests_pushed, image.manifests.len() as u64);
    assert_eq!(report.blobs_pushed, image.blobs.len() as u64);
}

#[tokio::test]
async fn signatures_survive_registries_without_the_referrers_api() {
    let (image, index) = Signed::sample();
    for (from, to) in [
        (ReferrersMode::Fallback, ReferrersMode::On),
        (ReferrersMode::On, ReferrersMode::Fallback),
        (ReferrersMode::On, ReferrersMode::Off),
    ] {
        let source = Lab::start_with(mode(from)).await;
        let target = Lab::start_with(mode(to)).await;
        source.put("app", &image).await;
        let (_dir, path) = file(&exported(&source, "app:v1").await);
        let options = ImportOptions::default();
        let registry = &target.registry;
        import(&path, &target.endpoints(), registry, &options, silent())
            .await
            .unwrap();
        for (subject, expected) in &image.referrers {
            let path = match to {
                ReferrersMode::On => format!("app/referrers/{subject}"),
                _ => format!("app/manifests/sha256-{}", subject.hex()),
            };
            let mut expected: Vec<String> = expected.iter().map(Digest::to_string).collect();
            expected.sort();
            assert_eq!(
                digests(&target.json(&path).await),
                expected,
                "{from:?} {to:?}"
            );
        }
        // And once more out of the registry that only has tags.
        assert_eq!(
            exported(&target, "app:v1").await.len(),
            exported(&source, "app:v1").await.len()
        );
        let report = check(&path, &options, silent()).await.unwrap();
        assert_eq!(report.images[0].digest, index.digest);
    }
}

#[tokio::test]
async fn fallback_tag_keeps_what_others_wrote() {
    let (image, index) = Signed::sample();
    let source = Lab::start().await;
    let target = Lab::start_with(mode(ReferrersMode::Off)).await;
    source.put("app", &image).await;
    let mut theirs = Signed::default();
    let other = theirs.image("riscv64");
    target.put("app", &theirs).await;
    let list = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": [other.descriptor()],
    });
    let there = Made::new(INDEX, &list);
    let tag = format!("sha256-{}", index.digest.hex());
    target.put_manifest("app", &tag, &there).await;

    let (_dir, path) = file(&exported(&source, "app:v1").await);
    let options = ImportOptions::default();
    import(
        &path,
        &target.endpoints(),
        &target.registry,
        &options,
        silent(),
    )
    .await
    .unwrap();
    let listed = digests(&target.json(&format!("app/manifests/{tag}")).await);
    assert!(listed.contains(&other.digest.to_string()));
    assert_eq!(listed.len(), 1 + image.referrers[&index.digest].len());
}

#[tokio::test]
async fn same_content_makes_the_same_archive() {
    let lab = Lab::start().await;
    let (image, _) = Signed::sample();
    lab.put("b/app", &image).await;
    lab.put("a/app", &image).await;
    let names = [lab.image("b/app:v1"), lab.image("a/app:v1")];
    let (_dir, one) = scratch("one.tar");
    let other = one.with_file_name("other.tar");
    let options = ExportOptions::default();
    export(&lab.endpoints(), &names, &options, &one, silent())
        .await
        .unwrap();
    let names = [names[1].clone(), names[0].clone()];
    export(&lab.endpoints(), &names, &options, &other, silent())
        .await
        .unwrap();
    assert!(std::fs::read(&one).unwrap() == std::fs::read(&other).unwrap());

    let mut archive = tar::Archive::new(std::fs::File::open(&one).unwrap());
    let mut names = Vec::new();
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!(header.mtime().unwrap(), 0);
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        names.push(entry.path().unwrap().to_str().unwrap().to_owned());
    }
    assert!(names.is_sorted());
    assert_eq!(
        names
            .iter()
            .filter(|name| name.starts_with("blobs/sha512/"))
            .count(),
        2
    );
}

#[tokio::test]
async fn several_repositories_share_blobs() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (image, _) = Signed::sample();
    from.put("a/app", &image).await;
    from.put("b/app", &image).await;
    let (_dir, path) = scratch("lab.tar");
    let names = [from.image("a/app:v1"), from.image("b/app:v1")];
    let options = ExportOptions::default();
    export(&from.endpoints(), &names, &options, &path, silent())
        .await
        .unwrap();
    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    to.assert_has("a/app", &image).await;
    to.assert_has("b/app", &image).await;
    assert_eq!(report.blobs_pushed, 2 * image.blobs.len() as u64);
    let once: usize = image.blobs.values().map(Vec::len).sum();
    assert_eq!(
        report.bytes_pushed, once as u64,
        "the second repository mounts"
    );
}

#[tokio::test]
async fn interrupted_import_resumes() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (image, _) = Signed::sample();
    from.put("app", &image).await;
    let (_dir, path) = file(&exported(&from, "app:v1").await);
    let options = ImportOptions::default();
    let mut attempts = 0;
    let last = loop {
        attempts += 1;
        to.traffic.allow(7);
        match import(&path, &to.endpoints(), &to.registry, &options, silent()).await {
            Ok(report) => break report,
            Err(error) => assert!(
                matches!(error, Error::Refused { status: 500, .. }),
                "{error}"
            ),
        }
        assert!(attempts < 30, "no progress");
    };
    assert!(attempts > 3);
    to.traffic.allow(usize::MAX);
    to.assert_has("app", &image).await;
    assert!(last.blobs_present > 0 && last.manifests_present > 0);
    let before = to.traffic.count();
    let again = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(
        to.traffic.count(),
        before,
        "a complete import writes nothing"
    );
    assert_eq!((again.blobs_pushed, again.manifests_pushed), (0, 0));
}

#[tokio::test]
async fn tags_come_last() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (image, _) = Signed::sample();
    from.put("app", &image).await;
    let (_dir, path) = file(&exported(&from, "app:v1").await);
    let options = ImportOptions::default();
    import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    let writes = to.traffic.writes.lock().unwrap().clone();
    let kind = |line: &String| match line {
        line if line.contains("/blobs/") => 0,
        line if line.contains("/manifests/sha256:") => 1,
        _ => 2,
    };
    assert!(writes.iter().map(kind).is_sorted(), "{writes:#?}");
    let position = |made: &Made| {
        writes
            .iter()
            .position(|line| line.ends_with(&made.digest.to_string()))
            .unwrap()
    };
    // The fixture's own order is: children, index, referrers.
    let index = position(&image.manifests[2]);
    assert!(position(&image.manifests[0]) < index && position(&image.manifests[1]) < index);
    let referrers = image.manifests.iter().filter(|made| {
        image
            .referrers
            .values()
            .flatten()
            .any(|digest| *digest == made.digest)
    });
    referrers.for_each(|made| assert!(position(made) > index));
}

#[tokio::test]
async fn trust_travels_with_the_images() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (image, _) = Signed::sample();
    from.put("app", &image).await;
    let media_type = "application/vnd.dev.sigstore.trustedroot+json;version=0.1";
    let root = json!({"mediaType": media_type}).to_string().into_bytes();
    let media_type = "application/vnd.dev.sigstore.signingconfig.v0.2+json";
    let config = json!({"mediaType": media_type}).to_string().into_bytes();
    let options = ExportOptions {
        trusted_root: Some(root.clone()),
        signing_config: Some(config.clone()),
        ..ExportOptions::default()
    };
    let (_dir, path) = scratch("lab.tar");
    let images = [from.image("app:v1")];
    export(&from.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(report.trusted_root, Some(root));
    assert_eq!(report.signing_config, Some(config));

    let options = ExportOptions {
        trusted_root: Some(b"{\"x\":1}".to_vec()),
        ..ExportOptions::default()
    };
    let refused = export(&from.endpoints(), &images, &options, &path, silent()).await;
    assert!(matches!(refused, Err(Error::Trust { .. })));
}

#[tokio::test]
async fn signatures_kept_in_another_repository_come_along() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let mut image = Signed::default();
    let made = image.image("amd64");
    image.tags.push(("v1".to_owned(), made.clone()));
    from.put("app", &image).await;
    let mut signatures = Signed::default();
    let signature = signatures.bundle(&made, "https://sigstore.dev/cosign/sign/v1");
    signatures.legacy(&made, "sig");
    from.put("signatures", &signatures).await;
    let options = ExportOptions {
        signature_repositories: vec![format!("{}/signatures", from.registry)],
        ..ExportOptions::default()
    };
    let (_dir, path) = scratch("lab.tar");
    let images = [from.image("app:v1")];
    let report = export(&from.endpoints(), &images, &options, &path, silent())
        .await
        .unwrap();
    assert_eq!(report.images[0].signatures, 2);
    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    to.assert_has("app", &image).await;
    to.assert_has("signatures", &signatures).await;
    assert_eq!(
        to.referrers("app", &made.digest).await,
        Vec::<String>::new()
    );
    let listed = to.referrers("signatures", &made.digest).await;
    assert_eq!(listed, [signature.digest.to_string()]);
    assert_eq!((report.images.len(), report.images[0].signatures), (1, 2));
}

#[tokio::test]
async fn images_by_digest_have_no_tag() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (image, index) = Signed::sample();
    from.put("app", &image).await;
    let bytes = exported(&from, &format!("app@{}", index.digest)).await;
    let (_dir, path) = file(&bytes);
    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(
        (report.images.len(), report.images[0].tag.clone()),
        (1, None)
    );
    let tags = to.tags("app").await;
    assert!(
        tags.iter().all(|tag| tag.starts_with("sha256-")),
        "{tags:?}"
    );
    assert!(
        to.get(&format!("app/manifests/{}", index.digest))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn every_container_of_a_layout_is_read() {
    let lab = Lab::start().await;
    let (image, index) = Signed::sample();
    lab.put("app", &image).await;
    let tar = exported(&lab, "app:v1").await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let (unpacked, _) = scratch("x");
    tar::Archive::new(tar.as_slice())
        .unpack(unpacked.path())
        .unwrap();
    let mut paths = vec![unpacked.path().to_owned()];
    let files: Vec<_> = [tar, gzip, zstd].iter().map(|bytes| file(bytes)).collect();
    paths.extend(files.iter().map(|(_, path)| path.clone()));
    for path in paths {
        let to = Lab::start().await;
        let options = ImportOptions::default();
        let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
            .await
            .unwrap();
        assert_eq!(report.images[0].digest, index.digest);
        to.assert_has("app", &image).await;
    }
}

#[tokio::test]
async fn pipes_are_read_once() {
    let lab = Lab::start().await;
    let (image, index) = Signed::sample();
    lab.put("app", &image).await;
    let tar = exported(&lab, "app:v1").await;
    let (_dir, path) = scratch("pipe");
    let made = std::process::Command::new("mkfifo")
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let pipe = path.clone();
    let writer = std::thread::spawn(move || {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(pipe).unwrap();
        std::io::Write::write_all(&mut pipe, &tar).unwrap();
    });
    let report = check(&path, &ImportOptions::default(), silent())
        .await
        .unwrap();
    writer.join().unwrap();
    assert_eq!(report.images[0].digest, index.digest);
}

#[tokio::test]
async fn progress_counts_to_its_total() {
    let (from, to) = (Lab::start().await, Lab::start().await);
    let (image, _) = Signed::sample();
    from.put("app", &image).await;
    let steps = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = steps.clone();
    let progress: airgap::OnProgress =
        std::sync::Arc::new(move |step| kept.lock().unwrap().push(step));
    let (_dir, path) = scratch("lab.tar");
    let (images, options) = ([from.image("app:v1")], ExportOptions::default());
    export(
        &from.endpoints(),
        &images,
        &options,
        &path,
        progress.clone(),
    )
    .await
    .unwrap();
    let options = ImportOptions::default();
    import(&path, &to.endpoints(), &to.registry, &options, progress)
        .await
        .unwrap();
    let steps = steps.lock().unwrap();
    for phase in [
        Phase::Discover,
        Phase::Write,
        Phase::Verify,
        Phase::Push,
        Phase::Link,
    ] {
        let most = steps
            .iter()
            .filter(|step| step.phase == phase)
            .max_by_key(|step| step.done);
        let most = most.unwrap();
        assert_eq!(most.done, most.total, "{phase:?}");
        assert!(!most.item.is_empty(), "{phase:?}");
    }
}

#[tokio::test]
async fn names_can_be_given_and_changed() {
    let to = Lab::start().await;
    let mut all = Signed::default();
    let made = all.image("amd64");
    let options = ImportOptions::default();
    let nameless = Files::layout(&all, &[made.descriptor()]).tar();
    let (_dir, path) = file(&nameless);
    let refused = import(&path, &to.endpoints(), &to.registry, &options, silent()).await;
    assert!(matches!(refused, Err(Error::NoNames { count: 1 })));
    assert_eq!(to.traffic.count(), 0);

    let given = ImportOptions {
        repository: Some("given".parse().unwrap()),
        tag: Some("v9".parse().unwrap()),
        ..ImportOptions::default()
    };
    import(&path, &to.endpoints(), &to.registry, &given, silent())
        .await
        .unwrap();
    assert_eq!(to.tags("given").await, ["v9"]);

    let name = "org.opencontainers.image.ref.name";
    let listed = annotated(&made, json!({ name: "docker.io/alpine:3" }));
    let (_dir, path) = file(&Files::layout(&all, &[listed]).tar());
    let renamed = ImportOptions {
        rename: vec![NameRule {
            from: "library/alpine".parse().unwrap(),
            to: "mirror/alpine".parse().unwrap(),
        }],
        ..ImportOptions::default()
    };
    import(&path, &to.endpoints(), &to.registry, &renamed, silent())
        .await
        .unwrap();
    assert_eq!(to.tags("mirror/alpine").await, ["3"]);
}

#[tokio::test]
async fn moved_tags_are_reported() {
    let to = Lab::start().await;
    let mut theirs = Signed::default();
    let before = theirs.image("riscv64");
    theirs.tags.push(("v1".to_owned(), before.clone()));
    to.put("app", &theirs).await;
    let mut all = Signed::default();
    let made = all.image("amd64");
    let name = json!({"io.containerd.image.name": "h.test/app:v1"});
    let (_dir, path) = file(&Files::layout(&all, &[annotated(&made, name)]).tar());
    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    let moved = Warning::TagMoved {
        repository: "app".parse().unwrap(),
        tag: "v1".parse().unwrap(),
        before: before.digest,
    };
    assert_eq!(report.warnings, [moved]);
    assert_eq!(to.get("app/manifests/v1").await, Ok(made.bytes));
    let again = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(again.warnings, []);
}

#[tokio::test]
async fn nameless_images_are_reported_and_left_out() {
    let to = Lab::start().await;
    let mut all = Signed::default();
    let (named, nameless) = (all.image("amd64"), all.image("arm64"));
    let name = "io.containerd.image.name";
    let listed = [
        annotated(&named, json!({ name: "h.test:1/app:v1" })),
        nameless.descriptor(),
    ];
    let (_dir, path) = file(&Files::layout(&all, &listed).tar());
    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(report.nameless.len(), 1);
    assert_eq!(report.nameless[0].digest, nameless.digest);
    assert_eq!(
        report
            .unsigned()
            .map(|image| &image.digest)
            .collect::<Vec<_>>(),
        [&named.digest]
    );
    let gone = to.get(&format!("app/manifests/{}", nameless.digest)).await;
    assert_eq!(gone, Err(404));
}

#[tokio::test]
async fn sparse_index_gives_its_tags_to_the_only_image() {
    let to = Lab::start().await;
    let mut all = Signed::default();
    let amd64 = all.image("amd64");
    let absent = Made::new(crate::fixture::IMAGE, &json!({"schemaVersion": 2}));
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [amd64.descriptor(), absent.descriptor()],
    });
    let index = all.manifest(INDEX, &index);
    let listed = annotated(
        &index,
        json!({"io.containerd.image.name": "docker.io/a/b:v1"}),
    );
    let (_dir, path) = file(&Files::layout(&all, &[listed]).tar());
    let options = ImportOptions::default();
    let report = import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    let replaced = Warning::SparseIndexReplaced {
        index: index.digest.clone(),
        image: amd64.digest.clone(),
    };
    assert!(report.warnings.contains(&replaced), "{:?}", report.warnings);
    assert_eq!(to.get("a/b/manifests/v1").await, Ok(amd64.bytes.clone()));

    let to = Lab::start_with(registry::Config {
        sparse_indexes: true,
        ..mode(ReferrersMode::On)
    })
    .await;
    import(&path, &to.endpoints(), &to.registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(to.get("a/b/manifests/v1").await, Ok(index.bytes.clone()));
}

#[tokio::test]
async fn export_of_what_is_not_there_leaves_nothing_behind() {
    let lab = Lab::start().await;
    let (dir, path) = scratch("lab.tar");
    let (images, options) = ([lab.image("app:v1")], ExportOptions::default());
    let refused = export(&lab.endpoints(), &images, &options, &path, silent()).await;
    let Err(Error::NoSuchImage { reference }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(reference, format!("{}/app:v1", lab.registry));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}
