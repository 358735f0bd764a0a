//! How many bytes of signatures and configurations may be in memory, all decisions together: one image may
//! have a hundred of the largest, and a Pod many images.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is left.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) whole: usize,
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(whole: usize) -> Arc<Self> {
        Arc::new(Self {
            whole,
            left: AtomicUsize::new(whole),
        })
    }

    /// Takes `bytes` until the value goes; `None` when they are not left. Nobody waits: who waited could hold
    /// what another waits for.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let take = |left: usize| left.checked_sub(bytes);
        self.left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .ok()?;
        Some(Reserved {
            budget: Arc::clone(self),
            bytes,
        })
    }
}

/// Bytes that are given back with the value.
#[derive(Debug)]
pub(crate) struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn what_is_reserved_comes_back() {
        let budget = Budget::new(10);
        let first = budget.reserve(6).expect("it is left");
        assert!(budget.reserve(5).is_none());
        let second = budget.reserve(4).expect("it is left");
        drop(first);
        assert!(budget.reserve(7).is_none());
        drop(second);
        assert!(budget.reserve(10).is_some());
    }
}
