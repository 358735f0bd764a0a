//! Leaf and node hashes, RFC 6962 §2.1.

use crypto::{HashAlgorithm, Hasher};

/// A SHA-256 digest: of a leaf, of a node or of a whole tree.
pub type Hash = [u8; 32];

/// Root of the empty tree: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// SHA-256(0x00 ‖ `leaf`).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    hasher.update(&[0]);
    hasher.update(leaf);
    hasher.finish().try_into().expect("SHA-256 has 32 bytes")
}

/// SHA-256(0x01 ‖ `left` ‖ `right`).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    crypto::sha256(&bytes)
}
