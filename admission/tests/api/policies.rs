//! Several policies, and policies that cannot be used.

use crate::instance::CA_URL;
use crate::instance::ISSUER;
use crate::instance::Log;
use crate::instance::SUBJECT;
use crate::support::Webhook;
use crate::support::config_map;
use crate::support::pod_request;
use crate::support::policy;
use crate::world::World;
use crate::world::lesson;
use admission::Config;
use admission::PolicyCombination;
use axum::body::Body;
use axum::http::Request;
use axum::http::StatusCode;
use serde_json::Value;
use serde_json::json;

#[tokio::test]
async fn all_matching_policies_must_pass_unless_any_is_configured() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let narrow = json!([{
        "name": "other",
        "keyless": {"url": CA_URL, "identities": [{"issuer": ISSUER, "subject": "https://other"}]},
    }]);
    let objects = [
        policy(
            "fits",
            &json!({"images": [{"glob": "**"}], "authorities": lesson()}),
        ),
        policy(
            "narrow",
            &json!({"images": [{"glob": "**"}], "authorities": narrow}),
        ),
    ];
    let message = world
        .webhook(&objects)
        .await
        .validate_pod(&world.image())
        .await;
    assert!(
        message.starts_with("validation failed: failed policy: narrow: "),
        "{message}"
    );
    let any = Config {
        policy_combination: PolicyCombination::Any,
        ..world.config()
    };
    let webhook = Webhook::open(&objects, any.clone()).await;
    assert_eq!(webhook.validate_pod(&world.image()).await, "");
    let webhook = Webhook::open(&objects[1..], any).await;
    assert_ne!(webhook.validate_pod(&world.image()).await, "");
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "config-policy-controller", "namespace": "cosign-system"},
        "data": {"policy-combination": "any"},
    });
    let [fits, narrow] = objects;
    let webhook = world.webhook(&[fits, narrow, settings]).await;
    assert_eq!(webhook.validate_pod(&world.image()).await, "");
}

#[tokio::test]
async fn a_failing_warn_policy_does_not_hide_why_the_other_denies() {
    let failing = |mode: &str, message: &str| {
        json!({
            "images": [{"glob": "**"}], "mode": mode,
            "authorities": [{"static": {"action": "fail", "message": message}}],
        })
    };
    let objects = [
        policy("e", &failing("enforce", "because")),
        policy("w", &failing("warn", "perhaps")),
    ];
    let webhook = Webhook::open(&objects, Config::default()).await;
    let image = format!("r.example/app@sha256:{}", "a".repeat(64));
    let response = webhook.review("/validations", pod_request(&image)).await;
    assert_eq!(
        response["status"]["message"],
        format!(
            "validation failed: failed policy: e: spec.containers[0].image\n{image} disallowed by static \
             policy: because"
        )
    );
    assert_eq!(
        response["warnings"],
        json!([
            "failed policy: w: spec.containers[0].image",
            format!("{image} disallowed by static policy: perhaps"),
        ])
    );
}

#[tokio::test]
async fn a_policy_without_authorities_denies_what_it_matches() {
    let spec = json!({"images": [{"glob": "**"}], "authorities": []});
    let config = Config {
        fail_on_empty_authorities: false,
        ..Config::default()
    };
    let webhook = Webhook::open(&[policy("p", &spec)], config).await;
    let image = format!("r.example/app@sha256:{}", "a".repeat(64));
    let message = webhook.validate_pod(&image).await;
    assert!(
        message.ends_with("the policy has no authorities"),
        "{message}"
    );
    let refused = Webhook::try_open(&[policy("p", &spec)], Config::default()).await;
    let error = format!("{:#}", refused.err().expect("refused"));
    assert!(
        error.contains("missing field(s): spec.authorities"),
        "{error}"
    );
}

