//! Codes that wait to be redeemed: a bounded number of them, each for a bounded time.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// Entries by key, each with the time at which it ends.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    entries: HashMap<String, (Timestamp, T)>,
    count_max: usize,
}

/// All places are taken by entries that have not ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Full;

impl<T> Pending<T> {
    pub(crate) fn new(count_max: usize) -> Self {
        Self {
            entries: HashMap::new(),
            count_max,
        }
    }

    /// Adds an entry that ends `secs` after `now`.
    pub(crate) fn insert(
        &mut self,
        key: String,
        value: T,
        now: Timestamp,
        secs: u32,
    ) -> Result<(), Full> {
        if self.entries.len() >= self.count_max {
            self.entries.retain(|_, (ends, _)| *ends > now);
        }
        if self.entries.len() >= self.count_max {
            return Err(Full);
        }
        let ends = now
            .saturating_add(SignedDuration::from_secs(secs.into()))
            .map_err(|_| Full)?;
        self.entries.insert(key, (ends, value));
        Ok(())
    }

    /// Takes an entry out: a code is good for one use, whatever comes of it.
    pub(crate) fn take(&mut self, key: &str, now: Timestamp) -> Option<T> {
        self.entries
            .remove(key)
            .filter(|(ends, _)| *ends > now)
            .map(|(_, value)| value)
    }

    /// An entry that has not ended, in place.
    pub(crate) fn get_mut(&mut self, key: &str, now: Timestamp) -> Option<&mut T> {
        self.entries
            .get_mut(key)
            .filter(|(ends, _)| *ends > now)
            .map(|(_, value)| value)
    }

    /// Whether an entry is kept that has ended.
    pub(crate) fn has_ended(&self, key: &str, now: Timestamp) -> bool {
        self.entries.get(key).is_some_and(|(ends, _)| *ends <= now)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};

    use super::{Full, Pending};

    #[test]
    fn a_code_is_taken_once_and_only_before_it_ends() {
        let now = Timestamp::UNIX_EPOCH;
        let mut pending = Pending::new(4);
        pending.insert("a".to_owned(), 1, now, 60).unwrap();
        pending.insert("b".to_owned(), 2, now, 60).unwrap();
        assert_eq!(pending.take("a", now), Some(1));
        assert_eq!(pending.take("a", now), None);
        let later = now + SignedDuration::from_secs(60);
        assert!(pending.has_ended("b", later));
        assert_eq!(pending.take("b", later), None);
    }

    #[test]
    fn places_are_bounded_and_freed_by_time() {
        let now = Timestamp::UNIX_EPOCH;
        let mut pending = Pending::new(1);
        pending.insert("a".to_owned(), 1, now, 60).unwrap();
        assert_eq!(pending.insert("b".to_owned(), 2, now, 60), Err(Full));
        let later = now + SignedDuration::from_secs(61);
        pending.insert("b".to_owned(), 2, later, 60).unwrap();
        assert_eq!(pending.len(), 1);
    }
}
