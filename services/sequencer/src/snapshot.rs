//! A tree at one size: its head, its right edge, and the entries of its last, partial bundle.

use std::sync::Arc;

use jiff::Timestamp;
use merkle::{EMPTY_ROOT, Frontier, Hash, node_hash, tile};

/// A published tree head.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TreeHead {
    /// Leaves in the tree.
    pub tree_size: u64,
    /// RFC 6962 root.
    pub root_hash: Hash,
    /// The signed note.
    pub checkpoint: Arc<str>,
    /// When it was signed; never before an earlier head's.
    pub time: Timestamp,
}

/// One entry as it is kept.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Stored {
    /// Leaf hash.
    pub(crate) hash: Hash,
    /// Dedup key.
    pub(crate) key: Hash,
    pub(crate) leaf: Vec<u8>,
    pub(crate) extra: Vec<u8>,
}

/// Everything about a tree that does not need a file to be read. Immutable once shared.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) head: TreeHead,
    /// Hashes of the partial tile at each tile level.
    pub(crate) edge: Vec<Vec<Hash>>,
    /// The complete nodes within those partial tiles.
    pub(crate) nodes: EdgeNodes,
    /// Entries of the partial bundle: as many as `edge[0]` has hashes.
    pub(crate) tail: Vec<Arc<Stored>>,
    pub(crate) frontier: Frontier,
}

/// The complete nodes of the partial tiles at the right edge, row by row of the binary tree: what proofs
/// near the edge are read from.
#[derive(Clone, Debug, Default)]
pub(crate) struct EdgeNodes(Vec<Vec<Hash>>);

impl EdgeNodes {
    /// Of these partial tiles, the lowest level first.
    pub(crate) fn of(edge: &[Vec<Hash>]) -> Self {
        let mut rows = Vec::new();
        for hashes in edge {
            let mut row = hashes.clone();
            for _ in 0..tile::HEIGHT {
                let above = row
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|[left, right]| node_hash(left, right))
                    .collect();
                rows.push(std::mem::replace(&mut row, above));
            }
        }
        Self(rows)
    }

    /// Adds a node that has just become complete. The root of a tile empties the tile.
    pub(crate) fn push(&mut self, level: u8, hash: Hash) {
        let at = usize::from(level);
        if self.0.len() <= at {
            self.0.resize(at + 1, Vec::new());
        }
        if level.is_multiple_of(tile::HEIGHT) && level > 0 {
            let below = at - usize::from(tile::HEIGHT)..at;
            self.0[below].iter_mut().for_each(Vec::clear);
        }
        self.0[at].push(hash);
    }

    /// The node (`level`, `index`) of the binary tree, which lies in a partial tile.
    pub(crate) fn get(&self, level: u8, index: u64) -> Option<Hash> {
        let per_tile = 1_u64 << (tile::HEIGHT - level % tile::HEIGHT);
        let row = self.0.get(usize::from(level))?;
        row.get((index % per_tile) as usize).copied()
    }
}

/// Tile levels that a tree with fewer than 2^64 leaves can have.
pub(crate) const LEVELS: usize = 8;

impl Snapshot {
    pub(crate) fn edge_widths(size: u64) -> impl Iterator<Item = (u8, u64, u16)> {
        (0..LEVELS as u8).filter_map(move |level| {
            let width = tile::partial_width(level, size);
            (width > 0).then(|| {
                (
                    level,
                    tile::hashes_at(level, size) / tile::WIDTH as u64,
                    width,
                )
            })
        })
    }
}

/// Root of the tree whose partial tiles are `edge`, the lowest level first. It shares nothing with
/// [`Frontier`], which is what makes it a second computation.
pub(crate) fn root_of_edge<T: AsRef<[Hash]>>(edge: &[T]) -> Hash {
    let mut root: Option<Hash> = None;
    for hashes in edge {
        let mut rest = hashes.as_ref();
        while !rest.is_empty() {
            let width = 1 << rest.len().trailing_zeros();
            let (before, subtree) = rest.split_at(rest.len() - width);
            let left = tile::subtree_root(subtree);
            root = Some(root.map_or(left, |right| node_hash(&left, &right)));
            rest = before;
        }
    }
    root.unwrap_or(EMPTY_ROOT)
}
