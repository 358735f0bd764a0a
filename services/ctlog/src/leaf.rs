//! The structures of RFC 6962 §3.1 and §3.4 that an entry is made of.

use merkle::Hash;
use x509::{Certificate, Sct, SignedEntry};

/// What is logged for one chain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Leaf {
    /// MerkleTreeLeaf.
    pub(crate) input: Vec<u8>,
    /// PrecertChainEntry, or the chain of an X509ChainEntry without its certificate.
    pub(crate) extra: Vec<u8>,
    /// What makes a later submission the same: SHA-256 of the certificate as it was sent.
    pub(crate) identity: Hash,
}

impl Leaf {
    /// The entry for a chain that was verified, leaf first and root last. With `precertificate` the
    /// second certificate is the issuer whose key is part of what is signed.
    pub(crate) fn new(chain: &[Certificate], precertificate: bool, timestamp_ms: u64) -> Self {
        let (leaf, issuers) = chain.split_first().expect("a verified chain has a leaf");
        let above = ders(issuers);
        // The signed data of an SCT and the MerkleTreeLeaf have the same bytes: both start with two
        // zeros (version, and signature or leaf type) and go on with the TimestampedEntry.
        let (input, extra) = if precertificate {
            let issuer = issuers.first().expect("a precertificate has an issuer");
            let tbs = leaf.precertificate_tbs();
            let issuer_key_hash = crypto::sha256(issuer.spki_der());
            let entry = SignedEntry::Precertificate {
                issuer_key_hash,
                tbs: &tbs,
            };
            let extra = [vector(leaf.der()), above].concat();
            (Sct::signature_input(timestamp_ms, entry, &[]), extra)
        } else {
            let entry = SignedEntry::X509 {
                certificate: leaf.der(),
            };
            (Sct::signature_input(timestamp_ms, entry, &[]), above)
        };
        Self {
            input,
            extra,
            identity: leaf.fingerprint(),
        }
    }
}

/// The milliseconds in a MerkleTreeLeaf.
pub(crate) fn timestamp_ms(input: &[u8]) -> Option<u64> {
    input.get(2..10)?.try_into().ok().map(u64::from_be_bytes)
}

/// ASN.1Cert chain: 24 bits of length before each, and before all.
fn ders(chain: &[Certificate]) -> Vec<u8> {
    let all: Vec<u8> = chain
        .iter()
        .flat_map(|certificate| vector(certificate.der()))
        .collect();
    vector(&all)
}

fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("a chain within the body limit");
    [&length.to_be_bytes()[1..], bytes].concat()
}
