//! Opening: the lock record against the published checkpoint, a batch that was cut off, the right edge.

use std::sync::Arc;

use merkle::{Frontier, Hash, Nodes, leaf_hash, tile};
use runtime::Blobs;

use crate::{
    CheckpointSigner, Damage, LogConfig, OpenError, ReadError, TreeHead,
    batch::{Batch, CheckedBatch, partial_keys},
    extra,
    log::Shared,
    reader::Reader,
    record::{CHECKPOINT, RECORD, Record, STAGING, TREE, decode_staging, staging_in},
    snapshot::{EdgeNodes, LEVELS, Snapshot, Stored, root_of_edge},
};

/// What a log is after it was opened or reloaded.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The lock record's bytes, for the next compare-and-swap.
    pub(crate) record: Vec<u8>,
    pub(crate) snapshot: Snapshot,
}

/// A checkpoint that belongs to this log.
struct Published {
    note: String,
    size: u64,
    root: Hash,
}

/// Brings the stores to the last signed tree, which is then the published one.
pub(crate) fn open(config: &LogConfig) -> Result<Recovered, OpenError> {
    let signer = &*config.signer;
    let published = match config.data.get(CHECKPOINT)? {
        Some(bytes) => Some(parse_published(signer, bytes)?),
        None => None,
    };
    let Some(bytes) = config.head.get(RECORD)? else {
        return match published {
            Some(_) => Err(OpenError::RecordMissing),
            None => create(config),
        };
    };
    let record = parse_record(signer, &bytes)?;
    let head = head_of(&record, signer)?;
    let snapshot = match published {
        Some(published) => {
            if signer.open(&published.note).is_err() {
                return Err(Damage::Checkpoint {
                    file: CHECKPOINT.to_owned(),
                }
                .into());
            }
            finish(config, &record, &published, head)?
        }
        // The very first start was cut off before there was anything to publish.
        None if record.tree_size == 0 => {
            config.data.put(CHECKPOINT, record.checkpoint.as_bytes())?;
            load(&*config.data, head)?
        }
        None => {
            return Err(Damage::Missing {
                file: CHECKPOINT.to_owned(),
            }
            .into());
        }
    };
    Ok(Recovered {
        record: bytes,
        snapshot,
    })
}

/// Compares the published tree with the signed one (RELIABILITY P3), and finishes what a crash cut off.
fn finish(
    config: &LogConfig,
    record: &Record,
    published: &Published,
    head: TreeHead,
) -> Result<Snapshot, OpenError> {
    let size = head.tree_size;
    if published.size > size {
        return Err(OpenError::RecordBehind {
            published: published.size,
            signed: size,
        });
    }
    if published.size == size && published.root != head.root_hash {
        return Err(OpenError::Fork { size });
    }
    let snapshot = if published.size == size {
        load(&*config.data, head)?
    } else {
        let snapshot = match replay(config, record, &head)? {
            Some(snapshot) => snapshot,
            // Either shows that the tiles of this batch are all there: only the published checkpoint has
            // been taken back by a power cut.
            None => load(&*config.data, head.clone()).map_err(|error| match error {
                OpenError::Damage(_) => OpenError::DataBehind {
                    published: published.size,
                    signed: size,
                },
                other => other,
            })?,
        };
        config
            .data
            .publish(CHECKPOINT, head.checkpoint.as_bytes())?;
        tracing::info!(
            tree_size = size,
            "published a tree that was signed before a crash"
        );
        snapshot
    };
    sweep(&*config.data, size);
    Ok(snapshot)
}

