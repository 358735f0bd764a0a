//! The message imprint: which bytes a timestamp is about.

use crypto::HashAlgorithm;
use x509::{
    ObjectIdentifier,
    tlv::{self, Reader},
};

use crate::{Error, oid};

/// NULL, as the parameters of an AlgorithmIdentifier.
const NULL: [u8; 2] = [0x05, 0x00];

/// `MessageImprint`, RFC 3161 §2.4.1: a digest of the right length for its SHA-2.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageImprint {
    hash: HashAlgorithm,
    digest: Vec<u8>,
}

impl MessageImprint {
    /// From a digest.
    ///
    /// # Errors
    /// [`Error::DigestLength`].
    pub fn new(hash: HashAlgorithm, digest: Vec<u8>) -> Result<Self, Error> {
        let (got, want) = (digest.len(), hash.digest_bytes());
        if got != want {
            return Err(Error::DigestLength { hash, got, want });
        }
        Ok(Self { hash, digest })
    }

    /// The imprint of `message`.
    #[must_use]
    pub fn of(hash: HashAlgorithm, message: &[u8]) -> Self {
        Self {
            hash,
            digest: hash.digest(message),
        }
    }

    /// The hash algorithm.
    #[must_use]
    pub const fn hash(&self) -> HashAlgorithm {
        self.hash
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> &[u8] {
        &self.digest
    }

    /// Reads the SEQUENCE that comes next.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut imprint = reader.sequence().map_err(malformed)?;
        let algorithm = read_algorithm(&mut imprint)?;
        let digest = imprint
            .expect(tlv::OCTET_STRING)
            .map_err(malformed)?
            .content;
        imprint.finish().map_err(malformed)?;
        // The weakness of an algorithm is reported before the length of its digest.
        Self::new(oid::to_hash(algorithm)?, digest.to_vec())
    }

    /// DER, with NULL parameters as upstream's authority writes them.
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let digest = tlv::write(tlv::OCTET_STRING, &self.digest);
        tlv::write_all(tlv::SEQUENCE, &[&write_hash_algorithm(self.hash), &digest])
    }
}

/// The AlgorithmIdentifier of a hash with NULL parameters.
pub(crate) fn write_hash_algorithm(hash: HashAlgorithm) -> Vec<u8> {
    tlv::write_all(tlv::SEQUENCE, &[&tlv::write_oid(oid::of_hash(hash)), &NULL])
}

/// An AlgorithmIdentifier. Its parameters, which none of the algorithms here has, are passed over, as
/// upstream's authority does.
pub(crate) fn read_algorithm(reader: &mut Reader<'_>) -> Result<ObjectIdentifier, Error> {
    let mut algorithm = reader.sequence().map_err(malformed)?;
    let oid = algorithm.oid().map_err(malformed)?;
    if !algorithm.is_empty() {
        algorithm.any().map_err(malformed)?;
    }
    algorithm.finish().map_err(malformed)?;
    Ok(oid)
}

/// An AlgorithmIdentifier without parameters.
pub(crate) fn write_algorithm(oid: ObjectIdentifier) -> Vec<u8> {
    tlv::write(tlv::SEQUENCE, &tlv::write_oid(oid))
}

/// Errors of the DER reader as errors of this crate.
pub(crate) fn malformed(error: x509::Error) -> Error {
    match error {
        x509::Error::Malformed { part } => Error::Malformed { part },
        other => Error::Certificate(other),
    }
}
