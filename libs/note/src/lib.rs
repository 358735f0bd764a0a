//! Signed notes, checkpoints and verifier keys of C2SP, strictly read and written; no storage, no
//! network, no trust decisions beyond a signature.

mod checkpoint;
mod error;
mod key;
mod rfc6962;
mod signed;

pub use checkpoint::Checkpoint;
pub use error::Error;
pub use key::{Scheme, Signer, Verifier};
pub use rfc6962::{digitally_signed, parse_digitally_signed, tree_head_message};
pub use signed::{Signature, SignedNote};
