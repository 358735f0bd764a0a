//! Who may do what, by password and by token.

use axum::{body::Body, http::Request};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use registry::{Access, Action, AuthConfig, Config, Grant, Scheme, Service};
use runtime::{Context, Service as _};
use serde_json::Value;

use crate::lab::{Lab, NOTHING, Reply, sha256};

/// Cost 4, so that tests are quick.
fn users(dir: &std::path::Path, users: &[(&str, &str)]) -> std::path::PathBuf {
    let path = dir.join("users");
    let lines = users
        .iter()
        .map(|(user, password)| format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap()));
    let text = format!("# users\n\n{}", lines.collect::<String>());
    runtime::files::replace(&path, text.as_bytes()).unwrap();
    path
}

struct Guarded {
    lab: Lab,
    users: tempfile::TempDir,
}

async fn guarded(auth: AuthConfig) -> Guarded {
    let dir = tempfile::tempdir().unwrap();
    let htpasswd = Some(users(dir.path(), &[("ann", "secret"), ("bob", "hunter2")]));
    let auth = AuthConfig { htpasswd, ..auth };
    Guarded {
        lab: Lab::with(Config {
            auth,
            ..Config::default()
        })
        .await,
        users: dir,
    }
}

async fn reading_open(scheme: Scheme) -> Guarded {
    guarded(AuthConfig {
        access: Access::AnonymousRead,
        scheme,
        ..AuthConfig::default()
    })
    .await
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

impl Guarded {
    async fn ask(&self, method: &str, uri: &str, authorization: &str, body: &str) -> Reply {
        let headers = [
            ("authorization", authorization),
            ("host", "registry.test:5000"),
        ];
        let headers = if authorization.is_empty() {
            &headers[1..]
        } else {
            &headers[..]
        };
        self.lab.ask(method, uri, headers, body.to_owned()).await
    }

    async fn token(&self, scope: &str, authorization: &str) -> String {
        let uri = format!("/token?service=registry.test:5000&scope={scope}");
        let reply = self.ask("GET", &uri, authorization, "").await;
        format!("Bearer {}", reply.is(200).json()["token"].as_str().unwrap())
    }

    /// Whether a push of one blob is taken.
    async fn push(&self, name: &str, authorization: &str) -> Reply {
        let uri = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(b"x"));
        self.ask("POST", &uri, authorization, "x").await
    }
}

#[tokio::test]
async fn the_base_path_asks_for_credentials_where_any_are_needed() {
    let lab = reading_open(Scheme::Bearer).await;
    let reply = lab.ask("GET", "/v2/", "", "").await;
    reply.is_error(401, "UNAUTHORIZED");
    let challenge =
        r#"Bearer realm="http://registry.test:5000/token",service="registry.test:5000""#;
    assert_eq!(reply.header("www-authenticate"), challenge);
    let token = lab.token("", "").await;
    lab.ask("GET", "/v2/", &token, "").await.is(200);
    lab.ask("GET", "/v2/", &basic("ann", "secret"), "")
        .await
        .is(200);
    lab.ask("GET", "/v2/", &basic("ann", "wrong"), "")
        .await
        .is_error(401, "UNAUTHORIZED");
    let lab = Lab::new().await;
    lab.get("/v2/").await.is(200);
}

