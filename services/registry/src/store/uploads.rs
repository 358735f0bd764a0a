//! Upload sessions: what was received so far, its running digest, and who may go on.
//!
//! Received bytes survive a restart of the process; only finished blobs are promised to survive a
//! power cut.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use oci::{Algorithm, Digest, DigestHasher, RepositoryName};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Layout, Store, layout};
use crate::Error;

/// All open sessions. Who is in this map exists; who is not is unknown.
#[derive(Debug)]
pub(crate) struct Uploads {
    sessions: Mutex<HashMap<Uuid, Entry>>,
    sessions_max: usize,
    idle: SignedDuration,
}

#[derive(Debug)]
struct Entry {
    repository: RepositoryName,
    touched: Timestamp,
    session: Arc<tokio::sync::Mutex<Session>>,
}

/// One upload. Its mutex serialises the requests of a session.
#[derive(Debug)]
pub(crate) struct Session {
    id: Uuid,
    path: PathBuf,
    algorithm: Algorithm,
    /// `None` until the first byte.
    file: Option<File>,
    /// Bytes received.
    offset: u64,
    /// Digest of what was received. `None` when it has to be read from the file first.
    hasher: Option<DigestHasher>,
    /// Finished or cancelled while somebody waited for it.
    gone: bool,
}

/// A point to which a session can be taken back.
#[derive(Debug)]
pub(crate) struct Place {
    offset: u64,
    hasher: Option<DigestHasher>,
}

#[derive(Deserialize, Serialize)]
struct Owner {
    repository: String,
    algorithm: String,
}

impl Uploads {
    /// Finds the sessions that a previous process left. Their idle time starts anew.
    pub(crate) fn open(
        layout: &Layout,
        sessions_max: usize,
        idle: SignedDuration,
        now: Timestamp,
    ) -> io::Result<Self> {
        let mut sessions = HashMap::new();
        for name in layout::names(&layout.uploads())? {
            let Some(id) = name
                .strip_suffix(".json")
                .and_then(|id| id.parse::<Uuid>().ok())
            else {
                let owned = name
                    .parse()
                    .is_ok_and(|id| layout.upload_owner(id).exists());
                if !owned {
                    // A crash between creating or removing the two files of a session.
                    let _ = fs::remove_file(layout.uploads().join(name));
                }
                continue;
            };
            match left_behind(layout, id) {
                Some((repository, session)) => {
                    let session = Arc::new(tokio::sync::Mutex::new(session));
                    sessions.insert(
                        id,
                        Entry {
                            repository,
                            touched: now,
                            session,
                        },
                    );
                }
                None => discard(layout, id),
            }
        }
        Ok(Self {
            sessions: Mutex::new(sessions),
            sessions_max,
            idle,
        })
    }

    /// Starts a session.
    pub(crate) fn start(
        &self,
        store: &Store,
        repository: &RepositoryName,
        algorithm: Algorithm,
    ) -> Result<Uuid, Error> {
        store.check_sound()?;
        let id = Uuid::new_v4();
        let owner = Owner {
            repository: repository.as_str().to_owned(),
            algorithm: algorithm.name().to_owned(),
        };
        let session = Session {
            id,
            path: store.layout.upload(id),
            algorithm,
            file: None,
            offset: 0,
            hasher: Some(DigestHasher::new(algorithm)),
            gone: false,
        };
        let entry = Entry {
            repository: repository.clone(),
            touched: store.now(),
            session: Arc::new(tokio::sync::Mutex::new(session)),
        };
        {
            let mut sessions = self.sessions.lock().expect("no holder panics");
            if sessions.len() >= self.sessions_max {
                return Err(Error::TooManyUploads);
            }
            sessions.insert(id, entry);
        }
        let path = store.layout.upload_owner(id);
        let written = serde_json::to_vec(&owner)
            .map_err(io::Error::from)
            .and_then(|text| {
                OpenOptions::new()
                    .create_new(true)
                    .write(true)
                    .mode(0o600)
                    .open(&path)
                    .and_then(|mut file| file.write_all(&text))
            });
        if let Err(error) = written {
            self.forget(id);
            return Err(Error::storage(error, &path));
        }
        Ok(id)
    }

    /// A session of this repository.
    pub(crate) fn find(
        &self,
        repository: &RepositoryName,
        id: &str,
        now: Timestamp,
    ) -> Result<Arc<tokio::sync::Mutex<Session>>, Error> {
        let id = id.parse::<Uuid>().map_err(|_| Error::BlobUploadUnknown)?;
        let mut sessions = self.sessions.lock().expect("no holder panics");
        let entry = sessions
            .get_mut(&id)
            .filter(|entry| entry.repository == *repository);
        let entry = entry.ok_or(Error::BlobUploadUnknown)?;
        if now.duration_since(entry.touched) > self.idle {
            return Err(Error::BlobUploadUnknown);
        }
        entry.touched = now;
        Ok(entry.session.clone())
    }

