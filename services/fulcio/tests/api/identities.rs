//! What each type of issuer makes of its tokens: name, extensions, and what possession is proved over.

use serde_json::{Value, json};
use x509::{FulcioField, San};

use crate::lab::Lab;

/// A lab whose issuer has this type, with more fields as YAML flow members.
async fn typed(fields: &str) -> Lab {
    let yaml =
        format!("oidc-issuers: {{ISSUER: {{issuer-url: ISSUER, client-id: sigstore, {fields}}}}}");
    Lab::with_issuers(&yaml).await
}

async fn san(lab: &Lab, claims: &Value, name: &str) -> San {
    let chain = lab.sign(&lab.issuer.token("", claims), name).await.chain();
    chain[0].sans().unwrap().remove(0)
}

#[tokio::test]
async fn email_is_proved_over_the_address_and_keeps_the_subject() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token("a@example.com");
    lab.sign(&token, "c1").await.refused(
        400,
        3,
        "The signature supplied in the request could not be verified",
    );
    let leaf = lab.sign(&token, "a@example.com").await.chain().remove(0);
    let fulcio = leaf.fulcio_extensions().unwrap();
    let all: Vec<_> = fulcio.iter().collect();
    let url = lab.issuer.url.as_str();
    let want = [
        (FulcioField::IssuerV1, url),
        (FulcioField::Issuer, url),
        (FulcioField::Subject, "c1"),
    ];
    assert_eq!(all, want);
}

#[tokio::test]
async fn unverified_addresses_pass_where_the_issuer_is_configured_so() {
    let lab = typed("type: email, skip-email-verification: true").await;
    let name = "a@example.com";
    assert_eq!(
        san(&lab, &json!({"email": name}), name).await,
        San::Email(name.to_owned())
    );
}

#[tokio::test]
async fn an_address_outside_of_ascii_is_told_in_go_words() {
    let lab = Lab::start().await;
    let name = "ü@example.com";
    let answer = lab.sign(&lab.issuer.email_token(name), name).await;
    answer.refused(
        400,
        3,
        "x509: \"ü@example.com\" cannot be encoded as an IA5String",
    );
}

#[tokio::test]
async fn uri_subjects_must_be_of_the_domain() {
    // The issuer is 127.0.0.1, a host of four labels that the domain shares the last two of.
    let lab = typed("type: uri, subject-domain: 'http://127.0.0.1'").await;
    for sub in ["http://127.0.0.1/users/1", "http://127.0.0.1:81/users/1"] {
        let got = san(&lab, &json!({"sub": sub}), sub).await;
        assert_eq!(got, San::Uri(sub.to_owned()));
    }
    for bad in [
        "https://127.0.0.1/users/1",
        "http://127.0.0.2/x",
        "a@example.com",
        "http://127.0.0.1%zz",
    ] {
        lab.sign(&lab.issuer.token("", &json!({"sub": bad})), bad)
            .await
            .bad_token();
    }
}

#[tokio::test]
async fn usernames_become_an_other_name() {
    let lab = typed("type: username, subject-domain: 127.0.0.1").await;
    let got = san(&lab, &json!({"sub": "alice"}), "alice").await;
    assert_eq!(got.text().as_deref(), Some("alice!127.0.0.1"));
    for bad in ["a!b", "a@example.com"] {
        lab.sign(&lab.issuer.token("", &json!({"sub": bad})), bad)
            .await
            .bad_token();
    }
}

#[tokio::test]
async fn spiffe_ids_must_be_of_the_trust_domain() {
    let lab = Lab::start().await;
    let sub = "spiffe://lab.invalid/ns/default/sa/builder";
    let chain = lab
        .sign(&lab.issuer.token("/spiffe", &json!({"sub": sub})), sub)
        .await
        .chain();
    assert_eq!(chain[0].sans().unwrap(), [San::Uri(sub.to_owned())]);
    let other = "spiffe://other.invalid/x";
    lab.sign(&lab.issuer.token("/spiffe", &json!({"sub": other})), other)
        .await
        .bad_token();
}

