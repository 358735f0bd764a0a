//! What an API server makes of a webhook's registration: which webhooks it asks about an object, and what
//! follows when one does not answer. The part of admissionregistration.k8s.io/v1 that the exercises are about.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// Why a registration cannot be used; an API server would refuse it too.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
pub enum RegistrationError {
    /// A field has a value that it cannot have.
    #[error("{field} is {value}; it can be {accepted}")]
    Value {
        /// JSON pointer.
        field: String,
        /// What is there.
        value: String,
        /// What may be there.
        accepted: &'static str,
    },
    /// There is nothing where something is changed or taken away.
    #[error("the registration has no {pointer}")]
    NoPlace {
        /// JSON pointer.
        pointer: String,
    },
}

/// One webhook of a registration.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// PEM of the authority of its certificate.
    pub authority_pem: Vec<u8>,
    /// Whether what it is not asked about is refused.
    pub fails_closed: bool,
    namespaces: Value,
    objects: Value,
    rules: Value,
}

/// The webhooks of a ValidatingWebhookConfiguration or MutatingWebhookConfiguration.
///
/// # Errors
/// The first field that an API server would refuse, or that only a real one understands.
pub fn read_registration(object: &Value) -> Result<Vec<Hook>, RegistrationError> {
    let hooks = object["webhooks"]
        .as_array()
        .ok_or_else(|| refused("/webhooks", &object["webhooks"], "a list of webhooks"))?;
    let read = |(index, hook): (usize, &Value)| read_hook(&format!("/webhooks/{index}"), hook);
    hooks.iter().enumerate().map(read).collect()
}

fn refused(field: &str, value: &Value, accepted: &'static str) -> RegistrationError {
    RegistrationError::Value {
        field: field.to_owned(),
        value: value.to_string(),
        accepted,
    }
}

