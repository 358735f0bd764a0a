//! Token shapes of continuous integration providers.

use serde_json::{Map, Value, json};

use super::{Fields, object};

const SHA: &str = "5eac0de05eac0de05eac0de05eac0de05eac0de0";

/// GitHub's documented claims, all strings. Inputs: `sub_format`, `legacy` or `immutable`.
pub(super) fn github_actions(fields: &mut Fields) -> Map<String, Value> {
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
    let sha = fields.text("sha", SHA);
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
pub(super) fn gitlab(fields: &mut Fields) -> Map<String, Value> {
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
    let sha = fields.text("sha", SHA);
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

/// The agent's documented claims.
pub(super) fn buildkite(fields: &mut Fields) -> Map<String, Value> {
    let organization = fields.text("organization_slug", "lab-org");
    let pipeline = fields.text("pipeline_slug", "lab-app");
    let branch = fields.text("build_branch", "main");
    let commit = fields.text("build_commit", SHA);
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

/// Codefresh's documented claims.
pub(super) fn codefresh(fields: &mut Fields) -> Map<String, Value> {
    let account_id = fields.text("account_id", "628a80b693a15c0f9c13ab75");
    let pipeline_id = fields.text("pipeline_id", "65e5a53e52853dc51a5b0cc1");
    let account = fields.text("account_name", "lab-account");
    let repository = fields.text("scm_repo_url", "https://git.example.com/lab-org/lab-app");
    let git_ref = fields.text("scm_ref", "main");
    object(json!({
        "sub": format!(
            "account:{account_id}:pipeline:{pipeline_id}:scm_repo_url:{repository}:scm_user_name:\
             lab-user:scm_ref:{git_ref}:scm_pull_request_target_branch:"
        ),
        "account_id": account_id,
        "account_name": account,
        "pipeline_id": pipeline_id,
        "pipeline_name": "lab-project/lab-pipeline",
        "workflow_id": "65e6d5551e47e5bc243ca93f",
        "initiator": "lab-user",
        "scm_user_name": "lab-user",
        "scm_repo_url": repository,
        "scm_ref": git_ref,
        "runner_environment": "hybrid",
        "platform_url": "https://g.codefresh.io",
    }))
}

/// CircleCI's documented claims. Inputs: `org_id`, `project_id`, `user_id`.
pub(super) fn circleci(fields: &mut Fields) -> Map<String, Value> {
    let mut input = |name, default: &str| fields.input(name).unwrap_or_else(|| default.to_owned());
    let organization = input("org_id", "c1c10000-0000-4000-8000-000000000001");
    let project = input("project_id", "c1c10000-0000-4000-8000-000000000002");
    let user = input("user_id", "c1c10000-0000-4000-8000-000000000003");
    object(json!({
        "sub": format!("org/{organization}/project/{project}/user/{user}"),
        "oidc.circleci.com/context-ids": [],
        "oidc.circleci.com/job-id": "c1c10000-0000-4000-8000-000000000004",
        "oidc.circleci.com/org-id": organization,
        "oidc.circleci.com/pipeline-definition-id": "c1c10000-0000-4000-8000-000000000005",
        "oidc.circleci.com/pipeline-id": "c1c10000-0000-4000-8000-000000000006",
        "oidc.circleci.com/project-id": project,
        "oidc.circleci.com/ssh-rerun": false,
        "oidc.circleci.com/vcs-origin": "git.example.com/lab-org/lab-app",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
        "oidc.circleci.com/workflow-id": "c1c10000-0000-4000-8000-000000000007",
    }))
}
