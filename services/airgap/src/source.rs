//! Opens a directory or a tar, plain or compressed, and reads all of it once.

use std::{
    fs::{self, File},
    io::{self, BufReader, Chain, Cursor, Read, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Error, ImportOptions, Limits, OnProgress, Phase,
    archive::{Archive, Inspector},
    content::{CHUNK, Content},
    progress::Meter,
    tar_reader::{self, Kind, ReadError, TarReader},
};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Decompressed bytes for which no ratio is asked: small archives of small files are mostly headers.
const RATIO_FREE_BYTES: u64 = 16 << 20;

/// Folders below each other in a directory layout; real ones have three levels.
const LEVELS_MAX: usize = 16;

/// The files of the archive at `path`, each digest checked.
pub(crate) fn open(
    path: &Path,
    options: &ImportOptions,
    progress: &OnProgress,
) -> Result<Archive, Error> {
    let metadata = fs::metadata(path).map_err(Error::file("open", path))?;
    if metadata.is_dir() {
        return directory(path, &options.limits, progress);
    }
    let mut file = File::open(path).map_err(Error::file("open", path))?;
    let mut start = Vec::new();
    Read::by_ref(&mut file)
        .take(512)
        .read_to_end(&mut start)
        .map_err(Error::file("read", path))?;
    let meter = Meter::new(progress, Phase::Verify, metadata.len());
    let tar = Tar {
        path,
        limits: &options.limits,
        meter: &meter,
    };
    let is_tar = is_tar(&start);
    let kept = file.try_clone().map_err(Error::file("read", path))?;
    let watched = Watched {
        // What was looked at is read again: a pipe cannot go back.
        reader: Cursor::new(start.clone()).chain(file),
        meter: meter.clone(),
    };
    let watched = BufReader::with_capacity(CHUNK, watched);
    if start.starts_with(GZIP) {
        tar.unpacked(flate2::read::MultiGzDecoder::new(watched), options)
    } else if start.starts_with(ZSTD) {
        let decoder = zstd::stream::read::Decoder::with_buffer(watched).map_err(|source| {
            Error::Compression {
                path: path.to_owned(),
                source,
            }
        })?;
        tar.unpacked(decoder, options)
    } else if is_tar && metadata.is_file() {
        tar.read(watched, Arc::new(kept), false)
    } else if is_tar {
        tar.unpacked(watched, options)
    } else {
        Err(Error::NotAnArchive {
            path: path.to_owned(),
        })
    }
}

/// A first header with a checksum that fits, or magic; then the reader says what is wrong with it.
fn is_tar(start: &[u8]) -> bool {
    let has_magic = start.get(257..262) == Some(b"ustar");
    let old_checksum = start.get(148..156).is_some_and(|field| {
        let digits = field.iter().filter(|byte| byte.is_ascii_digit()).count();
        digits > 3
            && field
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'7' | b' ' | 0))
    });
    has_magic || old_checksum
}

struct Tar<'a> {
    path: &'a Path,
    limits: &'a Limits,
    meter: &'a Meter,
}

impl Tar<'_> {
    /// Unpacks to one nameless file, so that its parts can be read again.
    fn unpacked(&self, decoder: impl Read, options: &ImportOptions) -> Result<Archive, Error> {
        let scratch = match &options.scratch_dir {
            Some(dir) => tempfile::tempfile_in(dir).map_err(Error::file("write", dir))?,
            None => tempfile::tempfile()
                .map_err(Error::file("write", "the directory for temporary files"))?,
        };
        let copy = scratch
            .try_clone()
            .map_err(Error::file("write", "the scratch file"))?;
        let tee = Tee {
            decoder,
            copy,
            written: 0,
            ratio_max: self.limits.ratio_max,
            meter: self.meter.clone(),
        };
        let stream = BufReader::with_capacity(CHUNK, tee);
        self.read(stream, Arc::new(scratch), true)
    }

    fn read(
        &self,
        stream: impl Read,
        file: Arc<File>,
        is_compressed: bool,
    ) -> Result<Archive, Error> {
        let name = |error| match error {
            ReadError::Rule(error) => error,
            ReadError::Io(error) if is_compressed => self.unpacking_error(error),
            ReadError::Io(error) => Error::file("read", self.path)(error),
        };
        let mut reader = TarReader::new(stream, self.limits);
        let mut archive = Archive::default();
        while let Some(member) = reader.next().map_err(name)? {
            match &member.kind {
                Kind::Directory => {}
                Kind::Symlink(target) => archive.link(member.name.clone(), target)?,
                Kind::File => {
                    self.meter.item(&member.name);
                    let mut inspector = Inspector::new(&member.name)?;
                    reader
                        .data(&member, |bytes| inspector.update(bytes))
                        .map_err(name)?;
                    let (offset, size) = (member.offset, member.size);
                    let content = Content::Part {
                        file: file.clone(),
                        offset,
                        size,
                    };
                    archive.insert(member.name, inspector.finish(content)?)?;
                }
            }
        }
        Ok(archive)
    }
}

