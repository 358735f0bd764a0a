//! What a verified token says of its bearer: the name that possession is proved over, and what the
//! certificate will say.

mod ci_provider;
mod claim;
mod legacy;

use serde_json::{Map, Value};
use x509::{FulcioExtensions, FulcioField, San};

use crate::{
    error::Error,
    go_url::{self, GoUrl},
    issuers::{IssuerType, Provider},
    token::{IdentityToken, Rejection},
};

/// Who asks for a certificate.
#[derive(Debug)]
pub(crate) struct Principal<'a> {
    /// The message of the proof of possession.
    pub(crate) name: String,
    /// Issuer as the certificate names it.
    pub(crate) issuer: String,
    subject: String,
    identity: Identity<'a>,
}

#[derive(Debug)]
enum Identity<'a> {
    /// A name that is already whole.
    Name(San),
    /// A URI that is parsed when the certificate is made, with the extensions of a legacy type.
    Uri(String, FulcioExtensions),
    Provider {
        provider: &'a Provider,
        claims: Map<String, Value>,
        token_issuer: String,
    },
}

impl<'a> Principal<'a> {
    /// Reads the claims that the issuer's type needs.
    pub(crate) fn new(token: IdentityToken<'a>) -> Result<Self, Rejection> {
        let issuer = token.issuer;
        let subject = token.subject.clone();
        let mut name = subject.clone();
        let mut certificate_issuer = token.issuer_url.clone();
        let identity = match issuer.kind {
            IssuerType::Email => {
                name = verified_email(&token, issuer.skip_email_verification)?;
                if !is_email(&name) {
                    return Err(Rejection::EmailInvalid);
                }
                if let Some(path) = &issuer.issuer_claim {
                    certificate_issuer = text_at(&token.claims, path)
                        .ok_or_else(|| Rejection::IssuerClaim { path: path.clone() })?;
                }
                Identity::Name(San::Email(name.clone()))
            }
            IssuerType::Uri => uri(&subject, &issuer.subject_domain)?,
            IssuerType::Username => {
                if subject.contains('!') {
                    return Err(Rejection::UsernameBang);
                }
                if is_email(&subject) {
                    return Err(Rejection::UsernameIsEmail);
                }
                let text = format!("{subject}!{}", issuer.subject_domain);
                Identity::Name(San::username(&text))
            }
            IssuerType::Spiffe => spiffe(&subject, &issuer.spiffe_trust_domain)?,
            IssuerType::Kubernetes => kubernetes(&token.claims)?,
            IssuerType::ChainguardIdentity => {
                if subject.is_empty() {
                    return Err(Rejection::ClaimMissing { claim: "sub" });
                }
                // An address is not judged here, only whether it is verified.
                match verified_email(&token, false) {
                    Ok(email) => name = email,
                    Err(Rejection::NoEmail) => {}
                    Err(reason) => return Err(reason),
                }
                let uri = go_url::join_path(&token.issuer_url, &[&subject])?;
                Identity::Uri(uri, FulcioExtensions::new())
            }
            IssuerType::GithubWorkflow => legacy::github(&token.claims)?,
            IssuerType::GitlabPipeline => legacy::gitlab(&token.claims)?,
            IssuerType::BuildkiteJob => legacy::buildkite(&token.claims)?,
            IssuerType::CodefreshWorkflow => legacy::codefresh(&token.claims)?,
            IssuerType::CiProvider => Identity::Provider {
                provider: issuer
                    .provider
                    .as_ref()
                    .expect("checked when the issuers were read"),
                claims: token.claims,
                token_issuer: token.issuer_url,
            },
        };
        Ok(Self {
            name,
            issuer: certificate_issuer,
            subject,
            identity,
        })
    }

    /// Name and extensions of the certificate.
    pub(crate) fn embed(self) -> Result<(San, FulcioExtensions), Error> {
        if self.issuer.is_empty() {
            return Err(Error::EmptyIssuer);
        }
        let (san, mut extensions) = match self.identity {
            Identity::Name(san) => (san, FulcioExtensions::new()),
            Identity::Uri(uri, extensions) => (uri_san(&uri)?, extensions),
            Identity::Provider {
                provider,
                claims,
                token_issuer,
            } => ci_provider::embed(provider, &claims, &token_issuer)?,
        };
        if let San::Email(name) | San::Uri(name) = &san
            && !name.is_ascii()
        {
            return Err(Error::SanCharset { name: name.clone() });
        }
        extensions.set(FulcioField::IssuerV1, self.issuer.clone());
        extensions.set(FulcioField::Issuer, self.issuer);
        extensions.set(FulcioField::Subject, self.subject);
        Ok((san, extensions))
    }
}

fn uri_san(uri: &str) -> Result<San, Error> {
    Ok(San::Uri(GoUrl::parse(uri)?.as_str().to_owned()))
}

fn verified_email(token: &IdentityToken<'_>, skip: bool) -> Result<String, Rejection> {
    let email = token
        .claims
        .get("email")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if email.is_empty() {
        return Err(Rejection::NoEmail);
    }
    let verified = match token.claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => text == "true" || text == "True",
        _ => false,
    };
    if !verified && !skip {
        return Err(Rejection::EmailNotVerified);
    }
    Ok(email.to_owned())
}

/// Whether a text looks like an address: a dot-atom, an `@`, and a domain of at least two labels.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let atom = |c: char| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    let local_is_good = !local.is_empty()
        && local
            .split('.')
            .all(|part| !part.is_empty() && part.chars().all(atom));
    let label = |label: &str| {
        let edge = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        label.len() <= 63
            && edge(label.chars().next())
            && edge(label.chars().last())
            && label
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '~'))
    };
    let labels: Vec<&str> = domain
        .strip_suffix('.')
        .unwrap_or(domain)
        .split('.')
        .collect();
    let top = labels.last().copied().unwrap_or_default();
    local_is_good
        && labels.len() >= 2
        && labels.iter().all(|part| label(part))
        && top.chars().next().is_some_and(char::is_alphabetic)
        && top.chars().last().is_some_and(char::is_alphabetic)
}

