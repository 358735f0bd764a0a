//! Blobs: pull and delete.

use std::{io, sync::Arc};

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use oci::{Digest, RepositoryName};
use tokio::task::JoinHandle;

use super::{CONTENT_DIGEST, Call, empty, is_cached, with_headers};
use crate::{Error, Service, store::BlobReader};

/// What a digest names never changes.
pub(super) const FOREVER: &str = "max-age=31536000, immutable";

/// end-2: GET and HEAD of a blob.
pub(super) async fn pull(
    call: &Call<'_>,
    name: RepositoryName,
    digest: &str,
) -> Result<Response, Error> {
    let digest: Digest = digest.parse()?;
    let headers = &call.incoming.parts.headers;
    let range = call
        .incoming
        .header(&header::RANGE)
        .filter(|_| range_applies(call, &digest));
    let is_head = call.incoming.parts.method == Method::HEAD;
    let is_cached = is_cached(headers, &digest);
    if is_head || is_cached {
        let asked = digest.clone();
        let blob = call
            .service
            .blocking(move |service| service.store.blob(&name, &asked))
            .await?;
        let status = if is_cached {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        let length = (!is_cached).then_some(blob.size);
        return Ok(empty(status, &blob_headers(&digest, length)));
    }
    let range = range.map(str::to_owned);
    let asked = digest.clone();
    let opened = call
        .service
        .blocking(move |service| open(service, &name, &asked, range.as_deref()));
    let Opened {
        reader,
        first,
        window,
    } = opened.await?;
    let length = window.as_ref().map_or(reader.size, |window| window.length);
    let mut headers = blob_headers(&digest, Some(length)).to_vec();
    let status = match &window {
        Some(Window { start, length }) => {
            let value = format!("bytes {start}-{}/{}", start + length - 1, reader.size);
            headers.push((header::CONTENT_RANGE, value));
            StatusCode::PARTIAL_CONTENT
        }
        None => StatusCode::OK,
    };
    let is_whole = first.len() as u64 == length;
    let body = if is_whole {
        first.into()
    } else {
        streamed(call.service, reader, first)
    };
    Ok(with_headers(status, &headers, body))
}

/// A range counts on GET, unless `If-Range` names another content.
fn range_applies(call: &Call<'_>, digest: &Digest) -> bool {
    let if_range = call.incoming.header(&header::IF_RANGE);
    call.incoming.parts.method == Method::GET
        && if_range.is_none_or(|etag| etag == format!("\"{digest}\""))
}

fn blob_headers(digest: &Digest, length: Option<u64>) -> Vec<(header::HeaderName, String)> {
    let mut headers = vec![
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DIGEST, digest.to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, format!("\"{digest}\"")),
        (header::CACHE_CONTROL, FOREVER.to_owned()),
    ];
    headers.extend(length.map(|length| (header::CONTENT_LENGTH, length.to_string())));
    headers
}

struct Opened {
    reader: BlobReader,
    first: Bytes,
    window: Option<Window>,
}

/// Part of a blob.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Window {
    start: u64,
    length: u64,
}

fn open(
    service: &Service,
    name: &RepositoryName,
    digest: &Digest,
    range: Option<&str>,
) -> Result<Opened, Error> {
    let mut reader = service.store.open_blob(name, digest)?;
    let window = match range {
        Some(range) => read_range(range, reader.size)?,
        None => None,
    };
    let read = |reader: &mut BlobReader| -> io::Result<Bytes> {
        if let Some(Window { start, length }) = window {
            reader.narrow(start, length)?;
        }
        Ok(reader.next_piece()?.unwrap_or_default())
    };
    match read(&mut reader) {
        Ok(first) => Ok(Opened {
            reader,
            first,
            window,
        }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            service.store.quarantine(digest)?;
            Err(Error::BlobUnknown {
                digest: digest.clone(),
            })
        }
        Err(error) => Err(Error::Internal(error.into())),
    }
}

