//! `extra/<N>[.p/<W>]`: dedup keys and unhashed bytes of up to 256 entries, checked by own digests.
//!
//! Layout, numbers big-endian: `xt1` and a line feed, the keys (32 bytes each), the lengths (4 bytes each), SHA-256 of the body, SHA-256 of all before; then
//! the body, the bytes of all entries in order. The header can be read and checked alone.

use merkle::{Hash, tile};

use crate::snapshot::Stored;

const MAGIC: &[u8; 4] = b"xt1\n";

/// Where the tile of these coordinates is.
pub(crate) fn key(index: u64, width: u16) -> String {
    let number = tile::spell_number(index);
    if usize::from(width) == tile::WIDTH {
        format!("extra/{number}")
    } else {
        format!("extra/{number}.p/{width}")
    }
}

/// Bytes in the header of a tile of `width` entries.
pub(crate) fn header_bytes(width: u16) -> usize {
    4 + 36 * usize::from(width) + 64
}

/// The bytes of a tile.
pub(crate) fn encode<'a>(entries: impl Iterator<Item = &'a Stored> + Clone) -> Vec<u8> {
    let body: Vec<u8> = entries
        .clone()
        .flat_map(|entry| entry.extra.iter().copied())
        .collect();
    let mut bytes = MAGIC.to_vec();
    entries
        .clone()
        .for_each(|entry| bytes.extend_from_slice(&entry.key));
    for entry in entries {
        let length = u32::try_from(entry.extra.len()).expect("bounded when it was appended");
        bytes.extend_from_slice(&length.to_be_bytes());
    }
    bytes.extend_from_slice(&crypto::sha256(&body));
    let digest = crypto::sha256(&bytes);
    bytes.extend_from_slice(&digest);
    bytes.extend_from_slice(&body);
    bytes
}

/// A header that was read and checked.
#[derive(Debug)]
pub(crate) struct Header {
    /// Dedup keys.
    pub(crate) keys: Vec<Hash>,
    lengths: Vec<usize>,
    body_digest: Hash,
}

impl Header {
    /// Reads the header of a tile of `width` entries from its first bytes; `None` when damaged.
    pub(crate) fn parse(bytes: &[u8], width: u16) -> Option<Self> {
        let header = bytes.get(..header_bytes(width))?;
        let (rest, digest) = header.split_last_chunk::<32>()?;
        if crypto::sha256(rest) != *digest {
            return None;
        }
        let (rest, body_digest) = rest.split_last_chunk::<32>()?;
        let rest = rest.strip_prefix(MAGIC)?;
        let (keys, lengths) = rest.split_at_checked(32 * usize::from(width))?;
        let lengths = lengths.as_chunks::<4>().0.iter();
        Some(Self {
            keys: keys.as_chunks::<32>().0.to_vec(),
            lengths: lengths
                .map(|length| u32::from_be_bytes(*length) as usize)
                .collect(),
            body_digest: *body_digest,
        })
    }
}

/// Keys and extra bytes of a whole tile; `None` when damaged.
pub(crate) fn parse(bytes: &[u8], width: u16) -> Option<Vec<(Hash, Vec<u8>)>> {
    let header = Header::parse(bytes, width)?;
    let mut body = bytes.get(header_bytes(width)..)?;
    if crypto::sha256(body) != header.body_digest {
        return None;
    }
    let mut entries = Vec::with_capacity(width.into());
    for (key, length) in header.keys.iter().zip(&header.lengths) {
        let (extra, rest) = body.split_at_checked(*length)?;
        entries.push((*key, extra.to_vec()));
        body = rest;
    }
    body.is_empty().then_some(entries)
}
