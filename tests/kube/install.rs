//! Definitions, permissions, registrations, and what the API server makes of policies.

use serde_json::{Value, json};
use tests::client;

use crate::world::{Corner, decoded, policy};

const REGISTRATIONS: [(&str, &str); 4] = [
    ("validatingwebhookconfiguration", "policy.sigstore.dev"),
    ("mutatingwebhookconfiguration", "policy.sigstore.dev"),
    (
        "validatingwebhookconfiguration",
        "validating.clusterimagepolicy.sigstore.dev",
    ),
    (
        "mutatingwebhookconfiguration",
        "defaulting.clusterimagepolicy.sigstore.dev",
    ),
];

fn admit_all(corner: &Corner) -> Value {
    json!({
        "images": [{"glob": corner.glob()}],
        "authorities": [{"static": {"action": "pass"}}],
    })
}

#[test]
fn definitions_are_established_and_registrations_closed() {
    let corner = Corner::new("install");
    for name in ["clusterimagepolicies", "trustroots"] {
        let name = format!("customresourcedefinition/{name}.policy.sigstore.dev");
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            &name,
        ];
        let _ = corner.kubectl.run(&wait).succeeds();
    }
    for (kind, name) in REGISTRATIONS {
        let object = corner.kubectl.get(&[kind, name]);
        let webhook = &object["webhooks"][0];
        assert_eq!(webhook["name"], name);
        assert_eq!(webhook["failurePolicy"], "Fail", "{kind} {name}");
        assert_eq!(webhook["sideEffects"], "None", "{kind} {name}");
        let selector = &webhook["namespaceSelector"];
        assert_eq!(
            selector.to_string().contains("cosign-system"),
            name == "policy.sigstore.dev",
            "{kind} {name}: {selector}"
        );
    }
}

#[test]
fn the_webhook_keeps_its_authority_in_what_names_it() {
    let corner = Corner::new("authority");
    let url = format!("{}/admission/ca.pem", corner.world.siglab.admin());
    let authority = corner
        .author
        .home
        .run(&client("curl"), &["--silent", "--fail", &url]);
    let authority = authority.succeeds().text();
    for (kind, name) in REGISTRATIONS {
        let object = corner.kubectl.get(&[kind, name]);
        let bundle = &object["webhooks"][0]["clientConfig"]["caBundle"];
        let bundle = decoded(bundle.as_str().expect("an authority"));
        // Another test's webhook may have its own there, too.
        let bundle = String::from_utf8(bundle).expect("PEM");
        assert!(bundle.contains(authority.trim()), "{kind} {name}");
    }
    // Those registrations carried it already; the first ones, for a Service, did not.
    let log = corner.world.siglab.log();
    assert!(log.contains("caBundle of policy.sigstore.dev set"), "{log}");
}

#[test]
fn kubectl_explains_the_fields_of_policies_and_trust_roots() {
    let corner = Corner::new("explained");
    for (field, text) in [
        (
            "clusterimagepolicy.spec.authorities.keyless.identities.subject",
            "Subject of the",
        ),
        (
            "clusterimagepolicy.spec.images.glob",
            "which stops at a slash",
        ),
        ("trustroot.spec.remote.mirror", "URL of the repository"),
    ] {
        let _ = corner
            .kubectl
            .run(&["explain", field])
            .succeeds()
            .says(text);
    }
}

#[test]
fn a_policy_says_in_its_status_whether_it_can_be_used_and_why_not() {
    let corner = Corner::new("status");
    let _ = corner
        .kubectl
        .apply(&policy("status-good", &admit_all(&corner)))
        .succeeds();
    let spec = json!({
        "images": [{"glob": corner.glob()}],
        "authorities": [{"key": {"secretRef": {"name": "status-gone"}}}],
    });
    let _ = corner
        .kubectl
        .apply(&policy("status-bad", &spec))
        .succeeds();
    for (name, condition) in [("status-good", "Ready"), ("status-bad", "Ready=False")] {
        let condition = format!("--for=condition={condition}");
        let name = format!("clusterimagepolicy/{name}");
        let wait = ["wait", &condition, "--timeout=60s", &name];
        let _ = corner.kubectl.run(&wait).succeeds();
    }
    let bad = corner.kubectl.get(&["clusterimagepolicy", "status-bad"]);
    let ready = &bad["status"]["conditions"][0];
    assert_eq!(ready["message"], "secret \"status-gone\" not found");
    let delete = ["delete", "cip", "status-good", "status-bad"];
    let _ = corner.kubectl.run(&delete).succeeds();
}

#[test]
fn a_policy_is_defaulted_and_served_in_both_versions() {
    let corner = Corner::new("versions");
    corner.policy("versions", &admit_all(&corner));
    for version in ["v1alpha1", "v1beta1"] {
        let resource = format!("clusterimagepolicies.{version}.policy.sigstore.dev");
        let object = corner.kubectl.get(&[&resource, "versions"]);
        assert_eq!(
            object["apiVersion"],
            format!("policy.sigstore.dev/{version}")
        );
        assert_eq!(object["spec"]["mode"], "enforce");
        assert_eq!(object["spec"]["authorities"][0]["name"], "authority-0");
    }
    let _ = corner
        .kubectl
        .run(&["get", "cip"])
        .succeeds()
        .says("versions");
    let _ = corner
        .kubectl
        .run(&["delete", "cip", "versions"])
        .succeeds();
}

#[test]
fn a_policy_that_means_nothing_is_refused() {
    let corner = Corner::new("refused");
    let refuse = |spec: &Value, text: &str| {
        corner
            .kubectl
            .apply(&policy("refused", spec))
            .fails_with(text);
    };
    let denied = "admission webhook \"validating.clusterimagepolicy.sigstore.dev\" denied the request: \
                  validation failed: ";
    let mut spec = admit_all(&corner);
    spec["mode"] = json!("garbage");
    refuse(&spec, &format!("{denied}invalid value: garbage: spec.mode"));
    spec = admit_all(&corner);
    spec["images"][0]["glob"] = json!("[");
    refuse(&spec, "invalid value: [: spec.images[0].glob");
    spec["authorities"] = json!([]);
    spec["images"][0]["glob"] = json!("**");
    refuse(
        &spec,
        &format!("{denied}missing field(s): spec.authorities"),
    );
    spec["authorities"] = json!([{"name": "none"}]);
    refuse(
        &spec,
        "expected exactly one, got neither: spec.authorities[0].key, spec.authorities[0].keyless, \
         spec.authorities[0].static",
    );
    // The schema refuses this one: the defaults turn a missing list into null.
    spec["authorities"] = json!([{"keyless": {"url": "https://fulcio.example"}}]);
    refuse(&spec, "keyless.identities: Invalid value");
    spec = admit_all(&corner);
    spec["imagess"] = json!([]);
    refuse(&spec, "unknown field \"spec.imagess\"");
}
