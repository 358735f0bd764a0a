//! One batch on its way into the tree: its new tiles, and the second computation that guards them.

use std::sync::Arc;

use merkle::{Frontier, Hash, leaf_hash, tile};

use crate::{
    extra,
    record::TREE,
    snapshot::{EdgeNodes, LEVELS, Snapshot, Stored, root_of_edge},
};

/// The tiles that a batch adds to a tree, not yet checked.
#[derive(Debug)]
pub(crate) struct Batch {
    previous_size: u64,
    previous_edge: Vec<Vec<Hash>>,
    /// Key and bytes of every new tile, entry bundle and extra tile.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    tiles: Vec<(tile::Tile, usize)>,
    pub(crate) edge: Vec<Vec<Hash>>,
    pub(crate) nodes: EdgeNodes,
    pub(crate) tail: Vec<Arc<Stored>>,
    pub(crate) frontier: Frontier,
    /// Full hash tiles that came into being.
    pub(crate) full: Vec<(u8, u64, Vec<Hash>)>,
    /// Keys of partial files that the new ones replace.
    pub(crate) obsolete: Vec<String>,
}

/// A batch whose tiles were computed twice with one result: the only kind that is signed.
#[derive(Debug)]
pub(crate) struct CheckedBatch {
    pub(crate) batch: Batch,
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// The two computations differ: memory or a program is broken.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Miscomputed;

impl Batch {
    /// The tiles of `tree` with `entries` added. Nothing is written.
    pub(crate) fn build(tree: &Snapshot, entries: &[Arc<Stored>]) -> Self {
        let mut batch = Self {
            previous_size: tree.head.tree_size,
            previous_edge: tree.edge.clone(),
            files: Vec::new(),
            tiles: Vec::new(),
            edge: tree.edge.clone(),
            nodes: tree.nodes.clone(),
            tail: tree.tail.clone(),
            frontier: tree.frontier.clone(),
            full: Vec::new(),
            obsolete: Vec::new(),
        };
        let mut grown = [false; LEVELS];
        for entry in entries {
            let nodes = &mut batch.nodes;
            let added = batch
                .frontier
                .append(entry.hash, |level, _, hash| nodes.push(level, hash));
            added.expect("a tree of 2^64 entries cannot be filled");
            batch.tail.push(Arc::clone(entry));
            batch.add(0, entry.hash, &mut grown);
        }
        let size = batch.frontier.size();
        for (level, index, width) in Snapshot::edge_widths(size) {
            if grown[usize::from(level)] {
                let hashes = batch.edge[usize::from(level)].clone();
                batch.put_hashes(level, index, &hashes);
                if level == 0 {
                    batch.put_entries(index, width);
                }
            }
        }
        for (level, index, width) in Snapshot::edge_widths(tree.head.tree_size) {
            if grown[usize::from(level)] {
                batch.obsolete.extend(partial_keys(level, index, width));
            }
        }
        batch
    }

    /// Adds a hash to the tile at the right edge of `level`; a tile that is full goes up.
    fn add(&mut self, level: u8, hash: Hash, grown: &mut [bool; LEVELS]) {
        let at = usize::from(level);
        if self.edge.len() <= at {
            self.edge.push(Vec::new());
        }
        grown[at] = true;
        self.edge[at].push(hash);
        if self.edge[at].len() < tile::WIDTH {
            return;
        }
        let hashes = std::mem::take(&mut self.edge[at]);
        let index = tile::hashes_at(level, self.frontier.size()) / tile::WIDTH as u64 - 1;
        self.put_hashes(level, index, &hashes);
        if level == 0 {
            self.put_entries(index, tile::WIDTH as u16);
            self.tail.clear();
        }
        let root = tile::subtree_root(&hashes);
        self.full.push((level, index, hashes));
        self.add(level + 1, root, grown);
    }

    fn put_hashes(&mut self, level: u8, index: u64, hashes: &[Hash]) {
        let width = hashes.len() as u16;
        self.put(tile::Tile::hashes(level, index, width), hashes.concat());
    }

    fn put_entries(&mut self, index: u64, width: u16) {
        let mut bundle = Vec::new();
        for entry in &self.tail {
            tile::push_entry(&mut bundle, &entry.leaf).expect("bounded when it was appended");
        }
        self.put(tile::Tile::entries(index, width), bundle);
        let extra = extra::encode(self.tail.iter().map(AsRef::as_ref));
        self.files.push((extra::key(index, width), extra));
    }

    fn put(&mut self, tile: tile::Tile, bytes: Vec<u8>) {
        self.tiles.push((tile, self.files.len()));
        self.files.push((format!("{TREE}{tile}"), bytes));
    }

