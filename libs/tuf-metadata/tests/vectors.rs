//! Metadata that others made, and the client workflow over it.

use tuf_metadata::{Envelope, Error, RoleType, Root, Updater};

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("vectors/python-tuf/", $name))
    };
}

const PUBLIC_ROOT: &[u8] = include_bytes!("vectors/public-root.json");

fn now() -> jiff::Timestamp {
    "2029-12-31T23:59:59Z".parse().unwrap()
}

/// The trusted root of the python-tuf repository, rotated to its second version.
fn rotated() -> Updater {
    let mut updater = Updater::new(vector!("1.root.json")).unwrap();
    updater.update_root(vector!("2.root.json")).unwrap();
    updater
}

fn updated() -> Updater {
    let mut updater = told(rotated(), vector!("7.timestamp.json"));
    updater.update_snapshot(vector!("5.snapshot.json")).unwrap();
    updater.update_targets(vector!("3.targets.json")).unwrap();
    updater
}

/// An update that went on to this timestamp.
fn told(mut updater: Updater, timestamp: &[u8]) -> Updater {
    updater.update_timestamp(timestamp).unwrap();
    updater
}

#[test]
fn the_public_root_verifies_by_its_threshold_of_signatures() {
    let updater = Updater::new(PUBLIC_ROOT).unwrap();
    assert_eq!(updater.root().roles[&RoleType::Root].threshold, 3);
    assert_eq!(RoleType::Root.keys(updater.root()).len(), 5);
}

#[test]
fn a_changed_byte_of_the_public_root_is_refused() {
    let text = std::str::from_utf8(PUBLIC_ROOT).unwrap();
    let changed = text.replacen(
        "\"consistent_snapshot\": true",
        "\"consistent_snapshot\": false",
        1,
    );
    assert_ne!(changed, text);
    let error = Updater::new(changed.as_bytes()).unwrap_err();
    assert!(matches!(
        error,
        Error::Threshold {
            role: RoleType::Root,
            valid: 0,
            threshold: 3
        }
    ));
}

#[test]
fn key_ids_are_those_of_python_tuf() {
    let root = Envelope::<Root>::parse(vector!("1.root.json")).unwrap();
    assert_eq!(root.role().keys.len(), 3);
    for (id, key) in &root.role().keys {
        assert_eq!(&key.id(), id);
    }
}

#[test]
fn a_python_tuf_repository_is_followed_to_its_target() {
    let trusted = updated().finish(now()).unwrap();
    trusted.verify_target("hello.txt", b"hello\n").unwrap();
    let custom = trusted
        .target("hello.txt")
        .unwrap()
        .custom
        .as_ref()
        .unwrap();
    assert_eq!(custom["sigstore"]["usage"], "CTFE");
    let name = trusted.target_file_name("hello.txt").unwrap();
    assert_eq!(
        name,
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03.hello.txt"
    );
}

#[test]
fn another_target_content_is_refused() {
    let trusted = updated().finish(now()).unwrap();
    let verify = |name, file: &[u8]| trusted.verify_target(name, file).unwrap_err();
    assert!(matches!(
        verify("hello.txt", b"hallo\n"),
        Error::Digest { .. }
    ));
    assert!(matches!(
        verify("hello.txt", b"hello"),
        Error::Length {
            got: 5,
            want: 6,
            ..
        }
    ));
    assert!(matches!(
        verify("bye.txt", b"hello\n"),
        Error::TargetMissing { .. }
    ));
}

#[test]
fn expired_metadata_is_refused() {
    let expiry = "2030-01-01T00:00:00Z".parse().unwrap();
    let error = updated().finish(expiry).unwrap_err();
    assert!(matches!(
        error,
        Error::Expired {
            role: RoleType::Root,
            ..
        }
    ));
}

#[test]
fn an_unfinished_update_gives_nothing() {
    let mut updater = told(rotated(), vector!("7.timestamp.json"));
    let error = updater.clone().finish(now()).unwrap_err();
    assert!(matches!(
        error,
        Error::Order {
            role: RoleType::Snapshot
        }
    ));
    let error = updater
        .update_targets(vector!("3.targets.json"))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Order {
            role: RoleType::Snapshot
        }
    ));
}

