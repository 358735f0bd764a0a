//! Decisions through the router: images signed by a whole instance in memory, in a registry on loopback.

#[path = "../../libs/verify/tests/support/mod.rs"]
mod instance;
mod support;

use admission::{Config, PolicyCombination};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use crypto::{KeyKind, SigningKey};
use instance::{CA_URL, ISSUER, Instance, LOG_V1_URL, Log, SUBJECT, now};
use serde_json::{Value, json};
use support::{Registry, Webhook, config_map, pod, pod_request, policy};
use verify::SIGN_PREDICATE;

/// An instance, a registry with one image, and the settings that trust the instance.
struct World {
    instance: Instance,
    registry: Registry,
    digest: String,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let registry = Registry::start().await;
        let config = br#"{"os":"linux","architecture":"amd64","config":{"User":"root"}}"#;
        registry.push_blob(config);
        let digest = registry.push("fleet-org/app", "v1", &support::image(config));
        let instance = Instance::new();
        Self {
            instance,
            registry,
            digest,
            dir: tempfile::tempdir().expect("a directory"),
        }
    }

    fn image(&self) -> String {
        format!("{}/fleet-org/app@{}", self.registry.address(), self.digest)
    }

    fn config(&self) -> Config {
        let path = self.dir.path().join("trusted_root.json");
        let mut file = std::fs::File::create(&path).expect("a file");
        let json = self.instance.trusted_root().to_json();
        std::io::Write::write_all(&mut file, json.as_bytes()).expect("written");
        Config {
            trusted_root: Some(path),
            ..Config::default()
        }
    }

    async fn webhook(&self, objects: &[Value]) -> Webhook {
        Webhook::open(objects, self.config()).await
    }

    /// The message of a denial of the image's Pod under one policy with `authorities`.
    async fn decide(&self, authorities: Value) -> String {
        let spec = json!({"images": [{"glob": "**"}], "authorities": authorities});
        self.webhook(&[policy("p", &spec)])
            .await
            .validate_pod(&self.image())
            .await
    }

    /// Attaches a bundle by `subject`.
    fn sign(&self, subject: &str, log: Log) {
        let leaf = self
            .instance
            .leaf_for(subject, ISSUER, now(), &self.instance.ct_key);
        self.attach(
            &self
                .instance
                .sign_image(&leaf, &self.digest, SIGN_PREDICATE, log),
        );
    }

    fn attach(&self, bundle: &bundle::Bundle) {
        let json = bundle.to_json();
        let media_type = bundle::Bundle::MEDIA_TYPE;
        self.registry
            .attach("fleet-org/app", &self.digest, media_type, json.as_bytes());
    }

    /// Puts layers under the legacy tag with this suffix.
    fn tag(&self, suffix: &str, layers: &[(Vec<u8>, Value)]) {
        let layers: Vec<Value> = layers
            .iter()
            .map(|(payload, annotations)| {
                let mut layer = self.registry.push_blob(payload);
                layer["annotations"] = annotations.clone();
                layer
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.registry.push_blob(b"{}"), "layers": layers,
        });
        let tag = format!("{}.{suffix}", self.digest.replace(':', "-"));
        self.registry
            .push("fleet-org/app", &tag, manifest.to_string().as_bytes());
    }
}

/// The lesson's authority, its hosts pointed at the instance.
fn lesson() -> Value {
    json!([{
        "name": "fleet-org-actions",
        "keyless": {"url": CA_URL, "identities": [{"issuer": ISSUER, "subject": SUBJECT}]},
        "ctlog": {"url": LOG_V1_URL},
    }])
}

fn key_authority(key: &SigningKey) -> Value {
    json!([{"name": "k", "key": {"data": key.public_key().to_pem()}}])
}

fn key() -> SigningKey {
    SigningKey::generate(KeyKind::EcdsaP256).expect("randomness")
}

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
    let pem = |text: String| instance::b64(text.as_bytes());
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
            "tLogs": [log(instance::LOG_V2_URL, instance.v2.verifier().public_key())],
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
async fn keys_admit_bundles_and_legacy_signatures() {
    let (key, other) = (key(), key());
    let bundled = World::new().await;
    let digest = bundled.digest.clone();
    bundled.attach(&bundled.instance.sign_image_by_key(&key, &digest, Log::None));
    let tagged = World::new().await;
    let (payload, signature) = instance::simple_signing(&key, &tagged.digest);
    let annotations = json!({"dev.cosignproject.cosign/signature": instance::b64(&signature)});
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
    let image = format!("r.example/a@sha256:{}", "a".repeat(64));
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
    let image = format!("r.example/a@sha256:{}", "a".repeat(64));
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

fn deployment(image: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"image": image}]}}},
    })
}

