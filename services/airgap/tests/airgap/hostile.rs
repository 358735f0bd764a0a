//! Archives that are refused, with nothing written to the registry.

use std::io::Write as _;

use airgap::{Error, ImportOptions, Limits, check, import};
use oci::{Algorithm, Digest};
use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::fixture::{Files, IMAGE, INDEX, Lab, Made, Signed, annotated, file, scratch, silent};

const NAME: &str = "io.containerd.image.name";

/// A small image, named.
fn sound() -> (Signed, Made, Files) {
    let mut all = Signed::default();
    let config = all.blob(crate::fixture::CONFIG, "{}");
    let layer = all.blob(crate::fixture::LAYER, "layer");
    let manifest =
        json!({"schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [layer]});
    let made = all.manifest(IMAGE, &manifest);
    let listed = annotated(&made, json!({NAME: "h.test:1/app:v1"}));
    let files = Files::layout(&all, &[listed]);
    (all, made, files)
}

/// Imports `bytes`, which must be refused before any write.
async fn refuse_with(bytes: &[u8], limits: Limits) -> Error {
    let lab = Lab::start().await;
    let (_dir, path) = file(bytes);
    let options = ImportOptions {
        limits,
        ..ImportOptions::default()
    };
    let result = import(&path, &lab.endpoints(), &lab.registry, &options, silent()).await;
    assert_eq!(lab.traffic.count(), 0, "something was written");
    let error = result.expect_err("the archive was accepted");
    assert!(!error.to_string().contains('\n'), "{error}");
    error
}

async fn refuse(bytes: &[u8]) -> Error {
    refuse_with(bytes, Limits::default()).await
}

/// A header with a name that well-behaved writers refuse.
fn raw(name: &[u8], kind: EntryType, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    if matches!(kind, EntryType::Symlink | EntryType::Link) {
        header.set_link_name_literal("../../etc/passwd").unwrap();
    }
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A sound archive with more at its start.
fn with(start: &[u8]) -> Vec<u8> {
    [start, &sound().2.tar()].concat()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

#[tokio::test]
async fn a_sound_archive_is_imported() {
    let lab = Lab::start().await;
    let (all, made, files) = sound();
    let extra = raw(b"./notes/", EntryType::Directory, b"");
    for bytes in [
        files.tar(),
        with(&extra),
        with(&raw(b"x", EntryType::Regular, b"y")),
    ] {
        let (_dir, path) = file(&bytes);
        let options = ImportOptions::default();
        import(&path, &lab.endpoints(), &lab.registry, &options, silent())
            .await
            .unwrap();
    }
    lab.assert_has("app", &all).await;
    assert_eq!(lab.get("app/manifests/v1").await, Ok(made.bytes));
}

#[tokio::test]
async fn names_that_leave_the_archive_are_refused() {
    for name in [
        b"../x".as_slice(),
        b"blobs/../../x",
        b"blobs/sha256/..",
        b"a//b",
        b"./a/./b",
    ] {
        let error = refuse(&with(&raw(name, EntryType::Regular, b""))).await;
        assert!(matches!(error, Error::NameComponent { .. }), "{error}");
    }
    let error = refuse(&with(&raw(b"/etc/passwd", EntryType::Regular, b""))).await;
    assert!(matches!(error, Error::AbsoluteName { .. }), "{error}");
    let error = refuse(&with(&raw(b"a\nb", EntryType::Regular, b""))).await;
    assert!(matches!(error, Error::NameEncoding { .. }), "{error}");
    let long = [
        raw(
            b"././@LongLink",
            EntryType::GNULongName,
            b"blobs/../../../x\0",
        ),
        raw(b"innocent", EntryType::Regular, b""),
    ];
    let error = refuse(&with(&long.concat())).await;
    assert!(matches!(error, Error::NameComponent { .. }), "{error}");
    let pax = [
        raw(b"pax", EntryType::XHeader, b"18 path=../../abc\n"),
        raw(b"innocent", EntryType::Regular, b""),
    ];
    let error = refuse(&with(&pax.concat())).await;
    assert!(matches!(error, Error::NameComponent { .. }), "{error}");
}

#[tokio::test]
async fn links_and_devices_are_refused() {
    for kind in [EntryType::Symlink, EntryType::Link] {
        let error = refuse(&with(&raw(b"blobs/sha256/x", kind, b""))).await;
        assert!(matches!(error, Error::Link { .. }), "{error}");
    }
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::GNUSparse,
        EntryType::new(b'Z'),
    ] {
        let error = refuse(&with(&raw(b"x", kind, b""))).await;
        assert!(matches!(error, Error::SpecialFile { .. }), "{error}");
    }
    let (dir, path) = scratch("layout");
    sound().2.write_to(&path);
    std::os::unix::fs::symlink("/etc/passwd", path.join("x")).unwrap();
    let error = check(&path, &ImportOptions::default(), silent())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Link { .. }), "{error}");
    drop(dir);
}

#[tokio::test]
async fn a_layer_link_is_refused_in_a_layout() {
    let id = "a".repeat(64);
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Symlink);
    header.set_size(0);
    let target = format!("../{}/layer.tar", "b".repeat(64));
    builder
        .append_link(&mut header, format!("{id}/layer.tar"), target)
        .unwrap();
    let mut bytes = builder.into_inner().unwrap();
    bytes.truncate(bytes.len() - 1024);
    let error = refuse(&with(&bytes)).await;
    assert!(matches!(error, Error::Link { .. }), "{error}");
}

