//! Tiles and entry bundles of C2SP tlog-tiles: coordinates, paths, and what is inside.

use std::fmt;

use crate::{Error, Hash, node_hash};

/// Hashes in a full tile, and entries in a full bundle.
pub const WIDTH: usize = 256;

/// Levels of the tree within one tile.
pub const HEIGHT: u8 = 8;

/// Highest tile level of a tree with fewer than 2^64 leaves is 7; the paths allow up to 63.
pub const LEVEL_MAX: u8 = 63;

/// What a tile path names.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `tile/<level>/…`: hashes. Those of level L are roots of the full tiles of level L - 1.
    Hashes {
        /// 0 to 63.
        level: u8,
    },
    /// `tile/entries/…`: the leaves themselves.
    Entries,
}

/// One tile or entry bundle, full or partial.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tile {
    /// Hashes or entries.
    pub kind: Kind,
    /// Position within its level.
    pub index: u64,
    /// Hashes or entries inside: 1 to 256. Below 256 it is partial.
    pub width: u16,
}

impl Tile {
    /// A tile of hashes.
    #[must_use]
    pub const fn hashes(level: u8, index: u64, width: u16) -> Self {
        Self {
            kind: Kind::Hashes { level },
            index,
            width,
        }
    }

    /// An entry bundle.
    #[must_use]
    pub const fn entries(index: u64, width: u16) -> Self {
        Self {
            kind: Kind::Entries,
            index,
            width,
        }
    }

    /// Whether it has fewer than 256 members.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        (self.width as usize) < WIDTH
    }

    /// Parses `tile/<L>/<N>[.p/<W>]` and `tile/entries/<N>[.p/<W>]`, in their one spelling.
    ///
    /// # Errors
    /// [`Error::TilePath`].
    pub fn parse(path: &str) -> Result<Self, Error> {
        let rest = path.strip_prefix("tile/").ok_or(Error::TilePath)?;
        let (level, rest) = rest.split_once('/').ok_or(Error::TilePath)?;
        let kind = if level == "entries" {
            Kind::Entries
        } else {
            let level = decimal(level)?;
            if level > u64::from(LEVEL_MAX) {
                return Err(Error::TilePath);
            }
            Kind::Hashes { level: level as u8 }
        };
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => match decimal(width)? {
                width @ 1..=255 => (number, width as u16),
                _ => return Err(Error::TilePath),
            },
            None => (rest, WIDTH as u16),
        };
        Ok(Self {
            kind,
            index: parse_number(number)?,
            width,
        })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Hashes { level } => write!(f, "tile/{level}/")?,
            Kind::Entries => f.write_str("tile/entries/")?,
        }
        f.write_str(&spell_number(self.index))?;
        if self.is_partial() {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// `number` in groups of three digits, each but the last with an `x`: `x001/x234/067`.
#[must_use]
pub fn spell_number(number: u64) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    text
}

fn parse_number(text: &str) -> Result<u64, Error> {
    let mut number = 0_u64;
    let mut groups = text.split('/').peekable();
    while let Some(group) = groups.next() {
        let digits = if groups.peek().is_some() {
            group.strip_prefix('x').ok_or(Error::TilePath)?
        } else {
            group
        };
        if digits.len() != 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Error::TilePath);
        }
        let value = digits.parse::<u64>().map_err(|_| Error::TilePath)?;
        number = number
            .checked_mul(1000)
            .and_then(|number| number.checked_add(value))
            .ok_or(Error::TilePath)?;
    }
    // One spelling only: no leading group of zeros.
    if spell_number(number) == text {
        Ok(number)
    } else {
        Err(Error::TilePath)
    }
}

/// A decimal number without sign or leading zeros.
fn decimal(text: &str) -> Result<u64, Error> {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| Error::TilePath)
    } else {
        Err(Error::TilePath)
    }
}

/// Hashes at tile level `level` in a tree of `size` leaves: complete subtrees of 256^`level` leaves.
#[must_use]
pub const fn hashes_at(level: u8, size: u64) -> u64 {
    match size.checked_shr(level as u32 * HEIGHT as u32) {
        Some(hashes) => hashes,
        None => 0,
    }
}

/// Width of the partial tile at `level` in a tree of `size` leaves: 0 when there is none.
#[must_use]
pub const fn partial_width(level: u8, size: u64) -> u16 {
    (hashes_at(level, size) % WIDTH as u64) as u16
}

/// Width of tile `index` at `level` in a tree of `size` leaves: 0 when it does not exist yet.
#[must_use]
pub const fn width_at(level: u8, index: u64, size: u64) -> u16 {
    let hashes = hashes_at(level, size);
    let full = hashes / WIDTH as u64;
    if index < full {
        WIDTH as u16
    } else if index == full {
        (hashes % WIDTH as u64) as u16
    } else {
        0
    }
}

/// Tile level and tile index that hold the node (`level`, `index`) of the binary tree, and the range
/// of the tile's hashes that lies below the node.
#[must_use]
pub const fn locate(level: u8, index: u64) -> (u8, u64, std::ops::Range<usize>) {
    let tile_level = level / HEIGHT;
    let inside = level % HEIGHT;
    let per_tile = HEIGHT - inside;
    let tile_index = index >> per_tile;
    let start = ((index & ((1 << per_tile) - 1)) as usize) << inside;
    (tile_level, tile_index, start..start + (1 << inside))
}

/// Root of a complete subtree, from its 1, 2, 4, … 256 bottom hashes.
///
/// # Panics
/// When the number of hashes is no power of two: callers pass what [`locate`] names.
#[must_use]
pub fn subtree_root(hashes: &[Hash]) -> Hash {
    assert!(hashes.len().is_power_of_two(), "a complete subtree");
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks_exact(2)
            .map(|pair| node_hash(&pair[0], &pair[1]))
            .collect();
    }
    row[0]
}

/// The hashes in a tile's bytes.
///
/// # Errors
/// [`Error::EntryBundle`] when there are not exactly `width` hashes.
pub fn parse_hashes(bytes: &[u8], width: u16) -> Result<Vec<Hash>, Error> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() && hashes.len() == usize::from(width) {
        Ok(hashes.to_vec())
    } else {
        Err(Error::EntryBundle { want: width.into() })
    }
}

/// Adds an entry to the bytes of a bundle: 16 bits of length, big-endian, then the entry.
///
/// # Errors
/// [`Error::EntryTooLong`] beyond 65535 bytes.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), Error> {
    let length =
        u16::try_from(entry.len()).map_err(|_| Error::EntryTooLong { got: entry.len() })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries in a bundle's bytes.
///
/// # Errors
/// [`Error::EntryBundle`] when there are not exactly `width` entries and nothing else.
pub fn parse_entries(bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, Error> {
    let broken = || Error::EntryBundle { want: width.into() };
    let mut entries = Vec::with_capacity(width.into());
    let mut rest = bytes;
    for _ in 0..width {
        let (length, after) = rest.split_first_chunk::<2>().ok_or_else(broken)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, after) = after.split_at_checked(length).ok_or_else(broken)?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(broken())
    }
}
