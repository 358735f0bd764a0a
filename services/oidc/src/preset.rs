//! The token shapes of the issuers that Sigstore knows, each with the fields that shape it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A kind of issuer. Each has its own issuer URL below this service's.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// Buildkite's agent tokens.
    Buildkite,
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
}

impl Preset {
    /// All of them, by name.
    pub const ALL: [Self; 6] = [
        Self::Buildkite,
        Self::Email,
        Self::GithubActions,
        Self::Gitlab,
        Self::Kubernetes,
        Self::Spiffe,
    ];

    /// Its name in settings, parameters and paths.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Buildkite => "buildkite",
            Self::Email => "email",
            Self::GithubActions => "github-actions",
            Self::Gitlab => "gitlab",
            Self::Kubernetes => "kubernetes",
            Self::Spiffe => "spiffe",
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
            Self::Email => 1800,
            Self::GithubActions => 900,
            Self::Gitlab | Self::Kubernetes => 3600,
            Self::Buildkite | Self::Spiffe => 300,
        }
    }

    /// Seconds between `nbf` and `iat`, or `None` where the real issuer sends no `nbf`.
    pub(crate) const fn not_before_secs(self) -> Option<i64> {
        match self {
            Self::Email | Self::Spiffe => None,
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
            Self::Buildkite => buildkite(&mut fields),
            Self::Email => email(identity, &mut fields),
            Self::GithubActions => github_actions(&mut fields),
            Self::Gitlab => gitlab(&mut fields),
            Self::Kubernetes => kubernetes(&mut fields),
            Self::Spiffe => spiffe(&mut fields),
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

/// GitHub's documented claims, all strings. Inputs: `sub_format`, `legacy` or `immutable`.
fn github_actions(fields: &mut Fields) -> Map<String, Value> {
    let immutable = fields
        .input("sub_format")
        .is_some_and(|format| format == "immutable");
    let repository = fields.text("repository", "lab-org/lab-app");
    let owner = repository.split('/').next().unwrap_or_default();
    let owner = fields.text("repository_owner", owner);
    let repository_id = fields.text("repository_id", "700000001");
    let owner_id = fields.text("repository_owner_id", "600000001");
    let event = fields.text("event_name", "push");
    let pull_request = event == "pull_request";
    let default_ref = if pull_request {
        "refs/pull/1/merge"
    } else {
        "refs/heads/main"
    };
    let git_ref = fields.text("ref", default_ref);
    let sha = fields.text("sha", "5eac0de05eac0de05eac0de05eac0de05eac0de0");
    let workflow = format!("{repository}/.github/workflows/release.yml@{git_ref}");
    let job_workflow = fields.text("workflow_ref", &workflow);
    let environment = fields.optional("environment");
    let ids = immutable.then_some((owner_id.as_str(), repository_id.as_str()));
    let context = match &environment {
        Some(environment) => format!("environment:{}", escaped(environment)),
        None if pull_request => "pull_request".to_owned(),
        None => format!("ref:{}", escaped(&git_ref)),
    };
    let mut claims = object(json!({
        "sub": format!("repo:{}:{context}", github_repository(&repository, ids)),
        "actor": "lab-user",
        "actor_id": "500000001",
        "base_ref": if pull_request { "main" } else { "" },
        "check_run_id": "40000000001",
        "event_name": event,
        "head_ref": if pull_request { "feature" } else { "" },
        "job_workflow_ref": job_workflow,
        "job_workflow_sha": sha,
        "ref": git_ref,
        "ref_protected": "false",
        "ref_type": if git_ref.starts_with("refs/tags/") { "tag" } else { "branch" },
        "repository": repository,
        "repository_id": repository_id,
        "repository_owner": owner,
        "repository_owner_id": owner_id,
        "repository_visibility": "public",
        "run_attempt": "1",
        "run_id": "10000000001",
        "run_number": "1",
        "runner_environment": "github-hosted",
        "sha": sha,
        "workflow": "release",
        "workflow_ref": job_workflow,
        "workflow_sha": sha,
    }));
    if environment.is_some() {
        claims.insert(
            "environment_node_id".to_owned(),
            json!("EN_kwDOLabAppM7AAAA"),
        );
    }
    claims
}

/// `OWNER/REPO`, or with ids `OWNER@OWNER-ID/REPO@REPO-ID`: repositories made, renamed or moved since
/// 2026-07-15 have the second form, so that a name given to somebody else is another subject.
fn github_repository(repository: &str, ids: Option<(&str, &str)>) -> String {
    let Some((owner_id, repository_id)) = ids else {
        return escaped(repository);
    };
    let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
    format!(
        "{}@{owner_id}/{}@{repository_id}",
        escaped(owner),
        escaped(name)
    )
}

/// GitHub writes a `:` inside a value of `sub` as `%3A`.
fn escaped(value: &str) -> String {
    value.replace(':', "%3A")
}

/// GitLab's documented claims. Inputs: `server_host`, the host in `ci_config_ref_uri`.
fn gitlab(fields: &mut Fields) -> Map<String, Value> {
    let host = fields
        .input("server_host")
        .unwrap_or_else(|| "gitlab.example.com".to_owned());
    let project = fields.text("project_path", "lab-group/lab-app");
    let namespace = project
        .rsplit_once('/')
        .map_or(project.as_str(), |(group, _)| group);
    let ref_type = fields.text("ref_type", "branch");
    let git_ref = fields.text("ref", if ref_type == "tag" { "v1.0.0" } else { "main" });
    let ref_path = match ref_type.as_str() {
        "tag" => format!("refs/tags/{git_ref}"),
        _ => format!("refs/heads/{git_ref}"),
    };
    let sha = fields.text("sha", "5eac0de05eac0de05eac0de05eac0de05eac0de0");
    let mut claims = object(json!({
        "sub": format!("project_path:{project}:ref_type:{ref_type}:ref:{git_ref}"),
        "namespace_id": "71",
        "namespace_path": namespace,
        "project_id": "20",
        "project_path": project,
        "user_id": "1",
        "user_login": "lab-user",
        "user_email": "lab-user@example.com",
        "user_access_level": "maintainer",
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": git_ref,
        "ref_type": ref_type,
        "ref_path": ref_path,
        "ref_protected": "true",
        "runner_id": 1,
        "runner_environment": "gitlab-hosted",
        "sha": sha,
        "project_visibility": "public",
        "ci_config_ref_uri": format!("{host}/{project}//.gitlab-ci.yml@{ref_path}"),
        "ci_config_sha": sha,
        "job_source": "push",
    }));
    if fields.optional("environment").is_some() {
        for (name, value) in [
            ("environment_protected", "false"),
            ("deployment_tier", "production"),
            ("deployment_action", "start"),
        ] {
            claims.insert(name.to_owned(), json!(value));
        }
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

/// The agent's documented claims.
fn buildkite(fields: &mut Fields) -> Map<String, Value> {
    let organization = fields.text("organization_slug", "lab-org");
    let pipeline = fields.text("pipeline_slug", "lab-app");
    let branch = fields.text("build_branch", "main");
    let commit = fields.text("build_commit", "5eac0de05eac0de05eac0de05eac0de05eac0de0");
    let step = fields.text("step_key", "release");
    let git_ref = match fields.optional("build_tag") {
        Some(tag) => format!("refs/tags/{tag}"),
        None => format!("refs/heads/{branch}"),
    };
    object(json!({
        "sub": format!(
            "organization:{organization}:pipeline:{pipeline}:ref:{git_ref}:commit:{commit}:step:{step}"
        ),
        "organization_slug": organization,
        "organization_id": "01840000-0000-4000-8000-000000000001",
        "pipeline_slug": pipeline,
        "pipeline_id": "01840000-0000-4000-8000-000000000002",
        "build_number": 1,
        "build_branch": branch,
        "build_commit": commit,
        "build_source": "webhook",
        "step_key": step,
        "job_id": "01840000-0000-4000-8000-000000000003",
        "agent_id": "01840000-0000-4000-8000-000000000004",
        "runner_environment": "self-hosted",
    }))
}
