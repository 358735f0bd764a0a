//! Requests and registries that want to keep the webhook busy, fill its memory, or send it somewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use admission::Config;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::instance::{Log, SUBJECT};
use crate::support::{Webhook, pod, pod_request, policy};
use crate::world::{World, lesson};

/// The lesson's policy for all images.
fn everything() -> Value {
    policy(
        "p",
        &json!({"images": [{"glob": "**"}], "authorities": lesson()}),
    )
}

/// A listener that counts who connects, and answers each with `answer` and then silence.
async fn listener(answer: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer).await;
            held.push(stream);
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_registry_that_never_answers_is_a_denial_in_time() {
    let world = World::new().await;
    let config = Config {
        decision_secs: 1,
        ..world.config()
    };
    let webhook = Webhook::open(&[everything()], config).await;
    let never = b"".as_slice();
    let begun = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
        content-length: 1000\r\n\r\n{"
        .as_slice();
    for answer in [never, begun] {
        let (address, count) = listener(answer).await;
        let image = format!("{address}/app@{}", world.digest);
        assert_eq!(
            webhook.validate_pod(&image).await,
            "validation failed: context was canceled before validation completed: "
        );
        assert!(count.load(Ordering::SeqCst) > 0);
    }
}

#[tokio::test]
async fn a_registry_whose_name_means_nothing_is_a_denial() {
    let world = World::new().await;
    let config = Config {
        decision_secs: 1,
        ..world.config()
    };
    let webhook = Webhook::open(&[everything()], config).await;
    let image = format!("registry.invalid/app@{}", world.digest);
    assert_ne!(webhook.validate_pod(&image).await, "");
}

#[tokio::test]
async fn a_registry_that_redirects_to_itself_without_end_is_left() {
    let world = World::new().await;
    let router = axum::Router::new().fallback(|uri: axum::http::Uri| async move {
        (
            StatusCode::TEMPORARY_REDIRECT,
            [("location", format!("{}x", uri.path()))],
        )
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, router).await });
    let webhook = world.webhook(&[everything()]).await;
    let image = format!("{address}/app@{}", world.digest);
    let message = webhook.validate_pod(&image).await;
    assert!(message.contains("redirected to"), "{message}");
}

#[tokio::test]
async fn of_ten_thousand_signatures_a_hundred_are_looked_at() {
    let world = World::new().await;
    let media_type = bundle::Bundle::MEDIA_TYPE;
    for number in 0..10_000 {
        let broken = format!("{{\"mediaType\": {number}}}");
        let repository = "fleet-org/app";
        world
            .registry
            .attach(repository, &world.digest, media_type, broken.as_bytes());
    }
    let webhook = world.webhook(&[everything()]).await;
    let message = webhook.validate_pod(&world.image()).await;
    let end = &message[message.len().saturating_sub(200)..];
    assert!(message.ends_with("(looked at 100 of 10000)"), "{end}");
    // One manifest and one blob for each, the list of them, and the legacy tag.
    assert!(world.registry.requests().len() <= 202);
}

#[tokio::test]
async fn a_tag_with_ten_thousand_legacy_signatures_is_a_denial() {
    let world = World::new().await;
    let layer = world.registry.push_blob(b"{}");
    let layers: Vec<Value> = (0..10_000)
        .map(|number| {
            let mut layer = layer.clone();
            layer["annotations"] =
                json!({"dev.cosignproject.cosign/signature": number.to_string()});
            layer
        })
        .collect();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": layer, "layers": layers,
    });
    let tag = format!("{}.sig", world.digest.replace(':', "-"));
    let manifest = manifest.to_string();
    world
        .registry
        .push("fleet-org/app", &tag, manifest.as_bytes());
    let webhook = world.webhook(&[everything()]).await;
    let message = webhook.validate_pod(&world.image()).await;
    assert!(message.ends_with("(looked at 100 of 10000)"), "{message}");
}

#[tokio::test]
async fn more_bytes_of_signatures_than_may_be_in_memory_are_a_denial_and_come_back() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let padded = format!("{{\"mediaType\": \"{}\"}}", "x".repeat(100_000));
    for number in 0..5 {
        let padded = format!("{padded}{}", " ".repeat(number));
        let media_type = bundle::Bundle::MEDIA_TYPE;
        let repository = "fleet-org/app";
        world
            .registry
            .attach(repository, &world.digest, media_type, padded.as_bytes());
    }
    let open = async |bytes| {
        let config = Config {
            signature_bytes_max: bytes,
            ..world.config()
        };
        Webhook::open(&[everything()], config).await
    };
    let small = open(50_000).await;
    for _ in 0..2 {
        let message = small.validate_pod(&world.image()).await;
        assert!(
            message.contains("no more than 50000 bytes of signatures"),
            "{message}"
        );
    }
    // The broken ones are given back as soon as they are known to be broken.
    let large = open(500_000).await;
    for _ in 0..2 {
        assert_eq!(large.validate_pod(&world.image()).await, "");
    }
}