fn read_hook(path: &str, hook: &Value) -> Result<Hook, RegistrationError> {
    let field = |name: &str| format!("{path}/{name}");
    let fails_closed = match hook["failurePolicy"].as_str() {
        Some("Fail") => true,
        Some("Ignore") => false,
        None if hook["failurePolicy"].is_null() => true,
        _ => {
            let value = &hook["failurePolicy"];
            return Err(refused(&field("failurePolicy"), value, "Fail or Ignore"));
        }
    };
    if hook["matchConditions"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
    {
        let accepted = "empty here: only a real API server evaluates them";
        return Err(refused(
            &field("matchConditions"),
            &hook["matchConditions"],
            accepted,
        ));
    }
    let url = address(&hook["clientConfig"]).ok_or_else(|| {
        refused(
            &field("clientConfig"),
            &hook["clientConfig"],
            "one with a url https://… or a service",
        )
    })?;
    let bundle = hook["clientConfig"]["caBundle"]
        .as_str()
        .unwrap_or_default();
    let authority_pem = STANDARD.decode(bundle).map_err(|_| {
        let value = &hook["clientConfig"]["caBundle"];
        refused(&field("clientConfig/caBundle"), value, "base64 of PEM")
    })?;
    for name in ["namespaceSelector", "objectSelector"] {
        check_selector(&field(name), &hook[name])?;
    }
    Ok(Hook {
        name: hook["name"].as_str().unwrap_or_default().to_owned(),
        url,
        authority_pem,
        fails_closed,
        namespaces: hook["namespaceSelector"].clone(),
        objects: hook["objectSelector"].clone(),
        rules: hook["rules"].clone(),
    })
}

/// Where a webhook is: at a URL, or behind a Service.
fn address(config: &Value) -> Option<String> {
    if let Some(url) = config["url"].as_str() {
        return url.starts_with("https://").then(|| url.to_owned());
    }
    let service = &config["service"];
    let (name, namespace) = (service["name"].as_str()?, service["namespace"].as_str()?);
    let path = service["path"].as_str().unwrap_or_default();
    Some(format!("https://{name}.{namespace}.svc:443{path}"))
}

fn check_selector(path: &str, selector: &Value) -> Result<(), RegistrationError> {
    let expressions = selector["matchExpressions"].as_array();
    for (index, one) in expressions.into_iter().flatten().enumerate() {
        let values = one["values"]
            .as_array()
            .is_some_and(|list| !list.is_empty());
        let field = format!("{path}/matchExpressions/{index}");
        match one["operator"].as_str() {
            Some("In" | "NotIn") if values => {}
            Some("Exists" | "DoesNotExist") if !values => {}
            Some("In" | "NotIn") => {
                return Err(refused(&field, one, "In or NotIn with values"));
            }
            Some("Exists" | "DoesNotExist") => {
                return Err(refused(
                    &field,
                    one,
                    "Exists or DoesNotExist without values",
                ));
            }
            _ => {
                let accepted = "one with operator In, NotIn, Exists or DoesNotExist";
                return Err(refused(&field, one, accepted));
            }
        }
    }
    Ok(())
}

impl Hook {
    /// Whether an API server asks it about the creation of `object` in a namespace with these labels.
    #[must_use]
    pub fn asks_about(&self, object: &Value, namespace: &BTreeMap<String, String>) -> bool {
        let labels = object["metadata"]["labels"]
            .as_object()
            .into_iter()
            .flatten();
        let own = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
        self.is_for(object)
            && selects(&self.namespaces, namespace)
            && selects(&self.objects, &own.collect())
    }

    fn is_for(&self, object: &Value) -> bool {
        let api_version = object["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = object["kind"].as_str().unwrap_or_default();
        let resource = format!("{}s", kind.to_lowercase());
        let has = |list: &Value, wanted: &str| {
            let mut entries = list.as_array().into_iter().flatten();
            entries.any(|entry| entry == wanted || entry == "*" || entry == "*/*")
        };
        let mut rules = self.rules.as_array().into_iter().flatten();
        rules.any(|rule| {
            has(&rule["operations"], "CREATE")
                && has(&rule["apiGroups"], group)
                && has(&rule["apiVersions"], version)
                && has(&rule["resources"], &resource)
                && rule["scope"] != "Cluster"
        })
    }
}

/// Whether a label selector selects these labels. None, and an empty one, select everything.
fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let mut equal = equal.map(|(key, value)| labels.get(key).is_some_and(|have| value == have));
    let expressions = selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten();
    let mut expressions = expressions.map(|one| {
        let have = labels.get(one["key"].as_str().unwrap_or_default());
        let listed = one["values"].as_array().is_some_and(|values| {
            have.is_some_and(|have| values.iter().any(|value| value == have))
        });
        match one["operator"].as_str() {
            Some("In") => listed,
            Some("NotIn") => !listed,
            Some("Exists") => have.is_some(),
            _ => have.is_none(),
        }
    });
    equal.all(|selected| selected) && expressions.all(|selected| selected)
}

/// Puts `value` at a JSON pointer of a registration, or takes away what is there. What is on the way is made.
///
/// # Errors
/// When the pointer leads through a list to a place that is not there.
pub fn patch(
    object: &mut Value,
    pointer: &str,
    value: Option<&Value>,
) -> Result<(), RegistrationError> {
    let nowhere = || RegistrationError::NoPlace {
        pointer: pointer.to_owned(),
    };
    let (parent, last) = pointer.rsplit_once('/').ok_or_else(nowhere)?;
    let mut place = object;
    for name in parent.split('/').skip(1) {
        place = match place {
            Value::Array(list) => {
                let index: usize = name.parse().map_err(|_| nowhere())?;
                list.get_mut(index).ok_or_else(nowhere)?
            }
            Value::Object(map) => map.entry(unescaped(name)).or_insert_with(|| json!({})),
            _ => return Err(nowhere()),
        };
    }
    let map = place.as_object_mut().ok_or_else(nowhere)?;
    match value {
        Some(value) => {
            map.insert(unescaped(last), value.clone());
        }
        None => {
            map.remove(&unescaped(last));
        }
    }
    Ok(())
}

/// A part of a JSON pointer, RFC 6901 §4.
fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::{patch, read_registration};

    fn registration(selector: &Value) -> Value {
        json!({"webhooks": [{
            "name": "w", "failurePolicy": "Fail", "namespaceSelector": selector,
            "clientConfig": {"url": "https://localhost:1/validations"},
            "rules": [{
                "operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"],
                "resources": ["pods", "pods/ephemeralcontainers"],
            }],
        }]})
    }

    fn asks(selector: &Value, namespace: &str) -> bool {
        let hooks = read_registration(&registration(selector)).expect("a registration");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}});
        let name = (
            "kubernetes.io/metadata.name".to_owned(),
            namespace.to_owned(),
        );
        hooks[0].asks_about(&pod, &BTreeMap::from([name]))
    }

    #[test]
    fn selectors_mean_what_they_mean_to_an_api_server() {
        let expression = |key: &str, operator: &str, values: &[&str]| {
            let one = if values.is_empty() {
                json!({"key": key, "operator": operator})
            } else {
                json!({"key": key, "operator": operator, "values": values})
            };
            json!({"matchExpressions": [one]})
        };
        let name = "kubernetes.io/metadata.name";
        for (selector, asked) in [
            (Value::Null, true),
            (json!({}), true),
            (json!({"matchLabels": {name: "default"}}), true),
            (json!({"matchLabels": {name: "other"}}), false),
            (expression(name, "In", &["default", "x"]), true),
            (expression(name, "NotIn", &["default", "x"]), false),
            (expression(name, "NotIn", &["x"]), true),
            (expression("absent", "NotIn", &["x"]), true),
            (expression("absent", "DoesNotExist", &[]), true),
            (expression("absent", "Exists", &[]), false),
        ] {
            assert_eq!(asks(&selector, "default"), asked, "{selector}");
        }
    }

    #[test]
    fn only_what_the_rules_name_is_asked_about() {
        let hooks = read_registration(&registration(&Value::Null)).expect("a registration");
        let labels = BTreeMap::new();
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
        assert!(!hooks[0].asks_about(&deployment, &labels));
    }

    #[test]
    fn what_an_api_server_refuses_is_refused() {
        for (pointer, value, part) in [
            (
                "/webhooks/0/failurePolicy",
                json!("ignore"),
                "Fail or Ignore",
            ),
            (
                "/webhooks/0/clientConfig/url",
                json!("http://x"),
                "https://",
            ),
            (
                "/webhooks/0/namespaceSelector",
                json!({"matchExpressions": [{"key": "k", "operator": "NotIn"}]}),
                "with values",
            ),
            (
                "/webhooks/0/namespaceSelector",
                json!({"matchExpressions": [{"key": "k", "operator": "Not"}]}),
                "operator In",
            ),
            ("/webhooks", json!("none"), "a list"),
        ] {
            let mut object = registration(&Value::Null);
            patch(&mut object, pointer, Some(&value)).expect("a place");
            let error = read_registration(&object).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn patches_make_their_way_and_take_away() {
        let mut object = registration(&Value::Null);
        let value = json!("x");
        patch(&mut object, "/webhooks/0/a~1b/c", Some(&value)).expect("a place");
        assert_eq!(object["webhooks"][0]["a/b"]["c"], "x");
        patch(&mut object, "/webhooks/0/namespaceSelector", None).expect("a place");
        assert!(object["webhooks"][0].get("namespaceSelector").is_none());
        assert!(patch(&mut object, "/webhooks/7/name", Some(&value)).is_err());
    }
}
