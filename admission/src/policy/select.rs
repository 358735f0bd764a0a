//! Which policies apply to an object: by image glob, and by the kind and labels of the object.

use std::collections::BTreeMap;

use super::model::{LabelRequirement, LabelSelector, Spec};

/// The object that is admitted, as far as `match` looks at it.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// API group, empty for core.
    pub(crate) group: String,
    /// API version.
    pub(crate) version: String,
    /// Plural of the kind.
    pub(crate) resource: &'static str,
    /// Labels of the object itself, not of its Pod template.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Whether the policy's `match` takes the object.
///
/// # Errors
/// `policy with wrong match label selector`.
pub(crate) fn applies(spec: &Spec, subject: &Subject) -> Result<bool, &'static str> {
    if spec.matches.is_empty() {
        return Ok(true);
    }
    for entry in &spec.matches {
        let version = entry.version == "*" || entry.version == subject.version;
        if entry.resource != subject.resource || !version || entry.group != subject.group {
            continue;
        }
        let selected = match &entry.selector {
            None => true,
            Some(selector) => selects(selector, &subject.labels)
                .ok_or("policy with wrong match label selector")?,
        };
        if selected {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `None` when the selector itself is wrong.
fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> Option<bool> {
    let mut selected = selector
        .match_labels
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    for requirement in &selector.match_expressions {
        selected &= meets(requirement, labels)?;
    }
    Some(selected)
}

fn meets(requirement: &LabelRequirement, labels: &BTreeMap<String, String>) -> Option<bool> {
    let value = labels.get(&requirement.key);
    let listed = value.is_some_and(|value| requirement.values.contains(value));
    match (requirement.operator.as_str(), requirement.values.is_empty()) {
        ("In", false) => Some(listed),
        ("NotIn", false) => Some(!listed),
        ("Exists", true) => Some(value.is_some()),
        ("DoesNotExist", true) => Some(value.is_none()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Subject, applies};
    use crate::policy::model::{Spec, decode_strictly};

    fn check(matches: serde_json::Value) -> Result<bool, &'static str> {
        let spec: Spec = decode_strictly(&json!({"match": matches})).expect("valid");
        let subject = Subject {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            resource: "deployments",
            labels: [("tier".to_owned(), "prod".to_owned())].into(),
        };
        applies(&spec, &subject)
    }

    #[test]
    fn match_selects_by_kind_group_and_version() {
        assert_eq!(check(json!([])), Ok(true));
        let entry = |group: &str, version: &str, resource: &str| {
            check(json!([{"group": group, "version": version, "resource": resource}]))
        };
        assert_eq!(entry("apps", "v1", "deployments"), Ok(true));
        assert_eq!(entry("apps", "*", "deployments"), Ok(true));
        assert_eq!(entry("", "v1", "deployments"), Ok(false));
        assert_eq!(entry("apps", "v1beta1", "deployments"), Ok(false));
        assert_eq!(entry("apps", "v1", "pods"), Ok(false));
        assert_eq!(entry("apps", "v1", ""), Ok(false));
    }

    #[test]
    fn match_selects_by_labels() {
        let with = |selector: serde_json::Value| {
            check(json!([
                {"group": "apps", "version": "v1", "resource": "deployments", "selector": selector},
            ]))
        };
        assert_eq!(with(json!({"matchLabels": {"tier": "prod"}})), Ok(true));
        assert_eq!(with(json!({"matchLabels": {"tier": "dev"}})), Ok(false));
        let expression = |operator: &str, values: &[&str]| {
            with(json!({"matchExpressions": [
                {"key": "tier", "operator": operator, "values": values},
            ]}))
        };
        assert_eq!(expression("In", &["prod", "staging"]), Ok(true));
        assert_eq!(expression("NotIn", &["prod"]), Ok(false));
        assert_eq!(expression("Exists", &[]), Ok(true));
        assert_eq!(expression("DoesNotExist", &[]), Ok(false));
        assert!(expression("Bogus", &[]).is_err());
        assert!(expression("In", &[]).is_err());
    }
}
