//! Registries: where signatures are, and those that misbehave.

use crate::instance::Log;
use crate::instance::SUBJECT;
use crate::support::Webhook;
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
async fn a_registry_that_cannot_be_reached_denies() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let world = World::new().await;
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let webhook = world.webhook(&[policy("p", &spec)]).await;
    let message = webhook
        .validate_pod(&format!("{address}/app@{}", world.digest))
        .await;
    assert!(message.contains("GET http://127.0.0.1:"), "{message}");
}

/// Serves `response` for everything, and denies with `reason`.
async fn hostile(
    response: impl axum::response::IntoResponse + Clone + Send + Sync + 'static,
) -> String {
    let router = axum::Router::new().fallback(move || {
        let response = response.clone();
        async move { response }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let world = World::new().await;
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let webhook = world.webhook(&[policy("p", &spec)]).await;
    webhook
        .validate_pod(&format!("{address}/app@{}", world.digest))
        .await
}

#[tokio::test]
async fn redirects_and_token_realms_elsewhere_are_not_followed() {
    let redirect = [("location", "http://127.0.0.2:1/elsewhere")];
    let message = hostile((StatusCode::TEMPORARY_REDIRECT, redirect)).await;
    assert!(message.contains("which is not the registry"), "{message}");
    let challenge = [(
        "www-authenticate",
        "Bearer realm=\"http://127.0.0.2:1/token\",service=\"x\"",
    )];
    let message = hostile((StatusCode::UNAUTHORIZED, challenge)).await;
    assert!(
        message.contains("is not on the registry's host"),
        "{message}"
    );
    let message = hostile((StatusCode::OK, "x".repeat(5 << 20))).await;
    assert!(message.contains("answer is longer than"), "{message}");
    let message = hostile((StatusCode::OK, "not JSON")).await;
    assert!(
        message.contains("is not the JSON that was asked for"),
        "{message}"
    );
}

#[tokio::test]
async fn a_bundle_that_cannot_be_read_is_a_reason_and_not_a_failure() {
    let world = World::new().await;
    let media_type = bundle::Bundle::MEDIA_TYPE;
    world.registry.attach(
        "fleet-org/app",
        &world.digest,
        media_type,
        b"{\"mediaType\": 1}",
    );
    let message = world.decide(lesson()).await;
    assert!(
        message.contains("no matching signatures: bundle is not valid JSON"),
        "{message}"
    );
    world.sign(SUBJECT, Log::V2);
    assert_eq!(world.decide(lesson()).await, "");
}

#[tokio::test]
async fn only_so_many_signatures_are_looked_at() {
    let world = World::new().await;
    for _ in 0..4 {
        world.sign("https://someone.else", Log::V2);
    }
    let config = Config {
        signatures_max: 3,
        ..world.config()
    };
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let webhook = Webhook::open(&[policy("p", &spec)], config).await;
    let message = webhook.validate_pod(&world.image()).await;
    assert!(message.ends_with("(looked at 3 of 4)"), "{message}");
}

#[tokio::test]
async fn a_source_is_where_the_tags_are() {
    let world = World::new().await;
    let leaf = world.instance.leaf();
    let (payload, annotations) = world.instance.sign_legacy(&leaf, &world.digest);
    let mut layer = world.registry.push_blob(&payload);
    layer["annotations"] = annotations;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": world.registry.push_blob(b"{}"), "layers": [layer],
    });
    let tag = format!("pre-{}.sig", world.digest.replace(':', "-"));
    world
        .registry
        .push("signatures/here", &tag, manifest.to_string().as_bytes());
    let authority = |source: Value| {
        let mut authority = lesson();
        authority[0]["source"] = json!([source]);
        authority
    };
    let oci = format!("{}/signatures/here", world.registry.address());
    assert_eq!(
        world
            .decide(authority(json!({"oci": oci, "tagPrefix": "pre-"})))
            .await,
        ""
    );
    assert!(
        world
            .decide(authority(json!({"oci": oci})))
            .await
            .ends_with("no signatures found")
    );
}

#[tokio::test]
async fn a_source_that_names_no_repository_is_refused() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let mut authority = lesson();
    authority[0]["source"] = json!([{"oci": world.registry.address()}]);
    let message = world.decide(authority).await;
    assert!(message.contains("names no repository"), "{message}");
}

#[tokio::test]
async fn what_verified_is_remembered_by_digest_policy_and_trust_for_a_while() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let spec = |authorities: Value| json!({"images": [{"glob": "**"}], "authorities": authorities});
    let webhook = world.webhook(&[policy("p", &spec(lesson()))]).await;
    let asked = async || {
        let before = world.registry.requests().len();
        assert_eq!(webhook.validate_pod(&world.image()).await, "");
        world.registry.requests().len() - before
    };
    assert!(asked().await > 0);
    assert_eq!(asked().await, 0);
    webhook.context.clock.advance(61);
    assert!(asked().await > 0);
    // Another policy is another question.
    let mut other = lesson();
    other[0]["keyless"]["identities"][0]["subject"] = json!("https://other");
    crate::support::write_objects(&webhook.policies(), &[policy("p", &spec(other))]);
    let request = Request::post("/policies/reload")
        .body(Body::empty())
        .expect("a request");
    webhook.admin_send(request).await;
    assert_ne!(webhook.validate_pod(&world.image()).await, "");
    // What was denied is asked again.
    let unsigned = format!(
        "{}/fleet-org/app@{}",
        world.registry.address(),
        crate::support::digest(b"x")
    );
    assert!(
        webhook
            .validate_pod(&unsigned)
            .await
            .ends_with("no signatures found")
    );
    let before = world.registry.requests().len();
    assert!(
        webhook
            .validate_pod(&unsigned)
            .await
            .ends_with("no signatures found")
    );
    assert!(world.registry.requests().len() > before);
}

#[tokio::test]
async fn a_decision_that_takes_too_long_is_a_denial() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let config = Config {
        decision_secs: 0,
        ..world.config()
    };
    let webhook = Webhook::open(&[policy("p", &spec)], config).await;
    assert_eq!(
        webhook.validate_pod(&world.image()).await,
        "validation failed: context was canceled before validation completed: "
    );
}
