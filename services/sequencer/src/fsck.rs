//! Reads a whole log again and recomputes its tree from the entries.

use std::path::Path;

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
pub fn fsck(dir: &Path, progress: impl FnMut(Progress)) -> Result<Report, Damage> {
    let missing = |file: &str| Damage::Missing {
        file: file.to_owned(),
    };
    let head = dir.join("head");
    // Opening a store makes its directory: a path that is no log must stay as it is.
    if !head.join(RECORD).is_file() {
        return Err(missing(&format!("head/{RECORD}")));
    }
    let data = DirectoryBlobs::open(dir.to_owned()).map_err(|_| missing("."))?;
    let head = DirectoryBlobs::open(head).map_err(|_| missing("head"))?;
    fsck_stores(&data, &head, progress)
}

/// [`fsck`] over the two stores of a log.
///
/// # Errors
/// As [`fsck`].
pub fn fsck_stores(
    data: &dyn Blobs,
    head: &dyn Blobs,
    mut progress: impl FnMut(Progress),
) -> Result<Report, Damage> {
    let mut files = Files { data, read: 1 };
    let record = signed(head)?;
    let checkpoint = published(&mut files)?;
    let unfinished = agree(&record, &checkpoint)?;
    let mut tree = Tree {
        frontier: Frontier::new(),
        levels: vec![Vec::new(); LEVELS],
    };
    let total = checkpoint.tree_size;
    let mut culprit = None;
    for bundle in 0..total.div_ceil(tile::WIDTH as u64) {
        let width = tile::width_at(0, bundle, total);
        let (hashes, suspect) = entries(&mut files, bundle, width)?;
        culprit = culprit.or(suspect);
        for hash in hashes {
            tree.frontier
                .append(hash, |_, _, _| {})
                .expect("the size is a u64");
            tree.add(&mut files, 0, hash, &mut culprit)?;
        }
        progress(Progress {
            entries: tree.frontier.size(),
            total,
        });
    }
    for (level, index, width) in Snapshot::edge_widths(total) {
        let tile = tile::Tile::hashes(level, index, width);
        tree.compare(
            &mut files,
            tile,
            &tree.levels[usize::from(level)],
            &mut culprit,
        )?;
    }
    let root_hash = tree.frontier.root();
    if root_hash != checkpoint.root_hash {
        let root = Damage::Root {
            size: total,
            got: root_hash,
            want: checkpoint.root_hash,
        };
        return Err(culprit.map_or(root, |suspect| Damage::Hash {
            file: suspect.entries,
        }));
    }
    // The entries lead to the signed root, so a tile that differs from them is the damaged one.
    if let Some(suspect) = culprit {
        return Err(Damage::Hash { file: suspect.tile });
    }
    Ok(Report {
        origin: checkpoint.origin,
        tree_size: total,
        root_hash,
        files: files.read,
        unfinished,
    })
}

struct Files<'a> {
    data: &'a dyn Blobs,
    read: u64,
}

impl Files<'_> {
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

/// An entry bundle and a tile that differ. Only the root tells which of the two is damaged.
struct Suspect {
    entries: String,
    tile: String,
}

/// The tree as its entries have it.
struct Tree {
    frontier: Frontier,
    /// Hashes of the tile at the right edge of each level.
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// Adds a hash to its tile; compares and empties the tile when it is full.
    fn add(
        &mut self,
        files: &mut Files<'_>,
        level: u8,
        hash: Hash,
        culprit: &mut Option<Suspect>,
    ) -> Result<(), Damage> {
        let at = usize::from(level);
        self.levels[at].push(hash);
        if self.levels[at].len() < tile::WIDTH {
            return Ok(());
        }
        let hashes = std::mem::take(&mut self.levels[at]);
        let index = tile::hashes_at(level, self.frontier.size()) / tile::WIDTH as u64 - 1;
        let tile = tile::Tile::hashes(level, index, tile::WIDTH as u16);
        self.compare(files, tile, &hashes, culprit)?;
        self.add(files, level + 1, tile::subtree_root(&hashes), culprit)
    }

    /// Reads a tile above the lowest level and compares it with what the entries say. After a bundle and
    /// its tile differed the tiles above cannot be judged.
    fn compare(
        &self,
        files: &mut Files<'_>,
        tile: tile::Tile,
        hashes: &[Hash],
        culprit: &mut Option<Suspect>,
    ) -> Result<(), Damage> {
        if tile.kind == (tile::Kind::Hashes { level: 0 }) || culprit.is_some() {
            return Ok(());
        }
        let file = format!("{TREE}{tile}");
        if files.get(&file)? == hashes.concat() {
            Ok(())
        } else {
            Err(Damage::Hash { file })
        }
    }
}

fn published(files: &mut Files<'_>) -> Result<note::Checkpoint, Damage> {
    let bytes = files.get(CHECKPOINT)?;
    note::SignedNote::parse(&bytes)
        .and_then(|note| note::Checkpoint::parse(&note.text))
        .map_err(|_| Damage::Checkpoint {
            file: CHECKPOINT.to_owned(),
        })
}

fn signed(head: &dyn Blobs) -> Result<Record, Damage> {
    let file = format!("head/{RECORD}");
    match head.get(RECORD) {
        Ok(Some(bytes)) => Record::decode(&bytes).ok_or(Damage::Malformed { file }),
        Ok(None) => Err(Damage::Missing { file }),
        Err(_) => Err(Damage::Unreadable { file }),
    }
}

/// Whether the lock record is ahead of the published checkpoint, as after a crash: the next start then
/// finishes the batch, or refuses data from an old copy. They must not disagree in any other way.
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
    if signed.tree_size > checkpoint.tree_size {
        Ok(true)
    } else {
        Err(damage())
    }
}

/// Leaf hashes of a bundle, computed from its entries, after its tile and its extra tile were read.
fn entries(
    files: &mut Files<'_>,
    bundle: u64,
    width: u16,
) -> Result<(Vec<Hash>, Option<Suspect>), Damage> {
    let file = format!("{TREE}{}", tile::Tile::entries(bundle, width));
    let malformed = |file: &String| Damage::Malformed { file: file.clone() };
    let bytes = files.get(&file)?;
    let leaves = tile::parse_entries(&bytes, width).map_err(|_| malformed(&file))?;
    let hashes: Vec<Hash> = leaves.into_iter().map(leaf_hash).collect();
    let tile_file = format!("{TREE}{}", tile::Tile::hashes(0, bundle, width));
    let stored = tile::parse_hashes(&files.get(&tile_file)?, width);
    let stored = stored.map_err(|_| malformed(&tile_file))?;
    let extra_file = extra::key(bundle, width);
    if extra::parse(&files.get(&extra_file)?, width).is_none() {
        return Err(malformed(&extra_file));
    }
    let suspect = (stored != hashes).then_some(Suspect {
        entries: file,
        tile: tile_file,
    });
    Ok((hashes, suspect))
}
