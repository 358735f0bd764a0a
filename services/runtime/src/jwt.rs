//! JSON web tokens: `jsonwebtoken` with its cryptography replaced by ours.

use std::sync::Once;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::{HashAlgorithm, PublicKey, SigningKey};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature::{Error as SignatureError, Signer, Verifier},
};
use serde::Serialize;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    key_utils: KeyUtils::new_unimplemented(),
};

static INSTALLED: Once = Once::new();

/// Gives `jsonwebtoken` its cryptography; call it before `jsonwebtoken::decode`. Calling it again does
/// nothing. The crate knows only a process-wide provider; this one holds no key and no setting.
pub fn install() {
    INSTALLED.call_once(|| {
        // A second provider in one process could only come from a test that installed its own.
        let _ = PROVIDER.install_default();
    });
}

/// Signs `claims` with an RSA key as a compact JWS (RFC 7515 §7.1) of algorithm RS256.
///
/// # Errors
/// When the claims are not a JSON value, or the key cannot sign.
pub fn sign_rs256(
    header: &Header,
    claims: &impl Serialize,
    key: &SigningKey,
) -> anyhow::Result<String> {
    let header = URL_SAFE_NO_PAD.encode(serde_json::to_vec(header)?);
    let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims)?);
    let mut token = format!("{header}.{claims}");
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(token)
}

struct RingSigner(SigningKey, Algorithm);

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        self.0.sign(message).map_err(SignatureError::from_source)
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        self.1
    }
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    match algorithm {
        Algorithm::RS256 | Algorithm::EdDSA => {
            let key = SigningKey::from_pkcs8_der(key.as_bytes())
                .map_err(|_| Error::from(ErrorKind::InvalidKeyFormat))?;
            Ok(Box::new(RingSigner(key, *algorithm)))
        }
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct KeyVerifier {
    key: PublicKey,
    hash: HashAlgorithm,
    algorithm: Algorithm,
}

impl Verifier<Vec<u8>> for KeyVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.key
            .verify(self.hash, message, signature)
            .map_err(SignatureError::from_source)
    }
}

impl JwtVerifier for KeyVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    use jsonwebtoken::{AlgorithmFamily, DecodingKeyKind};
    // An HMAC secret must never be read as a public key, nor the reverse (RFC 8725 §2.1).
    let invalid = |_| Error::from(ErrorKind::InvalidKeyFormat);
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::ES256 => HashAlgorithm::Sha256,
        Algorithm::RS384 | Algorithm::ES384 => HashAlgorithm::Sha384,
        Algorithm::RS512 | Algorithm::EdDSA => HashAlgorithm::Sha512,
        _ => return Err(ErrorKind::InvalidAlgorithm.into()),
    };
    let key = match (key.family(), key.kind()) {
        (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            PublicKey::from_rsa_components(n, e).map_err(invalid)?
        }
        (AlgorithmFamily::Rsa, DecodingKeyKind::SecretOrDer(der)) => {
            PublicKey::from_pkcs1_der(der).map_err(invalid)?
        }
        (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => {
            PublicKey::from_ec_point(point).map_err(invalid)?
        }
        (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(raw)) => {
            PublicKey::from_ed25519(raw).map_err(invalid)?
        }
        _ => return Err(ErrorKind::InvalidKeyFormat.into()),
    };
    Ok(Box::new(KeyVerifier {
        key,
        hash,
        algorithm: *algorithm,
    }))
}
