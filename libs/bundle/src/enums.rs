//! Enumerations of protobuf-specs, written by name and read by name or number.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! enumeration {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
        }

        impl $name {
            /// The name in protobuf-specs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of that name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)+ _ => None }
            }

            fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = match Option::<NameOrNumber>::deserialize(deserializer)? {
                    None => return Ok(Self::default()),
                    Some(NameOrNumber::Name(name)) => Self::from_name(&name),
                    Some(NameOrNumber::Number(number)) => Self::from_number(number),
                };
                value.ok_or_else(|| de::Error::custom(concat!("invalid value for enum ", stringify!($name))))
            }
        }
    };
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NameOrNumber {
    Number(i64),
    Name(String),
}

enumeration! {
    /// `dev.sigstore.common.v1.HashAlgorithm`.
    HashAlgorithm {
        /// Not given.
        #[default]
        Unspecified = 0 "HASH_ALGORITHM_UNSPECIFIED",
        /// SHA-256.
        Sha2_256 = 1 "SHA2_256",
        /// SHA-384.
        Sha2_384 = 2 "SHA2_384",
        /// SHA-512.
        Sha2_512 = 3 "SHA2_512",
        /// SHA3-256.
        Sha3_256 = 4 "SHA3_256",
        /// SHA3-384.
        Sha3_384 = 5 "SHA3_384",
    }
}

enumeration! {
    /// `dev.sigstore.common.v1.PublicKeyDetails`: kind of key and how it signs.
    KeyDetails {
        /// Not given.
        #[default]
        Unspecified = 0 "PUBLIC_KEY_DETAILS_UNSPECIFIED",
        /// RSA in PKCS#1 form.
        Pkcs1RsaPkcs1v5 = 1 "PKCS1_RSA_PKCS1V5",
        /// RSA-PSS in PKCS#1 form.
        Pkcs1RsaPss = 2 "PKCS1_RSA_PSS",
        /// RSA PKCS#1 v1.5 of any size.
        PkixRsaPkcs1v5 = 3 "PKIX_RSA_PKCS1V5",
        /// RSA-PSS of any size.
        PkixRsaPss = 4 "PKIX_RSA_PSS",
        /// ECDSA P-256 with SHA-256.
        EcdsaP256Sha256 = 5 "PKIX_ECDSA_P256_SHA_256",
        /// ECDSA P-256 with HMAC-SHA-256.
        EcdsaP256HmacSha256 = 6 "PKIX_ECDSA_P256_HMAC_SHA_256",
        /// Ed25519.
        Ed25519 = 7 "PKIX_ED25519",
        /// Ed25519ph with SHA-512.
        Ed25519Ph = 8 "PKIX_ED25519_PH",
        /// RSA 2048 PKCS#1 v1.5 with SHA-256.
        RsaPkcs1v15_2048Sha256 = 9 "PKIX_RSA_PKCS1V15_2048_SHA256",
        /// RSA 3072 PKCS#1 v1.5 with SHA-256.
        RsaPkcs1v15_3072Sha256 = 10 "PKIX_RSA_PKCS1V15_3072_SHA256",
        /// RSA 4096 PKCS#1 v1.5 with SHA-256.
        RsaPkcs1v15_4096Sha256 = 11 "PKIX_RSA_PKCS1V15_4096_SHA256",
        /// ECDSA P-384 with SHA-384.
        EcdsaP384Sha384 = 12 "PKIX_ECDSA_P384_SHA_384",
        /// ECDSA P-521 with SHA-512.
        EcdsaP521Sha512 = 13 "PKIX_ECDSA_P521_SHA_512",
        /// LMS.
        LmsSha256 = 14 "LMS_SHA256",
        /// LM-OTS.
        LmotsSha256 = 15 "LMOTS_SHA256",
        /// RSA-PSS 2048 with SHA-256.
        RsaPss2048Sha256 = 16 "PKIX_RSA_PSS_2048_SHA256",
        /// RSA-PSS 3072 with SHA-256.
        RsaPss3072Sha256 = 17 "PKIX_RSA_PSS_3072_SHA256",
        /// RSA-PSS 4096 with SHA-256.
        RsaPss4096Sha256 = 18 "PKIX_RSA_PSS_4096_SHA256",
        /// ECDSA P-384 with SHA-256.
        EcdsaP384Sha256 = 19 "PKIX_ECDSA_P384_SHA_256",
        /// ECDSA P-521 with SHA-256.
        EcdsaP521Sha256 = 20 "PKIX_ECDSA_P521_SHA_256",
        /// ML-DSA-65.
        MlDsa65 = 21 "ML_DSA_65",
        /// ML-DSA-87.
        MlDsa87 = 22 "ML_DSA_87",
    }
}

enumeration! {
    /// `dev.sigstore.trustroot.v1.ServiceSelector`: how many of the listed services a client uses.
    ServiceSelector {
        /// Not given.
        #[default]
        Undefined = 0 "SERVICE_SELECTOR_UNDEFINED",
        /// All.
        All = 1 "ALL",
        /// Any one.
        Any = 2 "ANY",
        /// As many as `count` says.
        Exact = 3 "EXACT",
    }
}
