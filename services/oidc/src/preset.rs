//! The token shapes of the issuers that Sigstore knows, each with the fields that shape it.

mod ci;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A kind of issuer. Each has its own issuer URL below this service's.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Buildkite's agent tokens.
    Buildkite,
    /// Chainguard's identities.
    Chainguard,
    /// CircleCI's job tokens.
    Circleci,
    /// Codefresh's workflow tokens.
    Codefresh,
    /// A person with an email address, as Dex and Google give.
    Email,
    /// GitHub Actions' workflow tokens.
    GithubActions,
    /// GitLab's `id_tokens`.
    Gitlab,
    /// Kubernetes' projected service account tokens.
    Kubernetes,
    /// SPIFFE JWT-SVIDs.
    Spiffe,
    /// A subject that is a URL of the issuer's host.
    Uri,
    /// A subject that is a bare user name.
    Username,
}

impl Preset {
    /// All of them, by name.
    pub const ALL: [Self; 11] = [
        Self::Buildkite,
        Self::Chainguard,
        Self::Circleci,
        Self::Codefresh,
        Self::Email,
        Self::GithubActions,
        Self::Gitlab,
        Self::Kubernetes,
        Self::Spiffe,
        Self::Uri,
        Self::Username,
    ];

    /// Its name in settings, parameters and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buildkite => "buildkite",
            Self::Chainguard => "chainguard",
            Self::Circleci => "circleci",
            Self::Codefresh => "codefresh",
            Self::Email => "email",
            Self::GithubActions => "github-actions",
            Self::Gitlab => "gitlab",
            Self::Kubernetes => "kubernetes",
            Self::Spiffe => "spiffe",
            Self::Uri => "uri",
            Self::Username => "username",
        }
    }

    /// From its name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// What its issuer URL has after the service's: nothing for email, else `/NAME`.
    #[must_use]
    pub fn path(self) -> String {
        match self {
            Self::Email => String::new(),
            other => format!("/{}", other.name()),
        }
    }

    /// Seconds that the real issuer's tokens stay valid; the upper end of GitHub's range, and
    /// fakeoidc's half hour for email.
    #[must_use]
    pub const fn lifetime_secs(self) -> u32 {
        match self {
            Self::Email | Self::Uri | Self::Username => 1800,
            Self::GithubActions => 900,
            Self::Circleci | Self::Gitlab | Self::Kubernetes => 3600,
            Self::Buildkite | Self::Chainguard | Self::Codefresh | Self::Spiffe => 300,
        }
    }

    /// Seconds between `nbf` and `iat`, or `None` where the real issuer sends no `nbf`.
    pub(crate) const fn not_before_secs(self) -> Option<i64> {
        match self {
            Self::Chainguard
            | Self::Circleci
            | Self::Codefresh
            | Self::Email
            | Self::Spiffe
            | Self::Uri
            | Self::Username => None,
            Self::GithubActions => Some(600),
            Self::Gitlab => Some(5),
            Self::Buildkite | Self::Kubernetes => Some(0),
        }
    }

    /// Whether the real issuer writes `aud` as an array even for one audience.
    pub(crate) const fn audience_is_list(self) -> bool {
        matches!(self, Self::Kubernetes | Self::Spiffe)
    }

    /// The claims, without those that every token has (`iss`, `aud`, times, `jti`). `fields` are the
    /// claims and inputs asked for; each that is a claim is taken as it is, each input is consumed.
    pub(crate) fn claims(self, identity: &Identity, mut fields: Fields) -> Map<String, Value> {
        let mut claims = match self {
            Self::Buildkite => ci::buildkite(&mut fields),
            Self::Chainguard => object(json!({ "sub": "0badcafe0badcafe/1ab1ab1ab1ab1ab1" })),
            Self::Circleci => ci::circleci(&mut fields),
            Self::Codefresh => ci::codefresh(&mut fields),
            Self::Email => email(identity, &mut fields),
            Self::GithubActions => ci::github_actions(&mut fields),
            Self::Gitlab => ci::gitlab(&mut fields),
            Self::Kubernetes => kubernetes(&mut fields),
            Self::Spiffe => spiffe(&mut fields),
            Self::Uri => object(json!({ "sub": format!("{}/users/alice", identity.base) })),
            Self::Username => object(json!({ "sub": "alice" })),
        };
        if self != Self::Email {
            if let Some(subject) = &identity.subject {
                claims.insert("sub".to_owned(), json!(subject));
            }
            if let Some(email) = &identity.email {
                claims.insert("email".to_owned(), json!(email));
                claims.insert("email_verified".to_owned(), json!(true));
            }
        }
        for (name, value) in fields.0 {
            claims.insert(name, value);
        }
        claims
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who a token speaks of, as far as its request says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) subject: Option<String>,
    pub(crate) email: Option<String>,
    /// The identity when neither is given.
    pub(crate) default_email: String,
    /// The service's external URL.
    pub(crate) base: String,
}

