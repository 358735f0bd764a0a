//! Probes, bodies that are no reviews, and the admin door.

use crate::instance::Log;
use crate::instance::SUBJECT;
use crate::support::Webhook;
use crate::support::pod;
use crate::support::policy;
use crate::world::World;
use crate::world::lesson;
use admission::Config;
use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use serde_json::Value;
use serde_json::json;

#[tokio::test]
async fn probes_are_answered_on_any_path_and_fail_while_stopping() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let probe = |name: &str, value: &str| {
        Request::get("/anything")
            .header(name, value)
            .body(Body::empty())
            .expect("a request")
    };
    assert_eq!(
        webhook.send(probe("user-agent", "kube-probe/1.34")).await.0,
        StatusCode::OK
    );
    assert_eq!(
        webhook.send(probe("k-kubelet-probe", "webhook")).await.0,
        StatusCode::OK
    );
    let (status, _) = webhook.send(probe("k-kubelet-probe", "")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    webhook.context.tasks.stop().await;
    let (status, body) = webhook.send(probe("k-kubelet-probe", "webhook")).await;
    assert_eq!(
        (status, body.trim_end()),
        (StatusCode::SERVICE_UNAVAILABLE, "shutting down")
    );
}

#[tokio::test]
async fn bodies_that_are_no_reviews_are_refused() {
    let webhook = Webhook::open(&[], Config::default()).await;
    for (body, status) in [
        ("x".to_owned(), StatusCode::BAD_REQUEST),
        ("{}".to_owned(), StatusCode::BAD_REQUEST),
        ("{\"request\": 1}".to_owned(), StatusCode::BAD_REQUEST),
        (
            format!("{{\"x\": \"{}\"}}", "y".repeat(9 << 20)),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let (got, text) = webhook
            .post_text("/validations", "application/json", body)
            .await;
        assert_eq!(got, status, "{text}");
        assert!(text.starts_with("could not decode body:"), "{text}");
    }
    let (status, _) = webhook
        .post_text(
            "/validations",
            "application/json; charset=utf-8",
            String::new(),
        )
        .await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn the_authority_of_the_tls_certificate_is_at_the_admin_door() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let (status, pem) = webhook.admin("/ca.pem").await;
    assert_eq!(status, StatusCode::OK);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(pod("x").is_object());
}

#[tokio::test]
async fn an_explanation_shows_the_steps_under_any_policies_and_leaves_no_record() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let webhook = world.webhook(&[]).await;
    let explain = async |body: Value| {
        let request = Request::post("/explain").body(Body::from(body.to_string()));
        webhook.admin_send(request.expect("a request")).await
    };
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let policies = policy("p", &spec).to_string();
    let object = pod(&world.image());
    let (status, body) = explain(json!({"object": object, "policies": policies})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let decision: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(decision["allowed"], true);
    let authority = &decision["images"][0]["policies"][0]["authorities"][0];
    let steps = authority["attempts"][0]["steps"].as_array().expect("steps");
    assert!(
        steps
            .iter()
            .any(|step| step["what"] == "SCT" && step["outcome"] == "passed")
    );
    let (_, body) = explain(json!({"object": object})).await;
    assert!(body.contains("no matching policies"), "{body}");
    for body in [
        json!({"object": {"kind": "Service", "apiVersion": "v1"}}),
        json!({"object": object, "policies": "kind: ClusterImagePolicy"}),
        json!({"object": object, "policies": "a: ["}),
    ] {
        assert_eq!(explain(body).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(explain(json!({})).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(webhook.admin("/decisions").await.1, "[]");
}

#[tokio::test]
async fn policies_are_linted_at_the_admin_door() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let spec = json!({"images": [{"glob": "nginx*"}], "authorities": []});
    let request = Request::post("/lint").body(Body::from(policy("p", &spec).to_string()));
    let (status, body) = webhook.admin_send(request.expect("a request")).await;
    assert_eq!(status, StatusCode::OK);
    let findings: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(findings[0]["severity"], "error");
    assert_eq!(findings[1]["path"], "spec.images[0].glob");
}

#[tokio::test]
async fn a_review_that_says_something_twice_is_refused() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let review = r#"{"request": {"uid": "a", "uid": "b"}}"#.to_owned();
    let (status, text) = webhook
        .post_text("/validations", "application/json", review)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("duplicate field"), "{text}");
}
