//! What can be wrong with a note, a checkpoint or a verifier key.

/// One rule broken by the input.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Longer than a million bytes, or more than a hundred signatures.
    #[error("note is too large")]
    TooLarge,
    /// Not UTF-8, or a control character other than the line feed (signed-note "Format").
    #[error("note has bytes that a text must not have")]
    Text,
    /// No empty line before the signatures, or the text or the signatures do not end their line.
    #[error("note has no signatures after an empty line")]
    NoSignatures,
    /// A line after the empty line is not `— name base64`.
    #[error("malformed signature line")]
    SignatureLine,
    /// A name that is empty or has a space or a plus sign.
    #[error("malformed key name")]
    Name,
    /// The first line is empty or missing (tlog-checkpoint).
    #[error("checkpoint has no origin")]
    Origin,
    /// The second line is no decimal number without leading zeros below 2^64.
    #[error("checkpoint has no tree size")]
    TreeSize,
    /// The third line is not base64 of 32 bytes.
    #[error("checkpoint has no root hash")]
    RootHash,
    /// A further line is empty, or the last one does not end.
    #[error("malformed checkpoint extension")]
    Extension,
    /// Not `name+hash+key`, or of a type without a verifier here.
    #[error("malformed verifier key")]
    VerifierKey,
    /// The hash in a verifier key is not that of its name and key.
    #[error("verifier key has another key hash than its key")]
    KeyHash,
    /// No signature line is by one of the given keys.
    #[error("note has no signature by a known key")]
    NoKnownSignature,
    /// A line carries the name and hash of a known key but its signature is wrong.
    #[error("signature by {name} does not verify")]
    BadSignature {
        /// Name on the line.
        name: String,
    },
    /// The key cannot be used with the scheme, or signing failed.
    #[error("key")]
    Key(#[from] crypto::Error),
}
