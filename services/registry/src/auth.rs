//! Who is asking, and what they may do. No HTTP beyond the two header values that carry it.

mod htpasswd;
mod token;

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::{SignedDuration, Timestamp};
use oci::RepositoryName;

pub(crate) use token::{Claims, Scope, Use};

use crate::{
    Error,
    config::{Access, Action, AuthConfig, Grant, Scheme},
};
use htpasswd::Htpasswd;
use token::Tokens;

/// Everything that decides about a request.
#[derive(Debug)]
pub(crate) struct Auth {
    config: AuthConfig,
    htpasswd: Option<Htpasswd>,
    tokens: Tokens,
}

/// The origin of a request, `http://host:port`, under which clients find the token endpoint, and the
/// authority part alone.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) scheme: &'static str,
    pub(crate) authority: String,
}

/// Who is asking.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Caller {
    user: Option<String>,
    /// `None` when no credentials were sent at all.
    credentials: Option<Credentials>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Credentials {
    Password,
    Token(Vec<Scope>),
}

impl Caller {
    const NOBODY: Self = Self {
        user: None,
        credentials: None,
    };

    /// The user's name, `None` for anonymous.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

impl Auth {
    /// Reads the settings, the htpasswd file and the key of the tokens.
    pub(crate) fn open(config: AuthConfig, context: &runtime::Context) -> anyhow::Result<Self> {
        let htpasswd = config.htpasswd.as_deref().map(Htpasswd::open).transpose()?;
        if config.access != Access::Anonymous {
            anyhow::ensure!(
                htpasswd.is_some(),
                "[registry] auth.htpasswd names no file, and auth.access needs users"
            );
        }
        anyhow::ensure!(
            config.token_secs >= 60,
            "[registry] auth.token_secs is less than 60"
        );
        let tokens = Tokens::open(&context.dir).context("cannot open the key of the tokens")?;
        Ok(Self {
            config,
            htpasswd,
            tokens,
        })
    }

    /// Who sends this Authorization header.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] for wrong credentials; a missing header is nobody, not an error.
    pub(crate) async fn caller(
        &self,
        authorization: Option<&str>,
        now: Timestamp,
        origin: &Origin,
    ) -> Result<Caller, Error> {
        let Some(value) = authorization else {
            return Ok(Caller::NOBODY);
        };
        if self.config.access == Access::Anonymous {
            return Ok(Caller::NOBODY);
        }
        let refused = |reason| Error::Unauthorized {
            challenge: self.challenge(origin, "", reason),
        };
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            let claims = self.tokens.read(rest.trim(), Use::Access, now);
            let claims = claims.filter(|claims| self.is_current(claims));
            let claims = claims.ok_or_else(|| refused(Some("invalid_token")))?;
            let credentials = Some(Credentials::Token(claims.scopes));
            return Ok(Caller {
                user: claims.user,
                credentials,
            });
        }
        let (user, password) = basic(scheme, rest).ok_or_else(|| refused(None))?;
        if self.password_fits(&user, &password, now).await? {
            Ok(Caller {
                user: Some(user),
                credentials: Some(Credentials::Password),
            })
        } else {
            Err(refused(None))
        }
    }