fn parse_published(signer: &dyn CheckpointSigner, bytes: Vec<u8>) -> Result<Published, OpenError> {
    let damage = || Damage::Checkpoint {
        file: CHECKPOINT.to_owned(),
    };
    let note = String::from_utf8(bytes).map_err(|_| damage())?;
    // A log of another name or key says so by its lock record, which is looked at next; here only a
    // checkpoint that is none stops.
    let signed = note::SignedNote::parse(note.as_bytes()).map_err(|_| damage())?;
    let checkpoint = note::Checkpoint::parse(&signed.text).map_err(|_| damage())?;
    if checkpoint.origin != signer.origin() {
        let (found, want) = (checkpoint.origin, signer.origin().to_owned());
        return Err(OpenError::Origin { found, want });
    }
    Ok(Published {
        size: checkpoint.tree_size,
        root: checkpoint.root_hash,
        note,
    })
}

fn parse_record(signer: &dyn CheckpointSigner, bytes: &[u8]) -> Result<Record, OpenError> {
    let record = Record::decode(bytes).ok_or(OpenError::Record {
        reason: "it does not parse",
    })?;
    if record.version != 1 {
        return Err(OpenError::Record {
            reason: "its version is not known",
        });
    }
    if record.origin != signer.origin() {
        return Err(OpenError::Origin {
            found: record.origin,
            want: signer.origin().to_owned(),
        });
    }
    let key_id = hex::decode(&record.key_id)
        .ok()
        .and_then(|id| <[u8; 32]>::try_from(id).ok());
    let found = key_id.ok_or(OpenError::Record {
        reason: "its key id does not parse",
    })?;
    if found != signer.key_id() {
        return Err(OpenError::Key {
            found,
            want: signer.key_id(),
        });
    }
    Ok(record)
}

/// The tree head that the lock record vouches for, after its signature was checked.
fn head_of(record: &Record, signer: &dyn CheckpointSigner) -> Result<TreeHead, OpenError> {
    let signed = signer
        .open(&record.checkpoint)
        .map_err(|_| OpenError::Record {
            reason: "its checkpoint does not verify",
        })?;
    if signed.tree_size != record.tree_size {
        return Err(OpenError::Record {
            reason: "its sizes differ",
        });
    }
    let time = i64::try_from(record.time_ms)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok())
        .ok_or(OpenError::Record {
            reason: "its time is out of range",
        })?;
    Ok(TreeHead {
        tree_size: record.tree_size,
        root_hash: signed.root_hash,
        checkpoint: record.checkpoint.as_str().into(),
        time,
    })
}

fn create(config: &LogConfig) -> Result<Recovered, OpenError> {
    let signer = &config.signer;
    let time_ms = u64::try_from(config.clock.now().as_millisecond()).unwrap_or(0);
    let checkpoint = signer
        .sign(0, &merkle::EMPTY_ROOT, time_ms)
        .map_err(OpenError::Sign)?;
    let record = Record {
        version: 1,
        origin: signer.origin().to_owned(),
        key_id: hex::encode(signer.key_id()),
        tree_size: 0,
        time_ms,
        previous_size: 0,
        previous_root: hex::encode(merkle::EMPTY_ROOT),
        staging: String::new(),
        checkpoint,
    };
    let bytes = record.encode();
    config.head.compare_and_swap(RECORD, None, &bytes)?;
    config.data.put(CHECKPOINT, record.checkpoint.as_bytes())?;
    let snapshot = load(&*config.data, head_of(&record, &**signer)?)?;
    Ok(Recovered {
        record: bytes,
        snapshot,
    })
}

