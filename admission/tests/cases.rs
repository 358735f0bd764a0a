//! Requests captured from upstream's handlers get upstream's answers.

mod support;

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Value, json};
use support::{Webhook, config_map};

const CASES: &str = include_str!("vectors/admission-cases.json");
/// Address and digest of the registry that the captured `registry:` cases used.
const REGISTRY: &str = "127.0.0.1:5055";
const DIGEST: &str = "9e5ad8c25f734a77111eecee433fa89b42ebf3d83249f426488e2c8318abf4f7";

/// Cases that are answered differently on purpose, with what the answer is instead.
fn divergence(name: &str) -> Option<&'static str> {
    match name {
        // CUE is refused when the policy is written.
        "CIP attestations" => Some(
            "validation failed: invalid value: cue: spec.authorities[0].attestations.policy.type\n\
             cue policies are not supported by this controller, write the policy in rego\n\
             invalid value: foo: spec.authorities[0].attestations.policy.type\n\
             only [cue,rego] are supported at the moment\n\
             missing field(s): spec.authorities[0].attestations.name, \
             spec.authorities[0].attestations.policy.configMapRef, \
             spec.authorities[0].attestations.policy.data, \
             spec.authorities[0].attestations.policy.remote, \
             spec.authorities[0].attestations.predicateType\n\
             must not set the field(s): spec.authorities[0].attestations.policy.fetchConfigFile, \
             spec.authorities[0].attestations.policy.includeObjectMeta, \
             spec.authorities[0].attestations.policy.includeSpec, \
             spec.authorities[0].attestations.policy.includeTypeMeta",
        ),
        "CIP policy multi" => Some(
            "validation failed: expected exactly one, got both: spec.configMapRef, spec.data, \
             spec.remote\n\
             invalid value: cue: spec.type\n\
             cue policies are not supported by this controller, write the policy in rego\n\
             invalid value: http://x: spec.remote.url\n\
             url valid is invalid. host and https scheme are expected\n\
             missing field(s): spec.configMapRef.key, spec.configMapRef.name, spec.remote.sha256sum",
        ),
        "CIP policy two" => Some(
            "validation failed: expected exactly one, got both: spec.configMapRef, spec.data, \
             spec.remote\n\
             invalid value: cue: spec.type\n\
             cue policies are not supported by this controller, write the policy in rego",
        ),
        // All lists of a TrustRoot are checked, not only the last.
        "TR keys bad CA masked by good tlog" => Some(
            "validation failed: missing field(s): \
             spec.sigstoreKeys.certificateAuthority[0].certchain, \
             spec.sigstoreKeys.certificateAuthority[0].subject.commonName, \
             spec.sigstoreKeys.certificateAuthority[0].subject.organization, \
             spec.sigstoreKeys.certificateAuthority[0].uri",
        ),
        // Upstream drops the connection.
        "mut create no obj" => Some("mutation failed: the new object may not be nil"),
        _ => None,
    }
}

/// A reply with its patch decoded and its operations in a fixed order.
fn comparable(reply: &Value) -> Value {
    let mut reply = reply.clone();
    let Some(response) = reply.get_mut("response").and_then(Value::as_object_mut) else {
        return reply;
    };
    response.remove("patch_decoded");
    if let Some(patch) = response.get("patch").and_then(Value::as_str) {
        let mut patch = support::decode_patch(patch);
        if let Some(operations) = patch.as_array_mut() {
            operations.sort_by_key(Value::to_string);
        }
        response.insert("patch".to_owned(), patch);
    }
    if let Some(objects) = response.get_mut("convertedObjects") {
        *objects = serde_json::from_str(&objects.to_string()).expect("JSON");
    }
    reply
}

async fn webhooks(cases: &Value, registry: &str) -> BTreeMap<(String, String), Webhook> {
    let mut webhooks = BTreeMap::new();
    for (name, policies) in cases["policies"].as_object().expect("an object") {
        for no_match in ["deny", "warn", "allow"] {
            let objects = [
                config_map("config-image-policies", policies),
                config_map(
                    "config-policy-controller",
                    &json!({"no-match-policy": no_match}),
                ),
            ];
            let config = admission::Config {
                registries: vec![registry.to_owned()],
                ..admission::Config::default()
            };
            let webhook = Webhook::open(&objects, config).await;
            webhooks.insert((name.clone(), no_match.to_owned()), webhook);
        }
    }
    webhooks
}

#[tokio::test]
async fn captured_requests_get_upstreams_answers() {
    let cases: Value = serde_json::from_str(CASES).expect("the vectors are JSON");
    let registry = support::Registry::start().await;
    let digest = registry.push("demo/app", "v1", &support::image(b"{}"));
    let webhooks = webhooks(&cases, registry.address()).await;
    let mut failures = Vec::new();
    for case in cases["cases"].as_array().expect("a list") {
        let text = case.to_string().replace(REGISTRY, registry.address());
        let hex = digest.strip_prefix("sha256:").expect("a SHA-256 digest");
        let case: Value = serde_json::from_str(&text.replace(DIGEST, hex)).expect("still JSON");
        let name = case["name"].as_str().expect("a name");
        let policies = case["policies"].as_str().expect("a name").to_owned();
        let no_match = case["no-match-policy"]
            .as_str()
            .unwrap_or("deny")
            .to_owned();
        let webhook = &webhooks[&(policies, no_match)];
        let content_type = case["contentType"].as_str().unwrap_or("application/json");
        let path = case["path"].as_str().expect("a path");
        let (status, body) = webhook
            .post_text(path, content_type, case["request"].to_string())
            .await;
        let want_status = case["status"].as_u64().unwrap_or(200);
        if u64::from(status.as_u16()) != want_status {
            failures.push(format!("{name}: {status}, want {want_status}"));
            continue;
        }
        if status != StatusCode::OK {
            let want = case["response"].as_str().unwrap_or_default();
            if body.trim_end() != want.trim_end() {
                failures.push(format!("{name}: {body:?}, want {want:?}"));
            }
            continue;
        }
        let got: Value = serde_json::from_str(&body).expect("a reply is JSON");
        if let Some(message) = divergence(name) {
            if got["response"]["status"]["message"].as_str() != Some(message) {
                failures.push(format!("{name} (divergence): {got:#}"));
            }
            continue;
        }
        let mut want = case["response"].clone();
        if let Some(response) = want["response"].as_object_mut()
            && let Some(decoded) = response.get("patch_decoded").cloned()
        {
            response.insert("patch".to_owned(), json!(support::encode_patch(&decoded)));
        }
        if comparable(&got) != comparable(&want) {
            failures.push(format!(
                "{name}: {:#}\nwant {:#}",
                comparable(&got),
                comparable(&want)
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} cases differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
