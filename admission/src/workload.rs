//! The objects that carry a Pod spec: where their images are, and what policies look at.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::policy::Subject;

/// One of the kinds that are decided.
#[derive(Debug)]
pub(crate) struct Kind {
    group: &'static str,
    version: &'static str,
    name: &'static str,
    resource: &'static str,
    /// Steps from the object to its Pod spec.
    pod_spec: &'static [&'static str],
    /// Whether a smaller `spec.replicas` skips the decision.
    scales: bool,
    /// Fields of `spec` that a policy with `includeSpec` sees; empty for all.
    spec_fields: &'static [&'static str],
}

const TEMPLATE: &[&str] = &["spec", "template", "spec"];
const JOB_TEMPLATE: &[&str] = &["spec", "jobTemplate", "spec", "template", "spec"];
const SCALED: &[&str] = &["replicas", "selector", "template"];

const fn kind(
    group: &'static str,
    version: &'static str,
    name: &'static str,
    resource: &'static str,
) -> Kind {
    Kind {
        group,
        version,
        name,
        resource,
        pod_spec: TEMPLATE,
        scales: false,
        spec_fields: &["template"],
    }
}

static KINDS: [Kind; 8] = [
    Kind {
        pod_spec: &["spec"],
        spec_fields: &[],
        ..kind("", "v1", "Pod", "pods")
    },
    Kind {
        scales: true,
        spec_fields: SCALED,
        ..kind("apps", "v1", "Deployment", "deployments")
    },
    Kind {
        scales: true,
        spec_fields: SCALED,
        ..kind("apps", "v1", "ReplicaSet", "replicasets")
    },
    Kind {
        scales: true,
        spec_fields: SCALED,
        ..kind("apps", "v1", "StatefulSet", "statefulsets")
    },
    kind("apps", "v1", "DaemonSet", "daemonsets"),
    kind("batch", "v1", "Job", "jobs"),
    Kind {
        pod_spec: JOB_TEMPLATE,
        spec_fields: &[],
        ..kind("batch", "v1", "CronJob", "cronjobs")
    },
    Kind {
        pod_spec: JOB_TEMPLATE,
        spec_fields: &[],
        ..kind("batch", "v1beta1", "CronJob", "cronjobs")
    },
];

impl Kind {
    /// The kind of that group, version and name, if it is decided.
    pub(crate) fn find(group: &str, version: &str, name: &str) -> Option<&'static Self> {
        KINDS
            .iter()
            .find(|kind| kind.group == group && kind.version == version && kind.name == name)
    }
}

/// One use of an image.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ImageUse {
    /// As written.
    pub(crate) image: String,
    /// Field path for messages.
    pub(crate) path: String,
    /// JSON pointer (RFC 6901) to the string.
    pub(crate) pointer: String,
}

/// A decoded object.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) kind: &'static Kind,
    object: Value,
    pub(crate) images: Vec<ImageUse>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Names in the Pod spec's `imagePullSecrets`.
    pub(crate) pull_secrets: Vec<String>,
    /// The Pod spec's service account.
    pub(crate) service_account: String,
}

impl Workload {
    /// Decodes as far as a decision looks.
    ///
    /// # Errors
    /// Go's text for the first field of a wrong type.
    pub(crate) fn decode(kind: &'static Kind, object: &Value) -> Result<Self, String> {
        expect(object, "object", || {
            format!("Go value of type v1.{}", kind.name)
        })?;
        let metadata = field(object, "metadata", "object", || {
            format!(
                "Go struct field {}.metadata of type v1.ObjectMeta",
                kind.name
            )
        })?;
        let labels = labels(metadata)?;
        let mut pod_spec = Some(object);
        let mut path = String::new();
        for step in kind.pod_spec {
            let parent = pod_spec;
            path = if path.is_empty() {
                (*step).to_owned()
            } else {
                format!("{path}.{step}")
            };
            pod_spec = match parent {
                None => None,
                Some(parent) => {
                    let of_type = || format!("Go struct field .{path} of type v1.{step}");
                    field(parent, step, "object", of_type)?
                }
            };
        }
        let mut images = Vec::new();
        let mut pull_secrets = Vec::new();
        let mut service_account = "default".to_owned();
        if let Some(spec) = pod_spec {
            images = image_uses(spec, &path)?;
            pull_secrets = list(spec, "imagePullSecrets", &path, "LocalObjectReference")?
                .iter()
                .filter_map(|secret| secret.get("name")?.as_str().map(str::to_owned))
                .collect();
            let account = ["serviceAccountName", "serviceAccount"]
                .iter()
                .find_map(|name| spec.get(name)?.as_str().filter(|name| !name.is_empty()));
            if let Some(account) = account {
                account.clone_into(&mut service_account);
            }
        }
        Ok(Self {
            kind,
            object: object.clone(),
            images,
            labels,
            pull_secrets,
            service_account,
        })
    }

    /// Whether the object is on its way out.
    pub(crate) fn is_being_deleted(&self) -> bool {
        self.object
            .pointer("/metadata/deletionTimestamp")
            .is_some_and(|time| !time.is_null())
    }

    /// Whether this update of `old` only asks for fewer replicas.
    // Divergence: upstream skips the decision also when images changed with the replicas.
    pub(crate) fn only_scales_down(&self, old: Option<&Self>) -> bool {
        let replicas = |workload: &Self| {
            workload
                .object
                .pointer("/spec/replicas")
                .and_then(Value::as_i64)
                .unwrap_or(1)
        };
        old.is_some_and(|old| {
            self.kind.scales && replicas(self) < replicas(old) && self.images == old.images
        })
    }

