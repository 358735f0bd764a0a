//! Bytes of an archive that can be read any number of times, without holding them in memory.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt as _,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use futures::{Stream, stream};

/// Bytes read at once.
pub(crate) const CHUNK: usize = 256 << 10;

/// Where some bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// In memory: a manifest that was made here.
    Memory(Bytes),
    /// A whole file.
    File { path: Arc<Path>, size: u64 },
    /// A part of an open file.
    Part {
        file: Arc<File>,
        offset: u64,
        size: u64,
    },
}

impl Content {
    pub(crate) fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { size, .. } | Self::Part { size, .. } => *size,
        }
    }

    /// A reader of its own position.
    pub(crate) fn reader(&self) -> io::Result<ContentReader> {
        let (source, offset) = match self {
            Self::Memory(bytes) => (Source::Memory(bytes.clone()), 0),
            Self::File { path, .. } => (Source::File(Arc::new(File::open(path)?)), 0),
            Self::Part { file, offset, .. } => (Source::File(file.clone()), *offset),
        };
        Ok(ContentReader {
            source,
            position: offset,
            left: self.size(),
        })
    }

    /// All of it. The caller has compared [`Self::size`] with a limit.
    pub(crate) fn read(&self) -> io::Result<Bytes> {
        if let Self::Memory(bytes) = self {
            return Ok(bytes.clone());
        }
        let mut bytes = Vec::new();
        self.reader()?.read_to_end(&mut bytes)?;
        if bytes.len() as u64 == self.size() {
            Ok(bytes.into())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// All of it in pieces, read away from the reactor.
    pub(crate) fn stream(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let content = self.clone();
        stream::try_unfold(
            (content, None::<ContentReader>),
            |(content, reader)| async move {
                let work = move || {
                    let mut reader = match reader {
                        Some(reader) => reader,
                        None => content.reader()?,
                    };
                    let chunk = reader.chunk()?;
                    Ok((!chunk.is_empty()).then_some((chunk, (content, Some(reader)))))
                };
                tokio::task::spawn_blocking(work)
                    .await
                    .map_err(io::Error::other)?
            },
        )
    }
}

#[derive(Debug)]
enum Source {
    Memory(Bytes),
    File(Arc<File>),
}

/// Reads a [`Content`] from its start to its end.
#[derive(Debug)]
pub(crate) struct ContentReader {
    source: Source,
    position: u64,
    left: u64,
}

impl ContentReader {
    /// The next piece; empty at the end. A file that became shorter is an error.
    fn chunk(&mut self) -> io::Result<Bytes> {
        if self.left == 0 {
            return Ok(Bytes::new());
        }
        let wanted = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        let mut buffer = vec![0; wanted];
        let read = self.read(&mut buffer)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.truncate(read);
        Ok(buffer.into())
    }
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = match &self.source {
            Source::Memory(bytes) => {
                let start = usize::try_from(self.position).expect("memory is addressed by usize");
                buffer[..wanted].copy_from_slice(&bytes[start..start + wanted]);
                wanted
            }
            Source::File(file) => file.read_at(&mut buffer[..wanted], self.position)?,
        };
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
