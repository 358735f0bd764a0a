//! The issuer through its router: tokens by one request, presets, issuers, the ambient endpoint, keys.

use crate::support::{self, Lab, claims_of, overwrite};
use axum::http::StatusCode;
use runtime::{Context, Service as _, ServiceRole};
use serde_json::{Value, json};

#[tokio::test]
async fn each_preset_is_an_issuer_with_the_same_keys() {
    let lab = Lab::start().await;
    let keys = lab.get("/keys").await.json();
    let presets = [
        "",
        "/github-actions",
        "/gitlab",
        "/kubernetes",
        "/spiffe",
        "/buildkite",
    ];
    for path in presets {
        let document = lab
            .get(&format!("{path}/.well-known/openid-configuration"))
            .await;
        assert_eq!(document.status, StatusCode::OK);
        assert_eq!(document.header("access-control-allow-origin"), "*");
        let document = document.json();
        let issuer = format!("http://localhost:8080{path}");
        assert_eq!(document["issuer"], issuer);
        assert_eq!(document["authorization_endpoint"], format!("{issuer}/auth"));
        assert_eq!(document["token_endpoint"], format!("{issuer}/token"));
        assert_eq!(
            document["device_authorization_endpoint"],
            format!("{issuer}/device/code")
        );
        assert_eq!(document["userinfo_endpoint"], format!("{issuer}/userinfo"));
        assert_eq!(
            document["id_token_signing_alg_values_supported"],
            json!(["RS256"])
        );
        assert_eq!(
            document["code_challenge_methods_supported"],
            json!(["S256"])
        );
        let uri = document["jwks_uri"].as_str().unwrap().to_owned();
        assert!(uri.starts_with(&issuer));
        assert_eq!(
            lab.get(uri.strip_prefix("http://localhost:8080").unwrap())
                .await
                .json(),
            keys
        );
        let token = lab.get(&format!("{path}/token")).await.text();
        assert_eq!(claims_of(&token)["iss"], issuer);
    }
}

#[tokio::test]
async fn a_token_is_the_whole_body() {
    let lab = Lab::start().await;
    let answer = lab.get("/token").await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    let token = answer.text();
    assert_eq!(token.split('.').count(), 3);
    assert_eq!(token.trim(), token);
    let claims = claims_of(&token);
    assert_eq!(claims["sub"], "foo@bar.com");
    assert_eq!(claims["email"], "foo@bar.com");
    assert_eq!(claims["email_verified"], true);
    assert_eq!(claims["aud"], "sigstore");
    assert_eq!(claims["iat"], lab.now());
    assert_eq!(claims["exp"], lab.now() + 1800);
    let header = support::part(&token, 0);
    let kid = lab.get("/keys").await.json()["keys"][0]["kid"].clone();
    assert_eq!(header, json!({ "alg": "RS256", "kid": kid, "typ": "JWT" }));
}

#[tokio::test]
async fn openssl_verifies_a_token() {
    let lab = Lab::start().await;
    let token = lab.get("/token").await.text();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let dir = lab.dir.path();
    overwrite(&dir.join("signed"), signed.as_bytes());
    overwrite(&dir.join("signature"), &support::decode(signature));
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl")
            .args(arguments)
            .current_dir(dir)
            .output();
        let output = output.expect("openssl is installed");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    openssl(&[
        "pkey",
        "-in",
        "keys/token.pem",
        "-pubout",
        "-out",
        "public.pem",
    ]);
    openssl(&[
        "dgst",
        "-sha256",
        "-verify",
        "public.pem",
        "-signature",
        "signature",
        "signed",
    ]);
}

#[tokio::test]
async fn parameters_set_any_claim() {
    let lab = Lab::start().await;
    let claims = |query: &'static str| {
        let lab = &lab;
        async move { claims_of(&lab.get(&format!("/token?{query}")).await.text()) }
    };
    let token = claims("email=a%40b.c&aud=one&aud=two&groups:json=[1,null]&name=x+y").await;
    assert_eq!(
        (&token["sub"], &token["email"]),
        (&json!("a@b.c"), &json!("a@b.c"))
    );
    assert_eq!(token["aud"], json!(["one", "two"]));
    assert_eq!(token["groups"], json!([1, null]));
    assert_eq!(token["name"], "x y");
    let token = claims("sub=repo:a/b").await;
    assert_eq!(token["sub"], "repo:a/b");
    assert_eq!(token.get("email"), None);
    let token = claims("subject=carol@example.com").await;
    assert_eq!(token["email"], "carol@example.com");
    let token = claims("email_verified=false&nbf=5&omit=jti,iat").await;
    assert_eq!(token["email_verified"], false);
    assert_eq!(token["nbf"], 5);
    assert_eq!((token.get("jti"), token.get("iat")), (None, None));
    let token = claims("lifetime=-60").await;
    assert_eq!(token["exp"], lab.now() - 60);
    assert!(token["iat"].as_i64() < token["exp"].as_i64());
    let token = claims("connector_id=https://github.com/login/oauth").await;
    assert_eq!(
        token["federated_claims"]["connector_id"],
        "https://github.com/login/oauth"
    );
    assert_eq!(token.get("connector_id"), None);
}

