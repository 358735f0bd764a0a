//! The registry's own tokens: signed statements of who may do what until when. Clients must take them
//! as opaque.

use std::path::Path;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::{HashAlgorithm, KeyKind, SigningKey};
use jiff::Timestamp;
use oci::RepositoryName;
use serde::{Deserialize, Serialize};

use crate::config::Action;

/// Signed before the claims, so that the key's signatures mean nothing elsewhere.
const CONTEXT: &[u8] = b"siglab registry token\n";

/// Scopes in one token.
const SCOPES_MAX: usize = 64;

/// Makes and reads tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    key: SigningKey,
}

/// What a token says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Claims {
    pub(crate) purpose: Use,
    pub(crate) user: Option<String>,
    /// Fingerprint of the user's password hash.
    pub(crate) entry: Option<String>,
    /// Seconds since the epoch.
    pub(crate) expires: i64,
    pub(crate) scopes: Vec<Scope>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Use {
    Access,
    Refresh,
}

/// A scope: `repository:NAME:ACTIONS` or `registry:catalog:*`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Scope {
    Catalog,
    Repository { name: String, actions: Vec<Action> },
}

impl Scope {
    /// Reads scope parameters: several of them, each with several scopes. What is not understood is
    /// left out, as it cannot be granted.
    pub(crate) fn read_all<'a>(parameters: impl Iterator<Item = &'a str>) -> Vec<Self> {
        parameters
            .flat_map(|parameter| parameter.split(' '))
            .filter_map(Self::read)
            .take(SCOPES_MAX)
            .collect()
    }

    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        let (name, actions) = rest.rsplit_once(':')?;
        match kind {
            "registry" if name == "catalog" => Some(Self::Catalog),
            "repository" => {
                let name: RepositoryName = name.parse().ok()?;
                let actions = actions.split(',').flat_map(read_action).collect();
                Some(Self::Repository {
                    name: name.as_str().to_owned(),
                    actions,
                })
            }
            _ => None,
        }
    }

    pub(super) fn is_catalog(&self) -> bool {
        matches!(self, Self::Catalog)
    }

    pub(super) fn covers(&self, wanted: &RepositoryName, action: Action) -> bool {
        match self {
            Self::Repository { name, actions } => {
                name == wanted.as_str() && actions.contains(&action)
            }
            Self::Catalog => false,
        }
    }
}

fn read_action(text: &str) -> Vec<Action> {
    match text {
        "*" => vec![Action::Delete, Action::Pull, Action::Push],
        "delete" => vec![Action::Delete],
        "pull" => vec![Action::Pull],
        "push" => vec![Action::Push],
        _ => Vec::new(),
    }
}

impl Tokens {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let key = runtime::keys::load_or_generate(dir, "token", KeyKind::Ed25519)?;
        Ok(Self { key })
    }

    pub(super) fn sign(&self, claims: &Claims) -> anyhow::Result<String> {
        let claims = serde_json::to_vec(claims)?;
        let signature = self
            .key
            .sign(&[CONTEXT, &claims].concat())
            .context("cannot sign a token")?;
        Ok([claims, signature]
            .map(|part| URL_SAFE_NO_PAD.encode(part))
            .join("."))
    }

    /// `None` for anything that this registry did not sign, for another use, or that has expired.
    pub(super) fn read(&self, token: &str, purpose: Use, now: Timestamp) -> Option<Claims> {
        let (claims, signature) = token.split_once('.')?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let message = [CONTEXT, &claims].concat();
        self.key
            .public_key()
            .verify(HashAlgorithm::Sha512, &message, &signature)
            .ok()?;
        let claims: Claims = serde_json::from_slice(&claims).ok()?;
        (claims.purpose == purpose && now.as_second() < claims.expires).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(purpose: Use) -> Claims {
        let scopes = Scope::read_all(["repository:a/b:pull,push registry:catalog:*"].into_iter());
        Claims {
            purpose,
            user: Some("ann".into()),
            entry: None,
            expires: 100,
            scopes,
        }
    }

    #[test]
    fn scopes_are_read_from_one_or_several_parameters() {
        let scopes = claims(Use::Access).scopes;
        assert_eq!(scopes.len(), 2);
        let several = [
            "repository:a/b:pull,push",
            "registry:catalog:*",
            "x",
            "repository:A:pull",
        ];
        assert_eq!(Scope::read_all(several.into_iter()), scopes);
        let name = "a/b".parse().unwrap();
        assert!(scopes[0].covers(&name, Action::Push) && !scopes[0].covers(&name, Action::Delete));
    }

    #[test]
    fn a_token_counts_until_it_expires_for_its_use_only() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path()).unwrap();
        let token = tokens.sign(&claims(Use::Access)).unwrap();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(
            tokens.read(&token, Use::Access, at(99)),
            Some(claims(Use::Access))
        );
        assert_eq!(tokens.read(&token, Use::Access, at(100)), None);
        assert_eq!(tokens.read(&token, Use::Refresh, at(99)), None);
        let mut forged = token.into_bytes();
        forged[3] ^= 1;
        let forged = String::from_utf8(forged).unwrap();
        assert_eq!(tokens.read(&forged, Use::Access, at(99)), None);
        assert_eq!(tokens.read("", Use::Access, at(99)), None);
    }
}
