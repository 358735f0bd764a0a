//! Who signs a log's checkpoints.

use std::fmt::Debug;

use merkle::Hash;
use note::{Checkpoint, SignedNote, Signer};

/// Signs the tree heads of one log under one name with one key.
pub trait CheckpointSigner: Debug + Send + Sync {
    /// First line of every checkpoint.
    fn origin(&self) -> &str;

    /// All 32 bytes of the key's id.
    fn key_id(&self) -> [u8; 32];

    /// Whether the time is part of what is signed; then it must grow with every checkpoint.
    fn is_timed(&self) -> bool;

    /// The signed note for this tree. `time_ms` is Unix milliseconds.
    ///
    /// # Errors
    /// When the key cannot sign.
    fn sign(&self, tree_size: u64, root_hash: &Hash, time_ms: u64) -> anyhow::Result<String>;

    /// The checkpoint in `note`, if it is of this log and signed with this key.
    ///
    /// # Errors
    /// When it is not.
    fn open(&self, note: &str) -> Result<Checkpoint, note::Error>;
}

/// Signs with a key of [`note::Signer`].
#[derive(Debug)]
pub struct NoteSigner {
    origin: String,
    signer: Signer,
    is_timed: bool,
}

impl NoteSigner {
    /// Checkpoints of `origin`, signed by `signer`. Rekor v1 signs under a shorter name than its
    /// origin; everywhere else they are equal.
    #[must_use]
    pub const fn new(origin: String, signer: Signer) -> Self {
        Self {
            origin,
            signer,
            is_timed: false,
        }
    }

    /// The same, for a scheme that signs the time.
    #[must_use]
    pub const fn timed(origin: String, signer: Signer) -> Self {
        Self {
            origin,
            signer,
            is_timed: true,
        }
    }

    /// Name and key.
    #[must_use]
    pub const fn signer(&self) -> &Signer {
        &self.signer
    }
}

impl CheckpointSigner for NoteSigner {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn key_id(&self) -> [u8; 32] {
        self.signer.verifier().key_id()
    }

    fn is_timed(&self) -> bool {
        self.is_timed
    }

    fn sign(&self, tree_size: u64, root_hash: &Hash, time_ms: u64) -> anyhow::Result<String> {
        let checkpoint = Checkpoint {
            origin: self.origin.clone(),
            tree_size,
            root_hash: *root_hash,
            extensions: Vec::new(),
        };
        Ok(self
            .signer
            .sign(&checkpoint.to_string(), time_ms)?
            .to_string())
    }

    fn open(&self, note: &str) -> Result<Checkpoint, note::Error> {
        let note = SignedNote::parse(note.as_bytes())?;
        note.verify(&[self.signer.verifier()])?;
        let checkpoint = Checkpoint::parse(&note.text)?;
        if checkpoint.origin == self.origin {
            Ok(checkpoint)
        } else {
            Err(note::Error::Origin)
        }
    }
}
