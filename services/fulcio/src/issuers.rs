//! The issuers whose tokens are taken, in upstream's configuration format.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use regex::Regex;
use serde::{Deserialize, Serialize};
use url::Url;
use x509::{FulcioField, public_instance};

use crate::{go_url::GoUrl, template::Template};

/// Built-in metadata of continuous integration providers.
const PROVIDERS: &str = include_str!("providers.yaml");

/// Paths of the lab's own issuer, and the kind of its tokens with the provider that reads them.
const LAB_ISSUERS: [(&str, (IssuerType, &str)); 11] = [
    ("", (IssuerType::Email, "")),
    ("/buildkite", (IssuerType::CiProvider, "buildkite-job")),
    ("/chainguard", (IssuerType::ChainguardIdentity, "")),
    ("/circleci", (IssuerType::CiProvider, "circleci-job")),
    ("/codefresh", (IssuerType::CiProvider, "codefresh-workflow")),
    (
        "/github-actions",
        (IssuerType::CiProvider, "github-workflow"),
    ),
    ("/gitlab", (IssuerType::CiProvider, "gitlab-pipeline")),
    ("/kubernetes", (IssuerType::Kubernetes, "")),
    ("/spiffe", (IssuerType::Spiffe, "")),
    ("/uri", (IssuerType::Uri, "")),
    ("/username", (IssuerType::Username, "")),
];

/// What a token of an issuer becomes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum IssuerType {
    BuildkiteJob,
    ChainguardIdentity,
    CiProvider,
    CodefreshWorkflow,
    Email,
    GithubWorkflow,
    GitlabPipeline,
    Kubernetes,
    Spiffe,
    Uri,
    Username,
}

impl IssuerType {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BuildkiteJob => "buildkite-job",
            Self::ChainguardIdentity => "chainguard-identity",
            Self::CiProvider => "ci-provider",
            Self::CodefreshWorkflow => "codefresh-workflow",
            Self::Email => "email",
            Self::GithubWorkflow => "github-workflow",
            Self::GitlabPipeline => "gitlab-pipeline",
            Self::Kubernetes => "kubernetes",
            Self::Spiffe => "spiffe",
            Self::Uri => "uri",
            Self::Username => "username",
        }
    }
}

/// One issuer as the file has it. YAML keys are upstream's; its JSON keys are taken too.
#[derive(Clone, Debug, Deserialize)]
struct IssuerEntry {
    #[serde(rename = "issuer-url", alias = "IssuerURL", default)]
    issuer_url: String,
    #[serde(rename = "client-id", alias = "ClientID", default)]
    client_id: String,
    #[serde(rename = "type", alias = "Type")]
    issuer_type: IssuerType,
    #[serde(rename = "ci-provider", alias = "CIProvider", default)]
    ci_provider: String,
    #[serde(rename = "issuer-claim", alias = "IssuerClaim", default)]
    issuer_claim: String,
    #[serde(rename = "subject-domain", alias = "SubjectDomain", default)]
    subject_domain: String,
    #[serde(rename = "spiffe-trust-domain", alias = "SPIFFETrustDomain", default)]
    spiffe_trust_domain: String,
    #[serde(rename = "challenge-claim", alias = "ChallengeClaim", default)]
    challenge_claim: String,
    #[serde(rename = "ca-cert", alias = "CACert", default)]
    ca_cert: String,
    #[serde(
        rename = "skip-email-verification",
        alias = "SkipEmailVerification",
        default
    )]
    skip_email_verification: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Document {
    #[serde(rename = "oidc-issuers", alias = "OIDCIssuers", default)]
    issuers: BTreeMap<String, IssuerEntry>,
    #[serde(rename = "meta-issuers", alias = "MetaIssuers", default)]
    meta_issuers: BTreeMap<String, IssuerEntry>,
    #[serde(rename = "ci-issuer-metadata", alias = "CIIssuerMetadata", default)]
    providers: BTreeMap<String, ProviderEntry>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct ProviderEntry {
    #[serde(
        rename = "default-template-values",
        alias = "DefaultTemplateValues",
        default
    )]
    defaults: BTreeMap<String, String>,
    #[serde(rename = "extension-templates", alias = "ExtensionTemplates", default)]
    extensions: BTreeMap<String, String>,
    #[serde(
        rename = "subject-alternative-name-template",
        alias = "SubjectAlternativeNameTemplate",
        default
    )]
    san: String,
}

