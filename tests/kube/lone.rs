//! The program that the Deployment runs, with the arguments that the Deployment gives it.

use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tests::client;

use crate::cluster::free_ports;
use crate::world::{Corner, eventually, manifests, program};

/// A process that ends with the value.
struct Lone(Child);

impl Drop for Lone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The arguments of the Deployment's container, but for what only a Pod has: its account and its volume.
fn arguments(corner: &Corner) -> Vec<String> {
    let tuf = corner.world.siglab.url("tuf", "http");
    let objects = corner
        .kubectl
        .read(&manifests(&["--image", "any", "--tuf-url", &tuf]));
    let mut objects = objects["items"].as_array().expect("a list").iter();
    let deployment = objects
        .find(|object| object["kind"] == "Deployment")
        .expect("one");
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = arguments.as_array().expect("arguments").iter();
    let cluster = &corner.world.cluster;
    let kubeconfig = format!(
        "admission.kubeconfig={}",
        cluster.path("webhook.yaml").display()
    );
    let changed = arguments.map(|argument| match argument.as_str().expect("text") {
        "admission.in_cluster=true" => kubeconfig.clone(),
        "/state" => corner.author.home.dir().join("state").display().to_string(),
        other => other.to_owned(),
    });
    changed.collect()
}

fn review(corner: &Corner, port: u16, image: &str) -> Value {
    let kind = json!({"group": "", "version": "v1", "kind": "Pod"});
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "1", "kind": kind, "operation": "CREATE", "namespace": corner.name,
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "app", "namespace": corner.name},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    });
    corner.author.home.write("review.json", review.to_string());
    let url = format!("https://localhost:{port}/validations");
    let header = "Content-Type: application/json";
    let flags = [
        "--silent",
        "--insecure",
        "--header",
        header,
        "--data-binary",
        "@review.json",
    ];
    let answer = corner
        .author
        .home
        .run(&client("curl"), &[&flags[..], &[&url]].concat());
    serde_json::from_slice(answer.succeeds().bytes()).expect("a review")
}

#[test]
fn the_deployments_arguments_start_a_webhook_that_knows_policies_and_the_lab() {
    let corner = Corner::new("lone");
    let spec = json!({
        "images": [{"glob": corner.glob()}], "authorities": [corner.authority("app")],
    });
    corner.policy("lone", &spec);
    let signed = corner.signed("app");
    let unsigned = corner.image("other");
    let [port, door] = free_ports();
    let child = Command::new(program("siglab-admission"))
        .args(arguments(&corner))
        .args(["--set", &format!("admission.listen=0.0.0.0:{port}")])
        .args(["--set", &format!("admin.listen=127.0.0.1:{door}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _lone = Lone(child.expect("cargo build --package admission"));
    let ready = format!("http://localhost:{door}/readyz");
    eventually("the webhook is ready", || {
        let asked = corner
            .author
            .home
            .run(&client("curl"), &["--silent", "--fail", &ready]);
        asked.is_success().then_some(())
    });
    let admitted = review(&corner, port, &signed);
    assert_eq!(admitted["response"]["allowed"], true, "{admitted}");
    let denied = review(&corner, port, &unsigned);
    let text = denied["response"]["status"]["message"]
        .as_str()
        .expect("a reason");
    assert!(text.contains("failed policy: lone"), "{text}");
}
