//! The wire: what requests are answered with, status by status and text by text.

use axum::{body::Body, http::Request};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use crypto::{KeyKind, SigningKey};
use fulcio::Config;

use serde_json::json;
use x509::{Certificate, FulcioField, San};

use crate::lab::{Lab, public_key_request};

const V1: &str = "/api/v1/signingCert";
const V2: &str = "/api/v2/signingCert";

#[tokio::test]
async fn v2_answers_200_with_leaf_to_root_and_no_trailing_newlines() {
    let lab = Lab::start().await;
    let answer = lab
        .sign(
            &lab.issuer.email_token("alice@example.com"),
            "alice@example.com",
        )
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(
        body.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["signedCertificateEmbeddedSct"]
    );
    let pems = &body["signedCertificateEmbeddedSct"]["chain"]["certificates"];
    for pem in pems.as_array().unwrap() {
        assert!(pem.as_str().unwrap().ends_with("-----END CERTIFICATE-----"));
    }
    let chain = answer.chain();
    assert_eq!(chain.len(), 3);
    assert!(chain[2].is_self_issued());
    assert_eq!(
        chain[0].sans().unwrap(),
        [San::Email("alice@example.com".to_owned())]
    );
}

#[tokio::test]
async fn v1_answers_201_with_a_pem_chain_and_no_sct_header() {
    let lab = Lab::start().await;
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let body = json!({
        "publicKey": {"algorithm": "any spelling", "content": STANDARD.encode(key.public_key().to_pem())},
        "signedEmailAddress": STANDARD.encode(key.sign(b"alice@example.com").unwrap()),
    });
    let token = lab.issuer.email_token("alice@example.com");
    let answer = lab.post(V1, &token, body.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(
        answer.header("content-type"),
        "application/pem-certificate-chain"
    );
    assert!(!answer.headers.contains_key("sct"));
    assert!(!answer.body.ends_with('\n'));
    let chain = Certificate::chain_from_pem(&answer.body).unwrap();
    assert_eq!(chain.len(), 3);

    // v1 has no field for the token.
    let mut with_token = body;
    with_token["credentials"] = json!({"oidcIdentityToken": token});
    lab.post(V1, "", with_token.to_string()).await.bad_token();
}

#[tokio::test]
async fn without_a_ct_log_the_sct_is_detached_and_empty() {
    let config = || Config {
        ct_log_url: Some(String::new()),
        ..Config::default()
    };
    let lab = Lab::with(|_, _| config()).await;
    let answer = lab
        .sign(&lab.issuer.email_token("a@example.com"), "a@example.com")
        .await;
    let body = answer.json();
    assert_eq!(
        body["signedCertificateDetachedSct"]["signedCertificateTimestamp"],
        ""
    );
    let leaf = &answer.chain()[0];
    assert!(leaf.scts().unwrap().is_empty() && !leaf.is_precertificate());
    assert!(lab.ctlog.chains.lock().unwrap().is_empty());
}

#[tokio::test]
async fn trust_bundle_and_root_certificate_are_the_chain() {
    let lab = Lab::start().await;
    let answer = lab.get("/api/v2/trustBundle").await;
    assert_eq!(answer.status, 200);
    let pems = answer.json()["chains"][0]["certificates"].clone();
    let pems: Vec<String> = serde_json::from_value(pems).unwrap();
    assert_eq!(pems.len(), 2);
    assert!(
        pems.iter()
            .all(|pem| pem.ends_with("-----END CERTIFICATE-----\n"))
    );
    let root = lab.get("/api/v1/rootCert").await;
    assert_eq!(root.status, 200);
    assert_eq!(
        root.header("content-type"),
        "application/pem-certificate-chain"
    );
    assert_eq!(root.body, pems.concat().trim_end());
}

#[tokio::test]
async fn configuration_writes_unset_scalars_and_omits_unchosen_members() {
    let lab = Lab::with_issuers(
        "oidc-issuers:\n  ISSUER:\n    issuer-url: ISSUER\n    client-id: sigstore\n    type: email\n\
         meta-issuers:\n  https://oidc.*.example:\n    client-id: x\n    type: kubernetes\n",
    )
    .await;
    let answer = lab.get("/api/v2/configuration").await;
    assert_eq!(
        answer.json(),
        json!({"issuers": [
            {"issuerUrl": lab.issuer.url, "audience": "sigstore", "challengeClaim": "email",
             "spiffeTrustDomain": "", "issuerType": "email", "subjectDomain": "",
             "skipEmailVerification": false},
            {"wildcardIssuerUrl": "https://oidc.*.example", "audience": "x", "challengeClaim": "sub",
             "spiffeTrustDomain": "", "issuerType": "kubernetes", "subjectDomain": "",
             "skipEmailVerification": false},
        ]})
    );
}

#[tokio::test]
async fn wrong_methods_are_501_and_unknown_paths_404() {
    let lab = Lab::start().await;
    for (method, path) in [
        ("GET", V2),
        ("PUT", V1),
        ("HEAD", "/healthz"),
        ("POST", "/api/v2/configuration"),
        ("DELETE", "/api/v2/trustBundle"),
        ("OPTIONS", V2),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = lab.send(request).await;
        assert_eq!(answer.status, 501, "{method} {path}");
        if method != "HEAD" {
            answer.refused(501, 12, "Method Not Allowed");
        }
    }
    for path in [
        "/",
        "/api/v2/signingCert/",
        "/api/v1/rootCert/",
        "/api/v3",
        "/readyz",
        "/metrics",
    ] {
        lab.get(path).await.refused(404, 5, "Not Found");
        lab.post(path, "", "").await.refused(404, 5, "Not Found");
    }
    let health = lab.get("/healthz").await;
    assert_eq!(
        (health.status, health.body.as_str()),
        (200, r#"{"status":"SERVING"}"#)
    );
    let form = Request::post("/api/v2/trustBundle")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("a=b"))
        .unwrap();
    assert_eq!(lab.send(form).await.status, 200);
}

#[tokio::test]
async fn browsers_may_post_but_not_send_an_authorization_header() {
    let lab = Lab::start().await;
    let answer = lab.get("/healthz").await;
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(answer.header("access-control-allow-origin"), "");
    let request = Request::get("/healthz").header("origin", "https://page.example");
    let answer = lab.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    for (headers, allowed) in [
        ("content-type", "*"),
        ("authorization", ""),
        ("content-type, authorization", ""),
        ("accept,content-type", "*"),
        ("content-type,accept", ""),
        ("Content-Type", ""),
    ] {
        let request = Request::options(V2)
            .header("origin", "https://page.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", headers);
        let answer = lab.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 204);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            allowed,
            "{headers}"
        );
    }
}