    /// Hashes the new entries again from the bytes that will be written, compares them with the tiles,
    /// and computes the root again from the tiles' bytes by another way.
    pub(crate) fn check(self) -> Result<CheckedBatch, Miscomputed> {
        let bytes = |at: usize| self.files[at].1.as_slice();
        let hashes_of = |wanted: tile::Tile| {
            let (tile, at) = self.tiles.iter().find(|(tile, _)| *tile == wanted)?;
            tile::parse_hashes(bytes(*at), tile.width).ok()
        };
        for (tile, at) in &self.tiles {
            let first = tile.index * tile::WIDTH as u64;
            match tile.kind {
                tile::Kind::Entries => {
                    let entries =
                        tile::parse_entries(bytes(*at), tile.width).map_err(|_| Miscomputed)?;
                    let leaves = tile::Tile::hashes(0, tile.index, tile.width);
                    let leaves = hashes_of(leaves).ok_or(Miscomputed)?;
                    let old = self.previous_size.saturating_sub(first) as usize;
                    let mut pairs = entries.iter().zip(&leaves).skip(old);
                    if pairs.any(|(entry, hash)| leaf_hash(entry) != *hash) {
                        return Err(Miscomputed);
                    }
                }
                tile::Kind::Hashes { level } if !tile.is_partial() => {
                    let hashes = hashes_of(*tile).ok_or(Miscomputed)?;
                    let above = self.parent(level + 1, tile.index, &hashes_of);
                    if above != Some(tile::subtree_root(&hashes)) {
                        return Err(Miscomputed);
                    }
                }
                tile::Kind::Hashes { .. } => {}
            }
        }
        let size = self.frontier.size();
        let mut edge = self.previous_edge.clone();
        edge.resize(LEVELS, Vec::new());
        for level in 0..LEVELS as u8 {
            let (index, width) = (
                tile::hashes_at(level, size) / tile::WIDTH as u64,
                tile::partial_width(level, size),
            );
            if width == 0 {
                edge[usize::from(level)].clear();
            } else if let Some(hashes) = hashes_of(tile::Tile::hashes(level, index, width)) {
                edge[usize::from(level)] = hashes;
            }
        }
        let root = self.frontier.root();
        if root_of_edge(&edge) != root {
            return Err(Miscomputed);
        }
        Ok(CheckedBatch {
            batch: self,
            size,
            root,
        })
    }

    /// Hash `number` of `level` as the new tiles have it.
    fn parent(
        &self,
        level: u8,
        number: u64,
        hashes_of: &impl Fn(tile::Tile) -> Option<Vec<Hash>>,
    ) -> Option<Hash> {
        let (index, at) = (
            number / tile::WIDTH as u64,
            (number % tile::WIDTH as u64) as usize,
        );
        let width = tile::width_at(level, index, self.frontier.size());
        hashes_of(tile::Tile::hashes(level, index, width))?
            .get(at)
            .copied()
    }
}

/// Files of the partial tile (`level`, `index`), with the bundles beside a level 0 tile.
pub(crate) fn partial_keys(level: u8, index: u64, width: u16) -> Vec<String> {
    let mut keys = vec![format!("{TREE}{}", tile::Tile::hashes(level, index, width))];
    if level == 0 {
        keys.push(format!("{TREE}{}", tile::Tile::entries(index, width)));
        keys.push(extra::key(index, width));
    }
    keys
}

#[cfg(test)]
mod tests {
    use merkle::EMPTY_ROOT;

    use super::*;
    use crate::TreeHead;

    fn empty() -> Snapshot {
        let head = TreeHead {
            tree_size: 0,
            root_hash: EMPTY_ROOT,
            checkpoint: "".into(),
            time: jiff::Timestamp::UNIX_EPOCH,
        };
        Snapshot {
            head,
            edge: Vec::new(),
            nodes: EdgeNodes::default(),
            tail: Vec::new(),
            frontier: Frontier::new(),
        }
    }

    fn stored(number: u32) -> Arc<Stored> {
        let leaf = number.to_be_bytes().to_vec();
        let hash = leaf_hash(&leaf);
        Arc::new(Stored {
            hash,
            key: hash,
            leaf,
            extra: Vec::new(),
        })
    }

    /// A tree of `size` entries, made in batches of up to 300.
    fn tree(size: u32) -> Snapshot {
        let mut tree = empty();
        let all: Vec<_> = (0..size).map(stored).collect();
        for entries in all.chunks(300) {
            let checked = Batch::build(&tree, entries)
                .check()
                .expect("computed rightly");
            let head = TreeHead {
                tree_size: checked.size,
                root_hash: checked.root,
                ..tree.head
            };
            tree = crate::recover::snapshot_of(checked, head);
        }
        tree
    }

    #[test]
    fn a_flipped_bit_in_any_new_tile_is_not_signed() {
        for (size, add) in [(0, 1), (254, 5), (255, 1), (700, 400), (65_530, 10)] {
            let tree = tree(size);
            let entries: Vec<_> = (size..size + add).map(stored).collect();
            let files = Batch::build(&tree, &entries).files;
            for (at, (key, bytes)) in files.iter().enumerate() {
                if key.starts_with("extra/") {
                    continue;
                }
                // The old part of a partial tile was checked when it was new, but counts for the root.
                for position in [bytes.len() - 1, bytes.len() / 2] {
                    let is_old = key.contains("entries") && position < bytes.len() - 1;
                    let mut batch = Batch::build(&tree, &entries);
                    batch.files[at].1[position] ^= 1;
                    let outcome = batch.check().err();
                    assert!(
                        is_old || outcome == Some(Miscomputed),
                        "{key} at {position}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_wrong_leaf_hash_is_not_signed() {
        let tree = tree(300);
        let mut wrong = Arc::try_unwrap(stored(300)).expect("not shared");
        wrong.hash[0] ^= 1;
        let outcome = Batch::build(&tree, &[Arc::new(wrong)]).check().err();
        assert_eq!(outcome, Some(Miscomputed));
    }

    #[test]
    fn both_computations_agree_at_every_size() {
        let mut tree = empty();
        for number in 0..600 {
            let checked = Batch::build(&tree, &[stored(number)])
                .check()
                .expect("they agree");
            let head = TreeHead {
                tree_size: checked.size,
                root_hash: checked.root,
                ..tree.head
            };
            tree = crate::recover::snapshot_of(checked, head);
        }
    }
}