/// Writes the tiles of the lock record's batch again from the staging bundle; `None` when that bundle is
/// another batch's, or the tree before the batch is gone.
fn replay(
    config: &LogConfig,
    record: &Record,
    head: &TreeHead,
) -> Result<Option<Snapshot>, OpenError> {
    let staging = config.data.get(STAGING)?.unwrap_or_default();
    let Some(staging) = staging_in(&staging) else {
        return Ok(None);
    };
    if hex::encode(crypto::sha256(staging)) != record.staging {
        return Ok(None);
    }
    let malformed = || Damage::Malformed {
        file: STAGING.to_owned(),
    };
    let (previous_size, entries) = decode_staging(staging).ok_or_else(malformed)?;
    let root = hex::decode(&record.previous_root)
        .ok()
        .and_then(|root| Hash::try_from(root).ok());
    let root_hash = root.ok_or(OpenError::Record {
        reason: "its previous root does not parse",
    })?;
    if previous_size != record.previous_size {
        return Err(malformed().into());
    }
    let before = TreeHead {
        tree_size: previous_size,
        root_hash,
        ..head.clone()
    };
    let before = match load(&*config.data, before) {
        // The partial tiles before the batch go when all of its own are there.
        Err(OpenError::Damage(_)) => return Ok(None),
        other => other?,
    };
    let checked = Batch::build(&before, &entries)
        .check()
        .map_err(|_| malformed())?;
    if (checked.size, checked.root) != (head.tree_size, head.root_hash) {
        let (size, got, want) = (head.tree_size, checked.root, head.root_hash);
        return Err(Damage::Root { size, got, want }.into());
    }
    config.data.put_all_if_absent(&checked.batch.files)?;
    Ok(Some(snapshot_of(checked, head.clone())))
}

/// The tree after a batch.
pub(crate) fn snapshot_of(checked: CheckedBatch, head: TreeHead) -> Snapshot {
    let Batch {
        edge,
        nodes,
        tail,
        frontier,
        ..
    } = checked.batch;
    Snapshot {
        head,
        edge,
        nodes,
        tail,
        frontier,
    }
}

struct Edge<'a>(&'a [Vec<Hash>]);

impl Nodes for Edge<'_> {
    type Error = ReadError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        // A frontier asks for nothing but the complete subtrees within the partial tiles.
        let (tile_level, _, range) = tile::locate(level, index);
        Ok(tile::subtree_root(&self.0[usize::from(tile_level)][range]))
    }
}

/// Reads the right edge of the tree of `head` and checks it against the signed root.
fn load(data: &dyn Blobs, head: TreeHead) -> Result<Snapshot, OpenError> {
    let mut edge = vec![Vec::new(); LEVELS];
    let mut tail = Vec::new();
    for (level, index, width) in Snapshot::edge_widths(head.tree_size) {
        let tile = tile::Tile::hashes(level, index, width);
        let (file, bytes) = read(data, format!("{TREE}{tile}"))?;
        let hashes = tile::parse_hashes(&bytes, width).map_err(|_| Damage::Malformed { file })?;
        if level == 0 {
            tail = load_tail(data, index, &hashes)?;
        }
        edge[usize::from(level)] = hashes;
    }
    let got = root_of_edge(&edge);
    if got != head.root_hash {
        let (size, want) = (head.tree_size, head.root_hash);
        return Err(Damage::Root { size, got, want }.into());
    }
    let nodes = EdgeNodes::of(&edge);
    let frontier = Frontier::read(head.tree_size, &Edge(&edge)).map_err(open_error)?;
    Ok(Snapshot {
        head,
        edge,
        nodes,
        tail,
        frontier,
    })
}

fn load_tail(data: &dyn Blobs, index: u64, hashes: &[Hash]) -> Result<Vec<Arc<Stored>>, OpenError> {
    let width = hashes.len() as u16;
    let (file, bytes) = read(data, format!("{TREE}{}", tile::Tile::entries(index, width)))?;
    let leaves =
        tile::parse_entries(&bytes, width).map_err(|_| Damage::Malformed { file: file.clone() })?;
    let (extra_file, bytes) = read(data, extra::key(index, width))?;
    let extras = extra::parse(&bytes, width).ok_or(Damage::Malformed { file: extra_file })?;
    let mut tail = Vec::with_capacity(hashes.len());
    for ((leaf, (key, extra)), hash) in leaves.into_iter().zip(extras).zip(hashes) {
        if leaf_hash(leaf) != *hash {
            return Err(Damage::Hash { file }.into());
        }
        tail.push(Arc::new(Stored {
            hash: *hash,
            key,
            leaf: leaf.to_vec(),
            extra,
        }));
    }
    Ok(tail)
}