/// A value of a certificate: from a template, or a claim by its name.
#[derive(Clone, Debug)]
pub(crate) enum ClaimSource {
    Claim(String),
    Template(Template),
}

impl ClaimSource {
    fn new(text: &str) -> anyhow::Result<Self> {
        Ok(if text.contains("{{") {
            Self::Template(Template::parse(text)?)
        } else {
            Self::Claim(text.to_owned())
        })
    }
}

/// How a provider's claims become a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) defaults: BTreeMap<String, String>,
    /// In the order of the extensions.
    pub(crate) extensions: Vec<(FulcioField, ClaimSource)>,
    /// `None` for a blank template, which is refused when it is needed.
    pub(crate) san: Option<ClaimSource>,
}

/// A checked issuer. For a meta-issuer `url` is the pattern.
#[derive(Clone, Debug)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) client_id: String,
    pub(crate) kind: IssuerType,
    pub(crate) provider: Option<Provider>,
    pub(crate) issuer_claim: Option<String>,
    pub(crate) subject_domain: String,
    pub(crate) spiffe_trust_domain: String,
    pub(crate) challenge_claim: String,
    /// PEM certificates that vouch for the issuer's TLS.
    pub(crate) ca_cert: Option<String>,
    pub(crate) skip_email_verification: bool,
    /// Where its keys are asked for, when the lab plays it.
    pub(crate) asked_at: Option<Url>,
}

/// All issuers.
#[derive(Clone, Debug)]
pub(crate) struct Issuers {
    exact: BTreeMap<String, Issuer>,
    patterns: Vec<(Regex, Issuer)>,
}

impl Issuers {
    /// From upstream's file: JSON, or else YAML.
    pub(crate) fn from_text(text: &str) -> anyhow::Result<Self> {
        let document: Document = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(_) => serde_saphyr::from_str(text).context("neither JSON nor YAML")?,
        };
        Self::new(&document)
    }

    /// The lab's own issuer, which has one URL for each of its kinds of token, and the public issuers
    /// that it plays.
    pub(crate) fn for_lab(base: &str, played: &[String]) -> anyhow::Result<Self> {
        let mut document: Document =
            serde_saphyr::from_str(PROVIDERS).context("built-in providers")?;
        let own = GoUrl::parse(base)?;
        let mut add = |url: String, (kind, provider): (IssuerType, &str)| {
            let subject_domain = match kind {
                IssuerType::Uri => format!("{}://{}", own.scheme, own.host),
                IssuerType::Username => own.hostname().to_owned(),
                _ => String::new(),
            };
            let spiffe_trust_domain = match kind {
                IssuerType::Spiffe => "lab.invalid".to_owned(),
                _ => String::new(),
            };
            let entry = IssuerEntry {
                issuer_url: url.clone(),
                client_id: "sigstore".to_owned(),
                issuer_type: kind,
                ci_provider: provider.to_owned(),
                issuer_claim: String::new(),
                subject_domain,
                spiffe_trust_domain,
                challenge_claim: String::new(),
                ca_cert: String::new(),
                skip_email_verification: false,
            };
            document.issuers.insert(url, entry);
        };
        for (path, kind) in LAB_ISSUERS {
            add(format!("{base}{path}"), kind);
        }
        for url in played.iter().filter(|url| !url.contains('*')) {
            add(url.clone(), played_kind(url));
        }
        Self::new(&document)
    }

    /// Has the lab's own issuer at `base` asked for the keys of public ones, unless the file says by a
    /// `ca-cert` who speaks for them.
    pub(crate) fn play_at(&mut self, base: &Url) {
        let issuers = self
            .exact
            .values_mut()
            .chain(self.patterns.iter_mut().map(|(_, i)| i));
        for issuer in issuers {
            if issuer.ca_cert.is_none() && public_instance::is_public_issuer(&issuer.url) {
                issuer.asked_at = Some(base.clone());
            }
        }
    }

    fn new(document: &Document) -> anyhow::Result<Self> {
        let mut exact = BTreeMap::new();
        for (key, entry) in &document.issuers {
            let url = if entry.issuer_url.is_empty() {
                key
            } else {
                &entry.issuer_url
            };
            let issuer =
                issuer(url, entry, &document.providers).with_context(|| format!("issuer {key}"))?;
            exact.insert(key.clone(), issuer.clone());
            // Tokens are looked up by URL, whatever the key is.
            exact.entry(url.clone()).or_insert(issuer);
        }
        let mut patterns = Vec::new();
        for (pattern, entry) in &document.meta_issuers {
            let place = || format!("meta-issuer {pattern}");
            if entry.issuer_type == IssuerType::Spiffe {
                bail!("{}: SPIFFE meta issuers not supported", place());
            }
            let expression = pattern
                .split('*')
                .map(regex::escape)
                .collect::<Vec<_>>()
                .join("[-_a-zA-Z0-9]+");
            let regex = Regex::new(&format!("^{expression}$")).with_context(place)?;
            patterns.push((
                regex,
                issuer(pattern, entry, &document.providers).with_context(place)?,
            ));
        }
        Ok(Self { exact, patterns })
    }

    /// The issuer of a token's `iss`.
    pub(crate) fn find(&self, url: &str) -> Option<&Issuer> {
        self.exact.get(url).or_else(|| {
            self.patterns
                .iter()
                .find(|(regex, _)| regex.is_match(url))
                .map(|(_, i)| i)
        })
    }

    /// Issuers with a URL, by URL.
    pub(crate) fn exact(&self) -> impl Iterator<Item = &Issuer> {
        self.exact
            .iter()
            .filter(|(key, issuer)| **key == issuer.url)
            .map(|(_, issuer)| issuer)
    }

    /// Issuers with a pattern.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Issuer> {
        self.patterns.iter().map(|(_, issuer)| issuer)
    }
}

