//! Keyless authorities: the lesson's policy and what departs from it.

use crate::instance::CA_URL;
use crate::instance::ISSUER;
use crate::instance::Instance;
use crate::instance::Log;
use crate::instance::SUBJECT;
use crate::support::Webhook;
use crate::support::policy;
use crate::world::World;
use crate::world::lesson;
use admission::Config;
use axum::http::StatusCode;
use serde_json::Value;
use serde_json::json;

#[tokio::test]
async fn the_lessons_policy_admits_bundles_from_either_log() {
    for log in [Log::V1, Log::V2] {
        let world = World::new().await;
        world.sign(SUBJECT, log);
        assert_eq!(world.decide(lesson()).await, "", "{log:?}");
    }
}

#[tokio::test]
async fn the_lessons_policy_admits_legacy_signatures() {
    let world = World::new().await;
    let leaf = world.instance.leaf();
    world.tag("sig", &[world.instance.sign_legacy(&leaf, &world.digest)]);
    assert_eq!(world.decide(lesson()).await, "");
}

#[tokio::test]
async fn the_named_format_is_the_only_one_that_counts() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let mut authority = lesson();
    authority[0]["signatureFormat"] = json!("bundle");
    assert_eq!(world.decide(authority.clone()).await, "");
    authority[0]["signatureFormat"] = json!("legacy");
    assert!(
        world
            .decide(authority)
            .await
            .ends_with("no signatures found")
    );
}

#[tokio::test]
async fn an_unsigned_image_is_denied_in_upstreams_words() {
    let world = World::new().await;
    let image = world.image();
    assert_eq!(
        world.decide(lesson()).await,
        format!(
            "validation failed: failed policy: p: spec.containers[0].image\n{image} signature keyless \
             validation failed for authority fleet-org-actions for {image}: no signatures found"
        )
    );
}

#[tokio::test]
async fn another_workflow_is_denied_and_the_record_shows_where_the_subjects_part() {
    let world = World::new().await;
    let other = SUBJECT.replace("agent-router", "audit-collector");
    world.sign(&other, Log::V2);
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let webhook = world
        .webhook(&[policy("fleet-org-must-be-signed", &spec)])
        .await;
    let message = webhook.validate_pod(&world.image()).await;
    assert!(
        message.ends_with(&format!(
            "no matching signatures: none of the expected identities matched what was in the \
             certificate, got subjects [{other}] with issuer {ISSUER}"
        )),
        "{message}"
    );
    let (status, body) = webhook.admin("/decisions").await;
    assert_eq!(status, StatusCode::OK);
    let decisions: Value = serde_json::from_str(&body).expect("JSON");
    let decision = &decisions[0];
    assert_eq!(decision["allowed"], false);
    assert_eq!(decision["message"], message);
    let authority = &decision["images"][0]["policies"][0]["authorities"][0];
    assert_eq!(authority["authority"], "fleet-org-actions");
    let steps = authority["attempts"][0]["steps"].as_array().expect("steps");
    let failed = steps.last().expect("a failed step");
    assert_eq!(failed["outcome"], "failed");
    assert_eq!(failed["expected"], SUBJECT);
    assert_eq!(failed["observed"], other);
    assert!(
        failed["hint"]
            .as_str()
            .expect("a hint")
            .contains("fleet-org/a⟪gent-router")
    );
}

#[tokio::test]
async fn any_authority_of_a_policy_suffices() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let organisation = |name: &str| {
        let subject = format!("https://github.com/{name}/x/.github/workflows/release.yml@main");
        let identities = [json!({"issuer": ISSUER, "subject": subject})];
        json!({"name": name, "keyless": {"url": CA_URL, "identities": identities}})
    };
    let fitting = lesson()[0].clone();
    let denied = world
        .decide(json!([organisation("org-a"), organisation("org-b")]))
        .await;
    assert!(
        denied.contains("authority org-a") && denied.contains("authority org-b"),
        "{denied}"
    );
    assert_eq!(
        world.decide(json!([organisation("org-a"), fitting])).await,
        ""
    );
}

