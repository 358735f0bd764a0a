//! The defaulting patch: first what a round trip through the typed object changes, then the defaults.

use serde_json::{Map, Value, json};

use super::ClusterImagePolicy;

/// The instance that a keyless authority without `url` and `ca-cert` means.
const DEFAULT_FULCIO: &str = "https://fulcio.sigstore.dev";

/// Fills what a policy may leave out.
pub(crate) fn default_policy(policy: &mut ClusterImagePolicy) {
    if policy.spec.mode.is_empty() {
        "enforce".clone_into(&mut policy.spec.mode);
    }
    for (index, authority) in policy.spec.authorities.iter_mut().enumerate() {
        if authority.name.is_empty() {
            authority.name = format!("authority-{index}");
        }
        let alone = authority.key.is_none() && authority.fixed.is_none();
        if alone
            && let Some(keyless) = &mut authority.keyless
            && keyless.url.is_none()
            && keyless.ca_cert.is_none()
        {
            keyless.url = Some(DEFAULT_FULCIO.to_owned());
        }
    }
}

/// Fills what a TrustRoot may leave out.
pub(crate) fn default_trust_root(spec: &mut crate::trust_root::Spec) {
    if let Some(remote) = &mut spec.remote
        && remote.targets.is_empty()
    {
        "targets".clone_into(&mut remote.targets);
    }
    if let Some(repository) = &mut spec.repository
        && repository.targets.is_empty()
    {
        "targets".clone_into(&mut repository.targets);
    }
}

/// JSON Patch (RFC 6902) from `old` to `new`, appended to `patch`.
pub(crate) fn patch(old: &Value, new: &Value, path: &str, patch: &mut Vec<Value>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => patch_object(old, new, path, patch),
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                self::patch(old, new, &format!("{path}/{index}"), patch);
            }
        }
        _ if old == new => {}
        _ => patch.push(json!({"op": "replace", "path": path, "value": new})),
    }
}

fn patch_object(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    path: &str,
    patch: &mut Vec<Value>,
) {
    for (key, value) in new {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        match old.get(key) {
            Some(old) => self::patch(old, value, &path, patch),
            None => patch.push(json!({"op": "add", "path": path, "value": value})),
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        let path = format!("{path}/{}", key.replace('~', "~0").replace('/', "~1"));
        patch.push(json!({"op": "remove", "path": path}));
    }
}