#[tokio::test]
async fn the_token_is_found_in_body_and_header_as_upstream_finds_it() {
    let lab = Lab::start().await;
    let good = lab.issuer.email_token("a@example.com");
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let body = public_key_request(&key, "a@example.com");
    let status = async |authorization: &str, body: &serde_json::Value| {
        let request = Request::post(V2).header("authorization", authorization);
        lab.send(request.body(Body::from(body.to_string())).unwrap())
            .await
            .status
    };
    assert_eq!(status(&format!("Bearer {good}"), &body).await, 200);
    let spaced = format!("Bearer  {good} ");
    assert_eq!(status(&spaced, &body).await, 200, "space is cut off");
    assert_eq!(status(&good, &body).await, 200, "the scheme is optional");
    assert_eq!(
        status(&format!("bearer {good}"), &body).await,
        400,
        "the scheme has a case"
    );
    let mut with_token = body.clone();
    with_token["credentials"] = json!({"oidcIdentityToken": good});
    assert_eq!(
        status("Bearer nonsense", &with_token).await,
        200,
        "the body wins"
    );
    with_token["credentials"] = json!({"oidc_identity_token": ""});
    assert_eq!(
        status(&format!("Bearer {good}"), &with_token).await,
        200,
        "an empty one does not"
    );
    lab.v2("", &body).await.bad_token();
    let request = Request::post(V2).header("grpc-metadata-oidcidentitytoken", &good);
    lab.send(request.body(Body::from(body.to_string())).unwrap())
        .await
        .bad_token();
}

#[tokio::test]
async fn lenient_requests_of_real_clients_are_taken() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token("a@example.com");
    let key = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
    let proof = key.sign(b"a@example.com").unwrap();
    for algorithm in [
        json!(""),
        json!("UNHEARD_OF"),
        json!(2),
        json!("RSA_PSS"),
        json!(null),
    ] {
        let body = json!({
            "public_key_request": {
                "public_key": {"algorithm": algorithm, "content": key.public_key().to_pem()},
                "proof_of_possession": URL_SAFE_NO_PAD.encode(&proof),
            },
            "unknown": {"nested": [1, 2]},
        });
        assert_eq!(lab.v2(&token, &body).await.status, 200, "{algorithm}");
    }
    let body = public_key_request(&key, "a@example.com").to_string();
    let request = Request::post(V2)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "text/plain")
        .header("accept", "application/pem-certificate-chain");
    let answer = lab.send(request.body(Body::from(body)).unwrap()).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, "application/json")
    );
}

