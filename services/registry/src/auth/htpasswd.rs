//! Users and their bcrypt hashes, from a file that may change while the registry runs.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::Error;

/// Hashes with a higher cost would take a second and more for each look.
const COST_MAX: u32 = 14;

/// Passwords that are checked at the same time. Checking one takes a core for tens of milliseconds.
const CHECKS_MAX: usize = 2;

/// How long a password that was right needs no new check.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(5);

/// Right passwords that are remembered.
const REMEMBERED_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Htpasswd {
    path: PathBuf,
    salt: [u8; 32],
    checks: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    version: Option<Version>,
    users: Arc<BTreeMap<String, String>>,
    /// By salted digest of user, password and hash; until when.
    right: HashMap<[u8; 32], Timestamp>,
}

/// What tells one content of the file from the next.
type Version = (u64, u64, i64, i64);

impl Htpasswd {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let version = version(path);
        let users = Arc::new(read(path)?);
        let state = State {
            version,
            users,
            right: HashMap::new(),
        };
        Ok(Self {
            path: path.to_owned(),
            salt: crypto::random_bytes()?,
            checks: Arc::new(Semaphore::new(CHECKS_MAX)),
            state: Mutex::new(state),
        })
    }

    /// Whether the user is known and this is their password. A name that is not known takes as long.
    pub(super) async fn verify(
        &self,
        user: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let users = self.users();
        let known = users.get(user);
        // Somebody else's hash stands in, so that the time does not tell who exists.
        let Some(hash) = known.or_else(|| users.values().next()).cloned() else {
            return Ok(false);
        };
        let remembered = self.remembered(user, password, &hash);
        if known.is_some() && self.is_remembered(&remembered, now) {
            return Ok(true);
        }
        let permit = self.checks.clone().acquire_owned().await;
        let permit = permit.map_err(|error| Error::Internal(error.into()))?;
        let password = password.to_owned();
        let fits = tokio::task::spawn_blocking(move || {
            let fits = bcrypt::verify(password, &hash).unwrap_or(false);
            drop(permit);
            fits
        });
        let fits = fits.await.map_err(|error| Error::Internal(error.into()))?;
        if fits && known.is_some() {
            self.remember(remembered, now);
        }
        Ok(fits && known.is_some())
    }

    /// Changes when the user's password changes. `None` for users that are not known.
    pub(super) fn fingerprint(&self, user: &str) -> Option<String> {
        let digest = crypto::sha256(self.users().get(user)?.as_bytes());
        Some(hex::encode(&digest[..8]))
    }

    fn users(&self) -> Arc<BTreeMap<String, String>> {
        let version = version(&self.path);
        let mut state = self.state.lock().expect("no holder panics");
        if state.version != version {
            state.version = version;
            state.right.clear();
            // A file that cannot be read lets nobody in, rather than those of yesterday.
            state.users = Arc::new(read(&self.path).unwrap_or_else(|error| {
                tracing::error!("nobody can log in: {error:#}");
                BTreeMap::new()
            }));
        }
        state.users.clone()
    }

    fn remembered(&self, user: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut bytes = self.salt.to_vec();
        for part in [user, password, hash] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        crypto::sha256(&bytes)
    }

    fn is_remembered(&self, key: &[u8; 32], now: Timestamp) -> bool {
        let state = self.state.lock().expect("no holder panics");
        state.right.get(key).is_some_and(|until| now < *until)
    }

    fn remember(&self, key: [u8; 32], now: Timestamp) {
        let mut state = self.state.lock().expect("no holder panics");
        if state.right.len() >= REMEMBERED_MAX {
            state.right.clear();
        }
        if let Ok(until) = now.checked_add(REMEMBERED) {
            state.right.insert(key, until);
        }
    }
}

fn version(path: &Path) -> Option<Version> {
    let metadata = fs::metadata(path).ok()?;
    Some((
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
    ))
}

fn read(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut users = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = || format!("{} line {}", path.display(), number + 1);
        let (user, hash) = line
            .split_once(':')
            .with_context(|| format!("{} is not user:hash", at()))?;
        let cost = hash
            .strip_prefix("$2")
            .and_then(|rest| rest.trim_start_matches(['a', 'b', 'y']).strip_prefix('$'))
            .and_then(|rest| rest.split('$').next())
            .and_then(|cost| cost.parse::<u32>().ok())
            .with_context(|| format!("{} is not a bcrypt hash, make it by htpasswd -B", at()))?;
        anyhow::ensure!(
            cost <= COST_MAX,
            "{} has cost {cost}, at most {COST_MAX} is taken",
            at()
        );
        users.insert(user.to_owned(), hash.to_owned());
    }
    Ok(users)
}
