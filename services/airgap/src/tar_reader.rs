//! Reads a tar from front to back and trusts nothing in it: every name, kind and size is checked, and
//! nothing is ever unpacked to a path.

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::{Error, Limits};

const BLOCK: usize = 512;

/// Bytes of a GNU long name or a PAX header. Names are shorter than [`NAME_BYTES_MAX`]; the rest of a
/// PAX header is times and owners.
const EXTENSION_BYTES_MAX: u64 = 64 << 10;

/// Bytes of an entry's name; the longest real one is `blobs/sha512/` and 128 digits.
pub(crate) const NAME_BYTES_MAX: usize = 1024;

/// Zeros after the end marker; tars are padded to records of 10 KiB, some tools use larger ones.
const PADDING_BYTES_MAX: u64 = 1 << 20;

/// What an entry is. Everything else is refused.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A symbolic link and where it points: only legacy archives of docker images have them.
    Symlink(String),
}

/// One entry; its data follows in the reader.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// Where the data starts in the decompressed archive.
    pub(crate) offset: u64,
}

/// The reader.
pub(crate) struct TarReader<R> {
    inner: R,
    offset: u64,
    limits: Limits,
    entries: usize,
}

/// What extension headers say about the entry after them.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl<R: Read> TarReader<R> {
    pub(crate) fn new(inner: R, limits: &Limits) -> Self {
        Self {
            inner,
            offset: 0,
            limits: limits.clone(),
            entries: 0,
        }
    }

    /// The next entry, or `None` after the end marker. The previous entry's data must have been read
    /// with [`Self::data`].
    pub(crate) fn next(&mut self) -> Result<Option<Member>, ReadError> {
        let mut extension = Extension::default();
        loop {
            let start = self.offset;
            let block = self.block("end of archive")?;
            if block.iter().all(|byte| *byte == 0) {
                self.finish(start)?;
                return Ok(None);
            }
            self.entries += 1;
            if self.entries > self.limits.entries_max {
                let entries_max = self.limits.entries_max;
                return Err(Error::TooManyEntries { entries_max }.into());
            }
            let header = Header::from_byte_slice(&block);
            check_header(header, start)?;
            let size = header.entry_size().map_err(|_| Error::Header {
                offset: start,
                field: "size",
            })?;
            match header.entry_type() {
                EntryType::GNULongName => extension.name = Some(self.extension(size, start)?),
                EntryType::GNULongLink => extension.link = Some(self.extension(size, start)?),
                EntryType::XHeader => {
                    let records = self.extension(size, start)?;
                    extension.read_pax(&records, start)?;
                }
                EntryType::XGlobalHeader => drop(self.extension(size, start)?),
                kind => return self.member(header, kind, size, extension, start).map(Some),
            }
        }
    }

    fn member(
        &self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extension: Extension,
        start: u64,
    ) -> Result<Member, ReadError> {
        let raw = extension
            .name
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let name = check_name(&raw)?;
        let size = extension.size.unwrap_or(size);
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous if raw.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => {
                let target = extension
                    .link
                    .or_else(|| header.link_name_bytes().map(|bytes| bytes.into_owned()))
                    .and_then(|bytes| String::from_utf8(bytes).ok());
                Kind::Symlink(target.ok_or_else(|| Error::Link {
                    entry: name.clone(),
                })?)
            }
            EntryType::Link => return Err(Error::Link { entry: name }.into()),
            _ => return Err(Error::SpecialFile { entry: name }.into()),
        };
        if kind != Kind::File && size != 0 {
            return Err(Error::Header {
                offset: start,
                field: "size",
            }
            .into());
        }
        let size_max = self.limits.entry_bytes_max;
        if size > size_max {
            return Err(Error::EntryTooLarge {
                entry: name,
                size,
                size_max,
            }
            .into());
        }
        self.check_total(size)?;
        Ok(Member {
            name,
            kind,
            size,
            offset: self.offset,
        })
    }

    /// Reads the data of `member` in pieces, and the padding after it.
    pub(crate) fn data(
        &mut self,
        member: &Member,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        let mut buffer = vec![0; crate::content::CHUNK];
        let mut left = member.size;
        while left > 0 {
            let wanted = usize::try_from(left)
                .unwrap_or(buffer.len())
                .min(buffer.len());
            self.fill(&mut buffer[..wanted], &member.name)?;
            take(&buffer[..wanted]);
            left -= wanted as u64;
        }
        self.padding(member.size, &member.name)
    }

    fn padding(&mut self, size: u64, entry: &str) -> Result<(), ReadError> {
        let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
        if over > 0 {
            let mut rest = [0; BLOCK];
            self.fill(&mut rest[over..], entry)?;
        }
        Ok(())
    }

    fn extension(&mut self, size: u64, start: u64) -> Result<Vec<u8>, ReadError> {
        if size > EXTENSION_BYTES_MAX {
            return Err(Error::Header {
                offset: start,
                field: "long name",
            }
            .into());
        }
        let mut bytes = vec![0; usize::try_from(size).expect("a few KiB")];
        self.fill(&mut bytes, "long name")?;
        self.padding(size, "long name")?;
        // GNU names end with a zero byte, PAX records do not.
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }

    fn block(&mut self, entry: &str) -> Result<[u8; BLOCK], ReadError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block, entry)?;
        Ok(block)
    }

    fn fill(&mut self, buffer: &mut [u8], entry: &str) -> Result<(), ReadError> {
        self.check_total(buffer.len() as u64)?;
        match self.inner.read_exact(buffer) {
            Ok(()) => {
                self.offset += buffer.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::Truncated {
                entry: entry.to_owned(),
            }
            .into()),
            Err(error) => Err(ReadError::Io(error)),
        }
    }

    fn check_total(&self, more: u64) -> Result<(), Error> {
        let bytes_max = self.limits.bytes_max;
        if self.offset.saturating_add(more) > bytes_max {
            return Err(Error::TooLarge { bytes_max });
        }
        Ok(())
    }

    /// Reads to the end of the stream, so that its own checksum is checked and nothing hides there.
    fn finish(&mut self, end: u64) -> Result<(), ReadError> {
        let mut buffer = [0; BLOCK];
        let mut padding = 0;
        loop {
            match self.inner.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(read) => {
                    padding += read as u64;
                    let is_zero = buffer[..read].iter().all(|byte| *byte == 0);
                    if !is_zero || padding > PADDING_BYTES_MAX {
                        return Err(Error::TrailingData { offset: end }.into());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    let entry = "end of archive".to_owned();
                    return Err(Error::Truncated { entry }.into());
                }
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
    }
}

impl Extension {
    /// `LENGTH KEY=VALUE\n`, POSIX.1 pax "Extended Header". Keys other than name, link and size are
    /// times and owners, except those that make the file sparse.
    fn read_pax(&mut self, mut records: &[u8], start: u64) -> Result<(), Error> {
        let broken = || Error::Header {
            offset: start,
            field: "extended header",
        };
        while !records.is_empty() {
            let space = records
                .iter()
                .position(|byte| *byte == b' ')
                .ok_or_else(broken)?;
            let length: usize = std::str::from_utf8(&records[..space])
                .ok()
                .and_then(|text| text.parse().ok())
                .filter(|length| *length > space + 1 && *length <= records.len())
                .ok_or_else(broken)?;
            let record = records[space + 1..length]
                .strip_suffix(b"\n")
                .ok_or_else(broken)?;
            let equals = record
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(broken)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => {
                    let text = std::str::from_utf8(value).ok();
                    let size = text.and_then(|text| text.parse().ok()).ok_or_else(broken)?;
                    self.size = Some(size);
                }
                _ if key.starts_with(b"GNU.sparse.") => return Err(broken()),
                _ => {}
            }
            records = &records[length..];
        }
        Ok(())
    }
}