impl Tar<'_> {
    /// Tells a full disk and a bomb from a damaged archive.
    fn unpacking_error(&self, error: io::Error) -> Error {
        let path = self.path.to_owned();
        match error.downcast::<TeeError>() {
            Ok(TeeError::Scratch(source)) => Error::file("write", "the scratch file")(source),
            Ok(TeeError::Ratio) => Error::CompressionRatio {
                path,
                ratio_max: self.limits.ratio_max,
            },
            Err(source) => Error::Compression { path, source },
        }
    }
}

/// Counts what is read of the file.
struct Watched {
    reader: Chain<Cursor<Vec<u8>>, File>,
    meter: Meter,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// Writes what it reads to another file, as long as it does not become absurdly more than was read.
struct Tee<R> {
    decoder: R,
    copy: File,
    written: u64,
    ratio_max: u64,
    meter: Meter,
}

/// What goes wrong beside the decoder.
#[derive(Debug, thiserror::Error)]
enum TeeError {
    #[error("the scratch file cannot be written")]
    Scratch(#[source] io::Error),
    #[error("too much comes out")]
    Ratio,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.written += read as u64;
        let allowed = self.meter.done().saturating_mul(self.ratio_max);
        if self.written > allowed.saturating_add(RATIO_FREE_BYTES) {
            return Err(io::Error::other(TeeError::Ratio));
        }
        self.copy
            .write_all(&buffer[..read])
            .map_err(|error| io::Error::other(TeeError::Scratch(error)))?;
        Ok(read)
    }
}

fn directory(path: &Path, limits: &Limits, progress: &OnProgress) -> Result<Archive, Error> {
    // Asked first, so that a mistyped path does not read a whole disk.
    if !path.join("index.json").exists() && !path.join("manifest.json").exists() {
        return Err(Error::NotAnArchive {
            path: path.to_owned(),
        });
    }
    let files = list(path, limits)?;
    let meter = Meter::new(
        progress,
        Phase::Verify,
        files.iter().map(|file| file.2).sum(),
    );
    let mut archive = Archive::default();
    let mut buffer = vec![0; CHUNK];
    for (name, path, size) in files {
        meter.item(&name);
        let mut inspector = Inspector::new(&name)?;
        let content = Content::File {
            path: path.clone().into(),
            size,
        };
        let mut reader = content.reader().map_err(Error::file("open", &path))?;
        let mut left = size;
        while left > 0 {
            let read = reader
                .read(&mut buffer)
                .map_err(Error::file("read", &path))?;
            if read == 0 {
                return Err(Error::Truncated { entry: name });
            }
            inspector.update(&buffer[..read]);
            meter.add(read as u64);
            left -= read as u64;
        }
        archive.insert(name, inspector.finish(content)?)?;
    }
    Ok(archive)
}

/// Name, path and size of every file, in the order of names. Links are refused and not followed.
fn list(root: &Path, limits: &Limits) -> Result<Vec<(String, PathBuf, u64)>, Error> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), root.to_owned(), 0)];
    let (mut entries, mut bytes) = (0, 0_u64);
    while let Some((prefix, folder, level)) = folders.pop() {
        let listing = fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
        for entry in listing {
            let entry = entry.map_err(Error::file("read", &folder))?;
            entries += 1;
            if entries > limits.entries_max {
                return Err(Error::TooManyEntries {
                    entries_max: limits.entries_max,
                });
            }
            let path = entry.path();
            let raw = [prefix.as_bytes(), entry.file_name().as_encoded_bytes()].concat();
            let name = tar_reader::check_name(&raw)?;
            let metadata = fs::symlink_metadata(&path).map_err(Error::file("read", &path))?;
            let kind = metadata.file_type();
            if kind.is_dir() && level < LEVELS_MAX {
                folders.push((format!("{name}/"), path, level + 1));
            } else if kind.is_symlink() {
                return Err(Error::Link { entry: name });
            } else if !kind.is_file() {
                return Err(Error::SpecialFile { entry: name });
            } else {
                let (size, size_max) = (metadata.len(), limits.entry_bytes_max);
                if size > size_max {
                    return Err(Error::EntryTooLarge {
                        entry: name,
                        size,
                        size_max,
                    });
                }
                bytes += size;
                files.push((name, path, size));
            }
        }
    }
    if bytes > limits.bytes_max {
        return Err(Error::TooLarge {
            bytes_max: limits.bytes_max,
        });
    }
    files.sort();
    Ok(files)
}
