//! Keys, attestations and policy expressions.

use crate::instance::Instance;
use crate::instance::LOG_V1_URL;
use crate::instance::Log;
use crate::instance::SUBJECT;
use crate::support::Webhook;
use crate::support::policy;
use crate::world::World;
use crate::world::key;
use crate::world::key_authority;
use crate::world::lesson;
use serde_json::json;
use verify::SIGN_PREDICATE;

#[tokio::test]
async fn keys_admit_bundles_and_legacy_signatures() {
    let (key, other) = (key(), key());
    let bundled = World::new().await;
    let digest = bundled.digest.clone();
    bundled.attach(&bundled.instance.sign_image_by_key(&key, &digest, Log::None));
    let tagged = World::new().await;
    let (payload, signature) = crate::instance::simple_signing(&key, &tagged.digest);
    let annotations =
        json!({"dev.cosignproject.cosign/signature": crate::instance::b64(&signature)});
    tagged.tag("sig", &[(payload, annotations)]);
    for world in [bundled, tagged] {
        assert_eq!(world.decide(key_authority(&key)).await, "");
        let message = world.decide(key_authority(&other)).await;
        let image = world.image();
        assert_eq!(
            message,
            format!(
                "validation failed: failed policy: p: spec.containers[0].image\n{image} signature key \
                 validation failed for authority k for {image}: no matching signatures: invalid \
                 signature when validating ASN.1 encoded signature"
            )
        );
        let mut logged = key_authority(&key);
        logged[0]["ctlog"] = json!({"url": LOG_V1_URL});
        let message = world.decide(logged).await;
        assert!(
            message.ends_with("signature not found in transparency log"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_key_may_come_from_a_secret() {
    let key = key();
    let world = World::new().await;
    let digest = world.digest.clone();
    world.attach(&world.instance.sign_image_by_key(&key, &digest, Log::None));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "cosign", "namespace": "cosign-system"},
        "stringData": {"cosign.pub": key.public_key().to_pem()},
    });
    let authorities = json!([{"key": {"secretRef": {"name": "cosign"}}}]);
    let spec = json!({"images": [{"glob": "**"}], "authorities": authorities});
    let objects = [secret, policy("p", &spec)];
    assert_eq!(
        world
            .webhook(&objects)
            .await
            .validate_pod(&world.image())
            .await,
        ""
    );
    let error = Webhook::try_open(&objects[1..], world.config())
        .await
        .err()
        .expect("refused");
    assert!(
        format!("{error:#}").contains("secret \"cosign\" not found"),
        "{error:#}"
    );
}

#[tokio::test]
async fn a_signature_of_another_image_does_not_count() {
    let world = World::new().await;
    let leaf = world.instance.leaf();
    let other = format!("sha256:{}", "b".repeat(64));
    world.attach(
        &world
            .instance
            .sign_image(&leaf, &other, SIGN_PREDICATE, Log::V2),
    );
    let message = world.decide(lesson()).await;
    assert!(
        message.contains("invalid or missing digest in claim"),
        "{message}"
    );
}

#[tokio::test]
async fn attestations_are_verified_and_checked_by_rego() {
    const TYPE: &str = "https://example.org/predicate";
    let world = World::new().await;
    let leaf = world.instance.leaf();
    let digest = world.digest.clone();
    let authority = |predicate: &str, answer: u32| {
        let rego = format!(
            "package sigstore\ndefault isCompliant = false\n\
             isCompliant {{ input.predicate.answer == {answer} }}"
        );
        let mut authority = lesson();
        authority[0]["attestations"] = json!([
            {"name": "a", "predicateType": predicate, "policy": {"type": "rego", "data": rego}},
        ]);
        authority
    };
    world.sign(SUBJECT, Log::V2);
    let message = world.decide(authority(TYPE, 42)).await;
    assert!(message.ends_with("no matching attestations: "), "{message}");
    world.attach(&world.instance.sign_image(&leaf, &digest, TYPE, Log::V2));
    assert_eq!(world.decide(authority(TYPE, 42)).await, "");
    let message = world.decide(authority(TYPE, 43)).await;
    assert!(
        message.ends_with(
            "failed evaluating rego policy for type a: policy is not compliant for query \
             'isCompliant = data.sigstore.isCompliant'"
        ),
        "{message}"
    );
    let message = world
        .decide(authority("https://example.org/other", 42))
        .await;
    assert!(
        message.ends_with(&format!(
            "no matching attestations with type https://example.org/other, checked the following \
             predicateTypes: \"{TYPE}\""
        )),
        "{message}"
    );
}

#[tokio::test]
async fn a_forged_attestation_is_refused() {
    let world = World::new().await;
    let rogue = Instance::new();
    let leaf = rogue.leaf();
    world.attach(&rogue.sign_image(&leaf, &world.digest, "https://x/y", Log::V2));
    let mut authority = lesson();
    authority[0]["attestations"] = json!([{"name": "a", "predicateType": "https://x/y"}]);
    let message = world.decide(authority).await;
    assert!(message.contains("no matching attestations: "), "{message}");
}

#[tokio::test]
async fn a_policy_expression_sees_signatures_config_and_object() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let decide = async |condition: &str| {
        let rego = format!(
            "package sigstore\nisCompliant[r] {{ {condition}; r := {{\"result\": true}} }}\n\
             isCompliant[r] {{ not input.never; r := {{\"result\": false, \"error\": \"bad thing\"}} }}"
        );
        let spec = json!({
            "images": [{"glob": "**"}], "authorities": lesson(),
            "policy": {
                "type": "rego", "data": rego, "fetchConfigFile": true, "includeSpec": true,
                "includeObjectMeta": true, "includeTypeMeta": true,
            },
        });
        world
            .webhook(&[policy("p", &spec)])
            .await
            .validate_pod(&world.image())
            .await
    };
    for condition in [
        format!(
            "input.authorityMatches[\"fleet-org-actions\"].signatures[_].subject == \"{SUBJECT}\""
        ),
        "input.authorityMatches[_].signatures[_].githubWorkflowRef == \"refs/heads/main\""
            .to_owned(),
        "input.config[\"linux/amd64\"].config.User == \"root\"".to_owned(),
        "input.spec.containers[0].name == \"c\"".to_owned(),
        "input.metadata.name == \"p\"".to_owned(),
        "input.typemeta.kind == \"Pod\"".to_owned(),
    ] {
        assert_eq!(decide(&condition).await, "", "{condition}");
    }
    let message = decide("input.metadata.name == \"q\"").await;
    assert!(
        message.ends_with(
            "failed evaluating rego policy for type ClusterImagePolicy: policy is not compliant for \
             query 'isCompliant = data.sigstore.isCompliant' with errors: bad thing"
        ),
        "{message}"
    );
}
