//! The right edge of a growing tree: enough to append and to know the root.

use crate::{EMPTY_ROOT, Error, Hash, Nodes, node_hash};

/// The roots of the complete subtrees that a tree of some size falls into, the largest first: at
/// most 64 hashes. Appending costs one hash on average, the root one hash per subtree.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// The edge of the empty tree.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            subtrees: Vec::new(),
        }
    }

    /// The edge of a tree of `size` leaves, read from its nodes.
    ///
    /// # Errors
    /// Whatever `nodes` answers.
    pub fn read<N: Nodes + ?Sized>(size: u64, nodes: &N) -> Result<Self, N::Error> {
        let mut subtrees = Vec::new();
        for level in (0..64).rev() {
            if size >> level & 1 == 1 {
                subtrees.push(nodes.node(level, (size >> level) - 1)?);
            }
        }
        Ok(Self { size, subtrees })
    }

    /// Leaves in the tree.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf and tells `completed` every node that is complete from now on, from the leaf
    /// up, as (level, index at that level, hash).
    ///
    /// # Errors
    /// [`Error::IndexBeyondSize`] when the tree already has `u64::MAX` leaves.
    pub fn append(
        &mut self,
        leaf_hash: Hash,
        mut completed: impl FnMut(u8, u64, Hash),
    ) -> Result<(), Error> {
        let index = self.size;
        let Some(size) = index.checked_add(1) else {
            return Err(Error::IndexBeyondSize { index, size: index });
        };
        let mut hash = leaf_hash;
        let mut level = 0;
        completed(0, index, hash);
        while index >> level & 1 == 1 {
            let left = self
                .subtrees
                .pop()
                .expect("a set bit of the size is a subtree");
            hash = node_hash(&left, &hash);
            level += 1;
            completed(level, index >> level, hash);
        }
        self.subtrees.push(hash);
        self.size = size;
        Ok(())
    }

    /// MTH(D\[size\]) of RFC 6962 §2.1.
    #[must_use]
    pub fn root(&self) -> Hash {
        let Some((last, rest)) = self.subtrees.split_last() else {
            return EMPTY_ROOT;
        };
        rest.iter()
            .rev()
            .fold(*last, |right, left| node_hash(left, &right))
    }
}
