//! Entries of the v2 log: read from its tiles, the proofs computed here.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use anyhow::Context as _;
use merkle::{Hash, Nodes, tile};
use note::{Checkpoint, SignedNote};

use super::entry::{Entry, Proof};
use crate::{
    client::{Lab, expect},
    output::Advice,
};

/// The newest checkpoint, as it is and read.
pub(crate) async fn checkpoint(lab: &Lab) -> anyhow::Result<(String, Checkpoint)> {
    let text = String::from_utf8(get(lab, "checkpoint").await?)?;
    let note = SignedNote::parse(text.as_bytes())?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    Ok((text, checkpoint))
}

/// One entry by its index, and its proof in the newest tree.
pub(crate) async fn read(lab: &Lab, index: u64) -> anyhow::Result<Entry> {
    let (text, checkpoint) = checkpoint(lab).await?;
    let size = checkpoint.tree_size;
    if index >= size {
        return Err(Advice::error(
            format!("the v2 log has {size} entries, and so none with index {index}"),
            "siglab log tail",
        ));
    }
    let number = index / tile::WIDTH as u64;
    let width = tile::width_at(0, number, size);
    let bytes = get(lab, &format!("tile/entries/{}", path(number, width))).await?;
    let entries = tile::parse_entries(&bytes, width)?;
    let at = usize::try_from(index % tile::WIDTH as u64)?;
    let body = *entries.get(at).context("the tile is too short")?;
    let hashes = proof(lab, index, size).await?;
    Ok(Entry {
        log: "v2",
        index,
        body: body.to_vec(),
        time: None,
        promise: None,
        proof: Proof {
            index,
            size,
            root: checkpoint.root_hash,
            hashes,
            checkpoint: text,
        },
    })
}

/// Asks once which nodes are needed, fetches their tiles, and asks again.
async fn proof(lab: &Lab, index: u64, size: u64) -> anyhow::Result<Vec<Hash>> {
    let wanted = Wanted::default();
    merkle::inclusion_proof(index, size, &wanted)?;
    let places = wanted.0.into_inner().into_iter().map(|(level, number)| {
        let (level, number, _) = tile::locate(level, number);
        (level, number)
    });
    let mut tiles = BTreeMap::new();
    for (level, number) in places.collect::<BTreeSet<_>>() {
        let width = tile::width_at(level, number, size);
        let name = format!("tile/{level}/{}", path(number, width));
        let hashes = tile::parse_hashes(&get(lab, &name).await?, width)?;
        tiles.insert((level, number), hashes);
    }
    Ok(merkle::inclusion_proof(
        index,
        size,
        &Tiles { size, tiles },
    )?)
}

fn path(number: u64, width: u16) -> String {
    let spelled = tile::spell_number(number);
    if usize::from(width) == tile::WIDTH {
        spelled
    } else {
        format!("{spelled}.p/{width}")
    }
}

/// Notes what is asked for.
#[derive(Default)]
struct Wanted(RefCell<Vec<(u8, u64)>>);

impl Nodes for Wanted {
    type Error = merkle::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        self.0.borrow_mut().push((level, index));
        Ok(merkle::EMPTY_ROOT)
    }
}

/// Tiles of hashes by level and number.
struct Tiles {
    size: u64,
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Nodes for Tiles {
    type Error = merkle::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let (tile_level, number, range) = tile::locate(level, index);
        let missing = merkle::Error::IndexBeyondSize {
            index,
            size: self.size,
        };
        let tile = self.tiles.get(&(tile_level, number));
        let hashes = tile.and_then(|tile| tile.get(range)).ok_or(missing)?;
        Ok(tile::subtree_root(hashes))
    }
}

async fn get(lab: &Lab, path: &str) -> anyhow::Result<Vec<u8>> {
    let url = format!("{}/api/v2/{path}", lab.url("rekor", "v2")?);
    let answer = expect("the log", lab.http.get(url).send().await, &[200]).await?;
    Ok(answer.bytes().await?.to_vec())
}
