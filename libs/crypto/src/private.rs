//! Private keys: made, loaded, saved, and signing.

use std::fmt;

use pkcs8::{EncodePrivateKey as _, der::Decode as _};
use ring::{
    rand::SystemRandom,
    signature::{EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};

use crate::{Error, PublicKey, from_pem, to_pem};

/// The kinds of key that siglab makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// ECDSA P-256, signing with SHA-256.
    EcdsaP256,
    /// ECDSA P-384, signing with SHA-384.
    EcdsaP384,
    /// Ed25519.
    Ed25519,
    /// RSA 2048, signing PKCS#1 v1.5 with SHA-256.
    Rsa2048,
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

/// A private key. Its bytes leave only through [`Self::to_pkcs8_der`] and [`Self::to_pkcs8_pem`].
pub struct SigningKey {
    kind: KeyKind,
    pkcs8: Vec<u8>,
    pair: Pair,
    public: PublicKey,
    random: SystemRandom,
}

impl SigningKey {
    /// Makes a new key from the operating system's randomness. RSA takes tens to hundreds of
    /// milliseconds.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn generate(kind: KeyKind) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let pkcs8 = match kind {
            KeyKind::EcdsaP256 => EcdsaKeyPair::generate_pkcs8(
                &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
                &random,
            )
            .map_err(|_| Error::Random)?
            .as_ref()
            .to_vec(),
            KeyKind::EcdsaP384 => EcdsaKeyPair::generate_pkcs8(
                &ring::signature::ECDSA_P384_SHA384_ASN1_SIGNING,
                &random,
            )
            .map_err(|_| Error::Random)?
            .as_ref()
            .to_vec(),
            KeyKind::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random)
                .map_err(|_| Error::Random)?
                .as_ref()
                .to_vec(),
            KeyKind::Rsa2048 => rsa::PrivateKey::new(&mut getrandom::SysRng, 2048)
                .map_err(|_| Error::Random)?
                .to_pkcs8_der()
                .map_err(|_| Error::PrivateKey)?
                .as_bytes()
                .to_vec(),
        };
        Self::from_pkcs8_der(&pkcs8)
    }

    /// From DER PKCS#8 (RFC 5958). EC keys must carry their public key.
    ///
    /// # Errors
    /// [`Error::PrivateKey`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let (kind, pair) = if let Ok(pair) = EcdsaKeyPair::from_pkcs8(
            &ring::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            pkcs8,
            &random,
        ) {
            (KeyKind::EcdsaP256, Pair::Ecdsa(pair))
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(
            &ring::signature::ECDSA_P384_SHA384_ASN1_SIGNING,
            pkcs8,
            &random,
        ) {
            (KeyKind::EcdsaP384, Pair::Ecdsa(pair))
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            (KeyKind::Ed25519, Pair::Ed25519(pair))
        } else if let Ok(pair) = RsaKeyPair::from_pkcs8(pkcs8) {
            (KeyKind::Rsa2048, Pair::Rsa(pair))
        } else {
            return Err(Error::PrivateKey);
        };
        let public = match &pair {
            Pair::Ecdsa(pair) => PublicKey::from_ec_point(pair.public_key().as_ref())?,
            Pair::Ed25519(pair) => PublicKey::from_ed25519(pair.public_key().as_ref())?,
            Pair::Rsa(pair) => PublicKey::from_pkcs1_der(pair.public_key().as_ref())?,
        };
        Ok(Self {
            kind,
            pkcs8: pkcs8.to_vec(),
            pair,
            public,
            random,
        })
    }

    /// From PEM `PRIVATE KEY`, or `ENCRYPTED PRIVATE KEY` (PBES2, RFC 8018) with its password.
    ///
    /// # Errors
    /// [`Error::Pem`], [`Error::PemLabel`], [`Error::PrivateKey`], [`Error::PrivateKeyPassword`].
    pub fn from_pem(text: &str, password: Option<&str>) -> Result<Self, Error> {
        let (label, der) = from_pem(text)?;
        match (label.as_str(), password) {
            ("PRIVATE KEY", _) => Self::from_pkcs8_der(&der),
            ("ENCRYPTED PRIVATE KEY", Some(password)) => {
                let info = pkcs8::EncryptedPrivateKeyInfoRef::from_der(&der)
                    .map_err(|_| Error::PrivateKey)?;
                let plain = info
                    .decrypt(password)
                    .map_err(|_| Error::PrivateKeyPassword)?;
                Self::from_pkcs8_der(plain.as_bytes())
            }
            ("ENCRYPTED PRIVATE KEY", None) => Err(Error::PrivateKeyPassword),
            _ => Err(Error::PemLabel { label }),
        }
    }

    /// DER PKCS#8.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// PEM `PRIVATE KEY`.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> String {
        to_pem("PRIVATE KEY", &self.pkcs8)
    }

    /// What kind of key this is.
    #[must_use]
    pub const fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The public half.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`. ECDSA: DER, with SHA-256 on P-256 and SHA-384 on P-384. RSA: PKCS#1 v1.5 with
    /// SHA-256. Ed25519: pure.
    ///
    /// # Errors
    /// [`Error::Random`] when the operating system gives no randomness.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match &self.pair {
            Pair::Ecdsa(pair) => {
                let signature = pair
                    .sign(&self.random, message)
                    .map_err(|_| Error::Random)?;
                Ok(signature.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(
                    &ring::signature::RSA_PKCS1_SHA256,
                    &self.random,
                    message,
                    &mut signature,
                )
                .map_err(|_| Error::Random)?;
                Ok(signature)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