#[tokio::test]
async fn json_and_forms_set_any_claim() {
    let lab = Lab::start().await;
    let body = json!({
        "preset": "gitlab",
        "audience": ["sigstore", "other"],
        "lifetime": 60,
        "omit": ["job_source"],
        "claims": { "ci_config_sha": null, "deep": { "er": [true, 1.5] }, "ref": "dev" },
    });
    let token = claims_of(
        &lab.post("/token/claims", "application/json", body.to_string())
            .await
            .text(),
    );
    assert_eq!(token["iss"], "http://localhost:8080/gitlab");
    assert_eq!(token["aud"], json!(["sigstore", "other"]));
    assert_eq!(token["ci_config_sha"], Value::Null);
    assert_eq!(token["deep"], json!({ "er": [true, 1.5] }));
    assert_eq!(
        token["sub"],
        "project_path:lab-group/lab-app:ref_type:branch:ref:dev"
    );
    assert_eq!(token.get("job_source"), None);
    assert_eq!(token["exp"], lab.now() + 60);
    let form = "email=a@b.c&claims=%7B%22groups%22%3A%5B%22x%22%5D%7D";
    let token = claims_of(&lab.form("/token/claims", form).await.text());
    assert_eq!(token["groups"], json!(["x"]));
}

#[tokio::test]
async fn a_foreign_issuer_needs_the_setting() {
    let google = "https://accounts.google.com";
    let lab = Lab::start().await;
    let refused = |answer: &support::Answer| {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["error"], "invalid_request");
        let description = answer.json()["error_description"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            description.contains("oidc.impersonate_issuers"),
            "{description}"
        );
    };
    refused(&lab.get(&format!("/token?issuer={google}")).await);
    refused(&lab.get(&format!("/token?iss={google}")).await);
    refused(&lab.get(&format!("/token?iss:json=%22{google}%22")).await);
    let body = json!({ "claims": { "iss": google } }).to_string();
    refused(&lab.post("/token/claims", "application/json", body).await);
    let answer = lab.get("/token?iss:json=[]").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);

    let config = json!({
        "impersonate_issuers": [{ "issuer": google, "preset": "email" }],
        "presets": { "email": { "iss": "https://evil.example" } },
    });
    let lab = Lab::with(serde_json::from_value(config).unwrap()).await;
    let token = claims_of(&lab.get(&format!("/token?issuer={google}")).await.text());
    assert_eq!(token["iss"], google);
    let token = claims_of(&lab.get("/token").await.text());
    assert_eq!(token["iss"], "http://localhost:8080");
}

#[tokio::test]
async fn a_played_issuer_is_found_under_its_host() {
    let config = json!({ "impersonate_issuers": [
        { "issuer": "https://token.actions.githubusercontent.com", "preset": "github-actions" },
        { "issuer": "https://token.actions.githubusercontent.com/acme", "preset": "github-actions" },
        { "issuer": "https://gitlab.com", "preset": "gitlab" },
    ] });
    let lab = Lab::with(serde_json::from_value(config).unwrap()).await;
    let keys = lab.get("/keys").await.json();
    for (host, path, issuer) in [
        (
            "token.actions.githubusercontent.com",
            "",
            "https://token.actions.githubusercontent.com",
        ),
        (
            "Token.Actions.GitHubUserContent.com:443",
            "/acme",
            "https://token.actions.githubusercontent.com/acme",
        ),
        ("gitlab.com", "", "https://gitlab.com"),
    ] {
        let get = async |path: String| {
            let request = axum::http::Request::get(path).header("host", host);
            lab.send(request.body(axum::body::Body::empty()).unwrap())
                .await
        };
        let document = get(format!("{path}/.well-known/openid-configuration"))
            .await
            .json();
        assert_eq!(document["issuer"], issuer);
        let uri = document["jwks_uri"]
            .as_str()
            .unwrap()
            .strip_prefix(issuer)
            .unwrap()
            .to_owned();
        assert_eq!(get(format!("{path}{uri}")).await.json(), keys);
        let token = get(format!("{path}/token")).await.text();
        assert_eq!(claims_of(&token)["iss"], issuer);
        assert_eq!(
            get(format!("{path}/nope")).await.status,
            StatusCode::NOT_FOUND
        );
    }
    let document = lab.get("/.well-known/openid-configuration").await.json();
    assert_eq!(document["issuer"], "http://localhost:8080");
}