    /// What `match` looks at. Group and version are the object's own.
    pub(crate) fn subject(&self) -> Subject {
        let api_version = self.object.get("apiVersion").and_then(Value::as_str);
        let (group, version) = match api_version {
            Some(text) => text.split_once('/').unwrap_or(("", text)),
            None => (self.kind.group, self.kind.version),
        };
        Subject {
            group: group.to_owned(),
            version: version.to_owned(),
            resource: self.kind.resource,
            labels: self.labels.clone(),
        }
    }

    /// `metadata` for policies.
    pub(crate) fn metadata(&self) -> Value {
        self.object.get("metadata").cloned().unwrap_or_default()
    }

    /// `spec` for policies: the fields that upstream's typed object keeps.
    pub(crate) fn spec(&self) -> Value {
        let spec = self.object.get("spec").cloned().unwrap_or_default();
        let keep = self.kind.spec_fields;
        match spec {
            Value::Object(fields) if !keep.is_empty() => fields
                .into_iter()
                .filter(|(name, _)| keep.contains(&name.as_str()))
                .collect(),
            whole => whole,
        }
    }

    /// `kind` and `apiVersion` for policies.
    pub(crate) fn type_meta(&self) -> Value {
        let subject = self.subject();
        let api_version = if subject.group.is_empty() {
            subject.version
        } else {
            format!("{}/{}", subject.group, subject.version)
        };
        serde_json::json!({"kind": self.kind.name, "apiVersion": api_version})
    }
}

fn image_uses(spec: &Value, path: &str) -> Result<Vec<ImageUse>, String> {
    let pointer = format!("/{}", path.replace('.', "/"));
    let mut uses = Vec::new();
    for (name, of_type) in [
        ("initContainers", "Container"),
        ("containers", "Container"),
        ("ephemeralContainers", "EphemeralContainer"),
    ] {
        for (index, container) in list(spec, name, path, of_type)?.iter().enumerate() {
            let image = match container.get("image") {
                None | Some(Value::Null) => "",
                Some(Value::String(image)) => image,
                Some(other) => {
                    return Err(mismatch(other, || {
                        format!("Go struct field {of_type}.{path}.{name}.image of type string")
                    }));
                }
            };
            uses.push(ImageUse {
                image: image.to_owned(),
                path: format!("{path}.{name}[{index}].image"),
                pointer: format!("{pointer}/{name}/{index}/image"),
            });
        }
    }
    for (index, volume) in list(spec, "volumes", path, "Volume")?.iter().enumerate() {
        let image = field(volume, "image", "object", || {
            format!("Go struct field Volume.{path}.volumes.image of type v1.ImageVolumeSource")
        })?;
        let Some(image) = image else { continue };
        let reference = match image.get("reference") {
            None | Some(Value::Null) => "",
            Some(Value::String(reference)) => reference,
            Some(other) => {
                return Err(mismatch(other, || {
                    format!(
                        "Go struct field ImageVolumeSource.{path}.volumes.image.reference of type \
                         string"
                    )
                }));
            }
        };
        uses.push(ImageUse {
            image: reference.to_owned(),
            path: format!("{path}.volumes[{index}].image"),
            pointer: format!("{pointer}/volumes/{index}/image/reference"),
        });
    }
    Ok(uses)
}

fn labels(metadata: Option<&Value>) -> Result<BTreeMap<String, String>, String> {
    let Some(metadata) = metadata else {
        return Ok(BTreeMap::new());
    };
    let of_type =
        || "Go struct field ObjectMeta.metadata.labels of type map[string]string".to_owned();
    let Some(labels) = field(metadata, "labels", "object", of_type)? else {
        return Ok(BTreeMap::new());
    };
    let text = || "Go struct field ObjectMeta.metadata.labels of type string".to_owned();
    labels
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| match value {
            Value::String(value) => Ok((key.clone(), value.clone())),
            other => Err(mismatch(other, text)),
        })
        .collect()
}

fn list<'a>(spec: &'a Value, name: &str, path: &str, of_type: &str) -> Result<&'a [Value], String> {
    let wanted = || format!("Go struct field PodSpec.{path}.{name} of type []v1.{of_type}");
    let Some(list) = field(spec, name, "array", wanted)? else {
        return Ok(&[]);
    };
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    for element in list.iter().filter(|element| !element.is_null()) {
        expect(element, "object", || {
            format!("Go struct field PodSpec.{path}.{name} of type v1.{of_type}")
        })?;
    }
    Ok(list)
}

/// The field, absent when it is missing or null.
fn field<'a>(
    value: &'a Value,
    name: &str,
    shape: &str,
    wanted: impl FnOnce() -> String,
) -> Result<Option<&'a Value>, String> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(field) => expect(field, shape, wanted).map(|()| Some(field)),
    }
}

fn expect(value: &Value, shape: &str, wanted: impl FnOnce() -> String) -> Result<(), String> {
    if go_shape(value) == shape {
        Ok(())
    } else {
        Err(mismatch(value, wanted))
    }
}

fn mismatch(value: &Value, wanted: impl FnOnce() -> String) -> String {
    format!(
        "json: cannot unmarshal {} into {}",
        go_shape(value),
        wanted()
    )
}

const fn go_shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
