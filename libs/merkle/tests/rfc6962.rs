//! The tree against its definition, RFC 6962 §2.1, written out as the RFC has it.

use merkle::{
    EMPTY_ROOT, Error, Frontier, Hash, Nodes, consistency_proof, inclusion_proof, leaf_hash,
    node_hash, tile, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

/// MTH(D[n]).
fn mth(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => crypto::sha256(b""),
        [leaf] => crypto::sha256(&[&[0], leaf.as_slice()].concat()),
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            crypto::sha256(&[&[1], mth(left).as_slice(), mth(right).as_slice()].concat())
        }
    }
}

/// PATH(m, D[n]).
fn path(m: usize, leaves: &[Vec<u8>]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if m < left.len() {
        [path(m, left), vec![mth(right)]].concat()
    } else {
        [path(m - left.len(), right), vec![mth(left)]].concat()
    }
}

/// SUBPROOF(m, D[n], b).
fn subproof(m: usize, leaves: &[Vec<u8>], whole: bool) -> Vec<Hash> {
    if m == leaves.len() {
        return if whole { Vec::new() } else { vec![mth(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if m <= left.len() {
        [subproof(m, left, whole), vec![mth(right)]].concat()
    } else {
        [subproof(m - left.len(), right, false), vec![mth(left)]].concat()
    }
}

fn split(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

struct Leaves(Vec<Vec<u8>>);

#[derive(Debug)]
struct Refused;

impl From<Error> for Refused {
    fn from(_: Error) -> Self {
        Self
    }
}

impl Nodes for Leaves {
    type Error = Refused;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Refused> {
        let (start, end) = ((index as usize) << level, (index as usize + 1) << level);
        Ok(mth(&self.0[start..end]))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn proofs_are_those_of_the_definition(
        leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..8), 1..90),
        first in any::<prop::sample::Index>(),
        index in any::<prop::sample::Index>(),
        flipped in any::<(prop::sample::Index, u8)>(),
    ) {
        let size = leaves.len();
        let first = first.index(size) + 1;
        let index = index.index(size);
        let nodes = Leaves(leaves.clone());
        let mut frontier = Frontier::new();
        for leaf in &leaves {
            frontier.append(leaf_hash(leaf), |_, _, _| {}).expect("small");
        }
        let root = frontier.root();
        prop_assert_eq!(root, mth(&leaves));

        let proof = inclusion_proof(index as u64, size as u64, &nodes).expect("in range");
        prop_assert_eq!(&proof, &path(index, &leaves));
        let leaf = leaf_hash(&leaves[index]);
        verify_inclusion(index as u64, size as u64, &leaf, &proof, &root).expect("verifies");

        let consistency = consistency_proof(first as u64, size as u64, &nodes).expect("in order");
        prop_assert_eq!(&consistency, &subproof(first, &leaves, true));
        let old = mth(&leaves[..first]);
        verify_consistency(first as u64, size as u64, &old, &root, &consistency).expect("verifies");

        for proof in [&proof, &consistency] {
            if proof.is_empty() {
                continue;
            }
            let mut bad = proof.clone();
            let at = flipped.0.index(bad.len());
            bad[at][usize::from(flipped.1 >> 3)] ^= 1 << (flipped.1 & 7);
            let (s, i, f) = (size as u64, index as u64, first as u64);
            if std::ptr::eq(proof, &raw const consistency) {
                prop_assert!(verify_consistency(f, s, &old, &root, &bad).is_err());
                prop_assert!(verify_consistency(f, s, &old, &root, &bad[1..]).is_err());
            } else {
                prop_assert!(verify_inclusion(i, s, &leaf, &bad, &root).is_err());
                prop_assert!(verify_inclusion(i, s, &leaf, &bad[1..], &root).is_err());
            }
        }
    }

    #[test]
    fn a_tile_path_has_one_spelling(level in 0_u8..=63, index: u64, width in 1_u16..=256) {
        for tile in [tile::Tile::hashes(level, index, width), tile::Tile::entries(index, width)] {
            prop_assert_eq!(tile, tile::Tile::parse(&tile.to_string()).expect("its own spelling"));
        }
    }

    #[test]
    fn any_text_as_a_tile_path_is_answered(text in "(tile/)?[0-9a-z./x]{0,30}") {
        if let Ok(tile) = tile::Tile::parse(&text) {
            prop_assert_eq!(tile.to_string(), text);
        }
    }
}

#[test]
fn known_hashes_of_the_reference_log() {
    // The reference implementation's first eight leaves, known from every CT implementation.
    let leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let leaves = leaves.map(|leaf| hex::decode(leaf).expect("hex"));
    let mut frontier = Frontier::new();
    for leaf in &leaves {
        frontier
            .append(leaf_hash(leaf), |_, _, _| {})
            .expect("small");
    }
    assert_eq!(
        hex::encode(frontier.root()),
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
    );
    assert_eq!(frontier.root(), mth(&leaves));
    assert_eq!(Frontier::new().root(), EMPTY_ROOT);
    assert_eq!(crypto::sha256(b""), EMPTY_ROOT);
}

#[test]
fn tile_paths_of_the_specification() {
    let spelled = |tile: tile::Tile| tile.to_string();
    assert_eq!(
        spelled(tile::Tile::hashes(0, 1_234_067, 256)),
        "tile/0/x001/x234/067"
    );
    assert_eq!(spelled(tile::Tile::hashes(0, 273, 112)), "tile/0/273.p/112");
    assert_eq!(spelled(tile::Tile::entries(0, 1)), "tile/entries/000.p/1");
    let bad = [
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/00/000",
        "tile/64/000",
        "tile/0/0",
        "tile/0/x000/001",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/-01",
        "tile/0/",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "tile/entries/",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/data/000",
        "tile/0/x1000/000",
        "",
    ];
    for path in bad {
        assert_eq!(tile::Tile::parse(path), Err(Error::TilePath), "{path}");
    }
}

#[test]
fn tile_widths_of_the_specification() {
    assert_eq!(tile::partial_width(0, 256), 0);
    assert_eq!(tile::width_at(0, 0, 256), 256);
    assert_eq!(tile::width_at(1, 0, 256), 1);
    assert_eq!(tile::width_at(0, 273, 70_000), 112);
    assert_eq!(tile::width_at(1, 0, 70_000), 256);
    assert_eq!(tile::width_at(1, 1, 70_000), 17);
    assert_eq!(tile::width_at(2, 0, 70_000), 1);
    assert_eq!(tile::width_at(3, 0, 70_000), 0);
    assert_eq!(tile::width_at(63, 0, u64::MAX), 0);
    assert_eq!(tile::width_at(7, 0, u64::MAX), 255);
}

#[test]
fn a_node_is_the_root_of_its_place_in_the_tile() {
    let leaves: Vec<Vec<u8>> = (0_u16..512).map(|n| n.to_be_bytes().to_vec()).collect();
    let nodes = Leaves(leaves);
    for level in 0..8 {
        for index in 0..512 >> level {
            let (tile_level, tile_index, range) = tile::locate(level, index);
            assert_eq!(tile_level, 0);
            let start = tile_index as usize * 256;
            let hashes: Vec<Hash> = nodes.0[start..start + 256]
                .iter()
                .map(|leaf| leaf_hash(leaf))
                .collect();
            let want = nodes.node(level, index).expect("in range");
            assert_eq!(tile::subtree_root(&hashes[range]), want);
        }
    }
    assert_eq!(tile::locate(8, 5), (1, 0, 5..6));
    assert_eq!(tile::locate(9, 129), (1, 1, 2..4));
}

#[test]
fn entry_bundles_hold_exactly_their_entries() {
    let mut bundle = Vec::new();
    for entry in [b"".as_slice(), b"a", &[7; 65535]] {
        tile::push_entry(&mut bundle, entry).expect("short enough");
    }
    assert_eq!(bundle[..5], [0, 0, 0, 1, b'a']);
    let entries = tile::parse_entries(&bundle, 3).expect("as written");
    assert_eq!(
        (entries[0].len(), entries[1], entries[2].len()),
        (0, b"a".as_slice(), 65535)
    );
    assert!(
        tile::parse_entries(&bundle, 2).is_err(),
        "an entry is left over"
    );
    assert!(
        tile::parse_entries(&bundle, 4).is_err(),
        "an entry is missing"
    );
    assert!(
        tile::parse_entries(&bundle[..bundle.len() - 1], 3).is_err(),
        "the last is cut"
    );
    assert_eq!(
        tile::push_entry(&mut bundle, &[0; 65536]),
        Err(Error::EntryTooLong { got: 65536 })
    );
    assert!(tile::parse_hashes(&[0; 64], 2).is_ok());
    assert!(tile::parse_hashes(&[0; 63], 2).is_err());
    assert!(tile::parse_hashes(&[0; 64], 1).is_err());
}

#[test]
fn a_proof_from_the_empty_tree_needs_its_true_root() {
    let root = node_hash(&[1; 32], &[2; 32]);
    assert!(verify_consistency(0, 2, &EMPTY_ROOT, &root, &[]).is_ok());
    assert!(verify_consistency(0, 2, &root, &root, &[]).is_err());
    assert!(verify_consistency(0, 2, &EMPTY_ROOT, &root, &[root]).is_err());
    assert!(verify_consistency(0, 0, &root, &root, &[]).is_err());
    assert!(verify_consistency(2, 1, &root, &root, &[]).is_err());
}
