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
    waiting_max: usize,
}

/// Too many requests wait already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Busy;

impl Work {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self::with(cores, WAITING_MAX)
    }

    fn with(cores: usize, waiting_max: usize) -> Self {
        Self {
            cores: Arc::new(Semaphore::new(cores)),
            waiting: Arc::default(),
            waiting_max,
        }
    }

    /// Runs `job` when a core is free.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let place = Place::take(&self.waiting, self.waiting_max).ok_or(Busy)?;
        let permit = Arc::clone(&self.cores)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let out = job();
            drop(permit);
            out
        });
        let out = done.await;
        drop(place);
        out.map_err(|error| match error.try_into_panic() {
            // A bug of ours ends this request, not the service.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Busy,
        })
    }
}

/// A place among those who wait; given back on drop, so that a client that leaves frees it.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let place = Self(Arc::clone(waiting));
        (waiting.fetch_add(1, Ordering::Relaxed) < max).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::{Busy, Work};

    #[tokio::test]
    async fn more_than_the_bound_is_sent_away_and_places_come_back() {
        let work = Work::with(1, 2);
        let (release, released) = mpsc::channel::<()>();
        let running = {
            let work = work.clone();
            tokio::spawn(async move { work.run(move || released.recv().is_ok()).await })
        };
        let waiting = {
            let work = work.clone();
            tokio::spawn(async move { work.run(|| 7).await })
        };
        while work.waiting.load(std::sync::atomic::Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(work.run(|| ()).await, Err(Busy));
        release.send(()).unwrap();
        assert_eq!(running.await.unwrap(), Ok(true));
        assert_eq!(waiting.await.unwrap(), Ok(7));
        assert_eq!(work.run(|| 8).await, Ok(8));
    }
}