#[tokio::test]
async fn an_image_that_changes_in_a_scale_down_is_checked() {
    let spec = json!({
        "images": [{"glob": "**"}], "authorities": [{"static": {"action": "fail"}}],
    });
    let webhook = Webhook::open(&[policy("p", &spec)], Config::default()).await;
    let image = |name: &str| format!("r.example/{name}@sha256:{}", "a".repeat(64));
    let update = |new: Value, old: Value| {
        json!({
            "uid": "u", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "operation": "UPDATE", "object": new, "oldObject": old,
        })
    };
    let allowed =
        async |request: Value| webhook.review("/validations", request).await["allowed"] == true;
    let old = deployment(&image("a"), 3);
    assert!(allowed(update(deployment(&image("a"), 1), old.clone())).await);
    assert!(!allowed(update(deployment(&image("evil"), 1), old.clone())).await);
    assert!(!allowed(update(deployment(&image("a"), 4), old)).await);
    assert!(!allowed(update(deployment(&image("a"), 1), Value::Null)).await);
}

#[tokio::test]
async fn every_image_of_a_pod_is_decided_and_equal_findings_are_merged() {
    let spec = json!({
        "images": [{"glob": "**"}], "authorities": [{"static": {"action": "fail"}}],
    });
    let webhook = Webhook::open(&[policy("sf", &spec)], Config::default()).await;
    let image = format!("r.example/a@sha256:{}", "a".repeat(64));
    let container = json!({"name": "c", "image": image});
    let mut request = pod_request(&image);
    request["object"]["spec"] = json!({
        "containers": [container, container], "initContainers": [container],
        "volumes": [{"name": "v", "image": {"reference": "r.example/b:tag"}}, {"name": "w"}],
    });
    let response = webhook.review("/validations", request).await;
    assert_eq!(
        response["status"]["message"],
        format!(
            "validation failed: failed policy: sf: spec.containers[0].image, \
             spec.containers[1].image, spec.initContainers[0].image\n{image} disallowed by static \
             policy: \ninvalid value: r.example/b:tag must be an image digest: spec.volumes[0].image"
        )
    );
}

#[tokio::test]
async fn a_registry_that_cannot_be_reached_denies() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let world = World::new().await;
    let spec = json!({"images": [{"glob": "**"}], "authorities": lesson()});
    let webhook = world.webhook(&[policy("p", &spec)]).await;
    let message = webhook
        .validate_pod(&format!("{address}/a@{}", world.digest))
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
        .validate_pod(&format!("{address}/a@{}", world.digest))
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
async fn policies_are_followed_and_broken_ones_leave_the_last_good_in_force() {
    let spec = |action: &str| json!({"images": [{"glob": "**"}], "authorities": [{"static": {"action": action}}]});
    let webhook = Webhook::open(&[policy("p", &spec("pass"))], Config::default()).await;
    let image = format!("r.example/a@sha256:{}", "a".repeat(64));
    assert_eq!(webhook.validate_pod(&image).await, "");
    let settle = async |objects: &[Value]| {
        support::write_objects(&webhook.policies(), objects);
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
async fn the_authority_of_the_tls_certificate_is_at_the_admin_door() {
    let webhook = Webhook::open(&[], Config::default()).await;
    let (status, pem) = webhook.admin("/ca.pem").await;
    assert_eq!(status, StatusCode::OK);
    assert!(pem.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(pod("x").is_object());
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
    support::write_objects(&webhook.policies(), &[policy("p", &spec(other))]);
    let request = Request::post("/policies/reload")
        .body(Body::empty())
        .expect("a request");
    webhook.admin_send(request).await;
    assert_ne!(webhook.validate_pod(&world.image()).await, "");
    // What was denied is asked again.
    let unsigned = format!(
        "{}/fleet-org/app@{}",
        world.registry.address(),
        support::digest(b"x")
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
