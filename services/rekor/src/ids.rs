//! Names of trees and entries in Rekor v1.

use std::{fmt, str::FromStr};

use crypto::{PublicKey, sha256};

/// A tree's number: positive, hex in entry ids and decimal everywhere else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TreeId(i64);

impl TreeId {
    /// The tree of a log key. The same key always has the same tree, so that a restarted log keeps the
    /// ids that it gave out.
    pub(crate) fn of_key(key: &PublicKey) -> Self {
        let digest = sha256(&[b"siglab rekor v1 tree\n", key.spki_der()].concat());
        let (first, _) = digest
            .split_first_chunk::<8>()
            .expect("SHA-256 has 32 bytes");
        Self((i64::from_be_bytes(*first) & i64::MAX).max(1))
    }

    /// From hex digits, sixteen at most.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        i64::from_str_radix(text, 16).ok().map(Self)
    }

    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::LowerHex for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for TreeId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What a client may call an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EntryName<'a> {
    /// The tree's sixteen digits, of an 80-digit id.
    pub(crate) tree: Option<&'a str>,
    /// The leaf hash.
    pub(crate) leaf_hash: [u8; 32],
}

impl<'a> EntryName<'a> {
    /// From 64 or 80 hex digits in either case.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        if !text.is_ascii() {
            return None;
        }
        let (tree, hash) = match text.len() {
            64 => (None, text),
            80 => (Some(&text[..16]), &text[16..]),
            _ => return None,
        };
        let tree_is_hex = tree.is_none_or(|tree| tree.bytes().all(|b| b.is_ascii_hexdigit()));
        let mut leaf_hash = [0; 32];
        hex::decode_to_slice(hash, &mut leaf_hash).ok()?;
        tree_is_hex.then_some(Self { tree, leaf_hash })
    }
}

/// The id that an entry has in answers: 16 digits of tree, 64 of leaf hash.
pub(crate) fn entry_id(tree: TreeId, leaf_hash: &[u8; 32]) -> String {
    format!("{tree:x}{}", hex::encode(leaf_hash))
}
