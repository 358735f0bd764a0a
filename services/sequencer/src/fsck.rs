//! Reads a whole log again and recomputes its tree from the entries.

use std::{path::Path, sync::Arc};

use merkle::{Frontier, Hash, leaf_hash, tile};
use runtime::{Blobs, DirectoryBlobs};

use crate::{
    Damage, extra,
    record::{CHECKPOINT, RECORD, Record, TREE},
    snapshot::{LEVELS, Snapshot},
};

/// What a check has got through so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Entries checked.
    pub entries: u64,
    /// Entries in all.
    pub total: u64,
}

/// A log in which everything holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// First line of its checkpoint.
    pub origin: String,
    /// Entries, all of them read and hashed.
    pub tree_size: u64,
    /// Root, recomputed from the entries.
    pub root_hash: Hash,
    /// Files read.
    pub files: u64,
    /// Whether the last batch was signed but not yet published; the next start finishes it.
    pub unfinished: bool,
}

/// Reads everything below `dir`, recomputes the tree from the entries and compares every tile, bundle
/// and checkpoint with it. Nothing is written and no lock is taken. Signatures are not looked at:
/// opening the log does that.
///
/// # Errors
/// [`Damage`]: the first file, in the order of the entries, that does not hold.
pub fn fsck(dir: &Path, mut progress: impl FnMut(Progress)) -> Result<Report, Damage> {
    let unreadable = |file: &str| Damage::Unreadable {
        file: file.to_owned(),
    };
    let data = DirectoryBlobs::open(dir.to_owned()).map_err(|_| unreadable("."))?;
    let head = DirectoryBlobs::open(dir.join("head")).map_err(|_| unreadable("head"))?;
    let mut files = Files {
        data: Arc::new(data),
        read: 0,
    };
    let checkpoint = published(&mut files)?;
    let record = signed(&head)?;
    files.read += 1;
    let mut frontier = Frontier::new();
    let mut levels: Vec<Vec<Hash>> = vec![Vec::new(); LEVELS];
    let total = checkpoint.tree_size;
    for bundle in 0..total.div_ceil(tile::WIDTH as u64) {
        let width = tile::width_at(0, bundle, total);
        for hash in entries(&mut files, bundle, width)? {
            frontier
                .append(hash, |_, _, _| {})
                .expect("the size is a u64");
            add(&mut files, &mut levels, 0, hash, frontier.size())?;
        }
        progress(Progress {
            entries: frontier.size(),
            total,
        });
    }
    for (level, index, width) in Snapshot::edge_widths(total) {
        let tile = tile::Tile::hashes(level, index, width);
        compare(&mut files, tile, &levels[usize::from(level)])?;
    }
    let root_hash = frontier.root();
    if root_hash != checkpoint.root_hash {
        return Err(Damage::Root {
            size: total,
            got: root_hash,
            want: checkpoint.root_hash,
        });
    }
    let unfinished = agree(&record, &checkpoint)?;
    Ok(Report {
        origin: checkpoint.origin,
        tree_size: total,
        root_hash,
        files: files.read,
        unfinished,
    })
}

struct Files {
    data: Arc<dyn Blobs>,
    read: u64,
}

impl Files {
    fn get(&mut self, file: &str) -> Result<Vec<u8>, Damage> {
        self.read += 1;
        match self.data.get(file) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Damage::Missing {
                file: file.to_owned(),
            }),
            Err(_) => Err(Damage::Unreadable {
                file: file.to_owned(),
            }),
        }
    }
}

fn published(files: &mut Files) -> Result<note::Checkpoint, Damage> {
    let bytes = files.get(CHECKPOINT)?;
    note::SignedNote::parse(&bytes)
        .and_then(|note| note::Checkpoint::parse(&note.text))
        .map_err(|_| Damage::Checkpoint {
            file: CHECKPOINT.to_owned(),
        })
}

fn signed(head: &DirectoryBlobs) -> Result<Record, Damage> {
    let file = format!("head/{RECORD}");
    match head.get(RECORD) {
        Ok(Some(bytes)) => serde_json::from_slice(&bytes).map_err(|_| Damage::Malformed { file }),
        Ok(None) => Err(Damage::Missing { file }),
        Err(_) => Err(Damage::Unreadable { file }),
    }
}

