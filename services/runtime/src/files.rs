//! Durable files: what these functions have written is there after a power cut.
//!
//! A new content always goes to a temporary name in the same directory, is fdatasynced, renamed, and the
//! directory is fsynced (RELIABILITY P1). A failed fsync is returned as an error and must never be
//! retried on the same file (P7).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Files that are fdatasynced at the same time at most.
const SYNCS_MAX: usize = 8;

static TEMPORARY: AtomicU64 = AtomicU64::new(0);

/// Written while directories are made and not yet durable: whoever reads finds only those that are.
static MAKING: RwLock<()> = RwLock::new(());

/// Makes `dir` and its parents with mode 0700, and fsyncs the parents that were made. When it returns, a
/// directory that another thread was making meanwhile is durable too.
///
/// # Errors
/// Those of the file system.
pub fn create_dirs(dir: &Path) -> io::Result<()> {
    {
        let _none_is_made = MAKING.read().unwrap_or_else(PoisonError::into_inner);
        if dir.is_dir() {
            return Ok(());
        }
    }
    let _making = MAKING.write().unwrap_or_else(PoisonError::into_inner);
    make_dirs(dir)
}

fn make_dirs(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    let parent = parent(dir);
    if parent != Path::new(".") {
        make_dirs(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        // Another process was faster, and may not have synced it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // A directory that may be gone after a power cut must not be found by the next caller.
    sync_dir(parent).inspect_err(|_| {
        let _ = fs::remove_dir(dir);
    })
}

/// Fsyncs a directory, so that names made or removed in it stay so.
///
/// # Errors
/// Those of the file system.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Puts `bytes` at `path`, replacing what is there. Readers see the old or the new content, never a part.
///
/// # Errors
/// Those of the file system; then `path` is as it was, or has the new content but is not yet durable.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace_with_mode(path, bytes, 0o600)
}

/// [`replace`] with the given permission bits.
///
/// # Errors
/// As [`replace`].
#[expect(clippy::disallowed_methods, reason = "this is the durable rename")]
pub fn replace_with_mode(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, mode)?;
    if let Err(error) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_dir(parent(path))
}

/// [`replace`] without waiting for the name: after a power cut the old content may be back, but never a
/// part of either.
///
/// # Errors
/// As [`replace`].
#[expect(clippy::disallowed_methods, reason = "this is the durable rename")]
pub fn publish(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, 0o600)?;
    fs::rename(&temporary, path).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Writes `bytes` over the start of `path`, durable when it returns. A crash meanwhile may leave any
/// mixture of old and new, and what was longer keeps its end: for content that carries its own length and
/// digest.
///
/// # Errors
/// Those of the file system.
pub fn overwrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let open = |create| {
        OpenOptions::new()
            .write(true)
            .truncate(false)
            .create_new(create)
            .mode(0o600)
            .open(path)
    };
    let (mut file, is_new) = match open(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => (open(true)?, true),
        other => (other?, false),
    };
    file.write_all(bytes)?;
    file.sync_data()?;
    if is_new {
        sync_dir(parent(path))
    } else {
        Ok(())
    }
}

/// Puts `bytes` at `path` if nothing is there.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is, whatever its content; those of the file system.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = write_temporary(path, bytes, 0o600)?;
    // A hard link refuses an existing name, which rename does not.
    let linked = fs::hard_link(&temporary, path);
    let _ = fs::remove_file(&temporary);
    linked?;
    sync_dir(parent(path))
}

/// [`write_new`] of several files with fewer waits: all contents are made durable before the first name
/// appears, and each directory is fsynced once. After a failure any of the names may be there, whole.
///
/// # Errors
/// As [`write_new`], with the position of the file that failed.
pub fn write_all_new(files: &[(PathBuf, &[u8])]) -> Result<(), (usize, io::Error)> {
    let mut temporaries = Vec::with_capacity(files.len());
    let outcome = link_all(files, &mut temporaries);
    for (temporary, _) in &temporaries {
        let _ = fs::remove_file(temporary);
    }
    outcome
}

fn link_all(
    files: &[(PathBuf, &[u8])],
    temporaries: &mut Vec<(PathBuf, File)>,
) -> Result<(), (usize, io::Error)> {
    let at = |at: usize| move |error| (at, error);
    for (number, (path, bytes)) in files.iter().enumerate() {
        let temporary = temporary_name(path);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(at(number))?;
        let written = file.write_all(bytes);
        temporaries.push((temporary, file));
        written.map_err(at(number))?;
    }
    sync_all(temporaries)?;
    for (number, ((path, _), (temporary, _))) in files.iter().zip(temporaries.iter()).enumerate() {
        fs::hard_link(temporary, path).map_err(at(number))?;
    }
    let mut synced: Vec<&Path> = Vec::new();
    for (number, (path, _)) in files.iter().enumerate() {
        let dir = parent(path);
        if !synced.contains(&dir) {
            sync_dir(dir).map_err(at(number))?;
            synced.push(dir);
        }
    }
    Ok(())
}

/// Fdatasyncs all files at the same time, so that a file system with a journal commits once.
fn sync_all(temporaries: &[(PathBuf, File)]) -> Result<(), (usize, io::Error)> {
    for (start, some) in (0..).step_by(SYNCS_MAX).zip(temporaries.chunks(SYNCS_MAX)) {
        std::thread::scope(|scope| {
            let rest = some.iter().enumerate().skip(1);
            let syncs: Vec<_> = rest
                .map(|(at, (_, file))| scope.spawn(move || (at, file.sync_data())))
                .collect();
            let first = (0, some[0].1.sync_data());
            let joined = syncs
                .into_iter()
                .map(|sync| sync.join().expect("a system call does not panic"));
            for (at, outcome) in std::iter::once(first).chain(joined) {
                outcome.map_err(|error| (start + at, error))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The first `bytes_max` bytes of `path`, or `None` when there is no such file.
///
/// # Errors
/// Those of the file system.
pub fn read_start(path: &Path, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::with_capacity(bytes_max);
            file.take(bytes_max as u64).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The content of `path`, or `None` when there is no such file.
///
/// # Errors
/// Those of the file system.
pub fn read_optional(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match File::open(path) {
        Ok(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A name beside `path` for a file that is not finished: `.NAME.PID-N.tmp`.
#[must_use]
pub fn temporary_name(path: &Path) -> PathBuf {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let number = TEMPORARY.fetch_add(1, Ordering::Relaxed);
    parent(path).join(format!(".{name}.{}-{number}.tmp", std::process::id()))
}

/// Whether a file name is one that [`temporary_name`] made.
#[must_use]
pub fn is_temporary(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

fn write_temporary(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let temporary = temporary_name(path);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_data()));
    match written {
        Ok(()) => Ok(temporary),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// A lock on `dir` that a second process cannot have; it ends with the process.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

impl DirLock {
    /// Takes the lock at `dir/lock` without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    pub fn take(dir: &Path) -> io::Result<Self> {
        create_dirs(dir)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(error) => Err(error.into()),
        }
    }
}
