//! Blobs of a repository: streamed down with a check of digest and size, streamed up monolithically.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use oci::{Digest, DigestHasher, RepositoryName};
use reqwest::{
    Body, Method, StatusCode, Url,
    header::{CONTENT_LENGTH, CONTENT_TYPE, RANGE},
};

use super::{
    Remote,
    session::{self, IDLE, TRIES},
};
use crate::{Error, content::Content, progress::Meter};

/// Times that a broken download goes on where it stopped.
const RESUMES_MAX: u32 = 3;

/// Slowest upload that is waited for, bytes per second.
const UPLOAD_RATE_MIN: u64 = 16 << 10;

/// How a blob came into a repository.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Pushed {
    /// It was there.
    Present,
    /// The registry took it from another repository.
    Mounted,
    Uploaded,
}

/// Receives the pieces of a download in order.
pub(crate) trait Sink {
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Remote {
    /// Whether the repository has a blob.
    pub(crate) async fn has_blob(&self, digest: &Digest) -> Result<bool, Error> {
        let url = self.url(&format!("blobs/{digest}"));
        let response = self.session.send(Method::HEAD, &url, &[], None).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            // What some registries redirect they have.
            status if status.is_redirection() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => session::expect(&format!("HEAD {url}"), response, &[StatusCode::OK])
                .await
                .map(|_| true),
        }
    }

    /// Streams a blob into `sink` and checks its size and digest. A broken connection goes on where
    /// it stopped, if the registry can. `false` means that it does not have the blob.
    pub(crate) async fn pull_blob(
        &self,
        digest: &Digest,
        size: u64,
        sink: &mut (impl Sink + Send),
    ) -> Result<bool, Error> {
        let url = self.url(&format!("blobs/{digest}"));
        let request = format!("GET {url}");
        let mut hasher = DigestHasher::new(digest.algorithm());
        let mut done = 0_u64;
        let mut resumes = 0;
        loop {
            let range = (done > 0).then(|| (RANGE, format!("bytes={done}-")));
            let response = self.session.get(&url, range.as_slice()).await?;
            if done == 0 && response.status() == StatusCode::NOT_FOUND {
                return Ok(false);
            }
            let wanted = if done == 0 {
                StatusCode::OK
            } else {
                StatusCode::PARTIAL_CONTENT
            };
            let mut response = session::expect(&request, response, &[wanted]).await?;
            let broken = loop {
                let chunk = match session::chunk(&request, &mut response).await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break None,
                    Err(error) => break Some(error),
                };
                done += chunk.len() as u64;
                if done > size {
                    return Err(self.blob_size(digest, size, done));
                }
                hasher.update(&chunk);
                sink.write(&chunk).await?;
            };
            match broken {
                Some(_) if resumes < RESUMES_MAX && done < size => resumes += 1,
                Some(error) if done < size => return Err(error),
                _ => break,
            }
        }
        if done != size {
            return Err(self.blob_size(digest, size, done));
        }
        let actual = hasher.finish();
        if actual != *digest {
            let (item, expected) = (format!("{}@{digest}", self.name()), digest.clone());
            return Err(Error::DigestMismatch {
                item,
                expected,
                actual,
            });
        }
        Ok(true)
    }

    fn blob_size(&self, digest: &Digest, declared: u64, actual: u64) -> Error {
        let (registry, digest) = (self.name(), digest.clone());
        Error::BlobSize {
            registry,
            digest,
            declared,
            actual,
        }
    }

    /// Pushes a blob unless the repository has it, from another repository if that has it.
    pub(crate) async fn push_blob(
        &self,
        digest: &Digest,
        content: &Content,
        from: Option<&RepositoryName>,
        meter: &Meter,
    ) -> Result<Pushed, Error> {
        if self.has_blob(digest).await? {
            meter.add(content.size());
            return Ok(Pushed::Present);
        }
        let start = match from {
            Some(from) => self.url(&format!("blobs/uploads/?mount={digest}&from={from}")),
            None => self.url("blobs/uploads/"),
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.start_and_upload(&start, digest, content, meter).await {
                // A session that broke is not used again: what it holds is not known.
                Err(Error::Unreachable { .. }) if tries < TRIES => session::pause(tries).await,
                other => return other,
            }
        }
    }

    async fn start_and_upload(
        &self,
        start: &str,
        digest: &Digest,
        content: &Content,
        meter: &Meter,
    ) -> Result<Pushed, Error> {
        let request = format!("POST {start}");
        let response = self
            .session
            .send(Method::POST, start, &[], Some(Bytes::new()))
            .await?;
        let accepted = [StatusCode::CREATED, StatusCode::ACCEPTED];
        let response = session::expect(&request, response, &accepted).await?;
        if response.status() == StatusCode::CREATED {
            meter.add(content.size());
            return Ok(Pushed::Mounted);
        }
        let mut location = session::location(&request, &response)?;
        location
            .query_pairs_mut()
            .append_pair("digest", &digest.to_string());
        self.upload(&location, content, meter).await?;
        Ok(Pushed::Uploaded)
    }

    async fn upload(&self, location: &Url, content: &Content, meter: &Meter) -> Result<(), Error> {
        let size = content.size();
        let build = |http: &reqwest::Client| {
            let counted = Counted {
                meter: meter.clone(),
                counted: 0,
                is_whole: false,
                size,
            };
            let pieces = content.stream().scan(counted, |counted, piece| {
                if let Ok(piece) = &piece {
                    counted.add(piece.len() as u64);
                }
                std::future::ready(Some(piece))
            });
            http.request(Method::PUT, location.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .header(CONTENT_LENGTH, size)
                .body(Body::wrap_stream(pieces))
        };
        let patience = IDLE + Duration::from_secs(size / UPLOAD_RATE_MIN);
        let response = self
            .session
            .send_with(&Method::PUT, location.as_str(), (1, patience), &build)
            .await?;
        let request = format!("PUT {location}");
        session::expect(&request, response, &[StatusCode::CREATED])
            .await
            .map(drop)
    }
}

/// Counts an upload, and takes the count back when the try ends before the end.
struct Counted {
    meter: Meter,
    counted: u64,
    is_whole: bool,
    size: u64,
}

impl Counted {
    fn add(&mut self, more: u64) {
        self.counted += more;
        self.is_whole = self.counted == self.size;
        self.meter.add(more);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.is_whole {
            self.meter.subtract(self.counted);
        }
    }
}
