//! Upload sessions: start, mount, chunks, finish, status, cancel.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    body::Body,
    http::{HeaderName, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use oci::{Algorithm, Digest, RepositoryName};
use tokio::{sync::OwnedMutexGuard, task::JoinHandle};

use super::{CONTENT_DIGEST, Call, Incoming, UPLOAD_ID, empty, request::next_piece};
use crate::{Error, Service, config::Action, error::upload_range, store::Session};

/// Bytes that are collected before they are written. A second piece of this size may be in writing.
const PIECE: usize = 512 << 10;

type Guard = OwnedMutexGuard<Session>;

/// end-4 and end-11: starts a session, takes a whole blob, or mounts one.
pub(super) async fn start(
    call: &Call<'_>,
    name: RepositoryName,
    body: &mut Body,
) -> Result<Response, Error> {
    if let Some(digest) = call.incoming.query("mount")
        && let Some(response) = mount(call, &name, digest).await?
    {
        return Ok(response);
    }
    let digest: Option<Digest> = call.incoming.query("digest").map(str::parse).transpose()?;
    let algorithm = match (&digest, call.incoming.query("digest-algorithm")) {
        (Some(digest), _) => digest.algorithm(),
        (None, Some(algorithm)) => algorithm.parse()?,
        (None, None) => Algorithm::Sha256,
    };
    // Without a body the digest is an announcement, unless it is that of nothing.
    let whole = digest.filter(|digest| !call.incoming.has_no_body(body) || digest.matches(b""));
    let owner = name.clone();
    let start = move |service: &Service| service.uploads.start(&service.store, &owner, algorithm);
    let id = call.service.blocking(start).await?;
    let Some(digest) = whole else {
        let location = location(&name, &id.to_string());
        let headers = session_headers(location, &id.to_string(), 0);
        return Ok(empty(StatusCode::ACCEPTED, &headers));
    };
    let session = call
        .service
        .uploads
        .find(&name, &id.to_string(), call.service.now())?;
    let guard = session.lock_owned().await;
    let (mut guard, received) = receive(call.service, guard, body).await?;
    if let Err(error) = received {
        let discard = move |service: &Service| {
            service.uploads.discard(&service.store.layout, &mut guard);
            Ok(())
        };
        call.service.blocking(discard).await?;
        return Err(error);
    }
    finish(call.service, guard, name, digest).await
}

/// end-11. `None` when the blob cannot be mounted, whatever the reason: then a session starts.
async fn mount(
    call: &Call<'_>,
    name: &RepositoryName,
    digest: &str,
) -> Result<Option<Response>, Error> {
    let Ok(digest) = digest.parse::<Digest>() else {
        return Ok(None);
    };
    let candidates = match call.incoming.query("from") {
        Some(from) => from.parse().ok().into_iter().collect(),
        None => {
            let digest = digest.clone();
            call.service
                .blocking(move |service| service.store.repositories_of(&digest))
                .await?
        }
    };
    let readable: Vec<RepositoryName> = candidates
        .into_iter()
        .filter(|from| call.service.auth.allows(call.caller, from, Action::Pull))
        .collect();
    let (to, wanted) = (name.clone(), digest.clone());
    let mount = move |service: &Service| service.store.mount_blob(&to, &wanted, &readable);
    let mounted = call.service.blocking(mount).await?;
    Ok(mounted.then(|| created(name, &digest)))
}

/// end-5: adds a chunk, or a stream.
pub(super) async fn patch(
    call: &Call<'_>,
    name: RepositoryName,
    id: &str,
    body: &mut Body,
) -> Result<Response, Error> {
    let guard = open(call, &name, id).await?;
    let range = chunk_range(call.incoming, &name, &guard)?;
    let guard = receive_chunk(call, guard, range, body).await?;
    let headers = session_headers(location(&name, id), id, guard.offset());
    Ok(empty(StatusCode::ACCEPTED, &headers))
}

/// end-6: finishes a session, with its last chunk if there is a body.
pub(super) async fn put(
    call: &Call<'_>,
    name: RepositoryName,
    id: &str,
    body: &mut Body,
) -> Result<Response, Error> {
    let mut guard = open(call, &name, id).await?;
    let digest: Digest = call
        .incoming
        .query("digest")
        .ok_or(Error::DigestMissing)?
        .parse()?;
    guard.announce(digest.algorithm());
    if !call.incoming.has_no_body(body) {
        let range = chunk_range(call.incoming, &name, &guard)?;
        guard = receive_chunk(call, guard, range, body).await?;
    }
    finish(call.service, guard, name, digest).await
}

/// end-13: how much was received.
pub(super) async fn status(
    call: &Call<'_>,
    name: RepositoryName,
    id: &str,
) -> Result<Response, Error> {
    let guard = open(call, &name, id).await?;
    let headers = session_headers(location(&name, id), id, guard.offset());
    Ok(empty(StatusCode::NO_CONTENT, &headers[..3]))
}

/// end-14: ends a session.
pub(super) async fn cancel(
    call: &Call<'_>,
    name: RepositoryName,
    id: &str,
) -> Result<Response, Error> {
    let mut guard = open(call, &name, id).await?;
    let discard = move |service: &Service| {
        service.uploads.discard(&service.store.layout, &mut guard);
        Ok(())
    };
    call.service.blocking(discard).await?;
    Ok(empty::<&str>(StatusCode::NO_CONTENT, &[]))
}

/// The session, once no other request is in it.
async fn open(call: &Call<'_>, name: &RepositoryName, id: &str) -> Result<Guard, Error> {
    let session = call.service.uploads.find(name, id, call.service.now())?;
    let guard = session.lock_owned().await;
    guard.check_open()?;
    Ok(guard)
}

/// Length of the chunk as Content-Range says, if it does; refused unless it starts at the offset.
fn chunk_range(
    incoming: &Incoming,
    name: &RepositoryName,
    session: &Session,
) -> Result<Option<u64>, Error> {
    let Some(value) = incoming.parts.headers.get(header::CONTENT_RANGE) else {
        return Ok(None);
    };
    let refused = || Error::UploadOutOfOrder {
        location: location(name, &session.id().to_string()),
        offset: session.offset(),
    };
    let (start, end) = value
        .to_str()
        .ok()
        .and_then(read_chunk_range)
        .ok_or_else(refused)?;
    if start != session.offset() {
        return Err(refused());
    }
    let declared = end - start + 1;
    match incoming.content_length() {
        Some(received) if received != declared => Err(Error::SizeMismatch { declared, received }),
        _ => Ok(Some(declared)),
    }
}

/// `0-1023`; also `bytes 0-1023/2048`, which some clients take from the other Content-Range.
fn read_chunk_range(value: &str) -> Option<(u64, u64)> {
    let value = value.trim();
    let value = value.strip_prefix("bytes ").unwrap_or(value);
    let value = value.split_once('/').map_or(value, |(range, _)| range);
    let (start, end) = value.split_once('-')?;
    let number = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    };
    let (start, end): (u64, u64) = (number(start)?, number(end)?);
    (start <= end && end < u64::MAX).then_some((start, end))
}

