//! The Helm chart: the objects of `siglab manifests admission`, and no others.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{Client, Sandbox, client};

use crate::cluster::Cluster;
use crate::world::{Kubectl, World, eventually, manifests};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../admission/chart");
const IMAGE: &str = "localhost/siglab-admission:lab";
const UNKNOWN: &str = "registry.example/app@sha256:\
    0000000000000000000000000000000000000000000000000000000000000000";

/// Objects by kind and name, as kubectl reads them. The namespace is helm's own business.
fn objects(kubectl: &Kubectl, stream: &str) -> BTreeMap<(String, String), Value> {
    let list = kubectl.read(stream);
    let items = list["items"].as_array().expect("a list");
    let named = items.iter().map(|object| {
        let text = |value: &Value| value.as_str().expect("kind and name").to_owned();
        let key = (text(&object["kind"]), text(&object["metadata"]["name"]));
        (key, object.clone())
    });
    named.filter(|((kind, _), _)| kind != "Namespace").collect()
}

#[test]
fn the_chart_renders_what_the_command_prints() {
    let world = World::shared();
    let kubectl = Kubectl::new(&world.cluster);
    let home = Sandbox::new();
    let url = world.siglab.url("admission", "https");
    let authority = format!("{}/admission/ca.pem", world.siglab.admin());
    let authority = home.run(&client("curl"), &["--silent", "--fail", &authority]);
    let file = home
        .write("ca.pem", authority.succeeds().bytes())
        .display()
        .to_string();
    let (image, url_value) = (format!("image={IMAGE}"), format!("url={url}"));
    let file_value = format!("authority={file}");
    let other = ["--namespace", "elsewhere"];
    let rows: [(&[&str], &[&str], &[&str]); 4] = [
        (&["--image", IMAGE], &["--set", &image], &[]),
        (
            &["--image", IMAGE, "--fail-open", "--pods-only"],
            &["--set", &image, "--set", "failOpen=true,podsOnly=true"],
            &other,
        ),
        (
            &[
                "--image",
                IMAGE,
                "--opt-in",
                "--no-match-policy=warn",
                "--tuf-url=http://lab:8088",
            ],
            &[
                "--set",
                &image,
                "--set",
                "optIn=true,noMatchPolicy=warn,tufUrl=http://lab:8088",
            ],
            &other,
        ),
        (
            &["--url", &url, "--ca-file", &file],
            &["--set", &url_value, "--set-file", &file_value],
            &[],
        ),
    ];
    for (flags, values, namespace) in rows {
        let printed = manifests(&[flags, namespace].concat());
        let template = [
            "template",
            "policy-controller",
            CHART,
            "--namespace",
            "cosign-system",
        ];
        let rendered = home.run(&client("helm"), &[&template, values, namespace].concat());
        let printed = objects(&kubectl, &printed);
        let rendered = objects(&kubectl, &rendered.succeeds().text());
        assert_eq!(
            rendered.keys().collect::<Vec<_>>(),
            printed.keys().collect::<Vec<_>>()
        );
        for (key, object) in &printed {
            assert_eq!(&rendered[key], object, "{key:?} with {flags:?}");
        }
    }
    let neither = home.run(&client("helm"), &["template", "policy-controller", CHART]);
    neither.fails_with("image or url must be set");
}

#[test]
fn the_chart_installs_and_uninstalls() {
    let cluster = Cluster::start();
    let kubectl = Kubectl::new(&cluster);
    let home = Sandbox::new();
    let helm = Client {
        variables: cluster.kubectl().variables,
        ..client("helm")
    };
    let namespace = ["--namespace", "cosign-system"];
    let image = format!("image={IMAGE}");
    let install = [
        "install",
        "policy-controller",
        CHART,
        "--create-namespace",
        "--set",
        &image,
    ];
    let _ = home
        .run(&helm, &[&install[..], &namespace].concat())
        .succeeds();
    kubectl.account("default");
    eventually("the Deployment makes its Pod", || {
        let selector = "--selector=app=policy-controller";
        let pods = kubectl.get(&[&["pods", selector], &namespace[..]].concat());
        pods["items"].as_array()?.first().cloned()
    });
    kubectl
        .pod("default", "app", UNKNOWN)
        .fails_with("failed calling webhook");
    let uninstall = ["uninstall", "policy-controller"];
    let _ = home
        .run(&helm, &[&uninstall, &namespace[..]].concat())
        .succeeds();
    eventually("nobody is asked any more", || {
        kubectl
            .pod("default", "app", UNKNOWN)
            .is_success()
            .then_some(())
    });
}
