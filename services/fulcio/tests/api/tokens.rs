//! Which tokens are taken, and what their verification asks of the network.

use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use crypto::{KeyKind, SigningKey};
use fulcio::Config;
use serde_json::json;

use crate::lab::{Lab, NOW, jws, openssl, write};

const EMAIL: &str = "a@example.com";

#[tokio::test]
async fn tokens_that_break_one_rule_are_refused_with_the_same_words() {
    let lab = Lab::start().await;
    let issuer = &lab.issuer;
    let email = json!({"email": EMAIL, "email_verified": true});
    let with = |name: &str, value: serde_json::Value| {
        let mut claims = issuer.claims("", &email);
        claims[name] = value;
        issuer.sign(&claims)
    };
    let claims = issuer.claims("", &email);
    let other_key = SigningKey::generate(KeyKind::Rsa2048).unwrap();
    let header = json!({"alg": "RS256", "kid": issuer.key_id()});
    let crit = json!({"alg": "RS256", "kid": issuer.key_id(), "crit": ["b64"]});
    let hs256 = json!({"alg": "HS256", "kid": issuer.key_id()});
    let es256 = json!({"alg": "ES256", "kid": issuer.key_id()});
    let own_key = issuer.key_copy();
    let unsigned = jws(&json!({"alg": "none"}), &claims, &own_key);
    let forged = [
        jws(&header, &claims, &other_key),
        jws(
            &json!({"alg": "RS256", "kid": "unknown"}),
            &claims,
            &own_key,
        ),
        jws(&json!({"alg": "RS256"}), &claims, &other_key),
        jws(&crit, &claims, &own_key),
        jws(&hs256, &claims, &own_key),
        jws(&es256, &claims, &own_key),
        format!("{}.", unsigned.rsplit_once('.').unwrap().0),
        format!("{}.x", jws(&header, &claims, &own_key)),
        jws(&header, &json!([1]), &own_key),
    ];
    let mut bad = vec![
        with("aud", json!("other")),
        with("aud", json!(["other", 1])),
        with("aud", json!(null)),
        with("aud", json!(["sigstore", 1])),
        with("aud", json!(5)),
        with("sub", json!(5)),
        with("exp", json!(NOW - 1)),
        with("exp", json!(null)),
        with("exp", json!("tomorrow")),
        with("nbf", json!(NOW + 301)),
        with("iss", json!(format!("{}/", issuer.url))),
        with("iss", json!("http://127.0.0.1:1/unlisted")),
        with("email", json!("not an address")),
        with("email", json!(null)),
        with("email_verified", json!(false)),
        with("email_verified", json!("yes")),
        with("email_verified", json!(null)),
        "a.b.c".to_owned(),
        "a.b".to_owned(),
    ];
    bad.extend(forged);
    for token in bad {
        let answer = lab.sign(&token, EMAIL).await;
        assert_eq!(answer.status, 400, "{token}");
        answer.bad_token();
    }
    assert!(lab.ctlog.chains.lock().unwrap().is_empty());
}

