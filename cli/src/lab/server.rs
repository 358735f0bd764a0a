//! What an API server does when a Pod is created: it asks the registered webhooks, mutating ones first.

use std::{collections::BTreeMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use labs::{Hook, Observation};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::client::Lab;

/// Longest wait for a webhook.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The webhooks, in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    pub(crate) mutating: Vec<Hook>,
    pub(crate) validating: Vec<Hook>,
}

/// What becomes of `object` in a namespace with these labels.
pub(crate) async fn create(
    lab: &Lab,
    hooks: &Hooks,
    object: &Value,
    namespace: &BTreeMap<String, String>,
    reachable: bool,
) -> Observation {
    let mut object = object.clone();
    for hook in hooks.mutating.iter().chain(&hooks.validating) {
        if !hook.asks_about(&object, namespace) {
            continue;
        }
        let answer = match reachable {
            true => ask(lab, hook, &object).await,
            false => Err("nobody answers (supposed for this check)".to_owned()),
        };
        match answer {
            Ok(answer) if answer["allowed"] == true => apply(&answer, &mut object),
            Ok(answer) => {
                let message = answer["status"]["message"].as_str().unwrap_or_default();
                let name = &hook.name;
                let denied = format!("admission webhook {name:?} denied the request: {message}");
                return Observation::Denied(denied);
            }
            Err(_) if !hook.fails_closed => {}
            Err(reason) => {
                let Hook { name, url, .. } = hook;
                let failed = format!(
                    "Internal error occurred: failed calling webhook {name:?}: failed to call webhook: \
                     Post \"{url}\": {reason}"
                );
                return Observation::Denied(failed);
            }
        }
    }
    Observation::Admitted
}

/// The webhook's response, or why there is none.
async fn ask(lab: &Lab, hook: &Hook, object: &Value) -> Result<Value, String> {
    let failed = |error: anyhow::Error| format!("{error:#}");
    let text = String::from_utf8_lossy(&hook.authority_pem);
    let roots: Vec<CertificateDer<'static>> = crypto::from_pem_chain(&text)
        .unwrap_or_default()
        .into_iter()
        .map(|(_, der)| CertificateDer::from(der))
        .collect();
    let http = lab.client(&roots).map_err(failed)?;
    let request = http
        .post(&hook.url)
        .header("content-type", "application/json")
        .timeout(WAIT_MAX)
        .body(review(object).to_string());
    let answer = request.send().await.map_err(|error| failed(error.into()))?;
    let status = answer.status();
    if status != 200 {
        return Err(format!("it answered {status}"));
    }
    let answer: Value = answer.json().await.map_err(|error| failed(error.into()))?;
    match answer.get("response") {
        Some(response) => Ok(response.clone()),
        None => Err("it sent no response".to_owned()),
    }
}

fn review(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "3b1a5c0e-2b52-4f43-9f0c-5a6f1d0e7a11",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"],
            "operation": "CREATE", "userInfo": {"username": "student"}, "object": object,
            "oldObject": null, "dryRun": true, "options": null,
        },
    })
}

/// Applies the patch of a response. Webhooks of ours replace and nothing else.
fn apply(answer: &Value, object: &mut Value) {
    let patch = answer["patch"].as_str().unwrap_or_default();
    let patch = STANDARD.decode(patch).unwrap_or_default();
    let patch: Value = serde_json::from_slice(&patch).unwrap_or_default();
    for operation in patch.as_array().into_iter().flatten() {
        let path = operation["path"].as_str().unwrap_or_default();
        if let Some(place) = object.pointer_mut(path) {
            *place = operation["value"].clone();
        }
    }
}
