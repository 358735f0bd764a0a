//! Where a leaf hash or dedup key may be: 8 bytes per entry, verified against the tiles by the reader.

use merkle::Hash;

/// Bits of a slot that hold the leaf index plus one; the rest are the first bits of the hash.
const INDEX_BITS: u32 = 34;

const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// First bits of a hash that are kept; no table has more than 2^30 slots.
const HASH_BITS: u32 = 64 - INDEX_BITS;

/// An open-addressed table from hashes to candidate leaf indices. A slot keeps 30 bits of the hash,
/// enough to find its home again when the table grows, and 34 bits of index: a million entries take
/// 16 MiB. What it answers may be wrong, rarely, and must be compared with what is stored. Entries
/// beyond 2^34 are not found.
#[derive(Debug)]
pub(crate) struct Table {
    slots: Vec<u64>,
    used: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            slots: vec![0; 1 << 10],
            used: 0,
        }
    }
}

impl Table {
    pub(crate) const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Adds an entry.
    pub(crate) fn insert(&mut self, hash: &Hash, index: u64) {
        if index >= INDEX_MASK {
            return;
        }
        if (self.used + 1) * 4 > self.slots.len() * 3 {
            let mut larger = vec![0; self.slots.len() * 2];
            for slot in self.slots.iter().filter(|slot| **slot != 0) {
                place(&mut larger, *slot);
            }
            self.slots = larger;
        }
        place(&mut self.slots, prefix(hash) << INDEX_BITS | (index + 1));
        self.used += 1;
    }

    /// Indices under which `hash` may be.
    pub(crate) fn candidates(&self, hash: &Hash) -> Vec<u64> {
        let want = prefix(hash);
        let mut found = Vec::new();
        let mut at = home(want, self.slots.len());
        while self.slots[at] != 0 {
            if self.slots[at] >> INDEX_BITS == want {
                found.push((self.slots[at] & INDEX_MASK) - 1);
            }
            at = (at + 1) % self.slots.len();
        }
        found.sort_unstable();
        found
    }
}

fn prefix(hash: &Hash) -> u64 {
    let [a, b, c, d, ..] = *hash;
    u64::from(u32::from_be_bytes([a, b, c, d])) >> (32 - HASH_BITS)
}

/// `slots` is a power of two, at most 2^30.
const fn home(prefix: u64, slots: usize) -> usize {
    (prefix >> (HASH_BITS - slots.trailing_zeros())) as usize
}

fn place(slots: &mut [u64], slot: u64) {
    let mut at = home(slot >> INDEX_BITS, slots.len());
    while slots[at] != 0 {
        at = (at + 1) % slots.len();
    }
    slots[at] = slot;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u64) -> Hash {
        crypto::sha256(&number.to_be_bytes())
    }

    #[test]
    fn what_was_inserted_is_found_after_growth() {
        let mut table = Table::default();
        for number in 0..10_000 {
            table.insert(&hash(number), number);
        }
        assert!((0..10_000).all(|number| table.candidates(&hash(number)).contains(&number)));
        let false_answers: usize = (10_000..20_000)
            .map(|number| table.candidates(&hash(number)).len())
            .sum();
        assert!(
            false_answers < 20,
            "{false_answers} of 10000 absent hashes have a candidate"
        );
    }

    #[test]
    fn the_last_slot_wraps_to_the_first() {
        let mut table = Table::default();
        for index in 0..3 {
            table.insert(&[0xff; 32], index);
        }
        assert_eq!(table.candidates(&[0xff; 32]), [0, 1, 2]);
    }
}
