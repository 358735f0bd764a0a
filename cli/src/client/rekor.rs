//! An entry in the lab's Rekor v2 log.

use bundle::TransparencyLogEntry;
use serde_json::json;
use x509::Certificate;

use super::{Lab, expect, fulcio::base64};

impl Lab {
    /// Logs a signature over a SHA-256 `digest` as hashedrekord 0.0.2 (`POST /api/v2/log/entries`).
    ///
    /// # Errors
    /// What the log refused.
    pub(crate) async fn log(
        &self,
        digest: &[u8],
        signature: &[u8],
        certificate: &Certificate,
    ) -> anyhow::Result<TransparencyLogEntry> {
        let request = json!({
            "hashedRekordRequestV002": {
                "digest": base64(digest),
                "signature": {
                    "content": base64(signature),
                    "verifier": {
                        "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                        "x509Certificate": { "rawBytes": base64(certificate.der()) },
                    },
                },
            },
        });
        let url = format!("{}/api/v2/log/entries", self.url("rekor", "v2")?);
        let answer = self.http.post(url).json(&request).send().await;
        Ok(expect("the transparency log", answer, &[201])
            .await?
            .json()
            .await?)
    }
}
