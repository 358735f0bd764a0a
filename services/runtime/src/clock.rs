//! The only source of time.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};

/// The time of a lab: the machine's, or one that a test moves by hand. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    /// Milliseconds since the epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(
            start.as_millisecond(),
        ))))
    }

    /// Now, with the precision of a millisecond at least.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::now(),
            Source::Manual(millis) => Timestamp::from_millisecond(millis.load(Ordering::SeqCst))
                .expect("only set from timestamps"),
        }
    }

    /// Moves a manual clock by `seconds`, backwards too. A system clock stays where it is.
    pub fn advance(&self, seconds: i64) {
        if let Source::Manual(millis) = &self.0 {
            millis.fetch_add(seconds.saturating_mul(1000), Ordering::SeqCst);
        }
    }

    /// Sets a manual clock. A system clock stays where it is.
    pub fn set(&self, to: Timestamp) {
        if let Source::Manual(millis) = &self.0 {
            millis.store(to.as_millisecond(), Ordering::SeqCst);
        }
    }

    /// Five minutes before now: the start of validity that an authority or log key declares, so that
    /// nothing made in its first second is older than its maker (spec/fulcio.md §7.2).
    #[must_use]
    pub fn backdated(&self) -> Timestamp {
        let second = self.now().as_second();
        Timestamp::from_second(second)
            .and_then(|now| now.checked_sub(SignedDuration::from_mins(5)))
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
