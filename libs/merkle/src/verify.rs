//! The verifier's half of proofs, RFC 9162 §2.1.3.2 and §2.1.4.2 (the same trees as RFC 6962).

use crate::{EMPTY_ROOT, Error, Hash, node_hash};

/// The root that `proof` leads to for the leaf with hash `leaf_hash` at `index` in a tree of `size`.
///
/// # Errors
/// [`Error::IndexBeyondSize`], or [`Error::ProofLength`] when the proof's length is not the one
/// that index and size need.
pub fn root_from_inclusion_proof(
    index: u64,
    size: u64,
    leaf_hash: &Hash,
    proof: &[Hash],
) -> Result<Hash, Error> {
    if index >= size {
        return Err(Error::IndexBeyondSize { index, size });
    }
    // Below the level where the leaf's path meets the tree's last leaf every level has a sibling;
    // above it only those to the left of the path.
    let inner = 64 - (index ^ (size - 1)).leading_zeros();
    let border = index.checked_shr(inner).unwrap_or(0).count_ones();
    let want = (inner + border) as usize;
    if proof.len() != want {
        return Err(Error::ProofLength {
            got: proof.len(),
            want,
        });
    }
    let (inner_proof, border_proof) = proof.split_at(inner as usize);
    let mut hash = *leaf_hash;
    for (level, sibling) in inner_proof.iter().enumerate() {
        hash = if index >> level & 1 == 0 {
            node_hash(&hash, sibling)
        } else {
            node_hash(sibling, &hash)
        };
    }
    Ok(border_proof
        .iter()
        .fold(hash, |right, left| node_hash(left, &right)))
}

/// Checks that the leaf with hash `leaf_hash` is number `index` of the `size` leaves under `root`.
///
/// # Errors
/// As [`root_from_inclusion_proof`], or [`Error::RootMismatch`].
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf_hash: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Error> {
    matches(
        root_from_inclusion_proof(index, size, leaf_hash, proof)?,
        root,
    )
}

/// Checks that the `first` leaves under `first_root` are the first of the `second` leaves under
/// `second_root`. From the empty tree everything follows, but only from its true root.
///
/// # Errors
/// [`Error::SizeOrder`], [`Error::ProofLength`], [`Error::RootMismatch`].
pub fn verify_consistency(
    first: u64,
    second: u64,
    first_root: &Hash,
    second_root: &Hash,
    proof: &[Hash],
) -> Result<(), Error> {
    if first > second {
        return Err(Error::SizeOrder { first, second });
    }
    if first == second {
        expect_length(proof, 0)?;
        if first == 0 {
            matches(EMPTY_ROOT, second_root)?;
        }
        return matches(*first_root, second_root);
    }
    if first == 0 {
        expect_length(proof, 0)?;
        return matches(EMPTY_ROOT, first_root);
    }
    // The proof starts at the last complete subtree of the old tree; when that is the whole old
    // tree, its root is not repeated.
    let shift = first.trailing_zeros();
    let node = (first - 1) >> shift;
    let inner = 64 - (node ^ ((second - 1) >> shift)).leading_zeros();
    let border = node.checked_shr(inner).unwrap_or(0).count_ones();
    let whole = first.is_power_of_two();
    expect_length(proof, (inner + border) as usize + usize::from(!whole))?;
    let (seed, rest) = if whole {
        (first_root, proof)
    } else {
        proof
            .split_first()
            .ok_or(Error::ProofLength { got: 0, want: 1 })?
    };
    let (mut old, mut new) = (*seed, *seed);
    for (level, sibling) in rest.iter().enumerate() {
        if level >= inner as usize || node >> level & 1 == 1 {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
        } else {
            new = node_hash(&new, sibling);
        }
    }
    matches(old, first_root)?;
    matches(new, second_root)
}

fn expect_length(proof: &[Hash], want: usize) -> Result<(), Error> {
    if proof.len() == want {
        Ok(())
    } else {
        Err(Error::ProofLength {
            got: proof.len(),
            want,
        })
    }
}

fn matches(got: Hash, want: &Hash) -> Result<(), Error> {
    if got == *want {
        Ok(())
    } else {
        Err(Error::RootMismatch { got, want: *want })
    }
}