#[tokio::test]
async fn kubernetes_names_come_from_the_claim_and_may_be_empty() {
    let lab = Lab::start().await;
    let sub = "system:serviceaccount:ns1:sa1";
    let uri = async |claims: Value| {
        let answer = lab
            .sign(&lab.issuer.token("/kubernetes", &claims), sub)
            .await;
        answer.chain()[0].sans().unwrap()[0].text().unwrap()
    };
    let claim = json!({"namespace": "ns1", "serviceaccount": {"name": "sa1", "uid": "u"}});
    let got = uri(json!({"sub": sub, "aud": ["sigstore"], "kubernetes.io": claim})).await;
    assert_eq!(
        got,
        "https://kubernetes.io/namespaces/ns1/serviceaccounts/sa1"
    );
    let got = uri(json!({"sub": sub})).await;
    assert_eq!(got, "https://kubernetes.io/namespaces//serviceaccounts/");
    for odd in [
        json!(5),
        json!({"namespace": 5}),
        json!({"serviceaccount": "x"}),
    ] {
        let claims = json!({"sub": sub, "kubernetes.io": odd});
        lab.sign(&lab.issuer.token("/kubernetes", &claims), sub)
            .await
            .bad_token();
    }
}

#[tokio::test]
async fn chainguard_is_proved_over_a_verified_address_if_there_is_one() {
    let lab = typed("type: chainguard-identity").await;
    let want = San::Uri(format!("{}/group/id", lab.issuer.url));
    let with = json!({"sub": "group/id", "email": "a@example.com", "email_verified": true});
    assert_eq!(san(&lab, &with, "a@example.com").await, want);
    assert_eq!(
        san(&lab, &json!({"sub": "group/id"}), "group/id").await,
        want
    );
    let odd = json!({"sub": "group/id", "email": "no address", "email_verified": true});
    assert_eq!(san(&lab, &odd, "no address").await, want);
    for (bad, name) in [
        (
            json!({"sub": "group/id", "email": "a@example.com"}),
            "group/id",
        ),
        (
            json!({"sub": "group/id", "email": "a@example.com", "email_verified": false}),
            "a@example.com",
        ),
        (json!({"sub": ""}), ""),
    ] {
        lab.sign(&lab.issuer.token("", &bad), name)
            .await
            .bad_token();
    }
    let base = San::Uri(lab.issuer.url.clone());
    assert_eq!(san(&lab, &json!({"sub": "%zz"}), "%zz").await, base);
}

#[tokio::test]
async fn possession_is_proved_over_the_subject_even_if_there_is_an_address() {
    let lab = Lab::start().await;
    let claims =
        json!({"sub": "s", "email": "a@example.com", "email_verified": true, "kubernetes.io": {}});
    let token = lab.issuer.token("/kubernetes", &claims);
    assert_eq!(lab.sign(&token, "s").await.status, 200);
    assert_eq!(lab.sign(&token, "a@example.com").await.status, 400);
}

fn github() -> Value {
    json!({
        "sub": "repo:o/r:ref:refs/heads/main", "event_name": "push", "sha": "s1", "workflow": "w",
        "repository": "o/r", "ref": "refs/heads/main", "job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main",
        "job_workflow_sha": "s2", "runner_environment": "github-hosted", "repository_id": "1",
        "repository_owner": "o", "repository_owner_id": "2", "workflow_sha": "s3",
        "workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main", "run_id": "3",
        "run_attempt": "4", "repository_visibility": "public", "environment": "prod",
    })
}

#[tokio::test]
async fn the_legacy_github_type_agrees_but_for_the_environment() {
    let legacy = typed("type: github-workflow").await;
    let lab = Lab::start().await;
    let sub = github()["sub"].as_str().unwrap().to_owned();
    let old = legacy
        .sign(&legacy.issuer.token("", &github()), &sub)
        .await
        .chain()
        .remove(0);
    let new = lab
        .sign(&lab.issuer.token("/github-actions", &github()), &sub)
        .await
        .chain()
        .remove(0);
    assert_eq!(old.sans().unwrap(), new.sans().unwrap());
    let (old, new) = (
        old.fulcio_extensions().unwrap(),
        new.fulcio_extensions().unwrap(),
    );
    for field in FulcioField::ALL {
        match field {
            FulcioField::IssuerV1 | FulcioField::Issuer => {}
            FulcioField::DeploymentEnvironment => {
                assert_eq!((old.get(*field), new.get(*field)), (None, Some("prod")));
            }
            _ => assert_eq!(old.get(*field), new.get(*field), "{field:?}"),
        }
    }
    let mut claims = github();
    claims.as_object_mut().unwrap().remove("workflow_sha");
    legacy
        .sign(&legacy.issuer.token("", &claims), &sub)
        .await
        .bad_token();
}