#[tokio::test]
async fn the_realm_follows_the_forwarded_scheme_and_no_odd_host() {
    let lab = reading_open(Scheme::Bearer).await;
    let request = Request::get("/v2/")
        .header("host", "a.test")
        .header("x-forwarded-proto", "https");
    let reply = lab
        .lab
        .send(lab.lab.router(), request.body(Body::empty()).unwrap())
        .await;
    assert!(
        reply
            .header("www-authenticate")
            .starts_with(r#"Bearer realm="https://a.test/token""#)
    );
    let request = Request::get("/v2/").header("host", "a\",realm=\"http://evil");
    let reply = lab
        .lab
        .send(lab.lab.router(), request.body(Body::empty()).unwrap())
        .await;
    let realm = r#"Bearer realm="http://localhost:5000/token""#;
    assert!(reply.header("www-authenticate").starts_with(realm));
}

#[tokio::test]
async fn anonymous_callers_read_and_do_not_write() {
    let lab = reading_open(Scheme::Bearer).await;
    let reply = lab.push("a/b", "").await;
    reply.is_error(401, "UNAUTHORIZED");
    let scope = r#",scope="repository:a/b:pull,push""#;
    assert!(
        reply.header("www-authenticate").ends_with(scope),
        "{reply:?}"
    );
    lab.push("a/b", &basic("ann", "secret")).await.is(201);
    let uri = format!("/v2/a/b/blobs/{}", sha256(b"x"));
    lab.ask("GET", &uri, "", "").await.is(200);
    let anonymous = lab.token("repository:a/b:pull,push", "").await;
    lab.ask("GET", &uri, &anonymous, "").await.is(200);
    let reply = lab.push("a/b", &anonymous).await;
    reply.is_error(401, "UNAUTHORIZED");
    assert!(
        reply
            .header("www-authenticate")
            .ends_with(r#",error="insufficient_scope""#)
    );
    lab.ask("GET", "/v2/_catalog", "", "").await.is(200);
}

#[tokio::test]
async fn a_token_covers_its_scope_only() {
    let lab = reading_open(Scheme::Bearer).await;
    let ann = basic("ann", "secret");
    let token = lab.token("repository:a:pull,push", &ann).await;
    lab.push("a", &token).await.is(201);
    lab.push("b", &token).await.is_error(401, "UNAUTHORIZED");
    let uri = format!("/v2/a/blobs/{}", sha256(b"x"));
    lab.ask("DELETE", &uri, &token, "")
        .await
        .is_error(401, "UNAUTHORIZED");
    let both = "repository:a:pull,push,delete%20repository:b:push&scope=registry:catalog:*";
    let token = lab.token(both, &ann).await;
    lab.push("b", &token).await.is(201);
    lab.ask("GET", "/v2/_catalog", &token, "").await.is(200);
    lab.ask("DELETE", &uri, &token, "").await.is(202);
}

#[tokio::test]
async fn a_mount_needs_the_right_to_read_the_other_repository() {
    let access = Access::Authenticated;
    let lab = guarded(AuthConfig {
        access,
        ..AuthConfig::default()
    })
    .await;
    let ann = basic("ann", "secret");
    lab.push("secret/a", &ann).await.is(201);
    let mount = format!("/v2/b/blobs/uploads/?mount={}", sha256(b"x"));
    let narrow = lab.token("repository:b:pull,push", &ann).await;
    for uri in [format!("{mount}&from=secret/a"), mount.clone()] {
        lab.ask("POST", &uri, &narrow, "").await.is(202);
    }
    let wide = lab
        .token(
            "repository:b:pull,push&scope=repository:secret/a:pull",
            &ann,
        )
        .await;
    lab.ask("POST", &format!("{mount}&from=secret/a"), &wide, "")
        .await
        .is(201);
}

#[tokio::test]
async fn grants_limit_what_users_may_do() {
    let grant = |user: &str, repository: &str, actions: &[Action]| Grant {
        user: user.to_owned(),
        repository: repository.to_owned(),
        actions: actions.to_vec(),
    };
    let grants = vec![
        grant(
            "ann",
            "team/*",
            &[Action::Pull, Action::Push, Action::Delete],
        ),
        grant("*", "shared", &[Action::Pull]),
    ];
    let access = Access::Authenticated;
    let lab = guarded(AuthConfig {
        access,
        grants,
        ..AuthConfig::default()
    })
    .await;
    let (ann, bob) = (basic("ann", "secret"), basic("bob", "hunter2"));
    lab.push("team/a", &ann).await.is(201);
    lab.push("team/a", &bob).await.is_error(403, "DENIED");
    lab.push("shared", &ann).await.is_error(403, "DENIED");
    lab.ask("GET", "/v2/shared/tags/list", &bob, "")
        .await
        .is_error(404, "NAME_UNKNOWN");
    lab.ask("GET", "/v2/team/a/tags/list", &bob, "")
        .await
        .is_error(403, "DENIED");
    let token = lab.token("repository:team/a:pull,push", &bob).await;
    lab.push("team/a", &token).await.is_error(403, "DENIED");
    lab.ask("GET", "/v2/team/a/tags/list", "", "")
        .await
        .is_error(401, "UNAUTHORIZED");
    assert_eq!(
        lab.ask("GET", "/v2/_catalog", &bob, "").await.json()["repositories"],
        Value::Array(vec![])
    );
}

#[tokio::test]
async fn the_password_grant_gives_tokens_that_can_be_refreshed() {
    let lab = reading_open(Scheme::Bearer).await;
    let post = async |form: &str| lab.ask("POST", "/token", "", form).await;
    let scope = "scope=repository%3Aa%3Apull%2Cpush+registry%3Acatalog%3A%2A&service=x&client_id=y";
    let password = "grant_type=password&username=ann&password=secret&access_type=offline";
    let reply = post(&format!("{password}&{scope}")).await;
    let answer = reply.is(200).json();
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"], 300);
    assert_eq!(reply.header("cache-control"), "no-store");
    lab.push(
        "a",
        &format!("Bearer {}", answer["token"].as_str().unwrap()),
    )
    .await
    .is(201);
    let refresh = answer["refresh_token"].as_str().unwrap();
    // One is not the other.
    lab.push("a", &format!("Bearer {refresh}")).await.is(401);
    let form = format!("grant_type=refresh_token&refresh_token={refresh}&{scope}");
    let answer = post(&form).await.is(200).json();
    lab.push(
        "a",
        &format!("Bearer {}", answer["token"].as_str().unwrap()),
    )
    .await
    .is(201);
    for (form, error) in [
        (
            "grant_type=password&username=ann&password=x",
            "invalid_grant",
        ),
        ("grant_type=refresh_token&refresh_token=x", "invalid_grant"),
        ("grant_type=client_credentials", "unsupported_grant_type"),
        ("", "invalid_request"),
    ] {
        assert_eq!(post(form).await.is(400).json()["error"], error, "{form}");
    }
}

#[tokio::test]
async fn docker_login_gets_a_refresh_token_and_a_200() {
    let lab = reading_open(Scheme::Bearer).await;
    let ann = basic("ann", "secret");
    let query = "account=ann&client_id=docker&offline_token=true&service=registry.test:5000";
    let answer = lab
        .ask("GET", &format!("/token?{query}"), &ann, "")
        .await
        .is(200)
        .json();
    assert!(answer["refresh_token"].is_string());
    let token = format!("Bearer {}", answer["token"].as_str().unwrap());
    lab.ask("GET", "/v2/", &token, "").await.is(200);
    for wrong in [
        basic("ann", "x"),
        basic("zoe", "secret"),
        "Basic ?".to_owned(),
    ] {
        let reply = lab.ask("GET", &format!("/token?{query}"), &wrong, "").await;
        reply.is_error(401, "UNAUTHORIZED");
    }
}

#[tokio::test]
async fn tokens_expire_and_are_not_forged() {
    let lab = reading_open(Scheme::Bearer).await;
    let token = lab
        .token("repository:a:pull,push", &basic("ann", "secret"))
        .await;
    lab.lab.clock.advance(299);
    lab.push("a", &token).await.is(201);
    lab.lab.clock.advance(1);
    let reply = lab.push("a", &token).await;
    reply.is_error(401, "UNAUTHORIZED");
    assert!(
        reply
            .header("www-authenticate")
            .ends_with(r#",error="invalid_token""#)
    );
    let other = reading_open(Scheme::Bearer).await;
    let foreign = other
        .token("repository:a:pull,push", &basic("ann", "secret"))
        .await;
    lab.push("a", &foreign).await.is_error(401, "UNAUTHORIZED");
    lab.push("a", "Bearer x")
        .await
        .is_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_changed_file_counts_at_once_for_passwords_and_tokens() {
    let lab = reading_open(Scheme::Bearer).await;
    let (ann, bob) = (basic("ann", "secret"), basic("bob", "hunter2"));
    let token = lab.token("repository:a:pull,push", &ann).await;
    let kept = lab.token("repository:a:pull,push", &bob).await;
    // Twice, so that the second answer is from memory.
    lab.push("a", &ann).await.is(201);
    lab.push("a", &ann).await.is(201);
    let path = lab.users.path().join("users");
    let text = std::fs::read_to_string(&path).unwrap();
    let bobs: String = text
        .lines()
        .filter(|l| l.starts_with("bob"))
        .map(|l| format!("{l}\n"))
        .collect();
    runtime::files::replace(&path, bobs.as_bytes()).unwrap();
    lab.push("a", &ann).await.is_error(401, "UNAUTHORIZED");
    lab.push("a", &token).await.is_error(401, "UNAUTHORIZED");
    lab.push("a", &bob).await.is(201);
    lab.push("a", &kept).await.is(201);
    runtime::files::replace(&path, b"not a line").unwrap();
    lab.push("a", &bob).await.is_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn the_basic_scheme_asks_for_passwords() {
    let lab = reading_open(Scheme::Basic).await;
    let reply = lab.ask("GET", "/v2/", "", "").await;
    reply.is_error(401, "UNAUTHORIZED");
    assert_eq!(
        reply.header("www-authenticate"),
        r#"Basic realm="siglab registry""#
    );
    lab.push("a", &basic("bob", "hunter2")).await.is(201);
    lab.ask("GET", "/v2/a/tags/list", "", "").await.is(200);
}

#[tokio::test]
async fn settings_that_lock_everybody_out_or_in_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |auth: AuthConfig| {
        let context = Context::for_test("registry", &dir.path().join("data"));
        let opened = Service::open(
            Config {
                auth,
                ..Config::default()
            },
            context,
        )
        .await;
        format!("{:#}", opened.unwrap_err())
    };
    let access = Access::Authenticated;
    let error = open(AuthConfig {
        access,
        ..AuthConfig::default()
    })
    .await;
    assert!(error.contains("auth.htpasswd"), "{error}");
    let path = dir.path().join("users");
    for (text, reason) in [
        ("ann", "line 1 is not user:hash"),
        ("ann:secret", "line 1 is not a bcrypt hash"),
        ("\nann:$apr1$x$y", "line 2 is not a bcrypt hash"),
        (
            "ann:$2y$31$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu",
            "cost 31",
        ),
    ] {
        runtime::files::replace(&path, text.as_bytes()).unwrap();
        let htpasswd = Some(path.clone());
        let error = open(AuthConfig {
            access,
            htpasswd,
            ..AuthConfig::default()
        })
        .await;
        assert!(error.contains(reason), "{error}");
    }
}

#[tokio::test]
async fn credentials_are_ignored_where_nobody_needs_any() {
    let lab = Lab::new().await;
    let headers = [("authorization", "Bearer whatever")];
    lab.ask("GET", "/v2/", &headers, "").await.is(200);
    lab.ask("GET", "/token", NOTHING, "").await.is(200);
}