async fn receive_chunk(
    call: &Call<'_>,
    guard: Guard,
    declared: Option<u64>,
    body: &mut Body,
) -> Result<Guard, Error> {
    let place = guard.place();
    let before = guard.offset();
    let (mut guard, received) = receive(call.service, guard, body).await?;
    let received_bytes = guard.offset() - before;
    let refused = match (received, declared) {
        (Ok(()), Some(declared)) if declared != received_bytes => Error::SizeMismatch {
            declared,
            received: received_bytes,
        },
        (Err(error @ Error::BlobTooLarge { .. }), _) => error,
        (Ok(()), _) => return Ok(guard),
        // The client can go on where it stopped.
        (Err(error), _) => return Err(error),
    };
    call.service
        .blocking(move |_| guard.return_to(place))
        .await?;
    Err(refused)
}

/// Receives a body into the session. What was written stays, whatever happens after.
async fn receive(
    service: &Arc<Service>,
    guard: Guard,
    body: &mut Body,
) -> Result<(Guard, Result<(), Error>), Error> {
    let limit = service.config.blob_bytes_max;
    let mut total = guard.offset();
    let mut idle = Some(guard);
    let mut writing: Option<JoinHandle<(Guard, Result<(), Error>)>> = None;
    let (mut pieces, mut collected) = (Vec::new(), 0);
    let ended = loop {
        let piece = match next_piece(body).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        total += piece.len() as u64;
        if total > limit {
            break Err(Error::BlobTooLarge { bytes_max: limit });
        }
        collected += piece.len();
        pieces.push(piece);
        if collected >= PIECE {
            let (guard, written) = settle(&mut idle, &mut writing).await?;
            if written.is_err() {
                return Ok((guard, written));
            }
            writing = Some(write(guard, std::mem::take(&mut pieces)));
            collected = 0;
        }
    };
    let (guard, written) = settle(&mut idle, &mut writing).await?;
    if written.is_err() || pieces.is_empty() {
        return Ok((guard, written.and(ended)));
    }
    let (guard, written) = joined(write(guard, pieces).await)?;
    Ok((guard, written.and(ended)))
}