#[tokio::test]
async fn a_missing_provider_claim_is_told_with_its_extension() {
    let lab = Lab::start().await;
    let mut claims = github();
    let sub = claims["sub"].as_str().unwrap().to_owned();
    claims.as_object_mut().unwrap().remove("job_workflow_sha");
    let message = format!(
        "value <job_workflow_sha> not present in either claims or defaults. {{\n\t\"ExtensionName\": \
         \"BuildSignerDigest\",\n\t\"Issuer\": \"{}/github-actions\"\n}}",
        lab.issuer.url
    );
    lab.sign(&lab.issuer.token("/github-actions", &claims), &sub)
        .await
        .refused(400, 3, &message);
    claims.as_object_mut().unwrap().remove("job_workflow_ref");
    lab.sign(&lab.issuer.token("/github-actions", &claims), &sub)
        .await
        .refused(
            400,
            3,
            "template: :1:14: executing \"\" at <.job_workflow_ref>: map has no entry for key \
         \"job_workflow_ref\"",
        );
}

#[tokio::test]
async fn gitlab_nulls_become_nil_and_the_legacy_type_omits_them() {
    let claims = json!({
        "sub": "project_path:g/p:ref_type:tag:ref:v1", "ci_config_ref_uri": "gitlab.example.com/g/p//.gitlab-ci.yml@refs/tags/v1",
        "ci_config_sha": null, "runner_environment": "self-hosted", "project_path": "g/p", "sha": "s",
        "ref_type": "tag", "ref": "v1", "project_id": "1", "namespace_path": "g", "namespace_id": "2",
        "pipeline_source": "push", "pipeline_id": "9", "job_id": "3", "project_visibility": "private", "runner_id": 1_000_000,
    });
    let sub = claims["sub"].as_str().unwrap();
    let lab = Lab::start().await;
    let leaf = lab.leaf("/gitlab", &claims, sub).await;
    let all = leaf.fulcio_extensions().unwrap();
    assert_eq!(all.get(FulcioField::BuildSignerDigest), Some("<nil>"));
    assert_eq!(
        all.get(FulcioField::SourceRepositoryRef),
        Some("refs/tags/v1")
    );
    assert_eq!(
        all.get(FulcioField::SourceRepositoryUri),
        Some("https://gitlab.com/g/p")
    );
    assert_eq!(
        all.get(FulcioField::RunInvocationUri),
        Some("https://gitlab.com/g/p/-/jobs/3")
    );
    assert_eq!(all.get(FulcioField::DeploymentEnvironment), None);
    let uri = "https://gitlab.example.com/g/p//.gitlab-ci.yml@refs/tags/v1";
    assert_eq!(leaf.sans().unwrap(), [San::Uri(uri.to_owned())]);

    let legacy = typed("type: gitlab-pipeline").await;
    let leaf = legacy.leaf("", &claims, sub).await;
    let all = leaf.fulcio_extensions().unwrap();
    assert_eq!(all.get(FulcioField::BuildSignerDigest), None);
    assert_eq!(
        all.get(FulcioField::SourceRepositoryRef),
        Some("refs/tags/v1")
    );
    for (claim, value) in [
        ("ref_type", json!("other")),
        ("runner_id", json!("1")),
        ("runner_id", json!(null)),
        ("pipeline_id", json!(null)),
        ("ci_config_sha", json!(1)),
    ] {
        let mut odd = claims.clone();
        odd[claim] = value;
        legacy
            .sign(&legacy.issuer.token("", &odd), sub)
            .await
            .bad_token();
    }
}

#[tokio::test]
async fn buildkite_has_more_in_its_provider_than_in_its_legacy_type() {
    let claims = json!({
        "sub": "s", "organization_slug": "o", "pipeline_slug": "p", "build_number": 12, "build_commit": "c",
        "build_source": "webhook", "job_id": "j", "runner_environment": "self-hosted",
    });
    let lab = Lab::start().await;
    let leaf = lab.leaf("/buildkite", &claims, "s").await;
    let all = leaf.fulcio_extensions().unwrap();
    assert_eq!(
        all.get(FulcioField::RunInvocationUri),
        Some("https://buildkite.com/o/p/builds/12#j")
    );
    assert_eq!(
        leaf.sans().unwrap(),
        [San::Uri("https://buildkite.com/o/p".to_owned())]
    );
    let legacy = typed("type: buildkite-job").await;
    let leaf = legacy.leaf("", &claims, "s").await;
    assert_eq!(
        leaf.sans().unwrap(),
        [San::Uri("https://buildkite.com/o/p".to_owned())]
    );
    assert_eq!(leaf.fulcio_extensions().unwrap().iter().count(), 3);
}