/// The kind of a public issuer that is played, by its host.
fn played_kind(url: &str) -> (IssuerType, &'static str) {
    let url = Url::parse(url).ok();
    match url.as_ref().and_then(Url::host_str).unwrap_or_default() {
        "agent.buildkite.com" => (IssuerType::CiProvider, "buildkite-job"),
        "gitlab.com" => (IssuerType::CiProvider, "gitlab-pipeline"),
        "issuer.enforce.dev" => (IssuerType::ChainguardIdentity, ""),
        "oidc.circleci.com" => (IssuerType::CiProvider, "circleci-job"),
        "oidc.codefresh.io" => (IssuerType::CiProvider, "codefresh-workflow"),
        host if host.starts_with("token.actions.") => (IssuerType::CiProvider, "github-workflow"),
        _ => (IssuerType::Email, ""),
    }
}

fn issuer(
    url: &str,
    entry: &IssuerEntry,
    providers: &BTreeMap<String, ProviderEntry>,
) -> anyhow::Result<Issuer> {
    let kind = entry.issuer_type;
    ensure!(
        entry.issuer_claim.is_empty() || kind == IssuerType::Email,
        "only email issuers can use issuer claim mapping"
    );
    match kind {
        IssuerType::Spiffe => {
            let domain = &entry.spiffe_trust_domain;
            ensure!(
                !domain.is_empty(),
                "spiffe issuer must have SPIFFETrustDomain set"
            );
            ensure!(
                crate::identity::is_spiffe_trust_domain(domain),
                "spiffe trust domain is invalid: {domain}"
            );
        }
        IssuerType::Uri => check_uri_domain(url, &entry.subject_domain)?,
        IssuerType::Username => check_username_domain(url, &entry.subject_domain)?,
        _ => {}
    }
    if !entry.ca_cert.is_empty() {
        x509::Certificate::chain_from_pem(&entry.ca_cert)
            .with_context(|| format!("failed to parse CA certificate for issuer {url}"))?;
    }
    let provider = match kind {
        IssuerType::CiProvider => {
            let name = &entry.ci_provider;
            let found = providers
                .get(name)
                .with_context(|| format!("no ci-issuer-metadata for ci-provider {name:?}"))?;
            Some(provider(found).with_context(|| format!("ci-issuer-metadata {name}"))?)
        }
        _ => None,
    };
    let challenge_claim = match (entry.challenge_claim.as_str(), kind) {
        ("", IssuerType::Email) => "email",
        ("", _) => "sub",
        (claim, _) => claim,
    };
    let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok(Issuer {
        url: url.to_owned(),
        client_id: entry.client_id.clone(),
        kind,
        provider,
        issuer_claim: set(&entry.issuer_claim),
        subject_domain: entry.subject_domain.clone(),
        spiffe_trust_domain: entry.spiffe_trust_domain.clone(),
        challenge_claim: challenge_claim.to_owned(),
        ca_cert: set(&entry.ca_cert),
        skip_email_verification: entry.skip_email_verification,
        asked_at: None,
    })
}

