//! Archives that other tools made, see `vectors/README.md`.

use airgap::{ImportOptions, ImportReport, Warning, import};

use crate::fixture::{Lab, silent};

const INDEX: &str = "sha256:f9677cf44a805b002829401486510e5fba0e52c7c5a7e5bbeab5c539a5f54faa";

/// Imports a vector; the repository is for those without names.
async fn imported(name: &str, repository: Option<&str>) -> (Lab, ImportReport) {
    let lab = Lab::start().await;
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/airgap/vectors");
    let path = std::path::Path::new(dir).join(name);
    let options = ImportOptions {
        repository: repository.map(|name| name.parse().unwrap()),
        tag: repository.map(|_| "given".parse().unwrap()),
        ..ImportOptions::default()
    };
    let registry = lab.registry.clone();
    let report = import(&path, &lab.endpoints(), &registry, &options, silent())
        .await
        .unwrap();
    assert_eq!(report.nameless, [], "{name}");
    (lab, report)
}

/// `repository:tag` of every image.
fn names(report: &ImportReport) -> Vec<String> {
    let name = |image: &airgap::ImportedImage| match &image.tag {
        Some(tag) => format!("{}:{tag}", image.repository),
        None => image.repository.clone(),
    };
    report.images.iter().map(name).collect()
}

#[tokio::test]
async fn oras_backup_keeps_digests_and_signatures() {
    let (lab, report) = imported("oras-backup.tar.gz", Some("x/tiny")).await;
    assert_eq!(names(&report), ["x/tiny:v1"]);
    assert_eq!(report.images[0].digest.to_string(), INDEX);
    assert_eq!(
        (report.images[0].signatures, report.images[0].attestations),
        (2, 1)
    );
    assert_eq!(
        lab.tags("x/tiny").await,
        [format!("{}.sig", INDEX.replace(':', "-")), "v1".into()]
    );
    let referrers = lab.referrers("x/tiny", &report.images[0].digest).await;
    assert_eq!(referrers.len(), 2);
    assert_eq!(report.warnings, []);
}

#[tokio::test]
async fn cosign_save_keeps_digests_and_signatures() {
    let (lab, report) = imported("cosign-save.tar.gz", Some("x/tiny")).await;
    assert_eq!(names(&report), ["x/tiny:given"]);
    assert_eq!(report.images[0].digest.to_string(), INDEX);
    assert_eq!(
        (report.images[0].signatures, report.images[0].attestations),
        (2, 1)
    );
    let referrers = lab.referrers("x/tiny", &report.images[0].digest).await;
    assert_eq!(
        referrers.len(),
        2,
        "cosign does not list them in index.json"
    );
    assert_eq!(report.warnings, []);
}

#[tokio::test]
async fn layouts_with_names_keep_digests() {
    for name in ["crane-oci.tar.gz", "containerd-export.tar.gz"] {
        let (lab, report) = imported(name, None).await;
        assert_eq!(names(&report), ["team/tiny:v1"], "{name}");
        assert_eq!(report.images[0].digest.to_string(), INDEX, "{name}");
        assert_eq!(report.unsigned().count(), 1, "{name}");
        assert_eq!(report.manifests_pushed, 3, "{name}");
        assert_eq!(report.warnings, [], "{name}");
        assert_eq!(lab.tags("team/tiny").await, ["v1"], "{name}");
    }
    let (_lab, report) = imported("skopeo-oci-archive.tar.gz", None).await;
    assert_eq!(names(&report), ["tiny:v2"]);
    assert_eq!(report.manifests_pushed, 3);
}

#[tokio::test]
async fn an_index_without_one_of_its_images_is_replaced() {
    let (lab, report) = imported("containerd-export-one-platform.tar.gz", None).await;
    let [
        Warning::SparseIndexReplaced { index, image },
        Warning::SparseIndex { .. },
    ] = report.warnings.as_slice()
    else {
        panic!("{:?}", report.warnings)
    };
    assert_eq!(index.to_string(), INDEX);
    let tagged = lab.get("team/tiny/manifests/v1").await.unwrap();
    assert!(image.matches(&tagged));
}

#[tokio::test]
async fn docker_archives_become_images() {
    let cases: [(&str, &[&str]); 3] = [
        (
            "docker-save.tar.gz",
            &["library/tiny:base", "library/tiny:v1", "tiny:v4"],
        ),
        ("skopeo-docker-archive.tar.gz", &["tiny:v3"]),
        ("crane-tarball.tar.gz", &["team/tiny:v1"]),
    ];
    for (name, expected) in cases {
        let (lab, report) = imported(name, None).await;
        assert_eq!(names(&report), expected, "{name}");
        for image in &report.images {
            let path = format!("{}/manifests/{}", image.repository, image.digest);
            let manifest = lab.json(&path).await;
            let config = manifest["config"]["digest"].as_str().unwrap();
            let config = lab
                .json(&format!("{}/blobs/{config}", image.repository))
                .await;
            let layers = manifest["layers"].as_array().unwrap().len();
            assert_eq!(
                config["rootfs"]["diff_ids"].as_array().unwrap().len(),
                layers,
                "{name}"
            );
        }
    }
}
