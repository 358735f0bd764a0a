//! Tokens from the lab's issuer.

use super::{Lab, expect};

impl Lab {
    /// A raw identity token for the given claims and inputs (`preset`, `aud`, `lifetime`, …), as the
    /// issuer's README lists them.
    ///
    /// # Errors
    /// What the issuer refused.
    pub(crate) async fn token(&self, parameters: &[(String, String)]) -> anyhow::Result<String> {
        let url = format!("{}/token", self.url("oidc", "http")?);
        let answer = self.http.get(url).query(parameters).send().await;
        Ok(expect("the identity provider", answer, &[200])
            .await?
            .text()
            .await?)
    }
}

/// One claim of a token, read without checking the signature, to show it.
pub(crate) fn claim(token: &str, name: &str) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    claims.get(name)?.as_str().map(str::to_owned)
}
