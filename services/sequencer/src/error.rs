//! Why a log was not opened, an entry not appended, or something not read.

use merkle::Hash;
use runtime::BlobError;

/// Why an entry was not appended. Unless it says otherwise the entry is not in the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// Too many entries wait already; try again.
    #[error("the log's queue is full")]
    QueueFull,
    /// A leaf has at most 65535 bytes.
    #[error("entry has {got} bytes, a log entry has at most 65535")]
    EntryTooLong {
        /// Bytes in the leaf.
        got: usize,
    },
    /// What is kept beside a leaf has at most 16 MiB.
    #[error("{got} bytes are to be kept beside an entry, at most 16777216 can be")]
    ExtraTooLong {
        /// Bytes given.
        got: usize,
    },
    /// The disk is full; entries are refused until there is space, reads go on.
    #[error("no space left for log entries")]
    NoSpace,
    /// The clock is before the last signed tree head, which must not be contradicted.
    #[error("the clock is behind the last signed tree head")]
    ClockBehind,
    /// The store failed; the entry may or may not be in the log when it recovers. Appending it again
    /// finds out.
    #[error("the log's store failed")]
    Storage,
    /// The second computation of the tree came to another result, or signing failed.
    #[error("the tree could not be signed")]
    Unsigned,
    /// The log has stopped and needs a restart.
    #[error("the log has stopped")]
    Stopped,
}

/// Why a log was not opened: each in one line.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the directory.
    #[error("another process has this log open")]
    Locked,
    /// The log was made under another name.
    #[error("this log's origin is {found}, not {want}")]
    Origin {
        /// Origin in the lock record.
        found: String,
        /// Origin of the signer.
        want: String,
    },
    /// The log was made with another key.
    #[error(
        "this log was signed with key {}, not {}",
        hex::encode(found),
        hex::encode(want)
    )]
    Key {
        /// Key id in the lock record.
        found: [u8; 32],
        /// Key id of the signer.
        want: [u8; 32],
    },
    /// The lock record or its signature does not hold.
    #[error("the lock record head/record is damaged: {reason}")]
    Record {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are tiles but no lock record.
    #[error("the tree has a checkpoint but the lock record head/record is missing")]
    RecordMissing,
    /// The published tree is larger than the one in the lock record: a lock record from an old copy,
    /// or a second writer.
    #[error(
        "the published tree has {published} entries but the lock record says {signed}: \
         the lock record is from an old copy"
    )]
    RecordBehind {
        /// Size in `tree/checkpoint`.
        published: u64,
        /// Size in the lock record.
        signed: u64,
    },
    /// The published tree is older than the last batch: data from an old copy.
    #[error(
        "the published tree has {published} entries but {signed} were signed: \
         the data is from an old copy"
    )]
    DataBehind {
        /// Size in `tree/checkpoint`.
        published: u64,
        /// Size in the lock record.
        signed: u64,
    },
    /// Two roots for one size.
    #[error("the published tree of {size} entries has another root than the signed one")]
    Fork {
        /// Size of both.
        size: u64,
    },
    /// A file below the signed size is damaged or missing.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The store failed.
    #[error("log store")]
    Store(#[from] BlobError),
    /// The file system failed.
    #[error("log directory")]
    Io(#[from] std::io::Error),
    /// The first, empty tree could not be signed.
    #[error("the empty tree could not be signed")]
    Sign(#[source] anyhow::Error),
}

/// A file that does not hold what the signed tree says.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Damage {
    /// The file is not there.
    #[error("{file} is missing")]
    Missing {
        /// Path below the log's directory.
        file: String,
    },
    /// The file has another length or structure than its place in the tree needs.
    #[error("{file} is malformed")]
    Malformed {
        /// Path below the log's directory.
        file: String,
    },
    /// The file's content has another hash than the tree commits to.
    #[error("{file} has another hash than the tree commits to")]
    Hash {
        /// Path below the log's directory.
        file: String,
    },
    /// The tiles lead to another root than the one that was signed.
    #[error(
        "the tiles of {size} entries lead to root {}, {} was signed",
        hex::encode(got),
        hex::encode(want)
    )]
    Root {
        /// Size of the tree.
        size: u64,
        /// Root of the tiles.
        got: Hash,
        /// Root that was signed.
        want: Hash,
    },
    /// The checkpoint does not parse or its signature does not verify.
    #[error("{file} is no checkpoint of this log")]
    Checkpoint {
        /// Path below the log's directory.
        file: String,
    },
    /// No key that was given to check it with has signed it.
    #[error("{file} is not signed with the log's key")]
    Signature {
        /// Path below the log's directory.
        file: String,
    },
    /// The file could not be read.
    #[error("{file} cannot be read")]
    Unreadable {
        /// Path below the log's directory.
        file: String,
    },
}

/// Why something was not read from a log.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The index, size or range is not in the tree, or the sizes are in the wrong order.
    #[error(transparent)]
    Proof(#[from] merkle::Error),
    /// What is stored is not what the tree commits to; it is not handed out.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// The store failed.
    #[error("log store")]
    Store(#[from] BlobError),
}
