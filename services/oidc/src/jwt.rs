//! Compact RS256 tokens and the key set that verifies them (RFC 7515, RFC 7517, RFC 7638).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::{HashAlgorithm, SigningKey};
use serde_json::{Map, Value, json};

/// The issuer's RSA key with the parts that tokens and the key set need.
#[derive(Debug)]
pub(crate) struct TokenKey {
    signing: SigningKey,
    /// RFC 7638 thumbprint, base64url.
    kid: String,
    jwks: Value,
    /// The encoded protected header, the same for all tokens.
    header: String,
}

impl TokenKey {
    /// From an RSA key.
    pub(crate) fn new(signing: SigningKey) -> anyhow::Result<Self> {
        let (modulus, exponent) = signing
            .public_key()
            .rsa_components()
            .ok_or_else(|| anyhow::anyhow!("tokens are signed with an RSA key"))?;
        let (n, e) = (
            URL_SAFE_NO_PAD.encode(modulus),
            URL_SAFE_NO_PAD.encode(exponent),
        );
        let kid = thumbprint(&n, &e);
        let jwks = json!({ "keys": [
            { "use": "sig", "kty": "RSA", "kid": kid, "alg": "RS256", "n": n, "e": e }
        ] });
        let header = json!({ "alg": "RS256", "kid": kid, "typ": "JWT" });
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        Ok(Self {
            signing,
            kid,
            jwks,
            header,
        })
    }

    /// The JSON Web Key Set.
    pub(crate) const fn jwks(&self) -> &Value {
        &self.jwks
    }

    /// The signed compact serialization of `claims`.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> anyhow::Result<String> {
        let payload = serde_json::to_vec(claims)?;
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signature(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 over `input`.
    pub(crate) fn signature(&self, input: &[u8]) -> Result<Vec<u8>, crypto::Error> {
        self.signing.sign(input)
    }

    /// The key's id.
    pub(crate) fn kid(&self) -> &str {
        &self.kid
    }

    /// The claims of a token that this key signed; `None` for any other text. Times are not looked at.
    pub(crate) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        // Only tokens of this service are asked for, and all of them have this very header.
        if header != self.header {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.signing
            .public_key()
            .verify(HashAlgorithm::Sha256, signed.as_bytes(), &signature)
            .ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

/// RFC 7638 §3: SHA-256 of the required members in lexicographic order, without white space.
fn thumbprint(n: &str, e: &str) -> String {
    let members = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    URL_SAFE_NO_PAD.encode(crypto::sha256(members.as_bytes()))
}

/// OpenID Connect Core §3.1.3.6: the left half of the token's SHA-256.
pub(crate) fn at_hash(access_token: &str) -> String {
    URL_SAFE_NO_PAD.encode(&crypto::sha256(access_token.as_bytes())[..16])
}

#[cfg(test)]
mod tests {
    use super::{TokenKey, at_hash, thumbprint};

    #[test]
    fn thumbprint_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_\
                 BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_\
                 FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI\
                 4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        assert_eq!(
            thumbprint(n, "AQAB"),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn at_hash_of_openid_connect_core_appendix_a() {
        assert_eq!(
            at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"),
            "77QmUPtjPfzWtF2AnpK9RQ"
        );
    }

    #[test]
    fn signature_of_rfc_7515_appendix_a_2() {
        // RFC 7515 A.2 signs with PKCS#1 v1.5, which is deterministic: the same key and input must
        // give the same signature.
        let vector = include_str!("../tests/vectors/rfc7515-a2.json");
        let vector: serde_json::Value = serde_json::from_str(vector).unwrap();
        let pem = vector["pkcs8"].as_str().unwrap();
        let key = crypto::SigningKey::from_pem(pem, None).unwrap();
        let (input, want) = vector["jws"].as_str().unwrap().rsplit_once('.').unwrap();
        let signature = key.sign(input.as_bytes()).unwrap();
        use base64::Engine as _;
        assert_eq!(super::URL_SAFE_NO_PAD.encode(signature), want);
        let key = TokenKey::new(key).unwrap();
        assert_eq!(key.jwks()["keys"][0]["n"], vector["jwk"]["n"]);
        assert_eq!(key.jwks()["keys"][0]["e"], vector["jwk"]["e"]);
    }
}