#[tokio::test]
async fn codefresh_takes_its_platform_from_the_claim() {
    let lab = typed("type: codefresh-workflow").await;
    let mut claims = json!({
        "sub": "s", "account_id": "1", "account_name": "acme", "pipeline_id": "2", "pipeline_name": "x/y",
        "workflow_id": "3", "scm_ref": "main",
    });
    let got = san(&lab, &claims, "s").await;
    assert_eq!(
        got,
        San::Uri("https://g.codefresh.io/acme/x/y:1/2".to_owned())
    );
    claims["platform_url"] = json!("https://cf.example");
    let leaf = lab.leaf("", &claims, "s").await;
    let all = leaf.fulcio_extensions().unwrap();
    assert_eq!(
        all.get(FulcioField::BuildSignerUri),
        Some("https://cf.example/build/3")
    );
    assert_eq!(
        all.get(FulcioField::BuildConfigUri),
        Some("https://cf.example/api/pipelines/2")
    );
    assert_eq!(all.get(FulcioField::RunnerEnvironment), None);
}

#[tokio::test]
async fn circleci_oddities_come_out_as_upstream_has_them() {
    let lab = Lab::with_issuers(
        r#"
meta-issuers: {'ISSUER/org/*': {client-id: sigstore, type: ci-provider, ci-provider: circleci}}
ci-issuer-metadata:
  circleci:
    default-template-values: {url: 'https://app.circleci.com/'}
    extension-templates:
      run-invocation-uri: '{{ .url }}/workflow/{{ index . "oidc.circleci.com/workflow-id" }}'
      runner-environment: '{{ if eq (index . "oidc.circleci.com/ssh-rerun") "true" }}ssh-rerun{{ else }}""{{ end }}'
      source-repository-ref: oidc.circleci.com/vcs-ref
      build-trigger: ''
    subject-alternative-name-template: 'https://circleci.com/{{ index . "oidc.circleci.com/project-id" }}'
"#,
    )
    .await;
    let claims = json!({
        "sub": "s", "oidc.circleci.com/workflow-id": "w", "oidc.circleci.com/project-id": "p",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
    });
    let leaf = lab.leaf("/org/1", &claims, "s").await;
    let all = leaf.fulcio_extensions().unwrap();
    assert_eq!(
        all.get(FulcioField::RunInvocationUri),
        Some("https://app.circleci.com//workflow/w")
    );
    assert_eq!(all.get(FulcioField::RunnerEnvironment), Some("\"\""));
    assert_eq!(
        all.get(FulcioField::SourceRepositoryRef),
        Some("refs/heads/main")
    );
    assert_eq!(all.get(FulcioField::BuildTrigger), None);
    assert_eq!(
        all.issuer(),
        Some(format!("{}/org/1", lab.issuer.url).as_str())
    );
}

#[tokio::test]
async fn san_uris_are_written_as_go_writes_them() {
    let lab = Lab::start().await;
    let mut claims = github();
    let sub = claims["sub"].as_str().unwrap().to_owned();
    claims["job_workflow_ref"] = json!("o/r/.github/workflows/w x.yml@refs/heads/ü");
    let leaf = lab
        .sign(&lab.issuer.token("/github-actions", &claims), &sub)
        .await
        .chain()
        .remove(0);
    let uri = "https://github.com/o/r/.github/workflows/w%20x.yml@refs/heads/%C3%BC";
    assert_eq!(leaf.sans().unwrap(), [San::Uri(uri.to_owned())]);
    claims["job_workflow_ref"] = json!("%zz");
    lab.sign(&lab.issuer.token("/github-actions", &claims), &sub)
        .await
        .refused(
            400,
            3,
            "parse \"https://github.com/%zz\": invalid URL escape \"%zz\"",
        );
}

#[tokio::test]
async fn a_provider_without_a_name_template_is_told() {
    let lab = Lab::with_issuers(
        "oidc-issuers: {ISSUER: {issuer-url: ISSUER, client-id: sigstore, type: ci-provider, ci-provider: p}}\n\
         ci-issuer-metadata: {p: {subject-alternative-name-template: ' '}}",
    )
    .await;
    let message = format!(
        "SubjectAlternativeNameTemplate should not be empty. Issuer: {}",
        lab.issuer.url
    );
    lab.sign(&lab.issuer.token("", &json!({"sub": "s"})), "s")
        .await
        .refused(400, 3, &message);
}
