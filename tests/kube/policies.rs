//! What policies mean, as kubectl shows it.

use serde_json::{Value, json};
use tests::client;

use crate::world::{Corner, eventually, policy};

const DENIED: &str =
    "admission webhook \"policy.sigstore.dev\" denied the request: validation failed: ";

#[test]
fn every_policy_that_matches_must_pass() {
    let corner = Corner::new("all-policies");
    let router = json!({
        "images": [{"glob": corner.glob()}], "authorities": [corner.authority("agent-router")],
    });
    corner.policy("all-policies-router", &router);
    let image = corner.signed("audit-collector");
    corner
        .pod("before", &image)
        .fails_with(&format!("{DENIED}failed policy: all-policies-router"));

    // Upstream's rule, unlike the lesson's: a second policy only adds to what must pass.
    let collector = format!(
        "{}/all-policies/audit-collector*",
        corner.world.siglab.registry()
    );
    let narrow = json!({
        "images": [{"glob": collector}], "authorities": [corner.authority("audit-collector")],
    });
    corner.policy("all-policies-collector", &narrow);
    corner
        .pod("between", &image)
        .fails_with(&format!("{DENIED}failed policy: all-policies-router"));

    // What helps is a second authority in the policy that fails.
    let both = json!({
        "images": [{"glob": corner.glob()}],
        "authorities": [corner.authority("agent-router"), corner.authority("audit-collector")],
    });
    let _ = corner
        .kubectl
        .apply(&policy("all-policies-router", &both))
        .succeeds();
    corner.admitted_at_last("after", &image);
}

#[test]
fn three_organizations_are_three_authorities_of_one_policy() {
    let corner = Corner::new("three-orgs");
    let orgs = ["org-a", "org-b", "org-c"];
    let authorities: Vec<Value> = orgs.iter().map(|org| corner.authority(org)).collect();
    let spec = json!({"images": [{"glob": corner.glob()}], "authorities": authorities});
    corner.policy("three-orgs", &spec);
    for org in orgs {
        let image = corner.signed(org);
        let _ = corner.pod(org, &image).succeeds();
    }
    let image = corner.signed("org-d");
    corner
        .pod("org-d", &image)
        .fails_with("none of the expected identities matched");
}

#[test]
fn a_tag_that_was_signed_elsewhere_than_on_main_names_both_subjects() {
    let corner = Corner::new("subjects");
    let spec = json!({
        "images": [{"glob": corner.glob()}], "authorities": [corner.authority("app")],
    });
    corner.policy("subjects", &spec);
    let image = corner.image("app");
    let release = "repository=subjects/app&ref=refs/tags/v1.2.0";
    corner.author.sign(&corner.world.siglab, &image, release);
    corner.pod("app", &image).fails_with(
        "got subjects [https://github.com/subjects/app/.github/workflows/release.yml@refs/tags/v1.2.0]",
    );
}

#[test]
fn a_policy_that_warns_admits_and_kubectl_shows_why_it_failed() {
    let corner = Corner::new("warning");
    let spec = json!({
        "mode": "warn", "images": [{"glob": corner.glob()}],
        "authorities": [corner.authority("app")],
    });
    corner.policy("warning", &spec);
    let unsigned = corner.image("app");
    let _ = corner
        .pod("app", &unsigned)
        .succeeds()
        .says("Warning: failed policy: warning: spec.containers[0].image")
        .says("no signatures found")
        .says("pod/app created");
}

#[test]
fn an_image_that_no_policy_names_is_denied() {
    let corner = Corner::new("no-match");
    let image = corner.image("app");
    corner.pod("app", &image).fails_with(&format!(
        "{DENIED}no matching policies: spec.containers[0].image\n{image}"
    ));
}

#[test]
fn a_tag_is_stored_as_the_digest_that_was_verified() {
    let corner = Corner::new("digests");
    let spec = json!({
        "images": [{"glob": corner.glob()}], "authorities": [corner.authority("app")],
    });
    corner.policy("digests", &spec);
    let image = corner.signed("app");
    let (repository, digest) = image.split_once('@').expect("a digest");
    let tag = format!("{repository}:v0.3.1");
    let _ = corner.pod("app", &tag).succeeds();
    let pod = corner
        .kubectl
        .get(&["pod", "app", "--namespace", "digests"]);
    assert_eq!(
        pod["spec"]["containers"][0]["image"],
        format!("{tag}@{digest}")
    );
    corner
        .pod("gone", &format!("{repository}:v9"))
        .fails_with(&format!(
            "{repository}:v9 must be an image digest: spec.containers[0].image"
        ));
}