#[tokio::test]
async fn tokens_at_the_edge_of_the_rules_are_taken() {
    let lab = Lab::start().await;
    let email = json!({"email": EMAIL, "email_verified": true});
    for (name, value) in [
        ("aud", json!(["x", "sigstore"])),
        ("exp", json!(NOW)),
        ("exp", json!(1_767_225_600.5)),
        ("nbf", json!(NOW + 300)),
        ("iat", json!(NOW + 100_000)),
        ("email_verified", json!("true")),
        ("email_verified", json!("True")),
    ] {
        let mut claims = lab.issuer.claims("", &email);
        claims[name] = value.clone();
        let answer = lab.sign(&lab.issuer.sign(&claims), EMAIL).await;
        assert_eq!(answer.status, 200, "{name} {value}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_token_expires_without_leeway() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token(EMAIL);
    lab.context.clock.advance(600);
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
    lab.context.clock.advance(1);
    lab.sign(&token, EMAIL).await.bad_token();
}

#[tokio::test]
async fn keys_are_fetched_when_first_needed_and_then_kept() {
    let lab = Lab::start().await;
    let requests = || lab.issuer.requests.load(Ordering::SeqCst);
    assert_eq!(requests(), 0, "nothing is fetched at the start");
    let expired = lab
        .issuer
        .sign(&lab.issuer.claims("", &json!({"exp": NOW - 1})));
    lab.sign(&expired, EMAIL).await.bad_token();
    assert_eq!(
        requests(),
        0,
        "nothing is fetched for a token that is refused without"
    );
    let token = lab.issuer.email_token(EMAIL);
    for _ in 0..3 {
        assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
    }
    assert_eq!(requests(), 2, "one discovery document, one key set");
    *lab.issuer.key.lock().unwrap() = SigningKey::generate(KeyKind::Rsa2048).unwrap();
    let rotated = lab.issuer.email_token(EMAIL);
    assert_eq!(
        lab.sign(&rotated, EMAIL).await.status,
        200,
        "new keys are fetched once"
    );
    assert_eq!(requests(), 4);
    lab.sign(&token, EMAIL).await.bad_token();
    assert_eq!(requests(), 6);
}

#[tokio::test]
async fn a_token_without_key_id_is_tried_with_every_key() {
    let lab = Lab::start().await;
    let claims = lab
        .issuer
        .claims("", &json!({"email": EMAIL, "email_verified": true}));
    let token = jws(
        &json!({"alg": "RS256"}),
        &claims,
        &lab.issuer.key.lock().unwrap(),
    );
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_cannot_be_reached_is_asked_again_later() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token(EMAIL);
    for status in [404, 500, 204] {
        lab.issuer.status.store(status, Ordering::SeqCst);
        lab.sign(&token, EMAIL).await.bad_token();
    }
    lab.issuer.status.store(200, Ordering::SeqCst);
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
    lab.issuer.status.store(500, Ordering::SeqCst);
    assert_eq!(
        lab.sign(&token, EMAIL).await.status,
        200,
        "known keys stay in use"
    );
}

#[tokio::test]
async fn only_listed_algorithms_count_and_rs256_when_none_is() {
    let lab = Lab::start().await;
    *lab.issuer.key.lock().unwrap() = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let claims = lab
        .issuer
        .claims("", &json!({"email": EMAIL, "email_verified": true}));
    let es256 = || {
        // The test's key signs DER; JOSE wants r ‖ s.
        let header = json!({"alg": "ES256", "kid": lab.issuer.key_id()});
        let token = jws(&header, &claims, &lab.issuer.key.lock().unwrap());
        raw_signature(&token)
    };
    lab.sign(&es256(), EMAIL).await.bad_token();
    *lab.issuer.discovery.lock().unwrap() =
        json!({"id_token_signing_alg_values_supported": ["ES256", "RS256", "HS256"]});
    assert_eq!(lab.sign(&es256(), EMAIL).await.status, 200);
    let header = json!({"alg": "ES256", "kid": lab.issuer.key_id()});
    let der = jws(&header, &claims, &lab.issuer.key.lock().unwrap());
    lab.sign(&der, EMAIL).await.bad_token();
}

#[tokio::test]
async fn pss_signatures_are_not_verified_even_when_listed() {
    let lab = Lab::start().await;
    let names = ["PS256", "PS384", "PS512", "RS256", "RS384"];
    *lab.issuer.discovery.lock().unwrap() = json!({"id_token_signing_alg_values_supported": names});
    let claims = lab
        .issuer
        .claims("", &json!({"email": EMAIL, "email_verified": true}));
    write(
        lab.dir.path(),
        "key.pem",
        &lab.issuer.key_copy().to_pkcs8_pem(),
    );
    for (algorithm, padding, is_taken) in [
        ("RS256", "pkcs1", true),
        ("RS384", "pkcs1", true),
        ("PS256", "pss", false),
        ("PS384", "pss", false),
        ("PS512", "pss", false),
    ] {
        let header = json!({"alg": algorithm, "kid": lab.issuer.key_id()});
        let unsigned = jws(&header, &claims, &lab.issuer.key_copy());
        let (message, _) = unsigned.rsplit_once('.').unwrap();
        write(lab.dir.path(), "message", message);
        let hash = format!("-sha{}", &algorithm[2..]);
        let mode = format!("rsa_padding_mode:{padding}");
        let flags = [
            "dgst", &hash, "-sign", "key.pem", "-sigopt", &mode, "message",
        ];
        let signature = URL_SAFE_NO_PAD.encode(openssl(lab.dir.path(), &flags));
        let answer = lab.sign(&format!("{message}.{signature}"), EMAIL).await;
        assert_eq!(
            answer.status == 200,
            is_taken,
            "{algorithm}: {}",
            answer.body
        );
    }
}

/// The token with its DER signature as `r ‖ s`.
fn raw_signature(token: &str) -> String {
    let (message, signature) = token.rsplit_once('.').unwrap();
    let der = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let r_length = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_length], &der[6 + r_length..]);
    let mut raw = Vec::new();
    for part in [r, s] {
        let part = &part[part.len().saturating_sub(32)..];
        raw.extend(std::iter::repeat_n(0, 32 - part.len()));
        raw.extend(part);
    }
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(raw))
}