#[tokio::test]
async fn a_signer_with_an_endless_name_is_cut_short_in_the_reason() {
    let world = World::new().await;
    world.sign(&format!("https://{}", "x".repeat(100_000)), Log::V2);
    let webhook = world.webhook(&[everything()]).await;
    let message = webhook.validate_pod(&world.image()).await;
    assert!(message.contains("none of the expected identities matched"));
    assert!(message.len() < 8192, "{}", message.len());
    assert!(webhook.admin("/decisions").await.1.len() < 32_768);
}

#[tokio::test]
async fn a_review_that_nests_without_end_is_refused() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let deep = format!(
        "{{\"request\": {{\"object\": {}{}}}}}",
        "[".repeat(1 << 20),
        "]".repeat(1 << 20)
    );
    let (status, text) = webhook
        .post_text("/validations", "application/json", deep)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("recursion limit"), "{text}");
}

#[tokio::test]
async fn a_pod_of_five_thousand_images_is_decided() {
    let world = World::new().await;
    let webhook = world.webhook(&[everything()]).await;
    let containers: Vec<Value> = (0..5000)
        .map(|number| json!({"name": format!("c{number}"), "image": format!("h/{number}:tag")}))
        .collect();
    let mut request = pod_request("x");
    request["object"]["spec"]["containers"] = json!(containers);
    let response = webhook.review("/validations", request).await;
    assert_eq!(response["allowed"], false);
    let message = response["status"]["message"].as_str().expect("a reason");
    assert_eq!(message.matches("must be an image digest").count(), 5000);
}

#[tokio::test]
async fn of_two_images_in_one_field_the_last_counts_as_for_the_api_server() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let webhook = world.webhook(&[everything()]).await;
    let signed = world.image();
    let other = format!("{}@{}", signed.split('@').next().unwrap_or_default(), {
        crate::support::digest(b"unsigned")
    });
    let review = |first: &str, last: &str| {
        let review = json!({"request": pod_request("TWICE")}).to_string();
        let images = format!("{first}\",\"image\":\"{last}");
        review.replace("TWICE", &images)
    };
    for (first, last, allowed) in [(&other, &signed, true), (&signed, &other, false)] {
        let (status, body) = webhook
            .post_text("/validations", "application/json", review(first, last))
            .await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let reply: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(reply["response"]["allowed"], allowed, "{body}");
    }
}

/// Every way in that takes an image.
async fn ask_everywhere(webhook: &Webhook, image: &str) {
    webhook.review("/validations", pod_request(image)).await;
    webhook.review("/mutations", pod_request(image)).await;
    let body = json!({"object": pod(image)}).to_string();
    let request = axum::http::Request::post("/explain").body(axum::body::Body::from(body));
    webhook.admin_send(request.expect("a request")).await;
}

#[tokio::test]
async fn no_request_makes_the_webhook_contact_a_host_that_is_not_configured() {
    let world = World::new().await;
    let (elsewhere, count) = listener(b"").await;
    let images = [
        format!("{elsewhere}/app:tag"),
        format!("{elsewhere}/app@{}", world.digest),
        format!("{elsewhere}/fleet-org/app:tag@{}", world.digest),
    ];
    let glob = format!("{}/**", world.registry.address());
    let spec = json!({"images": [{"glob": glob}], "authorities": lesson()});
    let named = world.webhook(&[policy("p", &spec)]).await;
    let config = Config {
        registries: vec![world.registry.address().to_owned()],
        ..world.config()
    };
    let listed = Webhook::open(&[everything()], config).await;
    for image in &images {
        ask_everywhere(&named, image).await;
        ask_everywhere(&listed, image).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
    let message = listed.validate_pod(&images[1]).await;
    assert!(message.contains("is not contacted"), "{message}");
    // The one that is configured is.
    world.sign(SUBJECT, Log::V2);
    assert_eq!(named.validate_pod(&world.image()).await, "");
    assert_eq!(listed.validate_pod(&world.image()).await, "");
}

#[tokio::test]
async fn objects_that_policies_are_not_about_are_never_fetched_for() {
    let world = World::new().await;
    let (elsewhere, count) = listener(b"").await;
    let remote = json!({
        "images": [{"glob": "**"}], "authorities": lesson(),
        "policy": {
            "type": "rego", "remote": {"url": format!("https://{elsewhere}/p"), "sha256sum": "00"},
        },
    });
    let kind =
        json!({"group": "policy.sigstore.dev", "version": "v1beta1", "kind": "ClusterImagePolicy"});
    let webhook = world.webhook(&[]).await;
    for path in ["/validating", "/defaulting"] {
        let request = json!({
            "uid": "u", "kind": kind, "operation": "CREATE", "object": policy("p", &remote),
        });
        webhook.review(path, request).await;
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}