fn provider(entry: &ProviderEntry) -> anyhow::Result<Provider> {
    let mut extensions = Vec::new();
    for (key, text) in &entry.extensions {
        // The subject is always the token's.
        if matches!(key.as_str(), "subject" | "Subject") || text.trim().is_empty() {
            continue;
        }
        let field = FulcioField::ALL
            .iter()
            .copied()
            .filter(|field| !matches!(field, FulcioField::IssuerV1 | FulcioField::Issuer))
            .find(|field| *key == kebab(field.name()) || key == field.name())
            .with_context(|| format!("unknown extension template {key}"))?;
        let source = ClaimSource::new(text).with_context(|| format!("template of {key}"))?;
        extensions.push((field, source));
    }
    extensions.sort_by_key(|(field, _)| *field);
    let san = match entry.san.trim() {
        "" => None,
        _ => Some(ClaimSource::new(&entry.san).context("subject-alternative-name-template")?),
    };
    Ok(Provider {
        defaults: entry.defaults.clone(),
        extensions,
        san,
    })
}

/// `BuildSignerURI` as `build-signer-uri`.
fn kebab(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        let starts_word =
            byte.is_ascii_uppercase() && index > 0 && bytes[index - 1].is_ascii_lowercase();
        if starts_word {
            out.push('-');
        }
        out.push(char::from(byte.to_ascii_lowercase()));
    }
    out
}

fn check_uri_domain(issuer: &str, domain: &str) -> anyhow::Result<()> {
    ensure!(!domain.is_empty(), "uri issuer must have SubjectDomain set");
    let subject = GoUrl::parse(domain)?;
    ensure!(
        !subject.scheme.is_empty(),
        "SubjectDomain for uri must contain scheme"
    );
    let issuer = GoUrl::parse(issuer)?;
    ensure!(
        !issuer.scheme.is_empty(),
        "issuer for uri must contain scheme"
    );
    ensure!(
        subject.scheme == issuer.scheme,
        "subject ({}) and issuer ({}) URI schemes do not match",
        subject.scheme,
        issuer.scheme
    );
    check_hosts(subject.hostname(), issuer.hostname())
}

fn check_username_domain(issuer: &str, domain: &str) -> anyhow::Result<()> {
    ensure!(
        !domain.is_empty(),
        "username issuer must have SubjectDomain set"
    );
    ensure!(
        !domain.contains("://"),
        "SubjectDomain for username should not contain scheme"
    );
    let issuer = GoUrl::parse(issuer)?;
    ensure!(
        !issuer.scheme.is_empty(),
        "issuer for username must contain scheme"
    );
    check_hosts(domain, issuer.hostname())
}

/// Both hosts must share their last two labels; a single label must be the same.
fn check_hosts(subject: &str, issuer: &str) -> anyhow::Result<()> {
    if subject == issuer {
        return Ok(());
    }
    let last_two = |host: &str| {
        let labels: Vec<&str> = host.rsplit('.').take(2).collect();
        (labels.len() == 2).then(|| labels.join("."))
    };
    let short = |host: &str| format!("URI hostname too short: {host}");
    let subject_end = last_two(subject).with_context(|| short(subject))?;
    let issuer_end = last_two(issuer).with_context(|| short(issuer))?;
    ensure!(
        subject_end == issuer_end,
        "hostname top-level and second-level domains do not match: {subject}, {issuer}"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
