//! `dev.sigstore.rekor.v1.TransparencyLogEntry`.

use serde::{Deserialize, Serialize};

use crate::encoding::{bytes, bytes_list, int64, text};

/// The id of a log.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogId {
    /// 32 bytes: SHA-256 of the SubjectPublicKeyInfo, or a C2SP note key hash before truncation.
    #[serde(with = "bytes", alias = "key_id", default)]
    pub key_id: Vec<u8>,
}

/// Kind and version of the entry's canonical body.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KindVersion {
    /// `hashedrekord`, `dsse`, `intoto`, …
    #[serde(deserialize_with = "text", default)]
    pub kind: String,
    /// `0.0.1`, `0.0.2`, …
    #[serde(deserialize_with = "text", default)]
    pub version: String,
}

/// A proof that the entry is in the tree of the checkpoint.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InclusionProof {
    /// Index in the tree of the proof, which for a sharded v1 log differs from the global one.
    #[serde(with = "int64", alias = "log_index", default)]
    pub log_index: i64,
    /// 32 bytes.
    #[serde(with = "bytes", alias = "root_hash", default)]
    pub root_hash: Vec<u8>,
    /// Leaves in that tree.
    #[serde(with = "int64", alias = "tree_size", default)]
    pub tree_size: i64,
    /// Sibling hashes from the leaf up, 32 bytes each.
    #[serde(with = "bytes_list", default)]
    pub hashes: Vec<Vec<u8>>,
    /// The signed note of the tree.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "checkpoint")]
    pub checkpoint: Option<String>,
}

/// One entry of a transparency log with the proofs that it is there.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TransparencyLogEntry {
    /// Global index.
    #[serde(with = "int64", alias = "log_index", default)]
    pub log_index: i64,
    /// Which log.
    #[serde(alias = "log_id", default, skip_serializing_if = "Option::is_none")]
    pub log_id: Option<LogId>,
    /// Kind of the body.
    #[serde(
        alias = "kind_version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub kind_version: Option<KindVersion>,
    /// Seconds since the epoch; 0 when the log gives no time (v2).
    #[serde(with = "int64", alias = "integrated_time", default)]
    pub integrated_time: i64,
    /// Signed entry timestamp: the log's signature over its promise to include the entry (v1).
    #[serde(
        alias = "inclusion_promise",
        default,
        skip_serializing_if = "Option::is_none",
        with = "promise"
    )]
    pub inclusion_promise: Option<Vec<u8>>,
    /// Proof of inclusion.
    #[serde(
        alias = "inclusion_proof",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub inclusion_proof: Option<InclusionProof>,
    /// The bytes that were hashed as the leaf.
    #[serde(with = "bytes", alias = "canonicalized_body", default)]
    pub canonicalized_body: Vec<u8>,
}

/// `InclusionPromise { signed_entry_timestamp }` as the bytes inside.
mod promise {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::encoding::bytes;

    #[derive(Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Wire {
        #[serde(with = "bytes", alias = "signed_entry_timestamp", default)]
        signed_entry_timestamp: Vec<u8>,
    }

    #[expect(clippy::ref_option, reason = "serde's signature for `with`")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .map(|bytes| Wire {
                signed_entry_timestamp: bytes.clone(),
            })
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<Wire>::deserialize(deserializer)?.map(|wire| wire.signed_entry_timestamp))
    }
}

/// `Checkpoint { envelope }` as the note inside.
mod checkpoint {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::encoding::text;

    #[derive(Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Wire {
        #[serde(deserialize_with = "text", default)]
        envelope: String,
    }

    #[expect(clippy::ref_option, reason = "serde's signature for `with`")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value
            .as_ref()
            .map(|note| Wire {
                envelope: note.clone(),
            })
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        Ok(Option::<Wire>::deserialize(deserializer)?.map(|wire| wire.envelope))
    }
}