/// Whether the lock record is one batch ahead of the published checkpoint; they must not disagree in
/// any other way.
fn agree(record: &Record, checkpoint: &note::Checkpoint) -> Result<bool, Damage> {
    let damage = || Damage::Checkpoint {
        file: format!("head/{RECORD}"),
    };
    let signed = note::SignedNote::parse(record.checkpoint.as_bytes())
        .and_then(|note| note::Checkpoint::parse(&note.text))
        .map_err(|_| damage())?;
    if signed.tree_size == checkpoint.tree_size {
        return if signed == *checkpoint {
            Ok(false)
        } else {
            Err(damage())
        };
    }
    if record.previous_size == checkpoint.tree_size && signed.tree_size > checkpoint.tree_size {
        Ok(true)
    } else {
        Err(damage())
    }
}

/// Leaf hashes of a bundle, computed from its entries; its extra tile is read too.
fn entries(files: &mut Files, bundle: u64, width: u16) -> Result<Vec<Hash>, Damage> {
    let file = format!("{TREE}{}", tile::Tile::entries(bundle, width));
    let bytes = files.get(&file)?;
    let entries =
        tile::parse_entries(&bytes, width).map_err(|_| Damage::Malformed { file: file.clone() })?;
    let hashes: Vec<Hash> = entries.into_iter().map(leaf_hash).collect();
    // Tell a damaged bundle from a damaged tile: the tile's own place in the tree decides later.
    let tile = tile::Tile::hashes(0, bundle, width);
    let hashed = files.get(&format!("{TREE}{tile}"))?;
    let file_of_extra = extra::key(bundle, width);
    if extra::parse(&files.get(&file_of_extra)?, width).is_none() {
        return Err(Damage::Malformed {
            file: file_of_extra,
        });
    }
    if let Ok(stored) = tile::parse_hashes(&hashed, width)
        && stored.iter().zip(&hashes).filter(|(a, b)| a != b).count() == 1
        && !tile.is_partial()
    {
        return Err(blame(files, bundle, &stored, file, tile));
    }
    Ok(hashes)
}

/// A full tile and its bundle differ in one entry: the tile above tells which of the two is damaged.
fn blame(
    files: &mut Files,
    bundle: u64,
    stored: &[Hash],
    entries: String,
    tile: tile::Tile,
) -> Damage {
    let width = tile::WIDTH as u64;
    let above = format!(
        "{TREE}{}",
        tile::Tile::hashes(1, bundle / width, tile::WIDTH as u16)
    );
    let at = (bundle % width) as usize * 32;
    let root = tile::subtree_root(stored);
    let tile_holds = files
        .get(&above)
        .is_ok_and(|bytes| bytes.get(at..at + 32) == Some(&root));
    Damage::Hash {
        file: if tile_holds {
            entries
        } else {
            format!("{TREE}{tile}")
        },
    }
}

/// Adds a hash to its tile; compares and empties the tile when it is full.
fn add(
    files: &mut Files,
    levels: &mut [Vec<Hash>],
    level: u8,
    hash: Hash,
    size: u64,
) -> Result<(), Damage> {
    let at = usize::from(level);
    levels[at].push(hash);
    if levels[at].len() < tile::WIDTH {
        return Ok(());
    }
    let hashes = std::mem::take(&mut levels[at]);
    let index = tile::hashes_at(level, size) / tile::WIDTH as u64 - 1;
    compare(
        files,
        tile::Tile::hashes(level, index, tile::WIDTH as u16),
        &hashes,
    )?;
    add(files, levels, level + 1, tile::subtree_root(&hashes), size)
}

fn compare(files: &mut Files, tile: tile::Tile, hashes: &[Hash]) -> Result<(), Damage> {
    let file = format!("{TREE}{tile}");
    if files.get(&file)? == hashes.concat() {
        Ok(())
    } else {
        Err(Damage::Hash { file })
    }
}
