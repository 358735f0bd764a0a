//! `siglab manifests`: the objects that install the admission webhook in a cluster.

use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use stack::manifests::Installation;

use crate::{
    arguments::{AdmissionManifests, Common, ManifestsCommand},
    client::{Lab, expect},
    output,
};

pub(crate) async fn run(common: &Common, command: &ManifestsCommand) -> anyhow::Result<()> {
    let ManifestsCommand::Admission(options) = command;
    let mut objects = installation(common, options).await?.objects();
    if options.pods_only {
        objects.iter_mut().for_each(ask_about_pods_only);
    }
    let settings_of_pod = pod_settings(options.tuf_url.as_deref());
    for object in &mut objects {
        add_arguments(object, &settings_of_pod);
    }
    // Behind the namespace that it is in.
    objects.insert(1, settings(options));
    if common.json {
        output::object(true, json!({ "objects": objects }));
    } else {
        output::raw(&yaml(&objects)?);
    }
    Ok(())
}

async fn installation(
    common: &Common,
    options: &AdmissionManifests,
) -> anyhow::Result<Installation> {
    let authority_pem = match &options.ca_file {
        Some(path) => Some(certificate(path)?),
        None => None,
    };
    let mut installation = Installation {
        namespace: options.namespace.clone(),
        image: options.image.clone(),
        url: options.url.clone(),
        authority_pem,
        fail_open: options.fail_open,
        opt_in: options.opt_in,
    };
    // A webhook in the cluster is a Service, and puts its authority into its registrations by itself.
    let complete = installation.url.is_some() && installation.authority_pem.is_some();
    if installation.image.is_some() || complete {
        return Ok(installation);
    }
    let lab = Lab::open(common).await?;
    if installation.authority_pem.is_none() {
        let url = format!("{}/admission/ca.pem", lab.admin);
        let answer = expect("the admin door", lab.http.get(url).send().await, &[200]).await?;
        installation.authority_pem = Some(answer.text().await?);
    }
    if installation.url.is_none() {
        installation.url = Some(lab.url("admission", "https")?);
    }
    Ok(installation)
}

fn certificate(path: &Path) -> anyhow::Result<String> {
    let read = || format!("cannot read certificates from {}", path.display());
    let text = std::fs::read_to_string(path).with_context(read)?;
    crypto::from_pem(&text).with_context(read)?;
    Ok(text)
}

/// What the webhook does about images that no policy names.
fn settings(options: &AdmissionManifests) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "config-policy-controller", "namespace": options.namespace},
        "data": {"no-match-policy": options.no_match_policy.name()},
    })
}

/// Settings that a Pod needs beside those of [`Installation`]: kubelet and API server come from outside, and
/// the lab is somewhere else.
fn pod_settings(tuf_url: Option<&str>) -> Vec<String> {
    let lab = tuf_url.map(|url| format!("tuf.external_url={url}"));
    std::iter::once("admission.listen=0.0.0.0".to_owned())
        .chain(lab)
        .collect()
}

/// Adds `--set` for each of `settings` to the webhook's Deployment, if this is it.
fn add_arguments(object: &mut Value, settings: &[String]) {
    if object["kind"] != "Deployment" {
        return;
    }
    if let Some(arguments) = object
        .pointer_mut("/spec/template/spec/containers/0/args")
        .and_then(Value::as_array_mut)
    {
        arguments.extend(
            settings
                .iter()
                .flat_map(|setting| [json!("--set"), json!(setting)]),
        );
    }
}

/// Leaves the core group in the registrations that are about workloads.
fn ask_about_pods_only(object: &mut Value) {
    if object["metadata"]["name"] != "policy.sigstore.dev" {
        return;
    }
    if let Some(rules) = object
        .pointer_mut("/webhooks/0/rules")
        .and_then(Value::as_array_mut)
    {
        rules.retain(|rule| rule["apiGroups"] == json!([""]));
    }
}

fn yaml(objects: &[Value]) -> anyhow::Result<String> {
    let mut stream = String::new();
    for object in objects {
        let text = serde_saphyr::to_string(object)?;
        stream.push_str(&format!("---\n{}\n", text.trim_end()));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_only_leaves_other_registrations_alone() {
        let installation = Installation::default();
        let before = installation.objects();
        let mut after = before.clone();
        after.iter_mut().for_each(ask_about_pods_only);
        for (before, after) in before.iter().zip(&after) {
            if before["metadata"]["name"] == "policy.sigstore.dev" {
                let rules = after["webhooks"][0]["rules"].as_array().expect("rules");
                assert_eq!(rules.len(), 1);
                assert_eq!(rules[0]["resources"][0], "pods");
            } else {
                assert_eq!(before, after);
            }
        }
    }

    #[test]
    fn the_stream_reads_back_as_the_objects() {
        let objects = Installation::default().objects();
        let text = yaml(&objects).expect("YAML");
        let read: Vec<Value> = serde_saphyr::from_multiple(&text).expect("a stream");
        assert_eq!(read, objects);
    }
}
