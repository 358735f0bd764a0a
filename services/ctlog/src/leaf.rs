//! The structures of RFC 6962 §3.1 and §3.4 that an entry is made of.

use merkle::Hash;
use x509::{Certificate, Sct, SignedEntry};

use crate::issuers::Issuers;

/// First byte of what is kept beside an entry. What begins with another is extra_data as it is served.
const BY_DIGEST: u8 = 1;

/// What is logged for one chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Leaf {
    /// MerkleTreeLeaf.
    pub(crate) input: Vec<u8>,
    /// What extra_data is made of, see [`extra_data`].
    pub(crate) extra: Vec<u8>,
    /// What makes a later submission the same: SHA-256 of the certificate as it was sent.
    pub(crate) identity: Hash,
}

impl Leaf {
    /// The entry for a chain that was verified, leaf first and root last, whose issuers have these
    /// digests. With `precertificate` the second certificate is the issuer whose key is part of what is
    /// signed.
    pub(crate) fn new(
        chain: &[Certificate],
        issuers: &[Hash],
        precertificate: bool,
        timestamp_ms: u64,
    ) -> Self {
        let (leaf, above) = chain.split_first().expect("a verified chain has a leaf");
        // The signed data of an SCT and the MerkleTreeLeaf have the same bytes: both start with two
        // zeros (version, and signature or leaf type) and go on with the TimestampedEntry.
        let (input, certificate) = if precertificate {
            let issuer = above.first().expect("a precertificate has an issuer");
            let tbs = leaf.precertificate_tbs();
            let issuer_key_hash = crypto::sha256(issuer.spki_der());
            let entry = SignedEntry::Precertificate {
                issuer_key_hash,
                tbs: &tbs,
            };
            (Sct::signature_input(timestamp_ms, entry, &[]), leaf.der())
        } else {
            let entry = SignedEntry::X509 {
                certificate: leaf.der(),
            };
            (Sct::signature_input(timestamp_ms, entry, &[]), &[][..])
        };
        let count = u8::try_from(issuers.len()).expect("a verified chain is short");
        let mut extra = vec![BY_DIGEST, count];
        extra.extend(issuers.iter().flatten());
        extra.extend(certificate);
        Self {
            input,
            extra,
            identity: leaf.fingerprint(),
        }
    }
}

/// The extra_data of an entry, from what is kept beside it: the digests of its issuers, and the
/// precertificate if it is one. `None` when an issuer is not there.
///
/// PrecertChainEntry, or the chain of an X509ChainEntry without its certificate.
pub(crate) fn extra_data(kept: &[u8], issuers: &Issuers) -> Option<Vec<u8>> {
    let [BY_DIGEST, count, rest @ ..] = kept else {
        return Some(kept.to_vec());
    };
    let (digests, certificate) = rest.split_at_checked(32 * usize::from(*count))?;
    let (digests, _) = digests.as_chunks();
    let mut chain = Vec::new();
    for digest in digests {
        chain.extend(vector(&issuers.get(digest)?));
    }
    let chain = vector(&chain);
    if certificate.is_empty() {
        return Some(chain);
    }
    Some([vector(certificate), chain].concat())
}

/// The milliseconds in a MerkleTreeLeaf.
pub(crate) fn timestamp_ms(input: &[u8]) -> Option<u64> {
    input.get(2..10)?.try_into().ok().map(u64::from_be_bytes)
}

/// Opaque bytes behind 24 bits of length, as ASN.1Cert and the chain of them are written.
fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a chain within the body limit");
    [&length.to_be_bytes()[1..], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_whole_is_served_as_it_is_and_a_missing_issuer_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let issuers = Issuers::open(dir.path().join("issuers")).unwrap();
        assert_eq!(extra_data(&[0, 0, 0], &issuers), Some(vec![0, 0, 0]));
        assert_eq!(extra_data(&[], &issuers), Some(vec![]));
        assert_eq!(extra_data(&[BY_DIGEST, 0], &issuers), Some(vec![0, 0, 0]));
        assert_eq!(extra_data(&[BY_DIGEST, 1], &issuers), None);
        let absent = [&[BY_DIGEST, 1][..], &[7; 32]].concat();
        assert_eq!(extra_data(&absent, &issuers), None);
    }

    #[test]
    fn an_issuer_with_another_digest_stops_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("issuers");
        Issuers::open(path.clone()).unwrap();
        runtime::files::replace(&path.join("00ff"), b"other").unwrap();
        let refusal = format!("{:#}", Issuers::open(path).unwrap_err());
        assert!(refusal.ends_with("00ff is damaged: it does not have the digest of its name"));
    }
}
