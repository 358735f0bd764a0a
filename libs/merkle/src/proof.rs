//! Inclusion and consistency proofs made from the nodes of a tree, RFC 6962 §2.1.1 and §2.1.2.

use crate::{EMPTY_ROOT, Error, Hash, node_hash};

/// Where the hashes of complete subtrees come from: tiles, memory, a test's naive tree.
pub trait Nodes {
    /// Why a node could not be read. A proof asked for in vain is one reason.
    type Error: From<Error>;

    /// Root of the complete subtree over leaves `index << level .. (index + 1) << level`. Only
    /// subtrees that lie within the tree's size are asked for.
    ///
    /// # Errors
    /// When it cannot be read.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Root of the tree's first `size` leaves.
///
/// # Errors
/// Whatever `nodes` answers.
pub fn root<N: Nodes + ?Sized>(size: u64, nodes: &N) -> Result<Hash, N::Error> {
    range_root(0, size, nodes)
}

/// Hashes from the leaf's sibling up to the root's child, for leaf `index` in the tree of the first
/// `size` leaves.
///
/// # Errors
/// [`Error::IndexBeyondSize`], or whatever `nodes` answers.
pub fn inclusion_proof<N: Nodes + ?Sized>(
    index: u64,
    size: u64,
    nodes: &N,
) -> Result<Vec<Hash>, N::Error> {
    if index >= size {
        return Err(Error::IndexBeyondSize { index, size }.into());
    }
    let mut siblings = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            siblings.push((middle, high));
            high = middle;
        } else {
            siblings.push((low, middle));
            low = middle;
        }
    }
    roots(&siblings, nodes)
}

/// Hashes that lead from the root of the first `first` leaves to the root of the first `second`.
/// Empty when the sizes are equal.
///
/// # Errors
/// [`Error::SizeOrder`] for `first` 0 or above `second`, or whatever `nodes` answers.
pub fn consistency_proof<N: Nodes + ?Sized>(
    first: u64,
    second: u64,
    nodes: &N,
) -> Result<Vec<Hash>, N::Error> {
    if first == 0 || first > second {
        return Err(Error::SizeOrder { first, second }.into());
    }
    let mut ranges = Vec::new();
    let (mut low, mut high) = (0, second);
    while first != high {
        let middle = low + split(high - low);
        if first <= middle {
            ranges.push((middle, high));
            high = middle;
        } else {
            ranges.push((low, middle));
            low = middle;
        }
    }
    // The verifier has the old root itself: it is left out where it is the whole left edge.
    if low != 0 {
        ranges.push((low, high));
    }
    roots(&ranges, nodes)
}

fn roots<N: Nodes + ?Sized>(ranges: &[(u64, u64)], nodes: &N) -> Result<Vec<Hash>, N::Error> {
    ranges
        .iter()
        .rev()
        .map(|(low, high)| range_root(*low, *high, nodes))
        .collect()
}

/// Root over leaves `low..high`, where `low` is a multiple of every power of two that `high - low`
/// is split into.
fn range_root<N: Nodes + ?Sized>(low: u64, high: u64, nodes: &N) -> Result<Hash, N::Error> {
    let mut subtrees = Vec::new();
    let mut start = low;
    while start < high {
        let level = 63 - (high - start).leading_zeros() as u8;
        subtrees.push(nodes.node(level, start >> level)?);
        start += 1 << level;
    }
    let Some((last, rest)) = subtrees.split_last() else {
        return Ok(EMPTY_ROOT);
    };
    Ok(rest
        .iter()
        .rev()
        .fold(*last, |right, left| node_hash(left, &right)))
}

/// Largest power of two strictly below `size`, which is at least 2.
const fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}
