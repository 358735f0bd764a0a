//! Opens a directory or a tar, plain or compressed, and reads all of it once.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek as _, SeekFrom, Write as _},
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
        .and_then(|_| file.seek(SeekFrom::Start(0)))
        .map_err(Error::file("read", path))?;
    let meter = Meter::new(progress, Phase::Verify, metadata.len());
    let tar = Tar {
        path,
        limits: &options.limits,
        meter: &meter,
    };
    if start.starts_with(GZIP) {
        let watched = tar.watch(file);
        tar.compressed(flate2::read::MultiGzDecoder::new(watched), options)
    } else if start.starts_with(ZSTD) {
        let watched = tar.watch(file);
        let decoder = zstd::stream::read::Decoder::with_buffer(watched).map_err(|source| {
            Error::Compression {
                path: path.to_owned(),
                source,
            }
        })?;
        tar.compressed(decoder, options)
    } else if is_tar(&start) {
        let kept = file.try_clone().map_err(Error::file("read", path))?;
        tar.read(tar.watch(file), Arc::new(kept), false)
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
    fn watch(&self, file: File) -> BufReader<Watched> {
        BufReader::with_capacity(
            CHUNK,
            Watched {
                file,
                meter: self.meter.clone(),
            },
        )
    }

    /// Unpacks to one nameless file, so that its parts can be read again.
    fn compressed(&self, decoder: impl Read, options: &ImportOptions) -> Result<Archive, Error> {
        let scratch = match &options.scratch_dir {
            Some(dir) => tempfile::tempfile_in(dir).map_err(Error::file("write", dir))?,
            None => tempfile::tempfile()
                .map_err(Error::file("write", "the directory for temporary files"))?,
        };
        let copy = scratch
            .try_clone()
            .map_err(Error::file("write", "the scratch file"))?;
        let tee = Tee { decoder, copy };
        self.read(
            BufReader::with_capacity(CHUNK, tee),
            Arc::new(scratch),
            true,
        )
    }

    fn read(
        &self,
        stream: impl Read,
        file: Arc<File>,
        is_compressed: bool,
    ) -> Result<Archive, Error> {
        let name = |error| match error {
            ReadError::Rule(error) => error,
            ReadError::Io(error) if is_compressed => match scratch_error(error) {
                Ok(error) => Error::file("write", "the scratch file")(error),
                Err(source) => Error::Compression {
                    path: self.path.to_owned(),
                    source,
                },
            },
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

/// Counts what is read of the file.
struct Watched {
    file: File,
    meter: Meter,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.meter.add(read as u64);
        Ok(read)
    }
}

/// Writes what it reads to another file.
struct Tee<R> {
    decoder: R,
    copy: File,
}

#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct ScratchError(io::Error);

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.decoder.read(buffer)?;
        self.copy
            .write_all(&buffer[..read])
            .map_err(|error| io::Error::other(ScratchError(error)))?;
        Ok(read)
    }
}

/// Tells a full disk from a damaged archive.
fn scratch_error(error: io::Error) -> Result<io::Error, io::Error> {
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<ScratchError>())
    {
        let inner = error.into_inner().expect("looked at above");
        Ok(inner.downcast::<ScratchError>().expect("looked at above").0)
    } else {
        Err(error)
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
