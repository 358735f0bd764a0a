//! What verified a short while ago, by digest, authority and trust root. Only what passed is kept, and
//! never a tag.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use oci::ImageReference;
use serde_json::Value;

use crate::record::Attempt;
use crate::store::CompiledAuthority;

/// Most entries; when there are more, all are dropped.
const ENTRIES_MAX: usize = 4096;
/// Bytes in all entries, more or less; when there are more, all are dropped.
const BYTES_MAX: usize = 64 << 20;

/// What an entry is about.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Key(crypto::Sha256Digest);

impl Key {
    /// `reference` has a digest; everything that the answer rests on is in the key.
    pub(crate) fn new(
        authority: &CompiledAuthority,
        reference: &ImageReference,
        trust: &[crypto::Sha256Digest],
    ) -> Self {
        let mut whole = authority.hash.to_vec();
        for hash in trust {
            whole.extend_from_slice(hash);
        }
        whole.extend_from_slice(reference.to_string().as_bytes());
        Self(crypto::sha256(&whole))
    }
}

/// What is kept.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) matched: Value,
}

/// The entries, each with its end.
#[derive(Debug)]
pub(crate) struct Cache {
    lifetime: SignedDuration,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<Key, (Known, Timestamp)>,
    weight: usize,
}

impl Cache {
    pub(crate) fn new(lifetime_secs: u32) -> Self {
        let lifetime = SignedDuration::from_secs(i64::from(lifetime_secs));
        Self {
            lifetime,
            entries: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, key: &Key, now: Timestamp) -> Option<Known> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .by_key
            .get(key)
            .filter(|(_, until)| now < *until)
            .map(|(known, _)| known.clone())
    }

    pub(crate) fn put(&self, key: Key, known: Known, now: Timestamp) {
        let Ok(until) = now.checked_add(self.lifetime) else {
            return;
        };
        if until == now {
            return;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let attempts: usize = known.attempts.iter().map(Attempt::weight).sum();
        let weight = attempts + 2 * known.matched.to_string().len() + size_of::<Known>();
        if entries.by_key.len() >= ENTRIES_MAX || entries.weight + weight > BYTES_MAX {
            *entries = Entries::default();
        }
        // What is replaced is counted until all are dropped: it is little.
        entries.weight += weight;
        entries.by_key.insert(key, (known, until));
    }
}
