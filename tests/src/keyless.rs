//! A small signing client of the tests' own: token, certificate, timestamp, log entry.

use anyhow::{Context as _, bail};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bundle::{
    Bundle, Content, HashAlgorithm, HashOutput, InclusionProof, KindVersion, LogId,
    MessageSignature, SigningMaterial, TransparencyLogEntry, VerificationMaterial,
};
use crypto::{KeyKind, SigningKey};
use serde_json::{Value, json};

use crate::{Lab, Log};

pub(crate) async fn sign(
    lab: &Lab,
    token: &str,
    message: &[u8],
    log: Log,
) -> anyhow::Result<Bundle> {
    let key = SigningKey::generate(KeyKind::EcdsaP256)?;
    let certificate = certificate(lab, token, &key).await?;
    let signature = key.sign(message)?;
    let stamp = json!({
        "artifactHash": STANDARD.encode(crypto::sha256(&signature)), "hashAlgorithm": "sha256",
    });
    let url = format!("{}/api/v1/timestamp", lab.url("tsa", "http"));
    let timestamp = post(lab, &url, &stamp, 200).await?;
    let (_, leaf) = crypto::from_pem(&certificate)?;
    let entry = match log {
        Log::V1 => entry_v1(lab, message, &signature, &certificate).await?,
        Log::V2 => entry_v2(lab, message, &signature, &leaf).await?,
    };
    let material = VerificationMaterial {
        signer: SigningMaterial::Certificate(leaf),
        tlog_entries: vec![entry],
        rfc3161_timestamps: vec![timestamp],
    };
    let digest = HashOutput {
        algorithm: HashAlgorithm::Sha2_256,
        digest: crypto::sha256(message).to_vec(),
    };
    let content = Content::MessageSignature(MessageSignature {
        message_digest: Some(digest),
        signature,
    });
    Ok(Bundle::new(material, content))
}

async fn post(lab: &Lab, url: &str, body: &Value, want: u16) -> anyhow::Result<Vec<u8>> {
    let answer = lab.http.post(url).json(body).send().await?;
    let status = answer.status();
    let body = answer.bytes().await?.to_vec();
    if status != want {
        bail!("{url}: {status} {}", String::from_utf8_lossy(&body));
    }
    Ok(body)
}

/// PEM of the leaf. Possession is proved as clients do: over the address if there is one.
pub(crate) async fn certificate(
    lab: &Lab,
    token: &str,
    key: &SigningKey,
) -> anyhow::Result<String> {
    let payload = token.split('.').nth(1).context("a token has three parts")?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload)?)?;
    let named = claims["email"].as_str().or_else(|| claims["sub"].as_str());
    let identity = named.context("the token has an email or a subject")?;
    let request = json!({
        "credentials": {"oidcIdentityToken": token},
        "publicKeyRequest": {
            "publicKey": {"algorithm": "ECDSA", "content": key.public_key().to_pem()},
            "proofOfPossession": STANDARD.encode(key.sign(identity.as_bytes())?),
        },
    });
    let url = format!("{}/api/v2/signingCert", lab.url("fulcio", "http"));
    let answer: Value = serde_json::from_slice(&post(lab, &url, &request, 200).await?)?;
    let chain = &answer["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    Ok(chain[0]
        .as_str()
        .context("a certificate with an SCT")?
        .to_owned())
}

async fn entry_v2(
    lab: &Lab,
    message: &[u8],
    signature: &[u8],
    leaf: &[u8],
) -> anyhow::Result<TransparencyLogEntry> {
    let request = json!({"hashedRekordRequestV002": {
        "digest": STANDARD.encode(crypto::sha256(message)),
        "signature": {
            "content": STANDARD.encode(signature),
            "verifier": {
                "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                "x509Certificate": {"rawBytes": STANDARD.encode(leaf)},
            },
        },
    }});
    let url = format!("{}/api/v2/log/entries", lab.url("rekor", "v2"));
    Ok(serde_json::from_slice(
        &post(lab, &url, &request, 201).await?,
    )?)
}

async fn entry_v1(
    lab: &Lab,
    message: &[u8],
    signature: &[u8],
    certificate: &str,
) -> anyhow::Result<TransparencyLogEntry> {
    let request = json!({
        "kind": "hashedrekord", "apiVersion": "0.0.1",
        "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hex::encode(crypto::sha256(message))}},
            "signature": {
                "content": STANDARD.encode(signature),
                "publicKey": {"content": STANDARD.encode(certificate)},
            },
        },
    });
    let url = format!("{}/api/v1/log/entries", lab.url("rekor", "v1"));
    let answer: Value = serde_json::from_slice(&post(lab, &url, &request, 201).await?)?;
    let entry = answer
        .as_object()
        .and_then(|map| map.values().next())
        .context("one entry")?;
    let text = |value: &Value| value.as_str().map(str::to_owned).context("text");
    let number = |value: &Value| value.as_i64().context("a number");
    let proof = &entry["verification"]["inclusionProof"];
    let hashes = proof["hashes"].as_array().context("hashes")?;
    Ok(TransparencyLogEntry {
        log_index: number(&entry["logIndex"])?,
        log_id: Some(LogId {
            key_id: hex::decode(text(&entry["logID"])?)?,
        }),
        kind_version: Some(KindVersion {
            kind: "hashedrekord".to_owned(),
            version: "0.0.1".to_owned(),
        }),
        integrated_time: number(&entry["integratedTime"])?,
        inclusion_promise: Some(
            STANDARD.decode(text(&entry["verification"]["signedEntryTimestamp"])?)?,
        ),
        inclusion_proof: Some(InclusionProof {
            log_index: number(&proof["logIndex"])?,
            root_hash: hex::decode(text(&proof["rootHash"])?)?,
            tree_size: number(&proof["treeSize"])?,
            hashes: hashes
                .iter()
                .map(|hash| Ok(hex::decode(text(hash)?)?))
                .collect::<anyhow::Result<_>>()?,
            checkpoint: Some(text(&proof["checkpoint"])?),
        }),
        canonicalized_body: STANDARD.decode(text(&entry["body"])?)?,
    })
}
