//! Settings of the issuer; the defaults give a working lab.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::preset::Preset;

/// The `[oidc]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Request token that GitHub's ambient endpoint accepts for the default job, beside those that
    /// `/github-actions/request-token` hands out.
    pub actions_request_token: String,
    /// `aud` of a token whose request names none; the client id of all Sigstore clients.
    pub audience: String,
    /// Seconds that a device code stays valid.
    pub device_code_secs: u32,
    /// Seconds that a client is asked to wait between two polls of a device code.
    pub device_interval_secs: u32,
    /// The identity of a token whose request names none.
    pub email: String,
    /// Who can be picked on the sign-in page, beside the default identity.
    pub identities: Vec<String>,
    /// Issuers that are not this lab's own and that tokens may claim all the same. Nothing outside the
    /// lab's own network can be fooled by such a token, since no issuer publishes this lab's key.
    pub impersonate_issuers: Vec<Impersonation>,
    /// Seconds that a token stays valid when its request says nothing. Unset: what the preset's real
    /// issuer does.
    pub lifetime_secs: Option<u32>,
    /// Claims and inputs of a preset that differ from the built-in ones.
    pub presets: BTreeMap<Preset, Map<String, Value>>,
    /// Whether the listener speaks TLS, with a certificate of the lab's own authority
    /// (`tls-authority.pem`) for the host of the external URL and the hosts of played issuers. The
    /// external URL must be an https one then.
    pub tls: bool,
    /// Redirect URIs that are accepted beside those on loopback. Compared byte for byte.
    pub redirect_uris: Vec<String>,
}

/// One issuer that the lab plays.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Impersonation {
    /// The `iss` claim, as the real issuer writes it.
    pub issuer: String,
    /// The shape of its tokens.
    pub preset: Preset,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            actions_request_token: "lab-request-token".to_owned(),
            audience: "sigstore".to_owned(),
            device_code_secs: 300,
            device_interval_secs: 1,
            email: "foo@bar.com".to_owned(),
            identities: [
                "alice@example.com",
                "bob@example.com",
                "mallory@example.net",
            ]
            .map(str::to_owned)
            .to_vec(),
            impersonate_issuers: Vec::new(),
            lifetime_secs: None,
            presets: BTreeMap::new(),
            redirect_uris: Vec::new(),
            tls: false,
        }
    }
}

impl Config {
    /// What is wrong with it, in one line.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.email.is_empty() {
            return Some("oidc.email is empty".to_owned());
        }
        if self.audience.is_empty() {
            return Some("oidc.audience is empty".to_owned());
        }
        if self.lifetime_secs == Some(0) || self.device_code_secs == 0 {
            return Some("oidc.lifetime_secs and oidc.device_code_secs must be above 0".to_owned());
        }
        for (number, played) in self.impersonate_issuers.iter().enumerate() {
            let issuer = &played.issuer;
            if !is_plain_url(issuer) {
                return Some(format!(
                    "oidc.impersonate_issuers: {issuer:?} is not an http or https URL of host and \
                     plain path"
                ));
            }
            if self.impersonate_issuers[..number]
                .iter()
                .any(|before| before.issuer == *issuer)
            {
                return Some(format!(
                    "oidc.impersonate_issuers: {issuer:?} is listed twice"
                ));
            }
        }
        for uri in &self.redirect_uris {
            if url::Url::parse(uri).is_err() {
                return Some(format!("oidc.redirect_uris: {uri:?} is not a URL"));
            }
        }
        None
    }
}

/// Host and path of unreserved characters, no slash at the end: what can be served as it is.
fn is_plain_url(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~' | '/');
    matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.username().is_empty()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path().chars().all(plain)
        && !text.ends_with('/')
        && !url.path().contains("//")
}