#[tokio::test]
async fn names_are_accepted_once() {
    let again = raw(
        b"oci-layout",
        EntryType::Regular,
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    );
    let error = refuse(&with(&again)).await;
    assert!(matches!(error, Error::DuplicateEntry { entry } if entry == "oci-layout"));
}

#[tokio::test]
async fn content_must_have_the_digest_of_its_name() {
    let (all, _, files) = sound();
    for digest in all.blobs.keys() {
        let mut files = files.clone();
        files.add_blob(digest, b"other");
        let error = refuse(&files.tar()).await;
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    }
    let mut files = files;
    files.add(&format!("blobs/sha256/{}", "0".repeat(64)), "unlisted");
    assert!(matches!(
        refuse(&files.tar()).await,
        Error::DigestMismatch { .. }
    ));
}

#[tokio::test]
async fn blobs_need_a_digest_for_a_name() {
    for name in [
        "blobs/sha256/short",
        "blobs/md5/00",
        "blobs/sha256",
        "blobs/sha256/a/b",
    ] {
        let (_, _, mut files) = sound();
        files.add(name, "x");
        let error = refuse(&files.tar()).await;
        assert!(matches!(error, Error::BlobName { .. }), "{name}: {error}");
    }
}

#[tokio::test]
async fn truncated_archives_are_refused_wherever_they_end() {
    let tar = sound().2.tar();
    // The last of the two zero blocks may be missing.
    for end in (0..=tar.len() - 1024).step_by(256) {
        let error = refuse(&tar[..end]).await;
        let is_rule = matches!(error, Error::Truncated { .. } | Error::NotAnArchive { .. });
        assert!(is_rule, "{end}: {error}");
    }
    let packed = gzip(&tar);
    for end in [packed.len() / 2, packed.len() - 8, packed.len() - 1] {
        let error = refuse(&packed[..end]).await;
        assert!(matches!(error, Error::Truncated { .. }), "{end}: {error}");
    }
    let packed = zstd::encode_all(tar.as_slice(), 1).unwrap();
    for end in [packed.len() / 2, packed.len() - 1] {
        let error = refuse(&packed[..end]).await;
        assert!(matches!(error, Error::Truncated { .. }), "{end}: {error}");
    }
}

#[tokio::test]
async fn flipped_bytes_are_refused_or_harmless() {
    let (_, made, mut files) = sound();
    let names = ["index.json", "oci-layout"];
    let sums = names.map(|name| {
        let digest = Digest::of(Algorithm::Sha256, &files.0[name]);
        format!("{}  {name}\n", digest.hex())
    });
    files.add("siglab/sha256sums", sums.concat());
    let tar = files.tar();
    let (_dir, path) = scratch("flipped.tar");
    let mut harmless = 0;
    for at in (0..tar.len()).step_by(3) {
        let mut flipped = tar.clone();
        flipped[at] ^= 1;
        #[expect(
            clippy::disallowed_methods,
            reason = "durability takes long and is of no use here"
        )]
        std::fs::write(&path, &flipped).unwrap();
        if let Ok(report) = check(&path, &ImportOptions::default(), silent()).await {
            harmless += 1;
            assert_eq!(report.images.len(), 1, "byte {at}");
            assert_eq!(report.images[0].digest, made.digest, "byte {at}");
            assert_eq!(report.images[0].repository, "app", "byte {at}");
        }
    }
    // Padding between entries is not content.
    assert!(
        harmless < tar.len() / 6,
        "{harmless} of {} bytes",
        tar.len() / 3
    );
}