fn uri<'a>(subject: &str, domain: &str) -> Result<Identity<'a>, Rejection> {
    if is_email(subject) {
        return Err(Rejection::UriIsEmail);
    }
    let (got, want) = (GoUrl::parse(subject)?, GoUrl::parse(domain)?);
    if got.scheme != want.scheme {
        return Err(Rejection::SubjectScheme {
            got: got.scheme,
            want: want.scheme,
        });
    }
    if got.hostname() != want.hostname() {
        return Err(Rejection::SubjectHost {
            got: got.host,
            want: want.host,
        });
    }
    Ok(Identity::Name(San::Uri(got.as_str().to_owned())))
}

/// The service account of a projected token. What is missing is empty, what is of another kind refused.
fn kubernetes<'a>(claims: &Map<String, Value>) -> Result<Identity<'a>, Rejection> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Bound {
        namespace: Option<String>,
        serviceaccount: Option<ServiceAccount>,
    }
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct ServiceAccount {
        name: Option<String>,
    }
    let claim = claims.get("kubernetes.io").cloned().unwrap_or_default();
    let bound: Option<Bound> =
        serde_json::from_value(claim).map_err(|_| Rejection::ClaimMissing {
            claim: "kubernetes.io",
        })?;
    let bound = bound.unwrap_or_default();
    let namespace = bound.namespace.unwrap_or_default();
    let account = bound
        .serviceaccount
        .unwrap_or_default()
        .name
        .unwrap_or_default();
    let uri = format!("https://kubernetes.io/namespaces/{namespace}/serviceaccounts/{account}");
    Ok(Identity::Uri(uri, FulcioExtensions::new()))
}

/// Whether a text is a trust domain name (SPIFFE-ID §2.1).
pub(crate) fn is_spiffe_trust_domain(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(allowed)
}

/// SPIFFE-ID §2: a trust domain and a path of plain segments.
fn spiffe<'a>(subject: &str, want: &str) -> Result<Identity<'a>, Rejection> {
    let invalid = || Rejection::SpiffeId {
        id: subject.to_owned(),
    };
    let rest = subject.strip_prefix("spiffe://").ok_or_else(invalid)?;
    let (domain, path) = rest
        .split_once('/')
        .map_or((rest, None), |(d, p)| (d, Some(p)));
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
    };
    let path_is_good = path.is_none_or(|path| path.split('/').all(segment));
    if !is_spiffe_trust_domain(domain) || !path_is_good || subject.len() > 2048 {
        return Err(invalid());
    }
    if domain != want {
        let (got, want) = (domain.to_owned(), want.to_owned());
        return Err(Rejection::SpiffeTrustDomain { got, want });
    }
    Ok(Identity::Name(San::Uri(subject.to_owned())))
}

fn at<'v>(claims: &'v Map<String, Value>, path: &[&str]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(claims.get(*first)?, |value, name| value.get(*name))
}

/// The claim at a JSONPath of names only, printed: `$.a.b`, `$['a']`.
fn text_at(claims: &Map<String, Value>, path: &str) -> Option<String> {
    let mut rest = path.strip_prefix('$')?;
    let mut names = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            names.push(&after[..end]);
            rest = &after[end..];
        } else {
            let after = rest.strip_prefix('[')?;
            let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
            let end = after[1..].find(quote)? + 1;
            names.push(&after[1..end]);
            rest = after[end + 1..].strip_prefix(']')?;
        }
    }
    at(claims, &names).map(claim::as_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_texts() {
        for good in ["a@b.example", "a.b+c@x-y.example.org", "ü@b.example"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "a@b",
            "@b.example",
            "a@.example",
            "a..b@c.example",
            "a b@c.example",
            "a@b.1",
            "a@-b.example",
        ] {
            assert!(!is_email(bad), "{bad}");
        }
    }

    #[test]
    fn names_at_a_path_are_found() {
        let claims =
            serde_json::json!({"federated_claims": {"connector_id": "x", "a.b": "y"}, "n": 1});
        let claims = claims.as_object().unwrap();
        assert_eq!(
            text_at(claims, "$.federated_claims.connector_id").as_deref(),
            Some("x")
        );
        assert_eq!(
            text_at(claims, "$.federated_claims['a.b']").as_deref(),
            Some("y")
        );
        assert_eq!(text_at(claims, "$.n").as_deref(), Some("1"));
        for bad in [
            "$.nope.x",
            "federated_claims",
            "$[0]",
            "$",
            "$.federated_claims[",
        ] {
            assert_eq!(text_at(claims, bad), None, "{bad}");
        }
    }

    #[test]
    fn spiffe_ids_must_be_plain_and_of_the_trust_domain() {
        assert!(spiffe("spiffe://lab.invalid/ns/a/sa/b", "lab.invalid").is_ok());
        assert!(spiffe("spiffe://lab.invalid", "lab.invalid").is_ok());
        for bad in [
            "https://lab.invalid/a",
            "spiffe://other/a",
            "spiffe://lab.invalid/",
            "spiffe://lab.invalid/a//b",
            "spiffe://lab.invalid/../a",
            "spiffe://LAB.invalid/a",
            "spiffe://lab.invalid/a%20b",
            "spiffe://lab.invalid:1/a",
        ] {
            assert!(spiffe(bad, "lab.invalid").is_err(), "{bad}");
        }
    }
}
