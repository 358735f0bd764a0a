//! Keys, signatures and digests: the only crate that names a cryptographic backend.
//!
//! Signing, hashing and the verification of whole messages are `ring`'s. What `ring` has no call for
//! (a signature over a digest that somebody else computed, P-521, Ed25519ph, the generation of an
//! RSA key) is RustCrypto's. Nothing here reads a file, a clock or the environment; random bytes
//! come from the operating system.

mod digest;
mod error;
mod pem;
mod private;
mod public;
mod signature;

pub use digest::{HashAlgorithm, Hasher, Sha256Digest, sha256};
pub use error::Error;
pub use pem::{from_pem, from_pem_chain, to_pem};
pub use private::{KeyKind, SigningKey};
pub use public::{PublicKey, PublicKeyKind};
pub use signature::{ecdsa_der_from_p1363, random_bytes};
