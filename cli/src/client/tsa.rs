//! A timestamp over a signature.

use serde_json::json;

use super::{Lab, expect, fulcio::base64};

impl Lab {
    /// DER `TimeStampResp` over SHA-256 of `signature` (`POST /api/v1/timestamp`, JSON form).
    ///
    /// # Errors
    /// What the timestamp authority refused.
    pub(crate) async fn timestamp(&self, signature: &[u8]) -> anyhow::Result<Vec<u8>> {
        let request = json!({
            "artifactHash": base64(&crypto::sha256(signature)),
            "hashAlgorithm": "sha256",
        });
        let url = format!("{}/api/v1/timestamp", self.url("tsa", "http")?);
        let answer = self.http.post(url).json(&request).send().await;
        let answer = expect("the timestamp authority", answer, &[200, 201]).await?;
        Ok(answer.bytes().await?.to_vec())
    }
}