#[tokio::test]
async fn discovery_must_name_the_issuer_and_stay_on_its_host() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token(EMAIL);
    *lab.issuer.discovery.lock().unwrap() = json!({"issuer": "http://other.example"});
    lab.sign(&token, EMAIL).await.bad_token();
    *lab.issuer.discovery.lock().unwrap() = json!({});
    lab.issuer.status.store(302, Ordering::SeqCst);
    let before = lab.issuer.requests.load(Ordering::SeqCst);
    let port = lab.issuer.url.rsplit(':').next().unwrap();
    *lab.issuer.location.lock().unwrap() = format!("http://localhost:{port}/elsewhere");
    lab.sign(&token, EMAIL).await.bad_token();
    assert_eq!(
        lab.issuer.requests.load(Ordering::SeqCst),
        before + 1,
        "another host is not asked"
    );
    *lab.issuer.location.lock().unwrap() = "/again".to_owned();
    lab.sign(&token, EMAIL).await.bad_token();
    assert!(
        lab.issuer.requests.load(Ordering::SeqCst) < before + 10,
        "a loop ends"
    );
}

#[tokio::test]
async fn an_issuer_that_is_not_configured_is_never_contacted() {
    let lab = Lab::with_issuers(
        "oidc-issuers: {'http://127.0.0.1:1': {issuer-url: 'http://127.0.0.1:1', client-id: sigstore, type: email}}",
    )
    .await;
    lab.sign(&lab.issuer.email_token(EMAIL), EMAIL)
        .await
        .bad_token();
    assert_eq!(lab.issuer.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn meta_issuers_match_one_label_for_a_star() {
    let lab =
        Lab::with_issuers("meta-issuers: {'ISSUER/id/*': {client-id: sigstore, type: email}}")
            .await;
    let claims = json!({"email": EMAIL, "email_verified": true});
    let token = lab.issuer.token("/id/A-b_1", &claims);
    assert_eq!(lab.sign(&token, EMAIL).await.status, 200);
    for path in ["/id/a/b", "/id/", "/id", "/id/a?b", "/x/id/a"] {
        lab.sign(&lab.issuer.token(path, &claims), EMAIL)
            .await
            .bad_token();
    }
}

#[tokio::test]
async fn a_public_issuer_needs_an_explicit_setting() {
    let claim = "oidc-issuers: {ISSUER: {issuer-url: ISSUER, client-id: sigstore, type: email, issuer-claim: $.federated_claims.connector_id}}";
    let federated = json!({
        "email": EMAIL, "email_verified": true,
        "federated_claims": {"connector_id": "https://github.com/login/oauth"},
    });
    let lab = Lab::with_issuers(claim).await;
    lab.sign(&lab.issuer.token("", &federated), EMAIL)
        .await
        .bad_token();
    let own = json!({
        "email": EMAIL, "email_verified": true,
        "federated_claims": {"connector_id": "https://sso.lab.invalid"},
    });
    let leaf = lab.leaf("", &own, EMAIL).await;
    assert_eq!(
        leaf.fulcio_issuer().unwrap().as_deref(),
        Some("https://sso.lab.invalid")
    );
    let empty = json!({
        "email": EMAIL, "email_verified": true, "federated_claims": {"connector_id": ""},
    });
    let answer = lab.sign(&lab.issuer.token("", &empty), EMAIL).await;
    answer.refused(400, 3, "extensions must have a non-empty issuer url");
    let none = json!({"email": EMAIL, "email_verified": true});
    lab.sign(&lab.issuer.token("", &none), EMAIL)
        .await
        .bad_token();

    for critical in [true, false] {
        let lab = Lab::with_issuers_and(claim, |config| {
            config.impersonate_issuers = vec!["https://github.com/login/oauth".to_owned()];
            config.impersonation_marker_critical = critical;
        })
        .await;
        let leaf = lab.leaf("", &federated, EMAIL).await;
        let marker = leaf
            .extensions()
            .iter()
            .find(|e| e.oid == x509::oid::LAB_MARKER)
            .unwrap();
        assert_eq!(marker.critical, critical);
    }
}

#[tokio::test]
async fn a_configured_public_issuer_stops_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("issuers.yaml");
    let url = "https://token.actions.githubusercontent.com";
    let text = format!(
        "oidc-issuers: {{'{url}': {{issuer-url: '{url}', client-id: sigstore, type: github-workflow}}}}"
    );
    std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), text.as_bytes()).unwrap();
    let context = runtime::Context::for_test("fulcio", &dir.path().join("fulcio"));
    let mut config = Config {
        issuers_file: Some(path),
        ..Config::default()
    };
    let open = async |config: Config| {
        <fulcio::Service as runtime::Service>::open(config, context.clone())
            .await
            .map(|_| ())
    };
    let refusal = open(config.clone()).await.unwrap_err().to_string();
    assert!(
        refusal.contains("add \"https://token.actions") && !refusal.contains('\n'),
        "{refusal}"
    );
    config.impersonate_issuers = vec![url.to_owned()];
    open(config).await.unwrap();
}

