//! Agreement with Go's sumdb/tlog, from stored answers.

use std::collections::BTreeMap;

use merkle::{
    Error, Frontier, Hash, Nodes, consistency_proof, inclusion_proof, leaf_hash, root, tile,
    verify_consistency, verify_inclusion,
};
use serde_json::Value;

#[derive(Default)]
struct Stored(BTreeMap<(u8, u64), Hash>);

#[derive(Debug)]
struct Failed;

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self
    }
}

impl Nodes for Stored {
    type Error = Failed;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Failed> {
        self.0.get(&(level, index)).copied().ok_or(Failed)
    }
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors/sumdb-tlog.json")).expect("vectors are JSON")
}

fn tree(size: u64) -> (Stored, Vec<Hash>) {
    let mut stored = Stored::default();
    let mut frontier = Frontier::new();
    let mut roots = vec![frontier.root()];
    for index in 0..size {
        let hash = leaf_hash(format!("leaf {index}").as_bytes());
        frontier
            .append(hash, |level, index, hash| {
                assert!(
                    stored.0.insert((level, index), hash).is_none(),
                    "told twice"
                );
            })
            .expect("far below the limit");
        roots.push(frontier.root());
    }
    (stored, roots)
}

fn pair(key: &str) -> (u64, u64) {
    let (a, b) = key.split_once('/').expect("a/b");
    (a.parse().expect("a number"), b.parse().expect("a number"))
}

fn digest(proof: &[Hash]) -> String {
    format!(
        "{}:{}",
        proof.len(),
        hex::encode(&crypto::sha256(&proof.concat())[..8])
    )
}

#[test]
fn roots_are_those_of_sumdb() {
    let vectors = vectors();
    let want = vectors["roots"].as_array().expect("an array");
    let (stored, roots) = tree(1025);
    assert_eq!(want.len(), roots.len());
    for (size, (want, got)) in want.iter().zip(&roots).enumerate() {
        assert_eq!(want.as_str().expect("hex"), hex::encode(got), "size {size}");
        assert_eq!(
            *got,
            root(size as u64, &stored).expect("all nodes are there")
        );
        let frontier = Frontier::read(size as u64, &stored).expect("all nodes are there");
        assert_eq!((*got, size as u64), (frontier.root(), frontier.size()));
    }
}

#[test]
fn inclusion_proofs_are_those_of_sumdb_and_verify() {
    let vectors = vectors();
    let (stored, roots) = tree(1025);
    for (key, want) in vectors["inclusion"].as_object().expect("an object") {
        let (index, size) = pair(key);
        let proof = inclusion_proof(index, size, &stored).expect("all nodes are there");
        assert_eq!(want.as_str().expect("text"), digest(&proof), "{key}");
        let leaf = leaf_hash(format!("leaf {index}").as_bytes());
        verify_inclusion(index, size, &leaf, &proof, &roots[size as usize]).expect("verifies");
    }
}

#[test]
fn consistency_proofs_are_those_of_sumdb_and_verify() {
    let vectors = vectors();
    let (stored, roots) = tree(1025);
    for (key, want) in vectors["consistency"].as_object().expect("an object") {
        let (first, second) = pair(key);
        let proof = consistency_proof(first, second, &stored).expect("all nodes are there");
        assert_eq!(want.as_str().expect("text"), digest(&proof), "{key}");
        let (old, new) = (&roots[first as usize], &roots[second as usize]);
        verify_consistency(first, second, old, new, &proof).expect("verifies");
    }
}

#[test]
fn tile_numbers_are_spelled_as_in_sumdb() {
    for (number, want) in vectors()["paths"].as_object().expect("an object") {
        let number: u64 = number.parse().expect("a number");
        assert_eq!(want.as_str().expect("text"), tile::spell_number(number));
    }
}

/// A tree whose nodes are made up: its shape can be asked for at sizes that nobody can fill.
struct Endless;

impl Nodes for Endless {
    type Error = Failed;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Failed> {
        let end = (u128::from(index) + 1) << level;
        assert!(
            end <= u128::from(u64::MAX),
            "a subtree beyond the largest tree"
        );
        Ok(leaf_hash(format!("{level}/{index}").as_bytes()))
    }
}

#[test]
fn sizes_near_the_largest_neither_panic_nor_overflow() {
    let sizes = [
        1,
        2,
        (1 << 63) - 1,
        1 << 63,
        (1 << 63) + 1,
        u64::MAX - 1,
        u64::MAX,
    ];
    for size in sizes {
        for index in [0, 1, size / 2, size.saturating_sub(2), size - 1] {
            let Ok(proof) = inclusion_proof(index, size, &Endless) else {
                assert!(index >= size, "only a leaf beyond the tree has no proof");
                continue;
            };
            let leaf = Endless.node(0, index).expect("made up");
            // The made-up tree has no true root; what counts is that lengths agree.
            merkle::root_from_inclusion_proof(index, size, &leaf, &proof).expect("right length");
            if index > 0 {
                let proof = consistency_proof(index, size, &Endless).expect("in order");
                let outcome = verify_consistency(index, size, &leaf, &leaf, &proof);
                assert!(
                    matches!(outcome, Err(Error::RootMismatch { .. })),
                    "{index} {size}"
                );
            }
        }
        assert_eq!(
            Frontier::read(size, &Endless).expect("made up").size(),
            size
        );
    }
    let mut full = Frontier::read(u64::MAX, &Endless).expect("made up");
    assert!(full.append([0; 32], |_, _, _| {}).is_err());
}