/// The session, after the write that is under way if there is one.
async fn settle(
    idle: &mut Option<Guard>,
    writing: &mut Option<JoinHandle<(Guard, Result<(), Error>)>>,
) -> Result<(Guard, Result<(), Error>), Error> {
    match (idle.take(), writing.take()) {
        (Some(guard), _) => Ok((guard, Ok(()))),
        (None, Some(writing)) => joined(writing.await),
        (None, None) => Err(Error::BlobUploadUnknown),
    }
}

fn joined<T>(result: Result<T, tokio::task::JoinError>) -> Result<T, Error> {
    result.map_err(|error| Error::Internal(error.into()))
}

fn write(mut guard: Guard, pieces: Vec<Bytes>) -> JoinHandle<(Guard, Result<(), Error>)> {
    tokio::task::spawn_blocking(move || {
        let written = guard.append(&pieces);
        (guard, written)
    })
}

/// Checks the digest, and makes the blob durable and visible. The session is over either way.
async fn finish(
    service: &Arc<Service>,
    mut guard: Guard,
    name: RepositoryName,
    digest: Digest,
) -> Result<Response, Error> {
    let response = created(&name, &digest);
    let commit = move |service: &Service| {
        let layout = &service.store.layout;
        let actual = guard.digest(digest.algorithm())?;
        if actual != digest {
            service.uploads.discard(layout, &mut guard);
            return Err(Error::DigestMismatch {
                expected: digest,
                actual,
            });
        }
        let committed = guard
            .file()
            .and_then(|(file, path)| service.store.commit_blob(&name, &digest, file, path));
        // Also after a failure: the file may have its final name by now, and must not grow.
        service.uploads.discard(layout, &mut guard);
        committed?;
        service.pushed.blobs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    };
    service.blocking(commit).await?;
    Ok(response)
}

fn location(name: &RepositoryName, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

fn session_headers(location: String, id: &str, offset: u64) -> [(HeaderName, String); 4] {
    [
        (header::LOCATION, location),
        (header::RANGE, upload_range(offset)),
        (UPLOAD_ID, id.to_owned()),
        (header::CONTENT_LENGTH, "0".to_owned()),
    ]
}

fn created(name: &RepositoryName, digest: &Digest) -> Response {
    let headers = [
        (header::LOCATION, format!("/v2/{name}/blobs/{digest}")),
        (CONTENT_DIGEST, digest.to_string()),
        (header::CONTENT_LENGTH, "0".to_owned()),
    ];
    empty(StatusCode::CREATED, &headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_ranges_have_no_unit_but_may() {
        for value in ["0-9", " 0-9 ", "bytes 0-9/20", "bytes 0-9/*", "0-9/20"] {
            assert_eq!(read_chunk_range(value), Some((0, 9)), "{value}");
        }
        for value in [
            "",
            "-",
            "9-0",
            "a-b",
            "0-",
            "-9",
            "bytes=0-9",
            "+0-9",
            "0-18446744073709551615",
        ] {
            assert_eq!(read_chunk_range(value), None, "{value}");
        }
    }
}
