//! Reading: nodes, entries and tiles, each checked against the tree before it is handed out.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, PoisonError},
};

use merkle::{Hash, Nodes, leaf_hash, node_hash, tile};

use crate::{Damage, ReadError, extra, log::Shared, record::TREE, snapshot::Snapshot};

/// A leaf, and what is kept beside it.
pub type LeafAndExtra = (Vec<u8>, Vec<u8>);

/// Full tiles kept in memory, 16 KiB each.
const CACHED_TILES_MAX: usize = 256;

/// All nodes of a full tile, level by level from the bottom: 256 + 128 + … + 1 hashes.
type TileNodes = Arc<Vec<Hash>>;

/// Full tiles that were read and checked, the oldest leaving first.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    tiles: HashMap<(u8, u64), TileNodes>,
    order: VecDeque<(u8, u64)>,
}

impl Cache {
    pub(crate) fn put(&mut self, level: u8, index: u64, nodes: TileNodes) {
        if self.tiles.insert((level, index), nodes).is_none() {
            self.order.push_back((level, index));
            if self.order.len() > CACHED_TILES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.tiles.remove(&oldest);
            }
        }
    }
}

/// Every node of a tile with 256 hashes.
pub(crate) fn tile_nodes(hashes: &[Hash]) -> TileNodes {
    let mut nodes = Vec::with_capacity(2 * tile::WIDTH - 1);
    nodes.extend_from_slice(hashes);
    let mut start = 0;
    let mut row = hashes.len();
    while row > 1 {
        for at in (start..start + row).step_by(2) {
            nodes.push(node_hash(&nodes[at], &nodes[at + 1]));
        }
        start += row;
        row /= 2;
    }
    Arc::new(nodes)
}

/// Reads of one tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    shared: &'a Shared,
    tree: &'a Snapshot,
}

