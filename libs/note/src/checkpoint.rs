//! C2SP tlog-checkpoint: the text of a note that names a tree.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::Error;

/// Origin, size and root of a log's tree, and further lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// First line: the log's name. Rekor v1 adds ` - <tree id>`, which makes it no key name.
    pub origin: String,
    /// Leaves in the tree.
    pub tree_size: u64,
    /// RFC 6962 root.
    pub root_hash: merkle::Hash,
    /// Lines after the third, not empty.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`Error::Origin`], [`Error::TreeSize`], [`Error::RootHash`], [`Error::Extension`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let text = text.strip_suffix('\n').ok_or(Error::Extension)?;
        let mut lines = text.split('\n');
        let origin = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or(Error::Origin)?;
        let tree_size = lines.next().and_then(decimal).ok_or(Error::TreeSize)?;
        let root_hash = lines
            .next()
            .and_then(|line| STANDARD.decode(line).ok())
            .and_then(|root| root.try_into().ok())
            .ok_or(Error::RootHash)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if extensions.iter().any(String::is_empty) {
            return Err(Error::Extension);
        }
        Ok(Self {
            origin: origin.to_owned(),
            tree_size,
            root_hash,
            extensions,
        })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.root_hash);
        write!(f, "{}\n{}\n{root}\n", self.origin, self.tree_size)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    (canonical && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}
