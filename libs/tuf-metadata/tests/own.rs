//! What this crate signs, read back by its own client workflow; foreign clients read it in `tests`.

use std::collections::BTreeMap;

use crypto::{KeyKind, SigningKey};
use tuf_metadata::{
    Error, FileMeta, Key, RoleKeys, RoleType, Root, Snapshot, TargetFile, Targets, Timestamp,
    Updater, sign, whole_seconds,
};

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).unwrap()
}

fn expires() -> jiff::Timestamp {
    whole_seconds("2027-01-01T00:00:00.75Z".parse().unwrap())
}

fn root(key: &SigningKey, threshold: usize) -> Root {
    let listed = Key::ecdsa_p256(key.public_key());
    let keys = RoleKeys {
        keyids: vec![listed.id(), listed.id()],
        threshold,
    };
    Root {
        consistent_snapshot: true,
        roles: RoleType::ALL.map(|role| (role, keys.clone())).into(),
        keys: BTreeMap::from([(listed.id(), listed)]),
        version: 1,
        expires: expires(),
    }
}

#[test]
fn own_metadata_is_followed_to_a_target() {
    let key = key();
    let keys = [&key];
    let custom = serde_json::json!({"sigstore": {"usage": "Rekor"}});
    let targets = Targets {
        targets: BTreeMap::from([("a".to_owned(), TargetFile::of(b"x", Some(custom)))]),
        version: 1,
        expires: expires(),
    };
    let targets = sign(&targets, &keys).unwrap();
    let meta = BTreeMap::from([("targets.json".to_owned(), FileMeta::of(1, &targets))]);
    let snapshot = sign(
        &Snapshot {
            meta,
            version: 1,
            expires: expires(),
        },
        &keys,
    )
    .unwrap();
    let meta = BTreeMap::from([("snapshot.json".to_owned(), FileMeta::of(1, &snapshot))]);
    let timestamp = sign(
        &Timestamp {
            meta,
            version: 1,
            expires: expires(),
        },
        &keys,
    )
    .unwrap();

    let mut updater = Updater::new(&sign(&root(&key, 1), &keys).unwrap()).unwrap();
    updater.update_timestamp(&timestamp).unwrap();
    updater.update_snapshot(&snapshot).unwrap();
    updater.update_targets(&targets).unwrap();
    let trusted = updater
        .finish("2026-01-01T00:00:00Z".parse().unwrap())
        .unwrap();
    trusted.verify_target("a", b"x").unwrap();
    assert_eq!(
        trusted.target("a").unwrap().custom.as_ref().unwrap()["sigstore"]["usage"],
        "Rekor"
    );
}

#[test]
fn one_key_that_signs_twice_counts_once() {
    let key = key();
    let file = sign(&root(&key, 2), &[&key, &key]).unwrap();
    let error = Updater::new(&file).unwrap_err();
    assert!(matches!(
        error,
        Error::Threshold {
            valid: 1,
            threshold: 2,
            ..
        }
    ));
}

#[test]
fn a_threshold_of_zero_is_refused() {
    let key = key();
    let error = Updater::new(&sign(&root(&key, 0), &[]).unwrap()).unwrap_err();
    assert!(matches!(
        error,
        Error::ThresholdZero {
            role: RoleType::Root
        }
    ));
}

#[test]
fn a_key_that_root_does_not_list_counts_nothing() {
    let file = sign(&root(&key(), 1), &[&key()]).unwrap();
    let error = Updater::new(&file).unwrap_err();
    assert!(matches!(error, Error::Threshold { valid: 0, .. }));
}

#[test]
fn expiry_is_written_in_whole_seconds() {
    let key = key();
    let file = String::from_utf8(sign(&root(&key, 1), &[&key]).unwrap()).unwrap();
    assert!(
        file.contains("\"expires\": \"2027-01-01T00:00:00Z\""),
        "{file}"
    );
}
