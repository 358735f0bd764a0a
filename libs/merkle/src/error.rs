//! What can be wrong with a proof or a tile path.

/// One rule broken by the input.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The leaf is not in a tree of this size.
    #[error("leaf index {index} is beyond tree size {size}")]
    IndexBeyondSize {
        /// Index asked for.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// The older tree is larger than the newer one, or empty.
    #[error("no consistency proof leads from tree size {first} to {second}")]
    SizeOrder {
        /// Size of the older tree.
        first: u64,
        /// Size of the newer tree.
        second: u64,
    },
    /// The proof has more or fewer hashes than these sizes need.
    #[error("proof has {got} hashes, {want} are needed")]
    ProofLength {
        /// Hashes in the proof.
        got: usize,
        /// Hashes needed.
        want: usize,
    },
    /// The proof leads to another root.
    #[error("proof leads to root {}, not to {}", hex(got), hex(want))]
    RootMismatch {
        /// Root computed from the proof.
        got: crate::Hash,
        /// Root expected.
        want: crate::Hash,
    },
    /// The path does not spell a tile or entry bundle (tlog-tiles "Merkle Tree" and "Log Entries").
    #[error("not the path of a tile")]
    TilePath,
    /// The bytes do not hold exactly the entries that the bundle's width says.
    #[error("entry bundle does not hold exactly {want} entries")]
    EntryBundle {
        /// Entries expected.
        want: usize,
    },
    /// An entry bundle gives each entry 16 bits of length.
    #[error("entry has {got} bytes, 65535 fit into an entry bundle")]
    EntryTooLong {
        /// Bytes in the entry.
        got: usize,
    },
}

fn hex(hash: &crate::Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
