//! Where signatures are verified: off the reactor, as many at once as there are cores, and no more
//! waiting than a bound.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Semaphore;

/// Requests that may wait for verification; beyond it clients are sent away.
const WAITING_MAX: usize = 4096;

/// A bounded pool for work that takes the processor.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    cores: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// Too many requests wait already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Busy;

impl Work {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            cores: Arc::new(Semaphore::new(cores)),
            waiting: Arc::default(),
        }
    }

    /// Runs `job` when a core is free.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Place::take(&self.waiting).ok_or(Busy)?;
        let permit = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let out = job();
            drop(permit);
            out
        });
        let out = done.await.map_err(|_| Busy);
        drop(place);
        out
    }
}

/// A place among those who wait; given back on drop, so that a client that leaves frees it.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(waiting));
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
