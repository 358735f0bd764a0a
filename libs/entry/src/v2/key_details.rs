//! `dev.sigstore.common.v1.PublicKeyDetails`, and which of them a log takes.

use crypto::{HashAlgorithm, PublicKeyKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

macro_rules! key_details {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// What a client says of a key, by protobuf's name and number.
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        pub enum KeyDetails {
            $($(#[$doc])* $variant,)*
        }

        impl KeyDetails {
            /// The name in protobuf's JSON.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// From the name in protobuf's JSON.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            /// From the number on the wire.
            #[must_use]
            pub const fn from_number(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

key_details! {
    /// Not said.
    #[default]
    Unspecified = 0 "PUBLIC_KEY_DETAILS_UNSPECIFIED",
    /// Deprecated.
    Pkcs1RsaPkcs1v5 = 1 "PKCS1_RSA_PKCS1V5",
    /// Deprecated.
    Pkcs1RsaPss = 2 "PKCS1_RSA_PSS",
    /// Deprecated.
    PkixRsaPkcs1v5 = 3 "PKIX_RSA_PKCS1V5",
    /// Deprecated.
    PkixRsaPss = 4 "PKIX_RSA_PSS",
    /// ECDSA P-256 with SHA-256.
    EcdsaP256Sha256 = 5 "PKIX_ECDSA_P256_SHA_256",
    /// Deprecated.
    EcdsaP256HmacSha256 = 6 "PKIX_ECDSA_P256_HMAC_SHA_256",
    /// Pure Ed25519.
    Ed25519 = 7 "PKIX_ED25519",
    /// Ed25519ph with SHA-512.
    Ed25519Ph = 8 "PKIX_ED25519_PH",
    /// RSA 2048, PKCS#1 v1.5.
    Rsa2048Sha256 = 9 "PKIX_RSA_PKCS1V15_2048_SHA256",
    /// RSA 3072, PKCS#1 v1.5.
    Rsa3072Sha256 = 10 "PKIX_RSA_PKCS1V15_3072_SHA256",
    /// RSA 4096, PKCS#1 v1.5.
    Rsa4096Sha256 = 11 "PKIX_RSA_PKCS1V15_4096_SHA256",
    /// ECDSA P-384 with SHA-384.
    EcdsaP384Sha384 = 12 "PKIX_ECDSA_P384_SHA_384",
    /// ECDSA P-521 with SHA-512.
    EcdsaP521Sha512 = 13 "PKIX_ECDSA_P521_SHA_512",
    /// Hash-based.
    LmsSha256 = 14 "LMS_SHA256",
    /// Hash-based, one time.
    LmotsSha256 = 15 "LMOTS_SHA256",
    /// RSA-PSS 2048.
    RsaPss2048Sha256 = 16 "PKIX_RSA_PSS_2048_SHA256",
    /// RSA-PSS 3072.
    RsaPss3072Sha256 = 17 "PKIX_RSA_PSS_3072_SHA256",
    /// RSA-PSS 4096.
    RsaPss4096Sha256 = 18 "PKIX_RSA_PSS_4096_SHA256",
    /// ECDSA P-384 with SHA-256.
    EcdsaP384Sha256 = 19 "PKIX_ECDSA_P384_SHA_256",
    /// ECDSA P-521 with SHA-256.
    EcdsaP521Sha256 = 20 "PKIX_ECDSA_P521_SHA_256",
    /// ML-DSA-65.
    MlDsa65 = 21 "ML_DSA_65",
    /// ML-DSA-87.
    MlDsa87 = 22 "ML_DSA_87",
    /// ML-DSA-44.
    MlDsa44 = 23 "ML_DSA_44",
}

impl KeyDetails {
    /// The hash of the algorithms that Rekor v2 logs; `None` for all others, pure Ed25519 among them.
    #[must_use]
    pub const fn hash(self) -> Option<HashAlgorithm> {
        match self {
            Self::EcdsaP256Sha256
            | Self::Rsa2048Sha256
            | Self::Rsa3072Sha256
            | Self::Rsa4096Sha256 => Some(HashAlgorithm::Sha256),
            Self::EcdsaP384Sha384 => Some(HashAlgorithm::Sha384),
            Self::EcdsaP521Sha512 | Self::Ed25519Ph => Some(HashAlgorithm::Sha512),
            _ => None,
        }
    }

    /// The key that goes with [`Self::hash`].
    const fn key(self) -> Option<PublicKeyKind> {
        match self {
            Self::EcdsaP256Sha256 => Some(PublicKeyKind::P256),
            Self::EcdsaP384Sha384 => Some(PublicKeyKind::P384),
            Self::EcdsaP521Sha512 => Some(PublicKeyKind::P521),
            Self::Ed25519Ph => Some(PublicKeyKind::Ed25519),
            Self::Rsa2048Sha256 => Some(PublicKeyKind::Rsa { bits: 2048 }),
            Self::Rsa3072Sha256 => Some(PublicKeyKind::Rsa { bits: 3072 }),
            Self::Rsa4096Sha256 => Some(PublicKeyKind::Rsa { bits: 4096 }),
            _ => None,
        }
    }
}

impl Serialize for KeyDetails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'a> Deserialize<'a> for KeyDetails {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom(crate::Error::Body))
    }
}

/// Pairs of key and hash that a log takes, in Rekor v1's hashedrekord as in v2.
#[derive(Clone, Debug)]
pub struct Algorithms(Vec<KeyDetails>);

impl Default for Algorithms {
    /// What both logs take when nothing else is configured: RSA 2048, 3072 and 4096 with SHA-256, P-256
    /// with SHA-256, P-384 with SHA-384, P-521 with SHA-512, and Ed25519ph.
    fn default() -> Self {
        Self(vec![
            KeyDetails::Rsa2048Sha256,
            KeyDetails::Rsa3072Sha256,
            KeyDetails::Rsa4096Sha256,
            KeyDetails::EcdsaP256Sha256,
            KeyDetails::EcdsaP384Sha384,
            KeyDetails::EcdsaP521Sha512,
            KeyDetails::Ed25519Ph,
        ])
    }
}

impl Algorithms {
    /// Only these; those without a [`KeyDetails::hash`] are ignored.
    #[must_use]
    pub const fn new(details: Vec<KeyDetails>) -> Self {
        Self(details)
    }

    /// Whether a key of this kind may be used with this hash.
    #[must_use]
    pub fn allow(&self, key: PublicKeyKind, hash: HashAlgorithm) -> bool {
        self.0
            .iter()
            .any(|details| details.key() == Some(key) && details.hash() == Some(hash))
    }
}
