//! The four roles' metadata, as sections 4.3 to 4.6 of the specification lay it out.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp as Time;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Key, KeyId};

/// The version of the specification that metadata is written by.
const SPEC_VERSION: &str = "1.0.31";

/// A top-level role.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleType {
    /// Lists the keys of all roles.
    Root,
    /// Lists the targets.
    Targets,
    /// Lists the version of targets metadata.
    Snapshot,
    /// Lists the version of snapshot metadata.
    Timestamp,
}

impl RoleType {
    /// All, in the order of the specification.
    pub const ALL: [Self; 4] = [Self::Root, Self::Targets, Self::Snapshot, Self::Timestamp];

    /// The name in metadata and file names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Targets => "targets",
            Self::Snapshot => "snapshot",
            Self::Timestamp => "timestamp",
        }
    }
}

impl fmt::Display for RoleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// `time` without its fraction: metadata has whole seconds, and some readers refuse more.
#[must_use]
pub fn whole_seconds(time: Time) -> Time {
    Time::from_second(time.as_second()).unwrap_or(time)
}

/// What all roles' metadata share.
pub trait Role: Serialize + DeserializeOwned {
    /// Which role.
    const TYPE: RoleType;

    /// Version, growing by one with every change.
    fn version(&self) -> u64;

    /// When it stops being valid.
    fn expires(&self) -> Time;
}

macro_rules! role {
    ($name:ident, $($(#[$doc:meta])* $field:ident: $type:ty,)+) => {
        #[doc = concat!("Metadata of the role ", stringify!($name), ".")]
        #[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)+
            /// Version, growing by one with every change.
            pub version: u64,
            /// When it stops being valid, in whole seconds.
            pub expires: Time,
        }

        impl Role for $name {
            const TYPE: RoleType = RoleType::$name;

            fn version(&self) -> u64 {
                self.version
            }

            fn expires(&self) -> Time {
                self.expires
            }
        }
    };
}

role! { Root,
    /// Whether files are also found under names with their version or digest.
    consistent_snapshot: bool,
    /// All keys by id.
    keys: BTreeMap<KeyId, Key>,
    /// Which keys sign for which role.
    roles: BTreeMap<RoleType, RoleKeys>,
}

role! { Timestamp,
    /// `snapshot.json` and nothing else.
    meta: BTreeMap<String, FileMeta>,
}

role! { Snapshot,
    /// `targets.json` and the files of delegated roles.
    meta: BTreeMap<String, FileMeta>,
}

role! { Targets,
    /// Targets by name.
    targets: BTreeMap<String, TargetFile>,
}

/// Which keys sign for a role, and how many must.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RoleKeys {
    /// Ids of the keys.
    pub keyids: Vec<KeyId>,
    /// Distinct keys that must have signed.
    pub threshold: usize,
}

/// Version, and optionally length and digest, of a metadata file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct FileMeta {
    /// Its version.
    pub version: u64,
    /// Its length in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Its digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Hashes>,
}

impl FileMeta {
    /// What a parent role says of `file`.
    #[must_use]
    pub fn of(version: u64, file: &[u8]) -> Self {
        Self {
            version,
            length: Some(file.len() as u64),
            hashes: Some(Hashes::of(file)),
        }
    }
}

/// Digests of a file. Only SHA-256 is written: go-tuf forms a target's URL with any one of those listed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hashes {
    /// Hex SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Digests by other algorithms, which are not checked.
    #[serde(flatten)]
    pub other: BTreeMap<String, String>,
}

impl Hashes {
    /// The SHA-256 digest of `file`.
    #[must_use]
    pub fn of(file: &[u8]) -> Self {
        Self {
            sha256: Some(hex::encode(crypto::sha256(file))),
            other: BTreeMap::new(),
        }
    }

    pub(crate) fn matches(&self, file: &[u8]) -> bool {
        self.sha256
            .as_deref()
            .is_some_and(|want| hex::encode(crypto::sha256(file)) == want)
    }
}

/// A target.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TargetFile {
    /// Its length in bytes.
    pub length: u64,
    /// Its digests.
    pub hashes: Hashes,
    /// What the repository's users agreed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
}

impl TargetFile {
    /// What targets metadata says of `file`.
    #[must_use]
    pub fn of(file: &[u8], custom: Option<Value>) -> Self {
        Self {
            length: file.len() as u64,
            hashes: Hashes::of(file),
            custom,
        }
    }
}

/// `_type` and `spec_version` around a role's own members.
#[derive(Deserialize, Serialize)]
pub(crate) struct Signed<T> {
    #[serde(rename = "_type")]
    pub(crate) role: RoleType,
    pub(crate) spec_version: String,
    #[serde(flatten)]
    pub(crate) inner: T,
}

impl<T: Role + Clone> Signed<&T> {
    pub(crate) fn new(inner: &T) -> Signed<T> {
        let inner = inner.clone();
        Signed {
            role: T::TYPE,
            spec_version: SPEC_VERSION.to_owned(),
            inner,
        }
    }
}
