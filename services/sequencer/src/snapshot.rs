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
    /// Entries of the partial bundle: as many as `edge[0]` has hashes.
    pub(crate) tail: Vec<Arc<Stored>>,
    pub(crate) frontier: Frontier,
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