#[tokio::test]
async fn broken_bodies_are_400_in_upstream_words() {
    let lab = Lab::start().await;
    let token = lab.issuer.email_token("a@example.com");
    let send = async |body: &str| lab.post(V2, &token, body.to_owned()).await;
    send(r#"{"publicKeyRequest":"#)
        .await
        .refused(400, 3, "unexpected EOF");
    send(r#"{"publicKeyRequest":{"proofOfPossession":"!!"}}"#)
        .await
        .refused(
            400,
            3,
            r#"proto: (line 1:42): invalid value for bytes field proofOfPossession: "!!""#,
        );
    send(r#"{"certificateSigningRequest":"","publicKeyRequest":{}}"#)
        .await
        .refused(
            400,
            3,
            "proto: (line 1:33): error parsing \"publicKeyRequest\", oneof \
         dev.sigstore.fulcio.v2.CreateSigningCertificateRequest.key is already set",
        );
    let message = "The public key supplied in the request could not be parsed";
    send("").await.refused(400, 3, message);
    send("{}").await.refused(400, 3, message);
    lab.post(V1, "", "{}").await.refused(400, 3, message);
    lab.post(V1, "", r#"{"publicKey":{}}"#).await.bad_token();
    send(r#"{"publicKeyRequest":{"publicKey":{"algorithm":true}}}"#)
        .await
        .refused(
            400,
            3,
            "proto: (line 1:47): invalid value for enum field algorithm: true",
        );
    let answer = lab.post(V2, &token, vec![0xff, 0xfe]).await;
    assert_eq!(answer.status, 400);
    let answer = lab.post(V2, &token, vec![b' '; 4 * 1024 * 1024 + 1]).await;
    answer.refused(400, 3, "http: request body too large");
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn a_bad_token_is_told_before_a_bad_key() {
    let lab = Lab::start().await;
    let bad_key = json!({"publicKeyRequest": {"publicKey": {"content": "nonsense"}}});
    lab.v2("nonsense", &bad_key).await.bad_token();
    let token = lab.issuer.email_token("a@example.com");
    lab.v2(&token, &bad_key).await.refused(
        400,
        3,
        "The public key supplied in the request could not be parsed",
    );
}

#[tokio::test]
async fn github_claims_become_all_extensions() {
    let lab = Lab::start().await;
    let sub = "repo:o/r:ref:refs/heads/main";
    let token = lab.issuer.token(
        "/github-actions",
        &json!({
            "sub": sub, "event_name": "push", "sha": "s1", "workflow": "release", "repository": "o/r",
            "ref": "refs/heads/main", "job_workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main",
            "job_workflow_sha": "s2", "runner_environment": "github-hosted", "repository_id": "1",
            "repository_owner": "o", "repository_owner_id": "2", "workflow_sha": "s3",
            "workflow_ref": "o/r/.github/workflows/w.yml@refs/heads/main", "run_id": "3",
            "run_attempt": "4", "repository_visibility": "public", "environment": "prod",
        }),
    );
    let chain = lab.sign(&token, sub).await.chain();
    let workflow = "https://github.com/o/r/.github/workflows/w.yml@refs/heads/main";
    assert_eq!(chain[0].sans().unwrap(), [San::Uri(workflow.to_owned())]);
    let issuer = format!("{}/github-actions", lab.issuer.url);
    let want = [
        issuer.as_str(),
        "push",
        "s1",
        "release",
        "o/r",
        "refs/heads/main",
        &issuer,
        workflow,
        "s2",
        "github-hosted",
        "https://github.com/o/r",
        "s1",
        "refs/heads/main",
        "1",
        "https://github.com/o",
        "2",
        workflow,
        "s3",
        "push",
        "https://github.com/o/r/actions/runs/3/attempts/4",
        "public",
        "prod",
        sub,
    ];
    let fulcio = chain[0].fulcio_extensions().unwrap();
    let got: Vec<(FulcioField, &str)> = fulcio.iter().collect();
    let want: Vec<(FulcioField, &str)> = FulcioField::ALL.iter().copied().zip(want).collect();
    assert_eq!(got, want);
}
