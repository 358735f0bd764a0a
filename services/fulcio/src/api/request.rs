//! Request messages of v2 and v1beta.

use crate::{
    error::Error,
    json::{Document, FieldName, JsonError},
    proof::KeyRequest,
};

const CREDENTIALS: FieldName = FieldName::new("credentials", "credentials");
const IDENTITY_TOKEN: FieldName = FieldName::new("oidcIdentityToken", "oidc_identity_token");
const PUBLIC_KEY_REQUEST: FieldName = FieldName::new("publicKeyRequest", "public_key_request");
const PUBLIC_KEY: FieldName = FieldName::new("publicKey", "public_key");
const ALGORITHM: FieldName = FieldName::new("algorithm", "algorithm");
const CONTENT: FieldName = FieldName::new("content", "content");
const PROOF: FieldName = FieldName::new("proofOfPossession", "proof_of_possession");
const SIGNED_EMAIL: FieldName = FieldName::new("signedEmailAddress", "signed_email_address");
const CSR: FieldName = FieldName::new("certificateSigningRequest", "certificate_signing_request");

/// A request of v2.
#[derive(Debug)]
pub(super) struct SigningCertificateRequest {
    pub(super) identity_token: String,
    pub(super) key: KeyRequest,
}

pub(super) fn signing_certificate(text: &str) -> Result<SigningCertificateRequest, JsonError> {
    let document = Document::parse(text)?;
    let message = document.message()?;
    message.one_of(
        "dev.sigstore.fulcio.v2.CreateSigningCertificateRequest.key",
        &[PUBLIC_KEY_REQUEST, CSR],
    )?;
    let identity_token = match message.child(CREDENTIALS)? {
        Some(credentials) => credentials.string(IDENTITY_TOKEN)?,
        None => String::new(),
    };
    let key = if let Some(request) = message.child(PUBLIC_KEY_REQUEST)? {
        let content = match request.child(PUBLIC_KEY)? {
            Some(key) => {
                key.check_enum(ALGORITHM)?;
                key.string(CONTENT)?.into_bytes()
            }
            None => Vec::new(),
        };
        let proof_of_possession = request.bytes(PROOF)?.unwrap_or_default();
        KeyRequest::PublicKey {
            content,
            proof_of_possession,
        }
    } else {
        request_or_nothing(message.bytes(CSR)?)
    };
    Ok(SigningCertificateRequest {
        identity_token,
        key,
    })
}

/// A request of v1beta, which never carries its token. Without key and request it is refused before the
/// token is looked at.
pub(super) fn signing_certificate_v1(text: &str) -> Result<KeyRequest, Error> {
    let document = Document::parse(text)?;
    let message = document.message()?;
    let key = message.child(PUBLIC_KEY)?;
    let content = match key {
        Some(key) => {
            key.string(ALGORITHM)?;
            key.bytes(CONTENT)?.unwrap_or_default()
        }
        None => Vec::new(),
    };
    let proof_of_possession = message.bytes(SIGNED_EMAIL)?.unwrap_or_default();
    match request_or_nothing(message.bytes(CSR)?) {
        KeyRequest::Nothing if key.is_none() => Err(Error::PublicKey),
        KeyRequest::Nothing => Ok(KeyRequest::PublicKey {
            content,
            proof_of_possession,
        }),
        request => Ok(request),
    }
}

fn request_or_nothing(pem: Option<Vec<u8>>) -> KeyRequest {
    match pem {
        Some(pem) if !pem.is_empty() => KeyRequest::CertificateRequest(pem),
        _ => KeyRequest::Nothing,
    }
}
