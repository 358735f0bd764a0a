//! Identities of the types that upstream wrote out by hand before `ci-provider`.

use serde_json::{Map, Value};
use x509::{
    FulcioExtensions,
    FulcioField::{
        BuildConfigDigest, BuildConfigUri, BuildSignerDigest, BuildSignerUri, BuildTrigger,
        GithubWorkflowName, GithubWorkflowRef, GithubWorkflowRepository, GithubWorkflowSha,
        GithubWorkflowTrigger, RunInvocationUri, RunnerEnvironment, SourceRepositoryDigest,
        SourceRepositoryIdentifier, SourceRepositoryOwnerIdentifier, SourceRepositoryOwnerUri,
        SourceRepositoryRef, SourceRepositoryUri, SourceRepositoryVisibilityAtSigning,
    },
};

use super::Identity;
use crate::{go_url::join_path, token::Rejection};

/// The text of a claim that must be there.
fn required<'v>(claims: &'v Map<String, Value>, claim: &'static str) -> Result<&'v str, Rejection> {
    match claims.get(claim).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(Rejection::ClaimMissing { claim }),
    }
}

/// The text of a claim that may be missing or null, and must otherwise be one.
fn optional<'v>(claims: &'v Map<String, Value>, claim: &'static str) -> Result<&'v str, Rejection> {
    match claims.get(claim) {
        None | Some(Value::Null) => Ok(""),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Rejection::ClaimMissing { claim }),
    }
}

pub(super) fn github<'a>(claims: &Map<String, Value>) -> Result<Identity<'a>, Rejection> {
    const URL: &str = "https://github.com/";
    let claim = |name| required(claims, name);
    let repository = claim("repository")?;
    let uri = join_path(URL, &[claim("job_workflow_ref")?])?;
    let mut all = FulcioExtensions::new();
    all.set(GithubWorkflowTrigger, claim("event_name")?);
    all.set(GithubWorkflowSha, claim("sha")?);
    all.set(GithubWorkflowName, claim("workflow")?);
    all.set(GithubWorkflowRepository, repository);
    all.set(GithubWorkflowRef, claim("ref")?);
    all.set(BuildSignerUri, uri.clone());
    all.set(BuildSignerDigest, claim("job_workflow_sha")?);
    all.set(RunnerEnvironment, claim("runner_environment")?);
    all.set(SourceRepositoryUri, join_path(URL, &[repository])?);
    all.set(SourceRepositoryDigest, claim("sha")?);
    all.set(SourceRepositoryRef, claim("ref")?);
    all.set(SourceRepositoryIdentifier, claim("repository_id")?);
    all.set(
        SourceRepositoryOwnerUri,
        join_path(URL, &[claim("repository_owner")?])?,
    );
    all.set(
        SourceRepositoryOwnerIdentifier,
        claim("repository_owner_id")?,
    );
    all.set(BuildConfigUri, join_path(URL, &[claim("workflow_ref")?])?);
    all.set(BuildConfigDigest, claim("workflow_sha")?);
    all.set(BuildTrigger, claim("event_name")?);
    let (run_id, attempt) = (claim("run_id")?, claim("run_attempt")?);
    let run = [repository, "actions/runs", run_id, "attempts", attempt];
    all.set(RunInvocationUri, join_path(URL, &run)?);
    all.set(
        SourceRepositoryVisibilityAtSigning,
        claim("repository_visibility")?,
    );
    Ok(Identity::Uri(uri, all))
}

pub(super) fn gitlab<'a>(claims: &Map<String, Value>) -> Result<Identity<'a>, Rejection> {
    const URL: &str = "https://gitlab.com/";
    let claim = |name| required(claims, name);
    claim("pipeline_id")?;
    if claims
        .get("runner_id")
        .and_then(Value::as_i64)
        .is_none_or(|id| id == 0)
    {
        return Err(Rejection::ClaimMissing { claim: "runner_id" });
    }
    let project = claim("project_path")?;
    let git_ref = match claim("ref_type")? {
        "branch" => format!("refs/heads/{}", claim("ref")?),
        "tag" => format!("refs/tags/{}", claim("ref")?),
        other => {
            return Err(Rejection::RefType {
                ref_type: other.to_owned(),
            });
        }
    };
    let uri = format!("https://{}", claim("ci_config_ref_uri")?);
    let mut all = FulcioExtensions::new();
    all.set(BuildSignerUri, uri.clone());
    all.set(BuildSignerDigest, optional(claims, "ci_config_sha")?);
    all.set(RunnerEnvironment, claim("runner_environment")?);
    all.set(SourceRepositoryUri, join_path(URL, &[project])?);
    all.set(SourceRepositoryDigest, claim("sha")?);
    all.set(SourceRepositoryRef, git_ref);
    all.set(SourceRepositoryIdentifier, claim("project_id")?);
    all.set(
        SourceRepositoryOwnerUri,
        join_path(URL, &[claim("namespace_path")?])?,
    );
    all.set(SourceRepositoryOwnerIdentifier, claim("namespace_id")?);
    all.set(BuildConfigUri, uri.clone());
    all.set(BuildConfigDigest, optional(claims, "ci_config_sha")?);
    all.set(BuildTrigger, claim("pipeline_source")?);
    all.set(
        RunInvocationUri,
        join_path(URL, &[project, "-/jobs", claim("job_id")?])?,
    );
    all.set(
        SourceRepositoryVisibilityAtSigning,
        optional(claims, "project_visibility")?,
    );
    Ok(Identity::Uri(uri, all))
}

pub(super) fn buildkite<'a>(claims: &Map<String, Value>) -> Result<Identity<'a>, Rejection> {
    let organization = required(claims, "organization_slug")?;
    let pipeline = required(claims, "pipeline_slug")?;
    let uri = join_path("https://buildkite.com", &[organization, pipeline])?;
    Ok(Identity::Uri(uri, FulcioExtensions::new()))
}

pub(super) fn codefresh<'a>(claims: &Map<String, Value>) -> Result<Identity<'a>, Rejection> {
    let claim = |name| required(claims, name);
    optional(claims, "initiator")?;
    let platform = match optional(claims, "platform_url")? {
        "" => "https://g.codefresh.io",
        url => url,
    };
    let pipeline_id = claim("pipeline_id")?;
    let name = optional(claims, "pipeline_name")?;
    let pipeline = format!("{name}:{}/{pipeline_id}", claim("account_id")?);
    let uri = join_path(platform, &[optional(claims, "account_name")?, &pipeline])?;
    let build = join_path(platform, &["build", claim("workflow_id")?])?;
    let mut all = FulcioExtensions::new();
    all.set(BuildSignerUri, build.clone());
    all.set(RunnerEnvironment, optional(claims, "runner_environment")?);
    all.set(SourceRepositoryUri, optional(claims, "scm_repo_url")?);
    all.set(SourceRepositoryRef, optional(claims, "scm_ref")?);
    all.set(
        BuildConfigUri,
        join_path(platform, &["api/pipelines", pipeline_id])?,
    );
    all.set(RunInvocationUri, build);
    Ok(Identity::Uri(uri, all))
}