#[tokio::test]
async fn policies_are_followed_and_broken_ones_leave_the_last_good_in_force() {
    let spec = |action: &str| json!({"images": [{"glob": "**"}], "authorities": [{"static": {"action": action}}]});
    let webhook = Webhook::open(&[policy("p", &spec("pass"))], Config::default()).await;
    let image = format!("r.example/app@sha256:{}", "a".repeat(64));
    assert_eq!(webhook.validate_pod(&image).await, "");
    let settle = async |objects: &[Value]| {
        crate::support::write_objects(&webhook.policies(), objects);
        let request = Request::post("/policies/reload")
            .body(Body::empty())
            .expect("a request");
        let (status, problem) = webhook.admin_send(request).await;
        assert_eq!(status == StatusCode::OK, problem.is_empty(), "{problem}");
        webhook.validate_pod(&image).await
    };
    assert_ne!(settle(&[policy("p", &spec("fail"))]).await, "");
    assert_ne!(settle(&[policy("p", &spec("maybe"))]).await, "");
    assert_eq!(settle(&[policy("p", &spec("pass"))]).await, "");
    let message = settle(&[config_map("x", &json!({}))]).await;
    assert!(
        message.starts_with("validation failed: no matching policies"),
        "{message}"
    );
}

#[tokio::test]
async fn what_the_controller_does_not_support_is_refused_when_written() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let validate = async |spec: Value| {
        let request = json!({
            "uid": "u", "operation": "CREATE", "object": policy("p", &spec),
            "kind": {"group": "policy.sigstore.dev", "version": "v1beta1", "kind": "ClusterImagePolicy"},
        });
        let response = webhook.review("/validating", request).await;
        response["status"]["message"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let images = json!([{"glob": "**"}]);
    let kms = "awskms:///arn:aws:kms:us-east-2:111122223333:key/1234abcd";
    let authorities = json!([{"key": {"kms": kms}}]);
    assert_eq!(
        validate(json!({"images": images, "authorities": authorities})).await,
        format!(
            "validation failed: invalid value: {kms}: spec.authorities[0].key.kms\nkey management \
             services are not supported by this controller; use key.data or key.secretRef"
        )
    );
    let authorities = json!([{"static": {"action": "pass"}}]);
    let cue = json!({"type": "cue", "data": "x: 1"});
    let message =
        validate(json!({"images": images, "authorities": authorities, "policy": cue})).await;
    assert!(
        message.contains("cue policies are not supported"),
        "{message}"
    );
    let remote = json!({"type": "rego", "remote": {"url": "https://x/y", "sha256sum": "00"}});
    let spec = json!({"images": images, "authorities": authorities, "policy": remote});
    let error = Webhook::try_open(&[policy("p", &spec)], Config::default())
        .await
        .err();
    let error = format!("{:#}", error.expect("refused"));
    assert!(
        error.contains("policy.remote https://x/y is not fetched"),
        "{error}"
    );
}

#[tokio::test]
async fn conversion_keeps_the_log() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let mut object = policy(
        "p",
        &json!({
            "images": [{"glob": "**"}],
            "authorities": [{"keyless": {"identities": []}, "ctlog": {"trustRootRef": "t"}}],
        }),
    );
    object["extra"] = json!(1);
    let review = json!({
        "kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1",
        "request": {
            "uid": "u", "desiredAPIVersion": "policy.sigstore.dev/v1alpha1", "objects": [object],
        },
    });
    let (_, body) = webhook
        .post_text(
            "/resource-conversion",
            "application/json",
            review.to_string(),
        )
        .await;
    let reply: Value = serde_json::from_str(&body).expect("JSON");
    let converted = &reply["response"]["convertedObjects"][0];
    assert_eq!(converted["apiVersion"], "policy.sigstore.dev/v1alpha1");
    assert_eq!(
        converted["spec"]["authorities"][0]["ctlog"],
        json!({"trustRootRef": "t"})
    );
    assert_eq!(converted.get("extra"), None);
}