    /// Whether the user is known and this is their password.
    pub(crate) async fn password_fits(
        &self,
        user: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<bool, Error> {
        match &self.htpasswd {
            Some(htpasswd) => htpasswd.verify(user, password, now).await,
            None => Ok(false),
        }
    }

    /// Refuses the base path to callers without credentials: clients ask there whether they need some,
    /// and never send any after a 200.
    pub(crate) fn require_credentials(
        &self,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<(), Error> {
        if self.config.access == Access::Anonymous || caller.credentials.is_some() {
            return Ok(());
        }
        Err(Error::Unauthorized {
            challenge: self.challenge(origin, "", None),
        })
    }

    /// Refuses what the caller may not do in a repository.
    pub(crate) fn require(
        &self,
        caller: &Caller,
        name: &RepositoryName,
        action: Action,
        origin: &Origin,
    ) -> Result<(), Error> {
        if self.allows(caller, name, action) {
            return Ok(());
        }
        let by_rules = self.rules_allow(caller.user(), name, action);
        if !by_rules && caller.user.is_some() {
            return Err(Error::Denied {
                action: action.name(),
            });
        }
        let actions = match action {
            Action::Pull => "pull",
            Action::Push => "pull,push",
            Action::Delete => "pull,push,delete",
        };
        let reason = caller.credentials.as_ref().map(|_| "insufficient_scope");
        let scope = format!("repository:{name}:{actions}");
        Err(Error::Unauthorized {
            challenge: self.challenge(origin, &scope, reason),
        })
    }

    /// Refuses the catalog to anonymous callers of a registry that is not open to them.
    pub(crate) fn require_catalog(&self, caller: &Caller, origin: &Origin) -> Result<(), Error> {
        let by_token = match &caller.credentials {
            Some(Credentials::Token(scopes)) => scopes.iter().any(Scope::is_catalog),
            _ => true,
        };
        if by_token && self.rules_allow_catalog(caller.user()) {
            return Ok(());
        }
        let reason = caller.credentials.as_ref().map(|_| "insufficient_scope");
        let challenge = self.challenge(origin, "registry:catalog:*", reason);
        Err(Error::Unauthorized { challenge })
    }

    /// Whether the caller may do that.
    pub(crate) fn allows(&self, caller: &Caller, name: &RepositoryName, action: Action) -> bool {
        let by_token = match &caller.credentials {
            Some(Credentials::Token(scopes)) => scopes.iter().any(|s| s.covers(name, action)),
            _ => true,
        };
        by_token && self.rules_allow(caller.user(), name, action)
    }

    /// Whether a repository may be shown to the caller in the catalog.
    pub(crate) fn shows(&self, caller: &Caller, name: &RepositoryName) -> bool {
        self.rules_allow(caller.user(), name, Action::Pull)
    }

    fn rules_allow(&self, user: Option<&str>, name: &RepositoryName, action: Action) -> bool {
        let open = match self.config.access {
            Access::Anonymous => true,
            Access::AnonymousRead => action == Action::Pull,
            Access::Authenticated => false,
        };
        let Some(user) = user.filter(|_| !open) else {
            return open;
        };
        let applies = |grant: &&Grant| {
            (grant.user == "*" || grant.user == user) && covers(&grant.repository, name)
        };
        self.config.grants.is_empty()
            || self
                .config
                .grants
                .iter()
                .filter(applies)
                .any(|g| g.actions.contains(&action))
    }

    fn rules_allow_catalog(&self, user: Option<&str>) -> bool {
        self.config.access != Access::Authenticated || user.is_some()
    }

    /// What of the wanted scopes the user gets: the intersection, empty if need be.
    pub(crate) fn grant(&self, user: Option<&str>, wanted: &[Scope]) -> Vec<Scope> {
        let allowed = |scope: &Scope| match scope {
            Scope::Catalog => self.rules_allow_catalog(user).then_some(Scope::Catalog),
            Scope::Repository { name, actions } => {
                let allowed = |action: &Action| {
                    name.parse()
                        .is_ok_and(|name| self.rules_allow(user, &name, *action))
                };
                let actions: Vec<_> = actions.iter().copied().filter(allowed).collect();
                let name = name.clone();
                (!actions.is_empty()).then_some(Scope::Repository { name, actions })
            }
        };
        wanted.iter().filter_map(allowed).collect()
    }

    /// A token and the seconds that it is valid.
    pub(crate) fn issue(
        &self,
        purpose: Use,
        user: Option<&str>,
        scopes: Vec<Scope>,
        now: Timestamp,
    ) -> Result<(String, u32), Error> {
        let secs = match purpose {
            Use::Access => self.config.token_secs,
            Use::Refresh => self.config.refresh_token_secs,
        };
        let expires = now.saturating_add(SignedDuration::from_secs(secs.into()));
        let expires = expires
            .map_err(|error| Error::Internal(error.into()))?
            .as_second();
        let entry = user.and_then(|user| self.entry(user));
        let claims = Claims {
            purpose,
            user: user.map(str::to_owned),
            entry,
            expires,
            scopes,
        };
        Ok((self.tokens.sign(&claims)?, secs))
    }

    /// The user of a refresh token.
    pub(crate) fn refresh(&self, token: &str, now: Timestamp) -> Option<String> {
        let claims = self.tokens.read(token, Use::Refresh, now)?;
        if self.is_current(&claims) {
            claims.user
        } else {
            None
        }
    }

    /// Whether the user still exists with the password that they had.
    fn is_current(&self, claims: &Claims) -> bool {
        claims.user.as_deref().is_none_or(|user| {
            let entry = self.entry(user);
            entry.is_some() && entry == claims.entry
        })
    }

    fn entry(&self, user: &str) -> Option<String> {
        self.htpasswd.as_ref()?.fingerprint(user)
    }

    fn challenge(&self, origin: &Origin, scope: &str, reason: Option<&str>) -> String {
        let Origin { scheme, authority } = origin;
        if self.config.scheme == Scheme::Basic {
            return r#"Basic realm="siglab registry""#.to_owned();
        }
        let mut challenge =
            format!(r#"Bearer realm="{scheme}://{authority}/token",service="{authority}""#);
        if !scope.is_empty() {
            challenge.push_str(&format!(r#",scope="{scope}""#));
        }
        if let Some(reason) = reason {
            challenge.push_str(&format!(r#",error="{reason}""#));
        }
        challenge
    }
}

impl Action {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Pull => "pull",
            Self::Push => "push",
        }
    }
}

/// Whether a grant's repository pattern covers a name.
fn covers(pattern: &str, name: &RepositoryName) -> bool {
    match pattern.strip_suffix("/*") {
        Some(prefix) => name
            .as_str()
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('/')),
        None => pattern == "*" || pattern == name.as_str(),
    }
}

/// User and password of `Basic …` (RFC 7617).
pub(crate) fn basic(scheme: &str, rest: &str) -> Option<(String, String)> {
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_covers_what_its_pattern_says() {
        let cases = [
            ("*", "a/b", true),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", true),
            ("a/*", "a", false),
            ("a/*", "ab/c", false),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
        ];
        for (pattern, name, covered) in cases {
            assert_eq!(
                covers(pattern, &name.parse().unwrap()),
                covered,
                "{pattern} {name}"
            );
        }
    }
}