/// One range of RFC 9110 §14.1.2. `None`: serve everything, for other units, several ranges, and what
/// cannot be read.
fn read_range(value: &str, size: u64) -> Result<Option<Window>, Error> {
    let Some((unit, set)) = value.split_once('=') else {
        return Ok(None);
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Ok(None);
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Ok(None);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a u64 has are beyond every blob.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let (start, end) = match (number(first), number(last)) {
        (Some(start), Some(end)) => (start, end),
        (Some(start), None) if last.is_empty() => (start, u64::MAX),
        (None, Some(suffix)) if first.is_empty() => {
            let start = if suffix == 0 {
                size
            } else {
                size.saturating_sub(suffix)
            };
            (start, u64::MAX)
        }
        _ => return Ok(None),
    };
    if start >= size || end < start {
        return Err(Error::RangeNotSatisfiable { size });
    }
    Ok(Some(Window {
        start,
        length: end.min(size - 1) - start + 1,
    }))
}

type Read = JoinHandle<(BlobReader, io::Result<Option<Bytes>>)>;

fn read_on(mut reader: BlobReader) -> Read {
    tokio::task::spawn_blocking(move || {
        let piece = reader.next_piece();
        (reader, piece)
    })
}

/// The first piece and the rest, of which one piece is read ahead. When the content does not have its
/// digest the answer ends before its last piece, which no client takes for the whole.
fn streamed(service: &Arc<Service>, reader: BlobReader, first: Bytes) -> Body {
    let service = service.clone();
    let state = (Some(first), Some(read_on(reader)));
    let pieces = stream::unfold(state, move |(first, reading)| {
        let service = service.clone();
        async move {
            if let Some(first) = first {
                return Some((Ok(first), (None, reading)));
            }
            let (reader, piece) = reading?.await.ok()?;
            match piece {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), (None, Some(read_on(reader))))),
                Err(error) => {
                    let digest = reader.digest.clone();
                    if error.kind() == io::ErrorKind::InvalidData {
                        let _ = service.blocking(move |s| s.store.quarantine(&digest)).await;
                    }
                    Some((Err(error), (None, None)))
                }
            }
        }
    });
    Body::from_stream(pieces)
}

/// end-10: the blob is no longer visible in this repository.
pub(super) async fn delete(
    call: &Call<'_>,
    name: RepositoryName,
    digest: &str,
) -> Result<Response, Error> {
    if !call.service.config.delete {
        return Err(Error::DeleteDisabled);
    }
    let digest: Digest = digest.parse()?;
    call.service
        .blocking(move |service| service.store.delete_blob(&name, &digest))
        .await?;
    Ok(empty(
        StatusCode::ACCEPTED,
        &[(header::CONTENT_LENGTH, "0")],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let window = |start, length| Some(Window { start, length });
        let cases = [
            ("bytes=0-4", window(0, 5)),
            ("bytes=5-", window(5, 5)),
            ("bytes=-3", window(7, 3)),
            ("bytes=-30", window(0, 10)),
            ("bytes=8-99", window(8, 2)),
            ("bytes=0-99999999999999999999999", window(0, 10)),
            ("BYTES=0-0", window(0, 1)),
            ("foo", None),
            ("lines=0-1", None),
            ("bytes=0-1,3-4", None),
            ("bytes=a-b", None),
            ("bytes=--1", None),
        ];
        for (value, expected) in cases {
            assert_eq!(read_range(value, 10).unwrap(), expected, "{value}");
        }
        for (value, size) in [
            ("bytes=10-", 10),
            ("bytes=5-4", 10),
            ("bytes=-0", 10),
            ("bytes=0-", 0),
        ] {
            let error = read_range(value, size).unwrap_err();
            assert!(
                matches!(error, Error::RangeNotSatisfiable { .. }),
                "{value}"
            );
        }
    }
}