#[tokio::test]
async fn an_instance_that_is_not_trusted_is_named_in_the_denial() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let mut authority = lesson();
    authority[0]["keyless"]["url"] = json!("https://fulcio.sigstore.dev");
    let message = world.decide(authority).await;
    let text = "https://fulcio.sigstore.dev is not a certificate authority of the trust root, which has \
                http://localhost:5555";
    assert!(message.contains(text), "{message}");
    let mut authority = lesson();
    authority[0]["ctlog"]["url"] = json!("https://rekor.sigstore.dev");
    let message = world.decide(authority).await;
    let text = "https://rekor.sigstore.dev is not a transparency log of the trust root";
    assert!(message.contains(text), "{message}");
}

#[tokio::test]
async fn without_a_trust_root_nothing_is_admitted() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let missing = Config {
        trusted_root: Some(world.dir.path().join("missing.json")),
        ..Config::default()
    };
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let webhook = Webhook::open(&[policy("p", &spec)], missing).await;
    let message = webhook.validate_pod(&world.image()).await;
    assert!(
        message.contains("constructing checkOpts for fleet-org-actions: cannot read"),
        "{message}"
    );
    let mut authority = lesson();
    authority[0]["keyless"]["trustRootRef"] = json!("nowhere");
    let message = world.decide(authority).await;
    assert!(
        message.contains("trustRootRef nowhere not found"),
        "{message}"
    );
}

#[tokio::test]
async fn a_trust_root_of_listed_keys_is_enough() {
    let world = World::new().await;
    let instance = &world.instance;
    world.sign(SUBJECT, Log::V2);
    let pem = |text: String| crate::instance::b64(text.as_bytes());
    let log = |url: &str, key: &crypto::PublicKey| json!({"baseURL": url, "hashAlgorithm": "sha-256", "publicKey": pem(key.to_pem())});
    let subject = json!({"organization": "TEST", "commonName": "x"});
    let tsa_chain = instance.tsa_leaf.to_pem() + &instance.tsa_root.to_pem();
    let root = json!({
        "apiVersion": "policy.sigstore.dev/v1alpha1", "kind": "TrustRoot",
        "metadata": {"name": "own"},
        "spec": {"sigstoreKeys": {
            "certificateAuthorities": [
                {"subject": subject, "uri": "https://own", "certChain": pem(instance.root.to_pem())},
            ],
            "tLogs": [log(crate::instance::LOG_V2_URL, instance.v2.verifier().public_key())],
            "ctLogs": [log("https://ct", instance.ct_key.public_key())],
            "timestampAuthorities": [
                {"subject": subject, "uri": "https://tsa", "certChain": pem(tsa_chain)},
            ],
        }},
    });
    let mut authority = lesson();
    authority[0]["keyless"]["url"] = json!("https://fulcio.sigstore.dev");
    authority[0]["keyless"]["trustRootRef"] = json!("own");
    authority[0]["ctlog"] = json!({"trustRootRef": "own"});
    let spec = json!({"images": [{"glob": "**"}], "authorities": authority});
    let unrelated = Config {
        trusted_root: Some(world.dir.path().join("missing.json")),
        ..Config::default()
    };
    let webhook = Webhook::open(&[root, policy("p", &spec)], unrelated).await;
    assert_eq!(webhook.validate_pod(&world.image()).await, "");
}

#[tokio::test]
async fn a_configured_timestamp_is_required() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V1);
    let mut authority = lesson();
    authority[0]["rfc3161timestamp"] = json!({});
    let message = world.decide(authority.clone()).await;
    assert!(message.contains("unable to verify RFC3161 timestamp bundle: no signed timestamp"));
    world.sign(SUBJECT, Log::V2);
    assert_eq!(world.decide(authority).await, "");
}

#[tokio::test]
async fn a_ca_cert_is_the_only_authority() {
    let world = World::new().await;
    world.sign(SUBJECT, Log::V2);
    let authority = |root: &x509::Certificate| {
        let mut authority = lesson();
        authority[0]["keyless"]
            .as_object_mut()
            .expect("an object")
            .remove("url");
        authority[0]["keyless"]["ca-cert"] = json!({"data": root.to_pem()});
        authority
    };
    assert_eq!(world.decide(authority(&world.instance.root)).await, "");
    let message = world.decide(authority(&Instance::new().root)).await;
    assert!(
        message.contains("certificate signed by unknown authority"),
        "{message}"
    );
}
