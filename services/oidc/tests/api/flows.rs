//! The flows that clients run: authorization code with PKCE, device, client credentials, userinfo.

use crate::support::{Answer, Lab, claims_of, encode};
use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT: &str = "http://localhost:40001/auth/callback";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn encoded(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// What cosign sends, with some parameters replaced; an empty value leaves one out.
fn authorize(replaced: &[(&str, &str)]) -> String {
    let mut pairs = vec![
        ("access_type", "online"),
        ("client_id", "sigstore"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("nonce", "n-0S6"),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "af0if"),
    ];
    for (name, value) in replaced {
        pairs.retain(|(n, _)| n != name);
        pairs.push((name, value));
    }
    pairs.retain(|(_, value)| !value.is_empty());
    encoded(&pairs)
}

fn query(url: &url::Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(n, _)| n == name)
        .map(|(_, value)| value.into_owned())
}

/// Signs in at the page and returns the code.
async fn code(lab: &Lab, path: &str, request: &str, answer: &[(&str, &str)]) -> String {
    let form = format!("{request}&{}", encoded(answer));
    let location = lab.form(path, &form).await.location();
    assert_eq!(query(&location, "state").as_deref(), Some("af0if"));
    query(&location, "code").unwrap_or_else(|| panic!("{location}"))
}

async fn redeem(lab: &Lab, code: &str, replaced: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![
        ("grant_type", "authorization_code"),
        ("client_id", "sigstore"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT),
    ];
    for (name, value) in replaced {
        pairs.retain(|(n, _)| n != name);
        pairs.push((name, value));
    }
    lab.form("/token", &encoded(&pairs)).await
}