#[test]
fn a_root_needs_the_old_and_the_new_keys() {
    for file in [
        &vector!("2.root.one-old-key.json")[..],
        vector!("2.root.one-new-key.json"),
    ] {
        let mut updater = Updater::new(vector!("1.root.json")).unwrap();
        let error = updater.update_root(file).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Threshold {
                    valid: 1,
                    threshold: 2,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(updater.root().version, 1);
    }
}

#[test]
fn a_root_must_be_the_next_version() {
    let error = rotated().update_root(vector!("2.root.json")).unwrap_err();
    assert!(matches!(error, Error::RootVersion { got: 2, want: 3 }));
}

#[test]
fn an_older_timestamp_is_refused() {
    let mut updater = updated();
    let error = updater
        .update_timestamp(vector!("6.timestamp.json"))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Rollback {
            role: RoleType::Timestamp,
            trusted: 7,
            got: 6
        }
    ));
}

#[test]
fn a_timestamp_that_lists_an_older_snapshot_is_refused() {
    let mut updater = updated();
    let error = updater
        .update_timestamp(vector!("8.timestamp.older-snapshot.json"))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Rollback {
            role: RoleType::Snapshot,
            trusted: 5,
            got: 4
        }
    ));
}

#[test]
fn a_snapshot_that_lists_older_targets_is_refused() {
    let mut updater = told(updated(), vector!("8.timestamp.json"));
    let error = updater
        .update_snapshot(vector!("6.snapshot.older-targets.json"))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Rollback {
            role: RoleType::Targets,
            trusted: 3,
            got: 2
        }
    ));
}

#[test]
fn a_stored_snapshot_is_a_floor() {
    let mut updater = rotated();
    updater.stored_snapshot(vector!("5.snapshot.json")).unwrap();
    updater
        .update_timestamp(vector!("8.timestamp.json"))
        .unwrap();
    let error = updater
        .update_snapshot(vector!("6.snapshot.older-targets.json"))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Rollback {
            role: RoleType::Targets,
            ..
        }
    ));
}

#[test]
fn a_snapshot_without_targets_is_refused() {
    let mut updater = told(rotated(), vector!("8.timestamp.json"));
    let error = updater
        .update_snapshot(vector!("6.snapshot.without-targets.json"))
        .unwrap_err();
    assert!(matches!(error, Error::FileMissing { .. }));
}

#[test]
fn a_snapshot_other_than_listed_is_refused() {
    let mut updater = told(rotated(), vector!("7.timestamp.json"));
    let mut file = vector!("5.snapshot.json").to_vec();
    file.push(b'\n');
    assert!(matches!(
        updater.update_snapshot(&file).unwrap_err(),
        Error::Length { .. }
    ));
    file.pop();
    file[0] = b' ';
    assert!(matches!(
        updater.update_snapshot(&file).unwrap_err(),
        Error::Digest { .. }
    ));
}

#[test]
fn metadata_of_another_role_is_refused() {
    let mut updater = rotated();
    let error = updater
        .update_timestamp(vector!("5.snapshot.json"))
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Json {
            role: RoleType::Timestamp,
            ..
        }
    ));
}

#[test]
fn files_that_are_too_long_or_no_json_are_refused() {
    let mut updater = rotated();
    let long = vec![b' '; 16_385];
    let error = updater.update_timestamp(&long).unwrap_err();
    assert!(matches!(
        error,
        Error::TooLarge {
            got: 16_385,
            max: 16_384,
            ..
        }
    ));
    for file in [
        &b""[..],
        b"{",
        b"[]",
        b"{\"signatures\":[],\"signed\":{}}",
        b"\xff",
    ] {
        let error = updater.update_timestamp(file).unwrap_err();
        assert!(matches!(error, Error::Json { .. }));
    }
}