/// An [`Error`], or one of the stream that only the caller can name.
#[derive(Debug)]
pub(crate) enum ReadError {
    Rule(Error),
    Io(io::Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Rule(error)
    }
}

fn check_header(header: &Header, offset: u64) -> Result<(), Error> {
    let bytes = header.as_bytes();
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    if header.cksum().is_ok_and(|written| written == sum) {
        Ok(())
    } else {
        Err(Error::Header {
            offset,
            field: "checksum",
        })
    }
}

/// The name without a leading `./` and a trailing slash; empty for the root directory.
pub(crate) fn check_name(raw: &[u8]) -> Result<String, Error> {
    let lossy = || String::from_utf8_lossy(&raw[..raw.len().min(NAME_BYTES_MAX)]).into_owned();
    if raw.len() > NAME_BYTES_MAX {
        let start = String::from_utf8_lossy(&raw[..64]).into_owned();
        let (length, length_max) = (raw.len(), NAME_BYTES_MAX);
        return Err(Error::NameTooLong {
            start,
            length,
            length_max,
        });
    }
    let text = std::str::from_utf8(raw)
        .ok()
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or_else(|| Error::NameEncoding { entry: lossy() })?;
    if text.starts_with('/') {
        return Err(Error::AbsoluteName {
            entry: text.to_owned(),
        });
    }
    let mut name = text;
    while let Some(rest) = name.strip_prefix("./") {
        name = rest;
    }
    let name = name.strip_suffix('/').unwrap_or(name);
    if matches!(name, "" | ".") && matches!(text, "." | "./") {
        return Ok(String::new());
    }
    if name.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::NameComponent {
            entry: text.to_owned(),
        });
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_archive() {
        for (written, read) in [
            ("a", "a"),
            ("./blobs/sha256/", "blobs/sha256"),
            ("././a/b", "a/b"),
            ("./", ""),
            (".", ""),
            ("a..b/..c", "a..b/..c"),
        ] {
            assert_eq!(check_name(written.as_bytes()).unwrap(), read);
        }
        for name in [
            "..", "../a", "a/../b", "a/..", "a//b", "a/./b", "", "./../a", "a/..",
        ] {
            let error = check_name(name.as_bytes()).unwrap_err();
            assert!(
                matches!(error, Error::NameComponent { .. }),
                "{name}: {error}"
            );
        }
        for name in ["/a", "//a"] {
            let error = check_name(name.as_bytes()).unwrap_err();
            assert!(
                matches!(error, Error::AbsoluteName { .. }),
                "{name}: {error}"
            );
        }
        for name in [b"a\0b".as_slice(), b"a\nb", b"\xff"] {
            assert!(matches!(check_name(name), Err(Error::NameEncoding { .. })));
        }
        let long = vec![b'a'; NAME_BYTES_MAX + 1];
        assert!(matches!(check_name(&long), Err(Error::NameTooLong { .. })));
    }

    #[test]
    fn broken_extended_headers_are_refused() {
        let read = |records: &[u8]| Extension::default().read_pax(records, 0);
        assert!(read(b"12 path=abc\n").is_ok());
        for records in [
            b"12 path=abcd\n".as_slice(),
            b"99 path=abc\n",
            b"3 p\n",
            b"x",
            b"0 path=abc\n",
            b"10 size=x1\n",
            b"22 GNU.sparse.major=1\n",
        ] {
            assert!(
                read(records).is_err(),
                "{}",
                String::from_utf8_lossy(records)
            );
        }
    }
}
