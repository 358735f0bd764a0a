//! Reads a whole log again and recomputes its tree from the entries.

use std::path::Path;

use crypto::PublicKey;
use merkle::{Frontier, Hash, leaf_hash, tile};
use note::{Scheme, SignedNote, Verifier};
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

/// Who looks on while a log is read. A closure over [`Progress`] is one.
pub trait Watch {
    /// Another bundle of entries was checked.
    fn progress(&mut self, progress: Progress);

    /// What is kept beside the entry of this index, in order.
    fn extra(&mut self, _index: u64, _extra: &[u8]) {}
}

impl<F: FnMut(Progress)> Watch for F {
    fn progress(&mut self, progress: Progress) {
        self(progress);
    }
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
    /// Id of the key that signed, when keys were given to check it with.
    pub signed_by: Option<[u8; 32]>,
}

/// Reads everything below `dir`, recomputes the tree from the entries and compares every tile, bundle
/// and checkpoint with it. Nothing is written and no lock is taken. The signatures of the checkpoint and
/// of the lock record must be by one of `keys`, and are not looked at when there are none.
///
/// # Errors
/// [`Damage`]: the first file, in the order of the entries, that does not hold.
pub fn fsck(dir: &Path, keys: &[PublicKey], watch: &mut dyn Watch) -> Result<Report, Damage> {
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
    fsck_stores(&data, &head, keys, watch)
}

/// [`fsck`] over the two stores of a log.
///
/// # Errors
/// As [`fsck`].
pub fn fsck_stores(
    data: &dyn Blobs,
    head: &dyn Blobs,
    keys: &[PublicKey],
    watch: &mut dyn Watch,
) -> Result<Report, Damage> {
    let mut files = Files { data, read: 1 };
    let record = signed(head)?;
    let checkpoint = published(&mut files)?;
    let unfinished = agree(&record, &checkpoint.tree)?;
    let signed_by = signatures(&record, &checkpoint, keys)?;
    let checkpoint = checkpoint.tree;
    let (frontier, culprit) = tree(&mut files, checkpoint.tree_size, watch)?;
    let root_hash = frontier.root();
    if root_hash != checkpoint.root_hash {
        let root = Damage::Root {
            size: checkpoint.tree_size,
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
        tree_size: checkpoint.tree_size,
        root_hash,
        files: files.read,
        unfinished,
        signed_by,
    })
}

/// Reads all bundles and tiles of a tree of `total` entries: what the entries lead to, and the first
/// pair of files that contradict each other.
fn tree(
    files: &mut Files<'_>,
    total: u64,
    watch: &mut dyn Watch,
) -> Result<(Frontier, Option<Suspect>), Damage> {
    let mut tree = Tree {
        frontier: Frontier::new(),
        levels: vec![Vec::new(); LEVELS],
    };
    let mut culprit = None;
    for bundle in 0..total.div_ceil(tile::WIDTH as u64) {
        let width = tile::width_at(0, bundle, total);
        let (hashes, suspect) = entries(files, bundle, width, watch)?;
        culprit = culprit.or(suspect);
        for hash in hashes {
            tree.frontier
                .append(hash, |_, _, _| {})
                .expect("the size is a u64");
            tree.add(files, 0, hash, &mut culprit)?;
        }
        watch.progress(Progress {
            entries: tree.frontier.size(),
            total,
        });
    }
    for (level, index, width) in Snapshot::edge_widths(total) {
        let tile = tile::Tile::hashes(level, index, width);
        tree.compare(files, tile, &tree.levels[usize::from(level)], &mut culprit)?;
    }
    Ok((tree.frontier, culprit))
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

/// A checkpoint with its signatures.
struct Signed {
    note: SignedNote,
    tree: note::Checkpoint,
}

impl Signed {
    fn parse(bytes: &[u8], file: &str) -> Result<Self, Damage> {
        let parsed = SignedNote::parse(bytes)
            .and_then(|note| note::Checkpoint::parse(&note.text).map(|tree| Self { note, tree }));
        parsed.map_err(|_| Damage::Checkpoint {
            file: file.to_owned(),
        })
    }

    /// Whether it is signed with one of `keys`, under any name, and the key has this id.
    fn is_by(&self, keys: &[PublicKey], key_id: &str) -> bool {
        let names = self.note.signatures.iter().map(|line| line.name.as_str());
        names
            .flat_map(|name| verifiers(name, keys))
            .any(|verifier| {
                hex::encode(verifier.key_id()) == key_id && self.note.verify(&[&verifier]).is_ok()
            })
    }
}

/// `keys` under `name`, by every scheme that a log here signs with.
fn verifiers(name: &str, keys: &[PublicKey]) -> impl Iterator<Item = Verifier> {
    let schemes = [Scheme::Note, Scheme::Spki, Scheme::Rfc6962];
    let pairs = schemes
        .into_iter()
        .flat_map(move |scheme| keys.iter().map(move |key| (scheme, key)));
    pairs.filter_map(move |(scheme, key)| Verifier::new(name, scheme, key.clone()).ok())
}

/// Id of the key that signed both checkpoints, `None` when there are no keys to check it with.
fn signatures(
    record: &Record,
    published: &Signed,
    keys: &[PublicKey],
) -> Result<Option<[u8; 32]>, Damage> {
    if keys.is_empty() {
        return Ok(None);
    }
    let file = format!("head/{RECORD}");
    let signed = Signed::parse(record.checkpoint.as_bytes(), &file)?;
    for (checkpoint, file) in [(published, CHECKPOINT), (&signed, &file)] {
        if !checkpoint.is_by(keys, &record.key_id) {
            return Err(Damage::Signature {
                file: file.to_owned(),
            });
        }
    }
    let mut key_id = [0; 32];
    match hex::decode_to_slice(&record.key_id, &mut key_id) {
        Ok(()) => Ok(Some(key_id)),
        Err(_) => Err(Damage::Malformed { file }),
    }
}

fn published(files: &mut Files<'_>) -> Result<Signed, Damage> {
    Signed::parse(&files.get(CHECKPOINT)?, CHECKPOINT)
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
    let file = format!("head/{RECORD}");
    let signed = Signed::parse(record.checkpoint.as_bytes(), &file)?.tree;
    let damage = || Damage::Checkpoint { file };
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
    watch: &mut dyn Watch,
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
    let Some(extras) = extra::parse(&files.get(&extra_file)?, width) else {
        return Err(malformed(&extra_file));
    };
    for (index, (_, extra)) in (bundle * tile::WIDTH as u64..).zip(&extras) {
        watch.extra(index, extra);
    }
    let suspect = (stored != hashes).then_some(Suspect {
        entries: file,
        tile: tile_file,
    });
    Ok((hashes, suspect))
}