#[tokio::test]
async fn an_https_issuer_is_trusted_by_its_own_certificate_alone() {
    use runtime::{Clock, Context, Endpoint, tls};
    let mut lab = Lab::start().await;
    let endpoint = Endpoint::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let url = format!("https://localhost:{}", endpoint.address().port());
    // TLS is judged by the machine's time.
    let dir = lab.dir.path().join("tls");
    runtime::files::create_dirs(&dir).unwrap();
    let context = Context {
        clock: Clock::system(),
        dir,
        ..lab.context.clone()
    };
    let identity = tls::server(&context, &["localhost".to_owned()]).unwrap();
    let stop = context.tasks.stopping().clone();
    tokio::spawn(endpoint.serve(lab.issuer.router(), Some(identity.config), stop));
    *lab.issuer.discovery.lock().unwrap() =
        json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
    let claims = json!({"email": EMAIL, "email_verified": true, "iss": url});
    let token = lab.issuer.token("", &claims);
    for (ca_cert, status) in [(identity.authority_pem.as_str(), 200), ("", 400)] {
        let issuer =
            json!({"IssuerURL": url, "ClientID": "sigstore", "Type": "email", "CACert": ca_cert});
        let issuers = json!({"OIDCIssuers": {url.as_str(): issuer}});
        let path = write(lab.dir.path(), "issuers.json", &issuers.to_string());
        lab.reopen(Config {
            issuers_file: Some(path),
            ..Config::default()
        })
        .await
        .unwrap();
        assert_eq!(lab.sign(&token, EMAIL).await.status, status);
    }
}

#[tokio::test]
async fn the_log_says_why_a_token_was_refused_only_if_asked() {
    use std::sync::{Arc, Mutex};
    for asked in [false, true] {
        let lab = Lab::with(|_, _| Config {
            log_token_rejections: asked,
            ..Config::default()
        })
        .await;
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = tracing_subscriber::fmt()
            .with_writer(Log(Arc::clone(&written)))
            .finish();
        let _logging = tracing::subscriber::set_default(log);
        let token = lab
            .issuer
            .sign(&lab.issuer.claims("", &json!({"aud": "other"})));
        let answer = lab.sign(&token, EMAIL).await;
        answer.bad_token();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let reason = r#"oidc: expected audience "sigstore" got ["other"]"#;
        assert_eq!(text.contains(reason), asked, "{text}");
        assert!(!text.contains(&token));
    }
}

/// Keeps what is logged.
#[derive(Clone)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl tracing_subscriber::fmt::MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn a_played_issuer_is_asked_at_the_labs_own_and_nowhere_else() {
    let url = "https://token.actions.githubusercontent.com";
    let lab = Lab::with(|_, _| Config {
        impersonate_issuers: vec![url.to_owned()],
        impersonation_marker_critical: false,
        ..Config::default()
    })
    .await;
    let sub = "repo:o/r:ref:refs/heads/main";
    let claims = json!({
        "iss": url, "sub": sub, "event_name": "push", "sha": "s1", "workflow": "w",
        "repository": "o/r", "ref": "refs/heads/main", "job_workflow_ref": "o/r/w.yml@main",
        "job_workflow_sha": "s2", "runner_environment": "github-hosted", "repository_id": "1",
        "repository_owner": "o", "repository_owner_id": "2", "workflow_sha": "s3",
        "workflow_ref": "o/r/w.yml@main", "run_id": "3", "run_attempt": "4",
        "repository_visibility": "public",
    });
    let token = lab.issuer.token("", &claims);
    *lab.issuer.discovery.lock().unwrap() =
        json!({"issuer": url, "jwks_uri": "https://elsewhere.example/keys"});
    lab.sign(&token, sub).await.bad_token();
    *lab.issuer.discovery.lock().unwrap() = json!({
        "issuer": url, "jwks_uri": format!("{url}/.well-known/jwks"),
    });
    let leaf = lab.sign(&token, sub).await.chain().remove(0);
    assert_eq!(leaf.fulcio_issuer().unwrap().as_deref(), Some(url));
    assert_eq!(
        leaf.sans().unwrap()[0].text().as_deref(),
        Some("https://github.com/o/r/w.yml@main")
    );
    assert_eq!(
        lab.issuer.hosts.lock().unwrap().last().unwrap(),
        "token.actions.githubusercontent.com"
    );
    let own = lab.issuer.email_token(EMAIL);
    *lab.issuer.discovery.lock().unwrap() = json!({});
    assert_eq!(
        lab.sign(&own, EMAIL).await.status,
        200,
        "the lab's own issuer stays itself"
    );
}