#[tokio::test]
async fn an_external_url_of_a_public_issuer_needs_the_setting() {
    let lab = Lab::start().await;
    let mut context = lab.context.clone();
    let public = "https://token.actions.githubusercontent.com";
    context.urls = context.urls.with("oidc", "http", public.parse().unwrap());
    let refused = oidc::Service::open(oidc::Config::default(), context.clone()).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("oidc.impersonate_issuers")
    );
    let config = json!({
        "tls": true,
        "impersonate_issuers": [{ "issuer": public, "preset": "github-actions" }],
    });
    let config: oidc::Config = serde_json::from_value(config).unwrap();
    let service = oidc::Service::open(config, context).await.unwrap();
    assert!(service.tls("http").is_some());
    let config = oidc::Config {
        tls: true,
        ..oidc::Config::default()
    };
    let refused = oidc::Service::open(config, lab.context.clone()).await;
    assert!(refused.unwrap_err().to_string().contains("oidc.tls"));
}

#[tokio::test]
async fn one_of_the_labs_own_issuers_selects_its_preset() {
    let lab = Lab::start().await;
    let token = lab
        .get("/token?issuer=http://localhost:8080/kubernetes")
        .await
        .text();
    assert_eq!(
        claims_of(&token)["sub"],
        "system:serviceaccount:default:builder"
    );
    let token = lab.get("/token?preset=github-actions").await.text();
    assert_eq!(
        claims_of(&token)["iss"],
        "http://localhost:8080/github-actions"
    );
    let answer = lab.get("/token?preset=nope").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let description = answer.json()["error_description"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(description.contains("unknown preset nope; there are buildkite, chainguard"));
}

#[tokio::test]
async fn github_tokens_have_the_documented_claims() {
    let lab = Lab::start().await;
    let token = claims_of(&lab.get("/github-actions/token").await.text());
    let documented = "actor actor_id aud base_ref check_run_id event_name exp head_ref iat iss \
        job_workflow_ref job_workflow_sha jti nbf ref ref_protected ref_type repository \
        repository_id repository_owner repository_owner_id repository_visibility run_attempt \
        run_id run_number runner_environment sha sub workflow workflow_ref workflow_sha";
    let mut names: Vec<&str> = token
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    assert_eq!(names, documented.split_whitespace().collect::<Vec<_>>());
    for (name, value) in token.as_object().unwrap() {
        let time = matches!(name.as_str(), "exp" | "iat" | "nbf");
        assert!(
            value.is_i64() == time && value.is_string() != time,
            "{name}: {value}"
        );
    }
    assert_eq!(token["nbf"], lab.now() - 600);
    assert_eq!(token["exp"], lab.now() + 900);
}

#[tokio::test]
async fn github_subjects_follow_the_job_in_both_forms() {
    let lab = Lab::start().await;
    for (query, subject) in [
        ("", "repo:lab-org/lab-app:ref:refs/heads/main"),
        (
            "ref=refs/tags/v1&repository=a/b",
            "repo:a/b:ref:refs/tags/v1",
        ),
        (
            "event_name=pull_request",
            "repo:lab-org/lab-app:pull_request",
        ),
        (
            "environment=pro:d",
            "repo:lab-org/lab-app:environment:pro%3Ad",
        ),
        (
            "sub_format=immutable&repository=a/b&repository_id=2&repository_owner_id=1",
            "repo:a@1/b@2:ref:refs/heads/main",
        ),
        (
            "sub_format=immutable&environment=prod",
            "repo:lab-org@600000001/lab-app@700000001:environment:prod",
        ),
        ("sub=own", "own"),
    ] {
        let token = claims_of(
            &lab.get(&format!("/github-actions/token?{query}"))
                .await
                .text(),
        );
        assert_eq!(token["sub"], subject, "{query}");
        assert_eq!(token.get("sub_format"), None);
    }
    let token = claims_of(
        &lab.get("/github-actions/token?repository=a/b&ref=refs/tags/v1")
            .await
            .text(),
    );
    assert_eq!(token["ref_type"], "tag");
    assert_eq!(token["repository_owner"], "a");
    assert_eq!(
        token["job_workflow_ref"],
        "a/b/.github/workflows/release.yml@refs/tags/v1"
    );
    let token = claims_of(
        &lab.get("/github-actions/token?event_name=pull_request")
            .await
            .text(),
    );
    assert_eq!(
        (&token["base_ref"], &token["head_ref"]),
        (&json!("main"), &json!("feature"))
    );
}

#[tokio::test]
async fn other_presets_have_the_shapes_of_their_issuers() {
    let lab = Lab::start().await;
    let token = claims_of(
        &lab.get("/gitlab/token?ref_type=tag&ref=v1&environment=prod")
            .await
            .text(),
    );
    assert_eq!(token["runner_id"], 1);
    assert_eq!(token["ref_path"], "refs/tags/v1");
    assert_eq!(token["deployment_tier"], "production");
    let uri = "gitlab.example.com/lab-group/lab-app//.gitlab-ci.yml@refs/tags/v1";
    assert_eq!(token["ci_config_ref_uri"], uri);
    assert_eq!(token["nbf"], lab.now() - 5);
    let query = "namespace=ns&serviceaccount=sa&node=n1";
    let token = claims_of(&lab.get(&format!("/kubernetes/token?{query}")).await.text());
    assert_eq!(token["aud"], json!(["sigstore"]));
    assert_eq!(token["sub"], "system:serviceaccount:ns:sa");
    assert_eq!(token["kubernetes.io"]["namespace"], "ns");
    assert_eq!(token["kubernetes.io"]["serviceaccount"]["name"], "sa");
    assert_eq!(token["kubernetes.io"]["node"]["name"], "n1");
    let token = claims_of(
        &lab.get("/spiffe/token?trust_domain=example.org&path=/w")
            .await
            .text(),
    );
    assert_eq!(token["sub"], "spiffe://example.org/w");
    assert_eq!(token.get("nbf"), None);
    let token = claims_of(
        &lab.get("/buildkite/token?organization_slug=o&build_tag=v1")
            .await
            .text(),
    );
    let subject = token["sub"].as_str().unwrap();
    assert!(subject.starts_with("organization:o:pipeline:lab-app:ref:refs/tags/v1:commit:"));
}

#[tokio::test]
async fn presets_for_the_remaining_issuer_types() {
    let lab = Lab::start().await;
    let token = claims_of(&lab.get("/codefresh/token?scm_ref=dev").await.text());
    assert!(token["sub"].as_str().unwrap().contains(":scm_ref:dev:"));
    assert_eq!(token["platform_url"], "https://g.codefresh.io");
    let token = claims_of(
        &lab.get("/circleci/token?project_id=p&org_id=o")
            .await
            .text(),
    );
    assert_eq!(token["oidc.circleci.com/project-id"], "p");
    assert_eq!(token["oidc.circleci.com/ssh-rerun"], false);
    assert!(
        token["sub"]
            .as_str()
            .unwrap()
            .starts_with("org/o/project/p/user/")
    );
    let token = claims_of(&lab.get("/uri/token").await.text());
    assert_eq!(token["sub"], "http://localhost:8080/users/alice");
    let token = claims_of(&lab.get("/username/token?sub=bob").await.text());
    assert_eq!(token["sub"], "bob");
    assert_eq!(token.get("email"), None);
    let token = claims_of(&lab.get("/chainguard/token").await.text());
    assert_eq!(token["sub"], "0badcafe0badcafe/1ab1ab1ab1ab1ab1");
}

#[tokio::test]
async fn settings_change_presets_and_requests_change_settings() {
    let config = json!({
        "audience": "lab",
        "email": "dev@lab.invalid",
        "lifetime_secs": 60,
        "presets": { "github-actions": { "repository": "acme/app", "sub_format": "immutable" },
                     "gitlab": { "sub": "fixed" } },
    });
    let lab = Lab::with(serde_json::from_value(config).unwrap()).await;
    let token = claims_of(&lab.get("/token").await.text());
    assert_eq!(
        (&token["sub"], &token["aud"]),
        (&json!("dev@lab.invalid"), &json!("lab"))
    );
    assert_eq!(token["exp"], lab.now() + 60);
    let token = claims_of(&lab.get("/github-actions/token").await.text());
    assert_eq!(
        token["sub"],
        "repo:acme@600000001/app@700000001:ref:refs/heads/main"
    );
    let token = claims_of(
        &lab.get("/github-actions/token?sub_format=legacy")
            .await
            .text(),
    );
    assert_eq!(token["sub"], "repo:acme/app:ref:refs/heads/main");
    let token = claims_of(&lab.get("/gitlab/token").await.text());
    assert_eq!(token["sub"], "fixed");
    let token = claims_of(&lab.get("/gitlab/token?sub=asked").await.text());
    assert_eq!(token["sub"], "asked");
}

#[tokio::test]
async fn the_ambient_endpoint_speaks_githubs_protocol() {
    let lab = Lab::start().await;
    // As cosign builds it: the variable's value with `&audience=` behind it.
    let url = "/github-actions/idtoken?api-version=2.0&audience=sigstore";
    for scheme in ["bearer", "Bearer"] {
        let answer = lab
            .get_with(url, &format!("{scheme} lab-request-token"))
            .await
            .json();
        let value = answer["value"].as_str().unwrap();
        assert_eq!(answer["count"], value.len());
        let token = claims_of(value);
        assert_eq!(token["aud"], "sigstore");
        assert_eq!(token["iss"], "http://localhost:8080/github-actions");
    }
    let url = "/github-actions/idtoken?api-version=2.0";
    let answer = lab.get_with(url, "bearer lab-request-token").await.json();
    let token = claims_of(answer["value"].as_str().unwrap());
    assert_eq!(token["aud"], "https://github.com/lab-org");
}

#[tokio::test]
async fn a_request_token_carries_its_job() {
    let lab = Lab::start().await;
    let query = "repository=acme/app&environment=prod&sub_format=immutable";
    let job = lab
        .get(&format!("/github-actions/request-token?{query}"))
        .await
        .text();
    let url = "/github-actions/idtoken?api-version=2.0&audience=sigstore";
    let answer = lab.get_with(url, &format!("bearer {job}")).await.json();
    let token = claims_of(answer["value"].as_str().unwrap());
    assert_eq!(token["repository"], "acme/app");
    assert_eq!(
        token["sub"],
        "repo:acme@600000001/app@700000001:environment:prod"
    );
    lab.context.clock.advance(86_400);
    assert_eq!(
        lab.get_with(url, &format!("bearer {job}")).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn the_ambient_endpoint_refuses_other_tokens() {
    let lab = Lab::start().await;
    let url = "/github-actions/idtoken?api-version=2.0&audience=sigstore";
    let identity = lab.get("/github-actions/token").await.text();
    for authorization in [
        "bearer nope",
        "bearer ",
        "basic lab-request-token",
        &format!("bearer {identity}"),
    ] {
        let answer = lab.get_with(url, authorization).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{authorization}");
        assert_eq!(answer.json()["error"], "invalid_token");
    }
    assert_eq!(lab.get(url).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_request_that_makes_no_token_is_refused() {
    let lab = Lab::start().await;
    let long = "x".repeat(20_000);
    let too_long = format!("/token?claim={long}");
    for url in [
        "/token?lifetime=soon",
        "/token?lifetime=99999999999",
        "/token?exp=x",
        "/token?claims=[]",
        "/token?a:json=%7B",
        too_long.as_str(),
    ] {
        let answer = lab.get(url).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{url:.20}");
        assert_eq!(answer.json()["error"], "invalid_request");
        assert!(answer.json()["error_description"].is_string());
    }
    for body in [
        "",
        "[]",
        r#"{"unknown":1}"#,
        r#"{"claims":[]}"#,
        &"[".repeat(10_000),
    ] {
        let answer = lab
            .post("/token/claims", "application/json", body.to_owned())
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    }
    let answer = lab.form("/token/claims", &"x".repeat(70_000)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let answer = lab.get("/nope").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (StatusCode::NOT_FOUND, "404 page not found\n")
    );
}

#[tokio::test]
async fn hostile_tokens_come_from_the_admin_door_alone() {
    let lab = Lab::start().await;
    let genuine = lab.get("/token").await.text();
    let mut tokens = std::collections::BTreeSet::new();
    for (flaw, algorithm) in [
        ("bad-signature", "RS256"),
        ("other-key", "RS256"),
        ("unknown-kid", "RS256"),
        ("unsigned", "none"),
        ("wrong-algorithm", "HS256"),
    ] {
        let path = format!("/hostile-token?flaw={flaw}&email=eve@example.com");
        let answer = lab.admin(&path).await;
        assert_eq!(answer.status, StatusCode::OK);
        let token = answer.text();
        assert_eq!(claims_of(&token)["email"], "eve@example.com");
        assert_eq!(support::part(&token, 0)["alg"], algorithm);
        let same_kid = support::part(&token, 0)["kid"] == support::part(&genuine, 0)["kid"];
        assert_eq!(same_kid, flaw != "unknown-kid");
        let answer = lab.get_with("/userinfo", &format!("Bearer {token}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{flaw}");
        tokens.insert(token);
        assert_eq!(lab.get(&path).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(tokens.len(), 5);
    for path in ["/hostile-token", "/hostile-token?flaw=nope"] {
        assert_eq!(lab.admin(path).await.json()["error"], "invalid_request");
    }
}

#[tokio::test]
async fn the_key_survives_a_restart() {
    let lab = Lab::start().await;
    let keys = lab.get("/keys").await.json();
    let trust = lab.service.trust();
    lab.context.clock.advance(86_400);
    let again = oidc::Service::open(oidc::Config::default(), lab.context.clone())
        .await
        .unwrap();
    assert_eq!(again.trust(), trust);
    assert_eq!(trust.services[0].role, ServiceRole::OidcProvider);
    assert_eq!(trust.services[0].url, "http://localhost:8080");
    assert_eq!(
        trust.services[0].valid_from.as_second(),
        lab.now() - 86_400 - 300
    );
    let lab = Lab {
        service: again,
        ..lab
    };
    assert_eq!(lab.get("/keys").await.json(), keys);
}

#[tokio::test]
async fn a_first_start_makes_a_key_and_waits_for_it_only_where_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let context = Context::for_test("oidc", dir.path());
    let service = oidc::Service::open(oidc::Config::default(), context.clone())
        .await
        .unwrap();
    let lab = Lab {
        service,
        context,
        dir,
    };
    let discovery = lab.get("/.well-known/openid-configuration").await;
    assert_eq!(discovery.status, StatusCode::OK);
    let key = lab.get("/keys").await.json()["keys"][0].clone();
    assert_eq!(lab.service.readiness(), Ok(()));
    assert_eq!(support::decode(key["n"].as_str().unwrap()).len(), 256);
    let members = format!(r#"{{"e":{},"kty":"RSA","n":{}}}"#, key["e"], key["n"]);
    let thumbprint = support::encode(&crypto::sha256(members.as_bytes()));
    assert_eq!(key["kid"], thumbprint);
}

#[tokio::test]
async fn a_key_that_cannot_be_trusted_stops_the_start() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::start().await;
    let path = lab.dir.path().join("keys/token.pem");
    let refusal = async || {
        let opened = oidc::Service::open(oidc::Config::default(), lab.context.clone()).await;
        format!("{:#}", opened.unwrap_err())
    };
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(refusal().await.contains("mode 0644"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let pem = std::fs::read(&path).unwrap();
    overwrite(&path, &pem[..pem.len() / 2]);
    assert!(refusal().await.contains("token.pem"));
    let other = crypto::SigningKey::generate(crypto::KeyKind::EcdsaP256).unwrap();
    overwrite(&path, other.to_pkcs8_pem().as_bytes());
    assert!(refusal().await.contains("this role needs Rsa2048"));
}

fn played(issuers: &[&str]) -> Value {
    let list: Vec<Value> = issuers
        .iter()
        .map(|issuer| json!({ "issuer": issuer, "preset": "email" }))
        .collect();
    json!({ "impersonate_issuers": list })
}

#[tokio::test]
async fn settings_that_cannot_be_used_stop_the_start() {
    let lab = Lab::start().await;
    for (config, key) in [
        (json!({ "email": "" }), "oidc.email"),
        (json!({ "audience": "" }), "oidc.audience"),
        (json!({ "lifetime_secs": 0 }), "oidc.lifetime_secs"),
        (json!({ "redirect_uris": ["nope"] }), "oidc.redirect_uris"),
        (played(&["ftp://x"]), "oidc.impersonate_issuers"),
        (played(&["https://x/{y}"]), "oidc.impersonate_issuers"),
        (played(&["https://x/"]), "oidc.impersonate_issuers"),
        (played(&["https://x/y", "https://x/y"]), "listed twice"),
    ] {
        let config = serde_json::from_value(config).unwrap();
        let error = oidc::Service::open(config, lab.context.clone())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
    }
    assert!(serde_json::from_value::<oidc::Config>(json!({ "emial": "x" })).is_err());
}
