//! What a log promises while nothing goes wrong.

mod world;

use std::collections::BTreeSet;

use sequencer::{Entry, Log, fsck};
use world::{World, entry};

#[tokio::test]
async fn an_appended_entry_is_proven_under_a_signed_checkpoint() {
    let world = World::new();
    let log = world.open();
    let appended = log.append(entry(0)).await.expect("appended");
    assert_eq!((appended.leaf_index, appended.duplicate), (0, false));
    let checkpoint = world.verify(&appended.head.checkpoint);
    assert_eq!(checkpoint.tree_size, appended.head.tree_size);
    assert_eq!(checkpoint.root_hash, appended.head.root_hash);
    merkle::verify_inclusion(
        0,
        checkpoint.tree_size,
        &merkle::leaf_hash(&entry(0).leaf),
        &appended.inclusion_proof,
        &checkpoint.root_hash,
    )
    .expect("the proof leads to the signed root");
    assert_eq!(
        log.leaf(0).expect("readable"),
        (entry(0).leaf, entry(0).extra)
    );
    assert!(log.leaf(1).is_err());
}

#[tokio::test]
async fn concurrent_entries_get_distinct_indices_and_all_are_proven() {
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..700).await;
    let head = log.head();
    assert_eq!(head.tree_size, 700);
    let mut indices = BTreeSet::new();
    for number in 0..700 {
        let hash = merkle::leaf_hash(&entry(number).leaf);
        let index = log.leaf_index(&hash).expect("readable").expect("there");
        assert!(indices.insert(index), "an index twice");
        assert_eq!(
            log.leaf(index).expect("readable"),
            (entry(number).leaf, entry(number).extra)
        );
        let proof = log.inclusion_proof(index, 700).expect("in the tree");
        merkle::verify_inclusion(index, 700, &hash, &proof, &head.root_hash).expect("verifies");
    }
    for first in [1, 255, 256, 257, 512, 699, 700] {
        let root = log.root_at(first).expect("within the tree");
        let proof = log.consistency_proof(first, 700).expect("in order");
        merkle::verify_consistency(first, 700, &root, &head.root_hash, &proof).expect("verifies");
    }
    assert!(log.consistency_proof(1, 701).is_err(), "beyond the tree");
    assert!(log.inclusion_proof(0, 701).is_err(), "beyond the tree");
    drop(log);
    let report = fsck(world.dir(), &[], &mut |_| {}).expect("everything holds");
    assert_eq!((report.tree_size, report.root_hash), (700, head.root_hash));
    assert!(!report.unfinished);
}

#[tokio::test]
async fn a_reopened_log_goes_on_where_it_was() {
    let world = World::new();
    let mut sizes = 0;
    for round in [1_u32, 5, 250, 1, 255, 256, 3] {
        let log = world.open();
        assert_eq!(log.head().tree_size, u64::from(sizes));
        world::append_all(&log, sizes..sizes + round).await;
        sizes += round;
        for number in [0, sizes / 2, sizes - 1] {
            let hash = merkle::leaf_hash(&entry(number).leaf);
            assert!(
                log.leaf_index(&hash).expect("readable").is_some(),
                "{number} of {sizes}"
            );
        }
        drop(log);
        assert_eq!(
            fsck(world.dir(), &[], &mut |_| {})
                .expect("holds")
                .tree_size,
            u64::from(sizes)
        );
    }
}

#[tokio::test]
async fn the_same_key_is_the_same_entry() {
    let world = World::new();
    let log = world.open();
    let first = log.append(entry(1)).await.expect("appended");
    let again = log.append(entry(1)).await.expect("found");
    assert_eq!(
        (again.leaf_index, again.duplicate),
        (first.leaf_index, true)
    );

    let keyed = |leaf: &[u8]| Entry {
        leaf: leaf.to_vec(),
        extra: b"kept".to_vec(),
        dedup_key: Some([7; 32]),
    };
    let (a, b) = tokio::join!(log.append(keyed(b"one")), log.append(keyed(b"two")));
    let (a, b) = (a.expect("appended"), b.expect("appended"));
    assert_eq!(a.leaf_index, b.leaf_index);
    assert!(a.duplicate != b.duplicate, "one of the two is the first");
    assert_eq!(log.leaf(a.leaf_index).expect("readable").0, b"one");
    world::append_all(&log, 2..300).await;
    drop(log);

    let log = world.open();
    let late = log.append(keyed(b"three")).await.expect("found");
    assert_eq!((late.leaf_index, late.duplicate), (a.leaf_index, true));
    assert_eq!(
        log.index_of_key(&[7; 32]).expect("readable"),
        Some(a.leaf_index)
    );
    assert_eq!(log.head().tree_size, 300);
}

#[tokio::test]
async fn every_partial_tile_the_tree_has_grown_past_is_served() {
    use merkle::tile::Tile;
    let world = World::new();
    let log = world.open();
    world::append_all(&log, 0..300).await;
    let full = log
        .tile(Tile::hashes(0, 0, 256))
        .expect("readable")
        .expect("there");
    assert_eq!(full.len(), 8192);
    let part = log
        .tile(Tile::hashes(0, 0, 7))
        .expect("readable")
        .expect("there");
    assert_eq!(part, full[..7 * 32]);
    assert!(
        log.tile(Tile::hashes(0, 1, 44))
            .expect("readable")
            .is_some()
    );
    assert!(
        log.tile(Tile::hashes(0, 1, 45))
            .expect("readable")
            .is_none()
    );
    assert!(log.tile(Tile::hashes(0, 2, 1)).expect("readable").is_none());
    assert!(log.tile(Tile::hashes(1, 0, 1)).expect("readable").is_some());
    assert!(log.tile(Tile::hashes(2, 0, 1)).expect("readable").is_none());
    for width in [1, 44, 256] {
        let bundle = log
            .tile(Tile::entries(0, width))
            .expect("readable")
            .expect("there");
        let entries = merkle::tile::parse_entries(&bundle, width).expect("a bundle");
        assert_eq!(entries.len(), usize::from(width));
    }
}

#[tokio::test]
async fn a_leaf_that_fits_no_bundle_is_refused() {
    let world = World::new();
    let log = world.open();
    let error = log
        .append(Entry::new(vec![0; 65_536]))
        .await
        .expect_err("too long");
    assert_eq!(error, sequencer::AppendError::EntryTooLong { got: 65_536 });
    log.append(Entry::new(vec![0; 65_535]))
        .await
        .expect("the longest there is");
    log.append(Entry::new(Vec::new()))
        .await
        .expect("the shortest there is");
    assert_eq!(log.head().tree_size, 2);
}

#[tokio::test]
async fn clones_of_a_log_are_one_log() {
    let world = World::new();
    let log = world.open();
    let other: Log = log.clone();
    log.append(entry(0)).await.expect("appended");
    assert_eq!(other.head().tree_size, 1);
}
