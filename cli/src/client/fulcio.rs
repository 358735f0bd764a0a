//! A signing certificate for a token and a fresh key.

use anyhow::Context as _;
use crypto::{KeyKind, SigningKey};
use serde::Deserialize;
use serde_json::json;
use x509::Certificate;

use super::{Lab, expect, oidc};

/// A key that exists only here, and its certificate.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) key: SigningKey,
    pub(crate) certificate: Certificate,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigningCertificate {
    signed_certificate_embedded_sct: Option<WithChain>,
    signed_certificate_detached_sct: Option<WithChain>,
}

#[derive(Deserialize)]
struct WithChain {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}

impl Lab {
    /// Makes a P-256 key, proves its possession over the token's identity, and has it certified
    /// (`POST /api/v2/signingCert`).
    ///
    /// # Errors
    /// What the certificate authority refused.
    pub(crate) async fn certificate(&self, token: &str) -> anyhow::Result<Issued> {
        let key = SigningKey::generate(KeyKind::EcdsaP256)?;
        let identity = oidc::claim(token, "email")
            .or_else(|| oidc::claim(token, "sub"))
            .context("the token has neither an email nor a sub claim")?;
        let request = json!({
            "publicKeyRequest": {
                "publicKey": { "algorithm": "ECDSA", "content": key.public_key().to_pem() },
                "proofOfPossession": base64(&key.sign(identity.as_bytes())?),
            },
        });
        let url = format!("{}/api/v2/signingCert", self.url("fulcio", "http")?);
        let answer = self
            .http
            .post(url)
            .bearer_auth(token)
            .json(&request)
            .send()
            .await;
        let answer = expect("the certificate authority", answer, &[200]).await?;
        let issued: SigningCertificate = answer.json().await?;
        let issued = issued
            .signed_certificate_embedded_sct
            .or(issued.signed_certificate_detached_sct)
            .context("the certificate authority sent no certificate")?;
        let leaf = issued
            .chain
            .certificates
            .first()
            .context("the chain is empty")?;
        Ok(Issued {
            key,
            certificate: Certificate::from_pem(leaf)?,
        })
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(bytes)
}