    /// Drops sessions that nobody touched for too long, unless a request is in one of them.
    pub(crate) fn expire(&self, layout: &Layout, now: Timestamp) -> usize {
        let expired: Vec<_> = {
            let mut sessions = self.sessions.lock().expect("no holder panics");
            let idle = |entry: &Entry| {
                now.duration_since(entry.touched) > self.idle && entry.session.try_lock().is_ok()
            };
            sessions
                .extract_if(|_, entry| idle(entry))
                .map(|(id, _)| id)
                .collect()
        };
        for id in &expired {
            discard(layout, *id);
        }
        expired.len()
    }

    /// Open sessions.
    pub(crate) fn count(&self) -> usize {
        self.sessions.lock().expect("no holder panics").len()
    }

    /// Ends a session and removes what it received.
    pub(crate) fn discard(&self, layout: &Layout, session: &mut Session) {
        session.gone = true;
        self.forget(session.id);
        discard(layout, session.id);
    }

    fn forget(&self, id: Uuid) {
        self.sessions.lock().expect("no holder panics").remove(&id);
    }
}

fn left_behind(layout: &Layout, id: Uuid) -> Option<(RepositoryName, Session)> {
    let owner: Owner = serde_json::from_slice(&fs::read(layout.upload_owner(id)).ok()?).ok()?;
    let repository = owner.repository.parse().ok()?;
    let algorithm = owner.algorithm.parse().ok()?;
    let path = layout.upload(id);
    let offset = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    let hasher = (offset == 0).then(|| DigestHasher::new(algorithm));
    Some((
        repository,
        Session {
            id,
            path,
            algorithm,
            file: None,
            offset,
            hasher,
            gone: false,
        },
    ))
}

fn discard(layout: &Layout, id: Uuid) {
    // What cannot be removed now is removed at the next start.
    let _ = fs::remove_file(layout.upload(id));
    let _ = fs::remove_file(layout.upload_owner(id));
}

impl Session {
    /// The id in its URL.
    pub(crate) const fn id(&self) -> Uuid {
        self.id
    }

    /// Bytes received.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Refuses a session that ended while the caller waited for it.
    pub(crate) const fn check_open(&self) -> Result<(), Error> {
        if self.gone {
            Err(Error::BlobUploadUnknown)
        } else {
            Ok(())
        }
    }

    /// Uses the algorithm of the digest that was announced, if nothing was received yet.
    pub(crate) fn announce(&mut self, algorithm: Algorithm) {
        if self.offset == 0 {
            self.algorithm = algorithm;
            self.hasher = Some(DigestHasher::new(algorithm));
        }
    }

    /// Where the session is now.
    pub(crate) fn place(&self) -> Place {
        Place {
            offset: self.offset,
            hasher: self.hasher.clone(),
        }
    }

    /// Takes the session back to where it was.
    pub(crate) fn return_to(&mut self, place: Place) -> Result<(), Error> {
        if let Some(file) = &mut self.file {
            file.set_len(place.offset)
                .and_then(|()| file.seek(SeekFrom::Start(place.offset)).map(drop))
                .map_err(|error| Error::storage(error, &self.path))?;
        }
        self.offset = place.offset;
        self.hasher = place.hasher;
        Ok(())
    }

    /// Adds bytes. After an error the session is where it was before.
    pub(crate) fn append(&mut self, pieces: &[Bytes]) -> Result<(), Error> {
        if self.hasher.is_none() {
            self.hasher = Some(self.hash_file(self.algorithm)?);
        }
        let place = self.place();
        match self.write(pieces) {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = Error::storage(error, &self.path);
                self.return_to(place)?;
                Err(error)
            }
        }
    }

    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        let offset = self.offset;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open_at(&self.path, offset)?),
        };
        let hasher = self
            .hasher
            .as_mut()
            .expect("append reads the file when there is none");
        for piece in pieces {
            file.write_all(piece)?;
            hasher.update(piece);
            self.offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Digest of everything received.
    pub(crate) fn digest(&mut self, algorithm: Algorithm) -> Result<Digest, Error> {
        match &self.hasher {
            Some(hasher) if hasher.algorithm() == algorithm => Ok(hasher.clone().finish()),
            _ => Ok(self.hash_file(algorithm)?.finish()),
        }
    }

    fn hash_file(&self, algorithm: Algorithm) -> Result<DigestHasher, Error> {
        let mut hasher = DigestHasher::new(algorithm);
        if self.offset == 0 {
            return Ok(hasher);
        }
        let mut read = || -> io::Result<()> {
            let mut file = File::open(&self.path)?;
            let mut buffer = vec![0; 256 << 10];
            let mut left = self.offset;
            while left > 0 {
                let length = usize::try_from(left)
                    .unwrap_or(usize::MAX)
                    .min(buffer.len());
                file.read_exact(&mut buffer[..length])?;
                hasher.update(&buffer[..length]);
                left -= length as u64;
            }
            Ok(())
        };
        read().map_err(|error| Error::storage(error, &self.path))?;
        Ok(hasher)
    }

    /// The received file, for moving it into place.
    pub(crate) fn file(&mut self) -> Result<(&File, &Path), Error> {
        let offset = self.offset;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(
                open_at(&self.path, offset).map_err(|error| Error::storage(error, &self.path))?,
            ),
        };
        Ok((file, &self.path))
    }
}

fn open_at(path: &Path, offset: u64) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)?;
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}