/// Claims and inputs asked for by a request, over those of the settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(pub(crate) Map<String, Value>);

impl Fields {
    /// The text of a field that is also a claim, or `default`.
    fn text(&self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    fn optional(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(as_text)
    }

    /// The text of a field that is only an input.
    fn input(&mut self, name: &str) -> Option<String> {
        self.0.shift_remove(name).as_ref().and_then(as_text)
    }
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => unreachable!("written as an object literal"),
    }
}

/// Dex's shape. A subject that is not an email address gives a token without `email`: Go clients prove
/// possession over `email` whenever there is one (spec/fulcio.md §4.5).
fn email(identity: &Identity, fields: &mut Fields) -> Map<String, Value> {
    let (subject, email) = match (&identity.subject, &identity.email) {
        (Some(subject), Some(email)) => (subject, Some(email)),
        (Some(subject), None) => (subject, subject.contains('@').then_some(subject)),
        (None, Some(email)) => (email, Some(email)),
        (None, None) => (&identity.default_email, Some(&identity.default_email)),
    };
    let mut claims = object(json!({ "sub": subject }));
    if let Some(email) = email {
        claims.insert("email".to_owned(), json!(email));
        claims.insert("email_verified".to_owned(), json!(true));
    }
    if let Some(connector) = fields.input("connector_id") {
        let federated = json!({ "connector_id": connector, "user_id": subject });
        claims.insert("federated_claims".to_owned(), federated);
    }
    claims
}

/// A projected token. Inputs: `namespace`, `serviceaccount`, `pod`, `node`.
fn kubernetes(fields: &mut Fields) -> Map<String, Value> {
    let namespace = fields
        .input("namespace")
        .unwrap_or_else(|| "default".to_owned());
    let account = fields
        .input("serviceaccount")
        .unwrap_or_else(|| "builder".to_owned());
    let pod = fields
        .input("pod")
        .unwrap_or_else(|| format!("{account}-0"));
    let mut bound = object(json!({ "namespace": namespace }));
    if let Some(node) = fields.input("node") {
        let uid = "b0000000-0000-4000-8000-000000000001";
        bound.insert("node".to_owned(), json!({ "name": node, "uid": uid }));
    }
    let uid = "b0000000-0000-4000-8000-000000000002";
    bound.insert("pod".to_owned(), json!({ "name": pod, "uid": uid }));
    let uid = "b0000000-0000-4000-8000-000000000003";
    bound.insert(
        "serviceaccount".to_owned(),
        json!({ "name": account, "uid": uid }),
    );
    object(json!({
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
        "kubernetes.io": bound,
    }))
}

/// A JWT-SVID. Inputs: `trust_domain`, `path`.
fn spiffe(fields: &mut Fields) -> Map<String, Value> {
    let domain = fields
        .input("trust_domain")
        .unwrap_or_else(|| "lab.invalid".to_owned());
    let path = fields
        .input("path")
        .unwrap_or_else(|| "/ns/default/sa/builder".to_owned());
    object(json!({ "sub": format!("spiffe://{domain}/{}", path.trim_start_matches('/')) }))
}