#[tokio::test]
async fn the_page_shows_who_can_be_picked_without_script_or_assets() {
    let lab = Lab::start().await;
    let answer = lab.get(&format!("/auth?{}", authorize(&[]))).await;
    assert_eq!(answer.status, StatusCode::OK);
    let page = answer.text();
    for id in [
        "identity-0",
        "identity-3",
        "other",
        "claims",
        "sign-in",
        "deny",
        "client",
    ] {
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(page.contains("foo@bar.com") && page.contains("alice@example.com"));
    assert!(page.contains("http://localhost:40001"));
    for forbidden in ["<script", "src=", "@import", "url(", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn markup_in_parameters_stays_text() {
    let lab = Lab::start().await;
    let request = authorize(&[
        ("client_id", "<script>x</script>"),
        ("state", "\"><img src=x>"),
    ]);
    let page = lab.get(&format!("/auth?{request}")).await.text();
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert!(page.contains("&lt;script&gt;"));
}

#[tokio::test]
async fn cosigns_flow_gives_an_identity_token() {
    let lab = Lab::start().await;
    let code = code(
        &lab,
        "/auth",
        &authorize(&[]),
        &[("identity", "alice@example.com")],
    )
    .await;
    let answer = redeem(&lab, &code, &[("nonce", "n-0S6")]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("cache-control"), "no-store");
    let tokens = answer.json();
    assert_eq!(tokens["token_type"], "bearer");
    assert_eq!(tokens["expires_in"], 1800);
    let access_token = tokens["access_token"].as_str().unwrap();
    let id_token = claims_of(tokens["id_token"].as_str().unwrap());
    assert_eq!(id_token["nonce"], "n-0S6");
    assert_eq!(id_token["aud"], "sigstore");
    assert_eq!(id_token["email"], "alice@example.com");
    assert_eq!(id_token["email_verified"], true);
    assert_eq!(
        id_token["at_hash"],
        encode(&crypto::sha256(access_token.as_bytes())[..16])
    );
    // sigstore-python takes this one for the identity token.
    let access_token = claims_of(access_token);
    assert_eq!(access_token["aud"], "sigstore");
    assert_eq!(access_token["email"], "alice@example.com");
    assert_ne!(access_token["jti"], id_token["jti"]);
}

#[tokio::test]
async fn sigstore_pythons_flow_uses_basic_and_no_nonce() {
    let lab = Lab::start().await;
    let request = authorize(&[("nonce", ""), ("client_secret", "")]);
    let code = code(
        &lab,
        "/auth",
        &request,
        &[("identity", ""), ("other", "bob@lab.invalid")],
    )
    .await;
    let form = encoded(&[
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT),
    ]);
    let basic = format!("Basic {}", STANDARD.encode("sigstore:"));
    let request = Request::post("/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic)
        .body(Body::from(form))
        .unwrap();
    let tokens = lab.send(request).await.json();
    let access_token = claims_of(tokens["access_token"].as_str().unwrap());
    assert_eq!(access_token["sub"], "bob@lab.invalid");
    assert_eq!(access_token["aud"], "sigstore");
    assert_eq!(
        claims_of(tokens["id_token"].as_str().unwrap()).get("nonce"),
        None
    );
}

#[tokio::test]
async fn claims_typed_on_the_page_are_in_the_token() {
    let lab = Lab::start().await;
    let typed = r#"{"groups": ["release"], "repository": "acme/app"}"#;
    let page = lab
        .get(&format!("/github-actions/auth?{}", authorize(&[])))
        .await
        .text();
    assert!(page.contains("<span>repo:lab-org/lab-app:ref:refs/heads/main</span>"));
    let answer = [("claims", typed), ("identity", "")];
    let code = code(&lab, "/github-actions/auth", &authorize(&[]), &answer).await;
    let form = encoded(&[
        ("grant_type", "authorization_code"),
        ("client_id", "sigstore"),
        ("code", &code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", REDIRECT),
    ]);
    let tokens = lab.form("/github-actions/token", &form).await.json();
    let token = claims_of(tokens["id_token"].as_str().unwrap());
    assert_eq!(token["iss"], "http://localhost:8080/github-actions");
    assert_eq!(token["sub"], "repo:acme/app:ref:refs/heads/main");
    assert_eq!(token["groups"], json!(["release"]));
    let form = format!("{}&{}", authorize(&[]), encoded(&[("claims", "{oops")]));
    let answer = lab.form("/auth", &form).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text().contains("id=\"problem\""));
}

#[tokio::test]
async fn a_connector_becomes_a_federated_claim() {
    let lab = Lab::start().await;
    let request = authorize(&[("connector_id", "https://github.com/login/oauth")]);
    let code = code(&lab, "/auth", &request, &[]).await;
    let tokens = redeem(&lab, &code, &[]).await.json();
    let token = claims_of(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        token["federated_claims"]["connector_id"],
        "https://github.com/login/oauth"
    );
}

#[tokio::test]
async fn a_code_is_good_once_for_its_client_redirect_and_verifier() {
    let lab = Lab::start().await;
    for replaced in [
        ("client_id", "other"),
        ("redirect_uri", "http://localhost:40002/auth/callback"),
        (
            "code_verifier",
            "another-verifier-another-verifier-another-ver",
        ),
        ("code", "guessed"),
    ] {
        let code = code(&lab, "/auth", &authorize(&[]), &[]).await;
        let answer = redeem(&lab, &code, &[replaced]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{replaced:?}");
        assert_eq!(answer.json()["error"], "invalid_grant", "{replaced:?}");
        if replaced.0 != "code" {
            // A failed attempt spends the code.
            assert_eq!(
                redeem(&lab, &code, &[]).await.json()["error"],
                "invalid_grant"
            );
        }
    }
    let spent = code(&lab, "/auth", &authorize(&[]), &[]).await;
    assert_eq!(redeem(&lab, &spent, &[]).await.status, StatusCode::OK);
    assert_eq!(
        redeem(&lab, &spent, &[]).await.json()["error"],
        "invalid_grant"
    );
    let late = code(&lab, "/auth", &authorize(&[]), &[]).await;
    lab.context.clock.advance(300);
    assert_eq!(
        redeem(&lab, &late, &[]).await.json()["error"],
        "invalid_grant"
    );
    let elsewhere = code(&lab, "/gitlab/auth", &authorize(&[]), &[]).await;
    assert_eq!(
        redeem(&lab, &elsewhere, &[]).await.json()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn requests_without_pkce_are_sent_back() {
    let lab = Lab::start().await;
    for (replaced, error) in [
        (("code_challenge", ""), "invalid_request"),
        (("code_challenge", "short"), "invalid_request"),
        (("code_challenge_method", "plain"), "invalid_request"),
        (("code_challenge_method", ""), "invalid_request"),
        (("response_type", "token"), "unsupported_response_type"),
        (("response_type", ""), "invalid_request"),
        (("scope", "email"), "invalid_request"),
        (("client_id", ""), "invalid_request"),
    ] {
        let location = lab
            .get(&format!("/auth?{}", authorize(&[replaced])))
            .await
            .location();
        assert!(location.as_str().starts_with(REDIRECT));
        assert_eq!(
            query(&location, "error").as_deref(),
            Some(error),
            "{replaced:?}"
        );
        assert_eq!(query(&location, "state").as_deref(), Some("af0if"));
        assert!(query(&location, "error_description").is_some());
    }
    let twice = format!("{}&nonce=again", authorize(&[]));
    let location = lab.get(&format!("/auth?{twice}")).await.location();
    assert_eq!(
        query(&location, "error").as_deref(),
        Some("invalid_request")
    );
}

#[tokio::test]
async fn a_refusal_reaches_the_client() {
    let lab = Lab::start().await;
    let form = format!("{}&decision=deny", authorize(&[]));
    let location = lab.form("/auth", &form).await.location();
    assert_eq!(query(&location, "error").as_deref(), Some("access_denied"));
    assert_eq!(query(&location, "code"), None);
}

#[tokio::test]
async fn answers_go_to_loopback_or_configured_addresses_only() {
    let config = json!({ "redirect_uris": ["https://app.lab.invalid/callback"] });
    let lab = Lab::with(serde_json::from_value(config).unwrap()).await;
    for uri in [
        "http://localhost:1/x",
        "http://127.0.0.1:40001/cb?a=b",
        "http://127.9.9.9/",
        "http://[::1]:40001/",
        "https://app.lab.invalid/callback",
    ] {
        let answer = lab
            .get(&format!("/auth?{}", authorize(&[("redirect_uri", uri)])))
            .await;
        assert!(answer.text().contains("id=\"sign-in\""), "{uri}");
    }
    for uri in [
        "",
        "nope",
        "http://evil.example/",
        "http://localhost.evil.example/",
        "http://localhost@evil.example/",
        "http://user@localhost/",
        "http://localhost/#fragment",
        "javascript://localhost/%0aalert(1)",
        "https://app.lab.invalid/callback/",
        "http://0.0.0.0/",
    ] {
        let request = authorize(&[("redirect_uri", uri)]);
        for answer in [
            lab.get(&format!("/auth?{request}")).await,
            lab.form("/auth", &request).await,
        ] {
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{uri}");
            assert_eq!(answer.header("location"), "");
            assert!(answer.text().contains("id=\"problem\""));
        }
    }
}

#[tokio::test]
async fn an_out_of_band_code_is_shown_on_the_page() {
    let lab = Lab::start().await;
    let request = authorize(&[("redirect_uri", "urn:ietf:wg:oauth:2.0:oob")]);
    let page = lab.form("/auth", &request).await.text();
    let code = page.split("id=\"code\" class=\"code\">").nth(1).unwrap();
    let code = code.split('<').next().unwrap();
    let answer = redeem(&lab, code, &[("redirect_uri", "urn:ietf:wg:oauth:2.0:oob")]).await;
    assert_eq!(answer.status, StatusCode::OK);
}

async fn device_codes(lab: &Lab) -> Value {
    let form = encoded(&[
        ("client_id", "sigstore"),
        ("scope", "openid email"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    let answer = lab.form("/device/code", &form).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()
}

async fn poll(lab: &Lab, codes: &Value, verifier: &str) -> Answer {
    let form = encoded(&[
        ("grant_type", DEVICE_GRANT),
        ("client_id", "sigstore"),
        ("scope", "openid email"),
        ("device_code", codes["device_code"].as_str().unwrap()),
        ("code_verifier", verifier),
    ]);
    lab.form("/token", &form).await
}

#[tokio::test]
async fn a_device_waits_for_a_person() {
    let lab = Lab::start().await;
    let codes = device_codes(&lab).await;
    let user_code = codes["user_code"].as_str().unwrap();
    assert_eq!(codes["verification_uri"], "http://localhost:8080/device");
    let complete = format!("http://localhost:8080/device?user_code={user_code}");
    assert_eq!(codes["verification_uri_complete"], complete);
    assert_eq!(
        (&codes["interval"], &codes["expires_in"]),
        (&json!(1), &json!(300))
    );

    assert_eq!(
        poll(&lab, &codes, VERIFIER).await.json()["error"],
        "authorization_pending"
    );
    assert_eq!(
        poll(&lab, &codes, VERIFIER).await.json()["error"],
        "slow_down"
    );
    lab.context.clock.advance(1);
    assert_eq!(
        poll(&lab, &codes, VERIFIER).await.json()["error"],
        "authorization_pending"
    );

    let typed = user_code.to_lowercase().replace('-', "");
    let page = lab.get(&format!("/device?user_code={typed}")).await.text();
    assert!(page.contains("id=\"sign-in\"") && page.contains("sigstore"));
    let form = encoded(&[("user_code", &typed), ("identity", "bob@example.com")]);
    let done = lab.form("/device", &form).await.text();
    assert!(done.contains("id=\"result\""));

    // An answer is there: no more asking for patience.
    let tokens = poll(&lab, &codes, VERIFIER).await.json();
    let token = claims_of(tokens["id_token"].as_str().unwrap());
    assert_eq!(token["email"], "bob@example.com");
    assert_eq!(token["aud"], "sigstore");
    assert_eq!(
        poll(&lab, &codes, VERIFIER).await.json()["error"],
        "invalid_grant"
    );
}

#[tokio::test]
async fn a_device_can_be_refused_and_can_come_too_late() {
    let lab = Lab::start().await;
    let codes = device_codes(&lab).await;
    let user_code = codes["user_code"].as_str().unwrap();
    let form = encoded(&[("user_code", user_code), ("decision", "deny")]);
    lab.form("/device", &form).await;
    assert_eq!(
        poll(&lab, &codes, VERIFIER).await.json()["error"],
        "access_denied"
    );

    let codes = device_codes(&lab).await;
    lab.context.clock.advance(300);
    assert_eq!(
        poll(&lab, &codes, VERIFIER).await.json()["error"],
        "expired_token"
    );
    let page = lab
        .get(&format!(
            "/device?user_code={}",
            codes["user_code"].as_str().unwrap()
        ))
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.text().contains("id=\"problem\""));
}

#[tokio::test]
async fn a_devices_verifier_must_match() {
    let lab = Lab::start().await;
    for verifier in ["", "another-verifier-another-verifier-another-ver"] {
        let codes = device_codes(&lab).await;
        let form = encoded(&[("user_code", codes["user_code"].as_str().unwrap())]);
        lab.form("/device", &form).await;
        assert_eq!(
            poll(&lab, &codes, verifier).await.json()["error"],
            "invalid_grant"
        );
    }
}

#[tokio::test]
async fn a_user_code_answers_once() {
    let lab = Lab::start().await;
    let codes = device_codes(&lab).await;
    let form = encoded(&[("user_code", codes["user_code"].as_str().unwrap())]);
    assert_eq!(lab.form("/device", &form).await.status, StatusCode::OK);
    let again = lab
        .form("/device", &format!("{form}&identity=mallory@example.net"))
        .await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    let tokens = poll(&lab, &codes, VERIFIER).await.json();
    let token = claims_of(tokens["id_token"].as_str().unwrap());
    assert_eq!(token["email"], "foo@bar.com");
    let page = lab.get("/device").await.text();
    assert!(page.contains("id=\"user-code\"") && page.contains("id=\"continue\""));
}

#[tokio::test]
async fn client_credentials_give_the_default_identity() {
    let lab = Lab::start().await;
    let form = encoded(&[
        ("grant_type", "client_credentials"),
        ("client_id", "sigstore"),
        ("client_secret", "anything"),
        ("scope", "openid email"),
    ]);
    let tokens = lab.form("/token", &form).await.json();
    let token = claims_of(tokens["id_token"].as_str().unwrap());
    assert_eq!(
        (&token["email"], &token["aud"]),
        (&json!("foo@bar.com"), &json!("sigstore"))
    );
    assert_eq!(tokens["scope"], "openid email");
}

#[tokio::test]
async fn token_requests_are_refused_in_oauths_words() {
    let lab = Lab::start().await;
    let basic = format!("Basic {}", STANDARD.encode("other:"));
    for (form, error) in [
        ("client_id=sigstore", "invalid_request"),
        (
            "grant_type=password&client_id=sigstore",
            "unsupported_grant_type",
        ),
        ("grant_type=client_credentials", "invalid_request"),
        (
            "grant_type=authorization_code&client_id=sigstore",
            "invalid_request",
        ),
        (
            "grant_type=a&grant_type=b&client_id=sigstore",
            "invalid_request",
        ),
    ] {
        let answer = lab.form("/token", form).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{form}");
        assert_eq!(answer.json()["error"], error, "{form}");
        assert!(answer.json()["error_description"].is_string());
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let request = Request::post("/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, basic)
        .body(Body::from(
            "grant_type=client_credentials&client_id=sigstore",
        ))
        .unwrap();
    assert_eq!(lab.send(request).await.json()["error"], "invalid_request");
    let answer = lab
        .post("/token", "application/json", "{}".to_owned())
        .await;
    assert_eq!(answer.json()["error"], "invalid_request");
}

#[tokio::test]
async fn userinfo_tells_who_a_valid_token_speaks_of() {
    let lab = Lab::start().await;
    let token = lab.get("/token?email=a@b.c").await.text();
    let info = lab.get_with("/userinfo", &format!("Bearer {token}")).await;
    assert_eq!(
        info.json(),
        json!({ "sub": "a@b.c", "email": "a@b.c", "email_verified": true })
    );
    let job = lab.get("/github-actions/request-token").await.text();
    let expired = lab.get("/token?lifetime=-1").await.text();
    let mut forged = token.clone();
    forged.pop();
    let (_, rest) = token.split_once('.').unwrap();
    let unsigned = format!("{}.{rest}", encode(br#"{"alg":"none"}"#));
    for token in ["", "x", "a.b.c", &job, &expired, &forged, &unsigned] {
        let answer = lab.get_with("/userinfo", &format!("Bearer {token}")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
        assert_eq!(
            answer.header("www-authenticate"),
            r#"Bearer error="invalid_token""#
        );
    }
    assert_eq!(lab.get("/userinfo").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn waiting_sign_ins_are_bounded_and_end_by_the_clock() {
    let lab = Lab::start().await;
    let request = authorize(&[]);
    for _ in 0..1024 {
        code(&lab, "/auth", &request, &[]).await;
    }
    let location = lab.form("/auth", &request).await.location();
    assert_eq!(
        query(&location, "error").as_deref(),
        Some("temporarily_unavailable")
    );
    for _ in 0..1024 {
        device_codes(&lab).await;
    }
    let answer = lab.form("/device/code", "client_id=sigstore").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    lab.context.clock.advance(301);
    code(&lab, "/auth", &request, &[]).await;
    device_codes(&lab).await;
}
