//! Request bodies in memory: all of them together within one budget.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use bytes::Bytes;
use futures::StreamExt as _;
use runtime::http::{BodyError, read_body};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB of longer bodies that may be in memory at a time. What is made of a body takes a few times as
/// much.
const BUDGET_KIB: usize = 128 << 10;

/// Bodies up to this length are not counted: there are no more than connections.
const SHORT: u64 = 64 << 10;

/// Bytes beyond the limit that are read and thrown away, so that the client gets its answer.
const THROWN_AWAY_MAX: usize = 64 << 20;

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum IntakeError {
    Body(BodyError),
    /// Other requests hold the budget.
    Busy,
}

/// Holds a part of the budget.
#[derive(Debug, Default)]
pub(crate) struct Held(
    #[expect(dead_code, reason = "held until dropped")] Option<OwnedSemaphorePermit>,
);

/// The budget.
#[derive(Clone, Debug)]
pub(crate) struct Intake(Arc<Semaphore>);

impl Intake {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET_KIB)))
    }

    /// Reads a body of at most `bytes_max` bytes. The second value is kept as long as the body, or
    /// anything made of it, is.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
        bytes_max: usize,
    ) -> Result<(Bytes, Held), IntakeError> {
        let length = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok());
        if length
            .and_then(|text| text.parse().ok())
            .is_some_and(|length: u64| length <= SHORT)
        {
            let bytes = read_body(body, bytes_max)
                .await
                .map_err(IntakeError::Body)?;
            return Ok((bytes, Held::default()));
        }
        let seen = Arc::new(Seen::default());
        let read = read_body(self.counted(body, bytes_max, Arc::clone(&seen)), bytes_max).await;
        if seen.is_starved.load(Ordering::SeqCst) {
            return Err(IntakeError::Busy);
        }
        if seen.is_too_large.load(Ordering::SeqCst) {
            return Err(IntakeError::Body(BodyError::TooLarge { bytes_max }));
        }
        let bytes = read.map_err(IntakeError::Body)?;
        let permit = seen
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        Ok((bytes, Held(permit)))
    }

    /// The same body, which takes from the budget what has come and breaks when there is no more. What
    /// comes beyond the limit is thrown away: a client that is still sending would not read an answer.
    fn counted(&self, body: Body, bytes_max: usize, seen: Arc<Seen>) -> Body {
        let budget = Arc::clone(&self.0);
        let mut total = 0;
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(io::Error::other)?;
            total += chunk.len();
            if total > bytes_max {
                seen.is_too_large.store(true, Ordering::SeqCst);
                return if total - bytes_max > THROWN_AWAY_MAX {
                    Err(io::Error::from(io::ErrorKind::FileTooLarge))
                } else {
                    Ok(Bytes::new())
                };
            }
            let kib = u32::try_from(chunk.len().div_ceil(1024)).map_err(io::Error::other)?;
            let Ok(more) = Arc::clone(&budget).try_acquire_many_owned(kib) else {
                seen.is_starved.store(true, Ordering::SeqCst);
                return Err(io::Error::from(io::ErrorKind::OutOfMemory));
            };
            let mut held = seen.held.lock().unwrap_or_else(PoisonError::into_inner);
            match held.as_mut() {
                Some(held) => held.merge(more),
                None => *held = Some(more),
            }
            Ok(chunk)
        }))
    }
}

/// What is known of a body while it is read.
#[derive(Debug, Default)]
struct Seen {
    held: Mutex<Option<OwnedSemaphorePermit>>,
    is_starved: AtomicBool,
    is_too_large: AtomicBool,
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::HeaderMap};
    use runtime::http::BodyError;

    use super::{BUDGET_KIB, Intake, IntakeError};

    const LONG: usize = 48 << 20;

    async fn read(intake: &Intake, bytes: usize) -> Result<super::Held, IntakeError> {
        let body = Body::from(vec![0; bytes]);
        intake
            .read(&HeaderMap::new(), body, LONG)
            .await
            .map(|(_, held)| held)
    }

    #[tokio::test]
    async fn long_bodies_share_a_budget_and_give_it_back() {
        let intake = Intake::new();
        let first = read(&intake, LONG).await.unwrap();
        let second = read(&intake, LONG).await.unwrap();
        assert!(matches!(read(&intake, LONG).await, Err(IntakeError::Busy)));
        drop(first);
        let third = read(&intake, LONG).await.unwrap();
        drop((second, third));
        assert_eq!(intake.0.available_permits(), BUDGET_KIB);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_gives_its_part_back() {
        let intake = Intake::new();
        let chunks = (0..60).map(|_| Ok::<_, std::io::Error>(vec![0; 1 << 20]));
        let body = Body::from_stream(futures::stream::iter(chunks));
        let error = intake
            .read(&HeaderMap::new(), body, LONG)
            .await
            .unwrap_err();
        assert!(matches!(
            error,
            IntakeError::Body(BodyError::TooLarge { .. })
        ));
        assert_eq!(intake.0.available_permits(), BUDGET_KIB);
    }
}
