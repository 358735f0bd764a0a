//! The common log engine: one append-only Merkle tree in one directory, with one writer. It knows
//! nothing of what the leaves mean and speaks no wire protocol.
//!
//! [`Log::append`] returns only when the entry is durable, integrated, and covered by a published
//! checkpoint. The files are those of C2SP tlog-tiles, so that other tools can read and check them:
//!
//! | file | content |
//! |---|---|
//! | `tree/checkpoint` | signed note of the tree that is published |
//! | `tree/tile/<L>/<N>[.p/<W>]` | hash tiles |
//! | `tree/tile/entries/<N>[.p/<W>]` | entry bundles |
//! | `extra/<N>[.p/<W>]` | what is kept beside the entries and not hashed, and their dedup keys |
//! | `staging` | the entries of the batch that is being written |
//! | `head/record` | the lock record: the last signed tree, which nothing may contradict |
//!
//! Every batch goes through the same steps: staging bundle, second computation, signature,
//! compare-and-swap of the lock record, tiles, published checkpoint, answers. Of the partial tiles
//! only those of the published tree stay on disk; others are computed when asked for.

mod batch;
mod config;
mod error;
mod extra;
mod fsck;
mod index;
mod log;
mod reader;
mod record;
mod recover;
mod signer;
mod snapshot;
mod writer;

pub use config::{Entry, Fatal, FreeBytes, LogConfig};
pub use error::{AppendError, Damage, OpenError, ReadError};
pub use fsck::{Progress, Report, Watch, fsck, fsck_stores};
pub use log::{Appended, Log};
pub use reader::LeafAndExtra;
pub use signer::{CheckpointSigner, NoteSigner};
pub use snapshot::TreeHead;
