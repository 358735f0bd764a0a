//! Conversion of ClusterImagePolicy between v1alpha1 and v1beta1, which differ in name only.

use serde_json::Value;

use super::default_policy;
use super::model::{ClusterImagePolicy, decode_leniently};

const GROUP: &str = "policy.sigstore.dev";

/// Converts `object` to `desired` (`policy.sigstore.dev/v1beta1`), with defaults filled in.
///
/// # Errors
/// The text for the ConversionReview.
pub(crate) fn convert(object: &Value, desired: &str) -> Result<Value, String> {
    let kind = object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let current = object
        .get("apiVersion")
        .and_then(Value::as_str)
        .unwrap_or_default();
    for version in [current, desired] {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let known = group == GROUP
            && matches!(version, "v1alpha1" | "v1beta1")
            && kind == "ClusterImagePolicy";
        if !known {
            return Err(format!(
                "conversion not supported for type [kind={kind} group={group} version={version}]"
            ));
        }
    }
    let mut policy: ClusterImagePolicy = decode_leniently(object)?;
    desired.clone_into(&mut policy.api_version);
    // Divergence: a ctlog that only names a trust root is kept; upstream drops it, and with it the
    // transparency check.
    default_policy(&mut policy);
    serde_json::to_value(&policy).map_err(|error| error.to_string())
}
