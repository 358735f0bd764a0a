//! Verification of identity tokens, with the rules that upstream's verifier has.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    issuers::{Issuer, Issuers},
    keyset::{Algorithm, KeySetError, KeySets},
};

/// Seconds by which a token may start in the future.
const NOT_BEFORE_LEEWAY_SECS: f64 = 300.0;

/// Why a token was refused: for the log only.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Rejection {
    #[error("no token in the request")]
    NoToken,
    #[error("oidc: malformed jwt, token must have 3 parts")]
    Parts,
    #[error("oidc: malformed jwt payload")]
    Payload,
    #[error("oidc: malformed jwt header")]
    Header,
    #[error("failed to match issuer URL {issuer} from token with any configured providers")]
    UnknownIssuer { issuer: String },
    #[error("oidc: expected audience {want:?} got {got:?}")]
    Audience { want: String, got: Vec<String> },
    #[error("oidc: token is expired (Token Expiry: {expiry})")]
    Expired { expiry: f64 },
    #[error("oidc: current time {now} before the nbf (not before) time: {not_before}")]
    NotYetValid { now: Timestamp, not_before: f64 },
    #[error("oidc: id token signed with unsupported algorithm {algorithm:?}")]
    Algorithm { algorithm: String },
    #[error("failed to verify signature: no key of the issuer made it")]
    Signature,
    #[error(transparent)]
    Keys(#[from] KeySetError),
    #[error("token missing email claim")]
    NoEmail,
    #[error("email_verified claim was false")]
    EmailNotVerified,
    #[error("email address is not valid")]
    EmailInvalid,
    #[error("issuer claim {path:?} is not a text in the token")]
    IssuerClaim { path: String },
    #[error("missing {claim} claim in ID token")]
    ClaimMissing { claim: &'static str },
    #[error("unexpected ref_type: {ref_type}")]
    RefType { ref_type: String },
    #[error("uri subject should not be an email address")]
    UriIsEmail,
    #[error("username should not be an email address")]
    UsernameIsEmail,
    #[error("username cannot contain ! character")]
    UsernameBang,
    #[error("subject hostname ({got}) must match expected domain ({want})")]
    SubjectHost { got: String, want: String },
    #[error("subject URI scheme ({got}) must match expected domain URI scheme ({want})")]
    SubjectScheme { got: String, want: String },
    #[error(transparent)]
    Url(#[from] crate::go_url::UrlError),
    #[error("invalid spiffe ID: {id}")]
    SpiffeId { id: String },
    #[error("spiffe ID trust domain {got} doesn't match configured trust domain {want}")]
    SpiffeTrustDomain { got: String, want: String },
    #[error("issuer {issuer} is a public one and not in impersonate_issuers")]
    Impersonation { issuer: String },
}

/// A token whose signature, audience and times are good.
#[derive(Debug)]
pub(crate) struct IdentityToken<'a> {
    pub(crate) issuer: &'a Issuer,
    /// `iss`, which an issuer pattern does not say.
    pub(crate) issuer_url: String,
    pub(crate) subject: String,
    pub(crate) claims: Map<String, Value>,
}

/// Verifies a compact JWS at the time `now`.
pub(crate) async fn verify<'a>(
    token: &str,
    issuers: &'a Issuers,
    keys: &KeySets,
    now: Timestamp,
) -> Result<IdentityToken<'a>, Rejection> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(Rejection::Parts);
    };
    let claims = object(payload).ok_or(Rejection::Payload)?;
    let text = |name: &str| {
        claims
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let issuer_url = text("iss");
    let issuer = issuers
        .find(&issuer_url)
        .ok_or_else(|| Rejection::UnknownIssuer {
            issuer: issuer_url.clone(),
        })?;
    if !matches!(
        claims.get("sub"),
        None | Some(Value::Null | Value::String(_))
    ) {
        return Err(Rejection::Payload);
    }
    check_audience(&claims, &issuer.client_id)?;
    check_times(&claims, now)?;

    let header = object(header).ok_or(Rejection::Header)?;
    let text_of = |name: &str| header.get(name).and_then(Value::as_str).unwrap_or_default();
    // An extension that must be understood (RFC 7515 §4.1.11): none is.
    if header.contains_key("crit") {
        return Err(Rejection::Header);
    }
    let algorithm_name = text_of("alg");
    let unsupported = || Rejection::Algorithm {
        algorithm: algorithm_name.to_owned(),
    };
    let algorithm = Algorithm::named(algorithm_name).ok_or_else(unsupported)?;
    let key_id = text_of("kid");
    let message = &token.as_bytes()[..token.len() - signature.len() - 1];
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| Rejection::Signature)?;

    let (generation, known) = keys.get(issuer, &issuer_url).await?;
    let good = known.allows(algorithm) && known.verifies(algorithm, key_id, message, &signature);
    if !good {
        let newer = keys.newer(issuer, &issuer_url, generation).await?;
        if !newer.allows(algorithm) {
            return Err(unsupported());
        }
        if !newer.verifies(algorithm, key_id, message, &signature) {
            return Err(Rejection::Signature);
        }
    }
    Ok(IdentityToken {
        issuer,
        subject: text("sub"),
        issuer_url,
        claims,
    })
}

fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn check_audience(claims: &Map<String, Value>, want: &str) -> Result<(), Rejection> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or(Rejection::Payload);
    let got: Vec<String> = match claims.get("aud") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(many)) => many.iter().map(text).collect::<Result<_, _>>()?,
        Some(one) => vec![text(one)?],
    };
    if got.iter().any(|audience| audience == want) {
        return Ok(());
    }
    Err(Rejection::Audience {
        want: want.to_owned(),
        got,
    })
}

/// `exp` without leeway, `nbf` with five minutes; `iat` is not looked at.
fn check_times(claims: &Map<String, Value>, now: Timestamp) -> Result<(), Rejection> {
    let seconds = now.as_duration().as_secs_f64();
    let expiry = claims
        .get("exp")
        .and_then(Value::as_f64)
        .unwrap_or_default()
        .trunc();
    if seconds > expiry {
        return Err(Rejection::Expired { expiry });
    }
    if let Some(not_before) = claims.get("nbf").and_then(Value::as_f64)
        && seconds + NOT_BEFORE_LEEWAY_SECS < not_before.trunc()
    {
        return Err(Rejection::NotYetValid { now, not_before });
    }
    Ok(())
}