fn read(data: &dyn Blobs, file: String) -> Result<(String, Vec<u8>), OpenError> {
    match data.get(&file)? {
        Some(bytes) => Ok((file, bytes)),
        None => Err(Damage::Missing { file }.into()),
    }
}

/// Bundles that are read by each thread before their entries are indexed in order.
const BUNDLES_PER_THREAD: u64 = 64;

/// Lets the entries of the published tree from `from` on be found, checking every full hash tile on the
/// way.
pub(crate) fn load_index(shared: &Shared, from: u64) -> Result<(), OpenError> {
    let tree = shared.snapshot();
    let width = tile::WIDTH as u64;
    let full = tree.head.tree_size / width;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(4));
    let step = BUNDLES_PER_THREAD * threads as u64;
    let mut start = from / width;
    while start < full {
        let end = full.min(start + step);
        let read = |first: u64| -> Result<Vec<Keys>, OpenError> {
            let last = end.min(first + BUNDLES_PER_THREAD);
            (first..last)
                .map(|bundle| Keys::read(&Reader::new(shared, &tree), bundle))
                .collect()
        };
        let parts = std::thread::scope(|scope| {
            let starts = (start..end).step_by(BUNDLES_PER_THREAD as usize);
            let parts: Vec<_> = starts
                .map(|first| {
                    scope.spawn({
                        let read = &read;
                        move || read(first)
                    })
                })
                .collect();
            let joined = parts
                .into_iter()
                .map(|part| part.join().expect("reading does not panic"));
            joined.collect::<Result<Vec<_>, _>>()
        })?;
        for keys in parts.into_iter().flatten() {
            let first = keys.bundle * width;
            let skip = from.saturating_sub(first) as usize;
            let entries = keys
                .nodes
                .iter()
                .zip(&keys.keys)
                .take(tile::WIDTH)
                .skip(skip);
            shared.index(first + skip as u64, entries);
        }
        start = end;
    }
    let first = full * width;
    let skip = from.saturating_sub(first) as usize;
    let tail = tree
        .tail
        .iter()
        .map(|entry| (&entry.hash, &entry.key))
        .skip(skip);
    shared.index(first + skip as u64, tail);
    Ok(())
}

/// Leaf hashes and dedup keys of a full bundle.
struct Keys {
    bundle: u64,
    nodes: Arc<Vec<Hash>>,
    keys: Vec<Hash>,
}

impl Keys {
    fn read(reader: &Reader<'_>, bundle: u64) -> Result<Self, OpenError> {
        let nodes = reader.full_tile(0, bundle).map_err(open_error)?;
        let keys = reader.extra_header(bundle).map_err(open_error)?.keys;
        Ok(Self {
            bundle,
            nodes,
            keys,
        })
    }
}

fn open_error(error: ReadError) -> OpenError {
    match error {
        ReadError::Damage(damage) => damage.into(),
        ReadError::Store(error) => error.into(),
        // Sizes come from the tree itself.
        ReadError::Proof(_) => Damage::Malformed {
            file: TREE.to_owned(),
        }
        .into(),
    }
}

/// Removes partial tiles that a crash left beside those of the published tree. What cannot be removed
/// does no harm.
fn sweep(data: &dyn Blobs, size: u64) {
    for level in 0..LEVELS as u8 {
        let index = tile::hashes_at(level, size) / tile::WIDTH as u64;
        let keep = partial_keys(level, index, tile::partial_width(level, size));
        for index in [Some(index), index.checked_sub(1)].into_iter().flatten() {
            for example in partial_keys(level, index, 1) {
                let folder = example.strip_suffix("/1").expect("width 1");
                for key in data.list(folder).unwrap_or_default() {
                    if !keep.contains(&key) {
                        let _ = data.delete(&key);
                    }
                }
            }
        }
    }
}