#[tokio::test]
async fn limits_bound_what_is_read() {
    let tar = sound().2.tar();
    let limits = Limits {
        entries_max: 3,
        ..Limits::default()
    };
    let error = refuse_with(&tar, limits).await;
    assert!(
        matches!(error, Error::TooManyEntries { entries_max: 3 }),
        "{error}"
    );
    let limits = Limits {
        entry_bytes_max: 40,
        ..Limits::default()
    };
    let error = refuse_with(&tar, limits).await;
    assert!(
        matches!(error, Error::EntryTooLarge { size_max: 40, .. }),
        "{error}"
    );
    let limits = Limits {
        bytes_max: 2000,
        ..Limits::default()
    };
    let error = refuse_with(&tar, limits).await;
    assert!(
        matches!(error, Error::TooLarge { bytes_max: 2000 }),
        "{error}"
    );
    let limits = Limits {
        manifests_max: 0,
        ..Limits::default()
    };
    let error = refuse_with(&tar, limits).await;
    assert!(
        matches!(
            error,
            Error::TooManyManifests {
                manifests_max: 0,
                ..
            }
        ),
        "{error}"
    );
    let mut header = Header::new_gnu();
    header.set_path("blobs/sha256/x").unwrap();
    header.set_size(u64::MAX / 2);
    header.set_cksum();
    let error = refuse(&with(header.as_bytes())).await;
    assert!(matches!(error, Error::EntryTooLarge { .. }), "{error}");
    let long = raw(
        b"././@LongLink",
        EntryType::GNULongName,
        &vec![b'a'; 1 << 20],
    );
    assert!(matches!(refuse(&with(&long)).await, Error::Header { .. }));
}

#[tokio::test]
async fn compression_bombs_are_bounded() {
    let zeros = vec![0; 64 << 20];
    let digest = Digest::of(Algorithm::Sha256, &zeros);
    let name = format!("blobs/sha256/{}", digest.hex());
    let bomb = raw(name.as_bytes(), EntryType::Regular, &zeros);
    let limits = Limits {
        bytes_max: 1 << 20,
        ..Limits::default()
    };
    let error = refuse_with(&gzip(&with(&bomb)), limits.clone()).await;
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    let packed = zstd::encode_all(with(&bomb).as_slice(), 1).unwrap();
    let error = refuse_with(&packed, limits).await;
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    // Below every limit of size, but nothing real is packed so well.
    let error = refuse(&gzip(&with(&bomb))).await;
    let is_ratio = matches!(error, Error::CompressionRatio { ratio_max: 200, .. });
    assert!(is_ratio, "{error}");
    // Behind the end of the archive nobody looks, so nothing may be there.
    let behind = gzip(&[sound().2.tar(), zeros].concat());
    let error = refuse(&behind).await;
    assert!(matches!(error, Error::TrailingData { .. }), "{error}");
    let behind = gzip(&[sound().2.tar(), b"more".to_vec()].concat());
    let error = refuse(&behind).await;
    assert!(matches!(error, Error::TrailingData { .. }), "{error}");
}

#[tokio::test]
async fn deep_json_is_refused() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let (_, _, mut files) = sound();
    files.add(
        "index.json",
        format!(r#"{{"schemaVersion":2,"manifests":[],"x":{deep}}}"#),
    );
    let error = refuse(&files.tar()).await;
    assert!(matches!(error, Error::Manifest { .. }), "{error}");

    let bytes = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"x":{deep}}}"#);
    let bytes = bytes.into_bytes();
    let digest = Digest::of(Algorithm::Sha256, &bytes);
    let made = Made {
        media_type: INDEX.to_owned(),
        digest,
        bytes,
    };
    let mut files = Files::layout(
        &Signed::default(),
        &[annotated(&made, json!({NAME: "h.test:1/app:v1"}))],
    );
    files.add_blob(&made.digest, &made.bytes);
    let error = refuse(&files.tar()).await;
    assert!(matches!(error, Error::Manifest { .. }), "{error}");

    let mut files = Files::default();
    files.add("manifest.json", deep);
    let error = refuse(&files.tar()).await;
    assert!(matches!(error, Error::Json { .. }), "{error}");
}

