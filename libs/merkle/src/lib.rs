//! The Merkle tree of RFC 6962 and its tiles: hashes, roots, proofs and coordinates, without storage.
//!
//! A tree is told by its size and by the hashes of its complete subtrees. [`Frontier`] holds the
//! few that an append and a root need; [`Nodes`] is what a proof is read from; [`tile`] says where
//! each hash lives in the files of C2SP tlog-tiles. Every size and index up to `u64::MAX` is
//! accepted, and nothing here allocates by a number that came from outside.

mod error;
mod frontier;
mod hash;
mod proof;
pub mod tile;
mod verify;

pub use error::Error;
pub use frontier::Frontier;
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use proof::{Nodes, consistency_proof, inclusion_proof, root};
pub use verify::{root_from_inclusion_proof, verify_consistency, verify_inclusion};