impl Nodes for Reader<'_> {
    type Error = ReadError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, ReadError> {
        let (tile_level, tile_index, range) = tile::locate(level, index);
        let width = tile::width_at(tile_level, tile_index, self.tree.head.tree_size);
        if range.end > usize::from(width) {
            let size = self.tree.head.tree_size;
            return Err(merkle::Error::IndexBeyondSize {
                index: index << level,
                size,
            }
            .into());
        }
        if usize::from(width) < tile::WIDTH {
            let node = self.tree.nodes.get(level, index);
            return Ok(node.expect("complete, and in the partial tile at the edge"));
        }
        let nodes = self.full_tile(tile_level, tile_index)?;
        // Rows of 256, 128, … hashes lie one after the other.
        let inside = level % tile::HEIGHT;
        let row = 2 * tile::WIDTH - ((2 * tile::WIDTH) >> inside);
        Ok(nodes[row + (range.start >> inside)])
    }
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(shared: &'a Shared, tree: &'a Snapshot) -> Self {
        Self { shared, tree }
    }

    /// Refuses a size beyond the published tree.
    pub(crate) fn within(&self, size: u64) -> Result<(), ReadError> {
        if size > self.tree.head.tree_size {
            let (first, second) = (size, self.tree.head.tree_size);
            return Err(merkle::Error::SizeOrder { first, second }.into());
        }
        Ok(())
    }

    /// A full tile from memory or from its file, whose root is what the level above says.
    pub(crate) fn full_tile(&self, level: u8, index: u64) -> Result<TileNodes, ReadError> {
        let cached = self.cache().tiles.get(&(level, index)).cloned();
        if let Some(nodes) = cached {
            return Ok(nodes);
        }
        let tile = tile::Tile::hashes(level, index, tile::WIDTH as u16);
        let file = format!("{TREE}{tile}");
        let bytes = self.file(&file)?;
        let hashes = tile::parse_hashes(&bytes, tile.width)
            .map_err(|_| Damage::Malformed { file: file.clone() })?;
        let nodes = tile_nodes(&hashes);
        let root = nodes.last().copied().expect("a tile has a root");
        if root != self.node((level + 1) * tile::HEIGHT, index)? {
            return Err(Damage::Hash { file }.into());
        }
        self.cache().put(level, index, Arc::clone(&nodes));
        Ok(nodes)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.shared
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, key: &str) -> Result<Vec<u8>, ReadError> {
        let bytes = self.shared.config.data.get(key)?;
        Ok(bytes.ok_or_else(|| Damage::Missing {
            file: key.to_owned(),
        })?)
    }

    pub(crate) fn leaf_hash(&self, index: u64) -> Result<Hash, ReadError> {
        self.node(0, index)
    }

    pub(crate) fn entry(&self, index: u64) -> Result<LeafAndExtra, ReadError> {
        let entry = self.entries(index, 1)?.pop();
        let size = self.tree.head.tree_size;
        entry.ok_or_else(|| merkle::Error::IndexBeyondSize { index, size }.into())
    }

    pub(crate) fn entries(&self, first: u64, count: u64) -> Result<Vec<LeafAndExtra>, ReadError> {
        let size = self.tree.head.tree_size;
        if first >= size {
            return Err(merkle::Error::IndexBeyondSize { index: first, size }.into());
        }
        let bundle = first / tile::WIDTH as u64;
        let start = (first % tile::WIDTH as u64) as usize;
        let width = tile::width_at(0, bundle, size);
        let end = (usize::from(width)).min(start.saturating_add(count as usize));
        if usize::from(width) < tile::WIDTH {
            let tail = &self.tree.tail[start..end];
            return Ok(tail
                .iter()
                .map(|e| (e.leaf.clone(), e.extra.clone()))
                .collect());
        }
        let leaves = self.bundle(bundle, start..end)?;
        let file = extra::key(bundle, width);
        let extras = extra::parse(&self.file(&file)?, width)
            .ok_or_else(|| Damage::Malformed { file: file.clone() })?;
        let extras = extras.into_iter().skip(start);
        Ok(leaves
            .into_iter()
            .zip(extras)
            .map(|(leaf, (_, extra))| (leaf, extra))
            .collect())
    }

    /// Some entries of a full bundle, each compared with its leaf hash.
    fn bundle(&self, index: u64, range: Range<usize>) -> Result<Vec<Vec<u8>>, ReadError> {
        let tile = tile::Tile::entries(index, tile::WIDTH as u16);
        let file = format!("{TREE}{tile}");
        let bytes = self.file(&file)?;
        let entries = tile::parse_entries(&bytes, tile.width)
            .map_err(|_| Damage::Malformed { file: file.clone() })?;
        let hashes = self.full_tile(0, index)?;
        let wanted = &entries[range.clone()];
        if wanted
            .iter()
            .zip(&hashes[range])
            .any(|(entry, hash)| leaf_hash(entry) != *hash)
        {
            return Err(Damage::Hash { file }.into());
        }
        Ok(wanted.iter().map(|entry| entry.to_vec()).collect())
    }

    pub(crate) fn index_of_leaf(&self, hash: &Hash) -> Result<Option<u64>, ReadError> {
        let candidates = {
            let table = self
                .shared
                .by_leaf
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            table.candidates(hash)
        };
        for index in candidates {
            if index < self.tree.head.tree_size && self.leaf_hash(index)? == *hash {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    pub(crate) fn index_of_key(&self, key: &Hash) -> Result<Option<u64>, ReadError> {
        let (candidates, all_default) = {
            let table = self
                .shared
                .by_key
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            (table.candidates(key), table.is_empty())
        };
        for index in candidates {
            if index < self.tree.head.tree_size && self.key(index)? == *key {
                return Ok(Some(index));
            }
        }
        match self.index_of_leaf(key)? {
            Some(index) if all_default || self.key(index)? == *key => Ok(Some(index)),
            _ => Ok(None),
        }
    }

    fn key(&self, index: u64) -> Result<Hash, ReadError> {
        let bundle = index / tile::WIDTH as u64;
        let at = (index % tile::WIDTH as u64) as usize;
        if tile::width_at(0, bundle, self.tree.head.tree_size) < tile::WIDTH as u16 {
            return Ok(self.tree.tail[at].key);
        }
        Ok(self.extra_header(bundle)?.keys[at])
    }

    pub(crate) fn extra_header(&self, bundle: u64) -> Result<extra::Header, ReadError> {
        let width = tile::WIDTH as u16;
        let file = extra::key(bundle, width);
        let bytes = self
            .shared
            .config
            .data
            .get_start(&file, extra::header_bytes(width))?;
        let bytes = bytes.ok_or_else(|| Damage::Missing { file: file.clone() })?;
        let header = extra::Header::parse(&bytes, width);
        Ok(header.ok_or(Damage::Malformed { file })?)
    }

    pub(crate) fn tile(&self, wanted: tile::Tile) -> Result<Option<Vec<u8>>, ReadError> {
        let level = match wanted.kind {
            tile::Kind::Hashes { level } => level,
            tile::Kind::Entries => 0,
        };
        let width = tile::width_at(level, wanted.index, self.tree.head.tree_size);
        if wanted.width > width || wanted.width == 0 {
            return Ok(None);
        }
        let take = usize::from(wanted.width);
        let is_full = usize::from(width) == tile::WIDTH;
        Ok(Some(match wanted.kind {
            tile::Kind::Hashes { level } if is_full => {
                self.full_tile(level, wanted.index)?[..take].concat()
            }
            tile::Kind::Hashes { level } => self.tree.edge[usize::from(level)][..take].concat(),
            tile::Kind::Entries => {
                let mut bundle = Vec::new();
                if is_full {
                    for entry in &self.bundle(wanted.index, 0..take)? {
                        tile::push_entry(&mut bundle, entry)?;
                    }
                } else {
                    for entry in &self.tree.tail[..take] {
                        tile::push_entry(&mut bundle, &entry.leaf)?;
                    }
                }
                bundle
            }
        }))
    }
}