#[tokio::test]
async fn what_a_manifest_names_must_be_there_with_its_size() {
    let (all, made, files) = sound();
    let missing = |digest: &Digest| {
        let mut files = files.clone();
        files.0.remove(&format!("blobs/sha256/{}", digest.hex()));
        files.tar()
    };
    for digest in all.blobs.keys() {
        let error = refuse(&missing(digest)).await;
        assert!(
            matches!(&error, Error::Missing { digest: it, .. } if it == digest),
            "{error}"
        );
    }
    let error = refuse(&missing(&made.digest)).await;
    assert!(matches!(&error, Error::Missing { named_by, .. } if named_by == "index.json"));

    let mut descriptor = annotated(&made, json!({NAME: "h.test:1/app:v1"}));
    descriptor["size"] = json!(1);
    let error = refuse(&Files::layout(&all, &[descriptor]).tar()).await;
    assert!(
        matches!(error, Error::SizeMismatch { declared: 1, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn large_manifests_are_refused() {
    let mut all = Signed::default();
    let config = all.blob(crate::fixture::CONFIG, "{}");
    let manifest = json!({
        "schemaVersion": 2, "mediaType": IMAGE, "config": config, "layers": [],
        "annotations": {"x": "x".repeat(4 << 20)},
    });
    let made = all.manifest(IMAGE, &manifest);
    let listed = annotated(&made, json!({NAME: "h.test:1/app:v1"}));
    let error = refuse(&Files::layout(&all, &[listed]).tar()).await;
    assert!(matches!(error, Error::ManifestTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn incomplete_or_foreign_layouts_are_refused() {
    let changed = |name: &str, bytes: Option<&str>| {
        let (_, _, mut files) = sound();
        match bytes {
            Some(bytes) => files.add(name, bytes),
            None => drop(files.0.remove(name)),
        }
        files.tar()
    };
    let error = refuse(&changed("oci-layout", None)).await;
    assert!(matches!(error, Error::NoLayoutFile), "{error}");
    let error = refuse(&changed(
        "oci-layout",
        Some(r#"{"imageLayoutVersion":"2.0.0"}"#),
    ))
    .await;
    assert!(matches!(error, Error::LayoutVersion { .. }), "{error}");
    let error = refuse(&changed("oci-layout", Some("{"))).await;
    assert!(matches!(error, Error::Json { .. }), "{error}");
    let error = refuse(&changed("index.json", None)).await;
    assert!(matches!(error, Error::NotAnArchive { .. }), "{error}");
    let error = refuse(&changed(
        "index.json",
        Some(r#"{"schemaVersion":2,"manifests":[]}"#),
    ))
    .await;
    assert!(matches!(error, Error::NoImages), "{error}");
    let error = refuse(&changed("siglab/trusted_root.json", Some(r#"{"x":1}"#))).await;
    assert!(
        matches!(
            error,
            Error::Trust {
                item: "siglab/trusted_root.json",
                ..
            }
        ),
        "{error}"
    );
    let error = refuse(&changed("siglab/signing_config.json", Some("[]"))).await;
    assert!(
        matches!(
            error,
            Error::Trust {
                item: "siglab/signing_config.json",
                ..
            }
        ),
        "{error}"
    );
    let sums = format!("{}  index.json\n", "0".repeat(64));
    let error = refuse(&changed("siglab/sha256sums", Some(&sums))).await;
    assert!(matches!(error, Error::Checksum { line: 1 }), "{error}");
    for bytes in [b"".as_slice(), b"PK\x03\x04 not a tar", &[7; 4096]] {
        let error = refuse(bytes).await;
        assert!(matches!(error, Error::NotAnArchive { .. }), "{error}");
    }
    let (dir, _) = scratch("x");
    let error = check(dir.path(), &ImportOptions::default(), silent())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::NotAnArchive { .. }), "{error}");
}

#[tokio::test]
async fn long_chains_of_subjects_do_not_exhaust_the_stack() {
    let mut all = Signed::default();
    let first = all.image("amd64");
    let mut last = first.clone();
    for number in 0..3000 {
        last = all.bundle(&last, &format!("https://example.test/{number}"));
    }
    let listed = annotated(&first, json!({NAME: "h.test:1/app:v1"}));
    let listed: Vec<Value> = vec![listed];
    let (_dir, path) = file(&Files::layout(&all, &listed).tar());
    let report = check(&path, &ImportOptions::default(), silent())
        .await
        .unwrap();
    assert_eq!((report.images.len(), report.images[0].attestations), (1, 1));
    assert_eq!(report.warnings, []);
}