#[test]
fn a_trust_root_in_the_cluster_replaces_the_labs() {
    let corner = Corner::new("trust-root");
    let manifest = corner.world.siglab.file("trust-root.yaml");
    let applied = corner
        .kubectl
        .run(&["apply", "--filename", &manifest])
        .succeeds();
    let applied = applied.text();
    let (name, _) = applied.split_once(' ').expect("kind/name created");
    let (_, name) = name.split_once('/').expect("kind/name");
    let mut authority = corner.authority("app");
    authority["keyless"]["trustRootRef"] = json!(name);
    authority["ctlog"]["trustRootRef"] = json!(name);
    let mut spec = json!({"images": [{"glob": corner.glob()}], "authorities": [authority]});
    corner.policy("trust-root", &spec);
    let image = corner.signed("app");
    let _ = corner.pod("app", &image).succeeds();

    spec["authorities"][0]["keyless"]["trustRootRef"] = json!("nobody");
    spec["images"][0]["glob"] = json!(format!(
        "{}/trust-root/other*",
        corner.world.siglab.registry()
    ));
    corner.policy("trust-root-missing", &spec);
    let image = corner.signed("other");
    corner
        .pod("other", &image)
        .fails_with("trustRootRef nobody not found");
}

#[test]
fn a_key_in_a_secret_admits_what_it_signed() {
    let mut corner = Corner::new("keys");
    corner.author.home.set("COSIGN_PASSWORD", "");
    let cosign = |arguments: &[&str]| {
        let _ = corner
            .author
            .home
            .run(&client("cosign"), arguments)
            .succeeds();
    };
    cosign(&["generate-key-pair"]);
    let key = corner.author.home.dir().join("cosign.pub");
    let from = format!("--from-file={}", key.display());
    let secret = [
        "create",
        "secret",
        "generic",
        "keys",
        &from,
        "--namespace",
        "cosign-system",
    ];
    let _ = corner.kubectl.run(&secret).succeeds();
    let spec = json!({
        "images": [{"glob": corner.glob()}],
        "authorities": [{"key": {"secretRef": {"name": "keys"}}}],
    });
    corner.policy("keys", &spec);
    let image = corner.image("app");
    corner.pod("app", &image).fails_with("no signatures found");
    cosign(&["sign", "--yes", "--key", "cosign.key", &image]);
    let _ = corner.pod("app", &image).succeeds();
}

#[test]
fn a_rule_in_a_config_map_sees_the_labels_of_the_object() {
    let corner = Corner::new("rules");
    let rule = "package sigstore\ndefault isCompliant = false\n\
                isCompliant { input.metadata.labels.owner == \"fleet\" }\n";
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "rules", "namespace": "cosign-system"}, "data": {"owner.rego": rule},
    });
    let _ = corner.kubectl.apply(&map.to_string()).succeeds();
    let spec = json!({
        "images": [{"glob": corner.glob()}], "authorities": [corner.authority("app")],
        "policy": {
            "type": "rego", "includeObjectMeta": true,
            "configMapRef": {"name": "rules", "key": "owner.rego"},
        },
    });
    corner.policy("rules", &spec);
    let image = corner.signed("app");
    corner
        .pod("app", &image)
        .fails_with("policy is not compliant for query");
    let image = format!("--image={image}");
    let owned = [
        "run",
        "app",
        &image,
        "--labels=owner=fleet",
        "--namespace",
        "rules",
    ];
    let _ = corner.kubectl.run(&owned).succeeds();
}

impl Corner {
    /// Creates a Pod as soon as a changed policy lets it in.
    fn admitted_at_last(&self, name: &str, image: &str) {
        eventually("the changed policy is in force", || {
            self.pod(name, image).is_success().then_some(())
        });
    }
}
