//! AdmissionReview v1 and ConversionReview v1 as the API server sends and reads them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::policy::null_is_default;

/// The envelope of a request.
#[derive(Debug, Deserialize)]
pub(crate) struct Review<R> {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) kind: String,
    #[serde(rename = "apiVersion", default, deserialize_with = "null_is_default")]
    pub(crate) api_version: String,
    pub(crate) request: Option<R>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct GroupVersionKind {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) group: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) kind: String,
}

/// One object to be admitted.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Request {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) uid: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) kind: GroupVersionKind,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) sub_resource: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) namespace: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) operation: String,
    #[serde(default)]
    pub(crate) object: Value,
    #[serde(default)]
    pub(crate) old_object: Value,
}

impl Request {
    /// Whether the operation is one that is decided.
    pub(crate) fn is_decided(&self) -> bool {
        matches!(self.operation.as_str(), "CREATE" | "UPDATE")
    }

    /// The request that creating `object` would make.
    pub(crate) fn creating(object: &Value) -> Self {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let api_version = text("/apiVersion");
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        Self {
            uid: String::new(),
            kind: GroupVersionKind {
                group: group.to_owned(),
                version: version.to_owned(),
                kind: text("/kind"),
            },
            sub_resource: String::new(),
            name: text("/metadata/name"),
            namespace: text("/metadata/namespace"),
            operation: "CREATE".to_owned(),
            object: object.clone(),
            old_object: Value::Null,
        }
    }

    /// Go's text of the kind.
    pub(crate) fn kind_text(&self) -> String {
        format!(
            "{}/{}, Kind={}",
            self.kind.group, self.kind.version, self.kind.kind
        )
    }
}

/// Objects to be converted.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Conversion {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) uid: String,
    #[serde(
        rename = "desiredAPIVersion",
        default,
        deserialize_with = "null_is_default"
    )]
    pub(crate) desired_api_version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) objects: Vec<Value>,
}

/// The answer to a request.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The text of a denial.
    pub(crate) denial: Option<String>,
    pub(crate) warnings: Vec<String>,
    /// JSON Patch: absent, or `null` when nothing changes.
    pub(crate) patch: Option<Value>,
}

impl Answer {
    pub(crate) fn denied(message: String) -> Self {
        Self {
            denial: Some(message),
            ..Self::default()
        }
    }

    /// The whole reply.
    pub(crate) fn reply(&self, review: &Review<Request>, uid: &str) -> Value {
        let mut response = json!({"uid": uid, "allowed": self.denial.is_none()});
        if let Some(message) = &self.denial {
            response["status"] = json!({
                "metadata": {}, "status": "Failure", "message": message,
                "reason": "BadRequest", "code": 400,
            });
        }
        if let Some(patch) = &self.patch {
            use base64::Engine as _;
            let encoded = base64::engine::general_purpose::STANDARD.encode(patch.to_string());
            response["patch"] = json!(encoded);
            response["patchType"] = json!("JSONPatch");
        }
        if !self.warnings.is_empty() {
            response["warnings"] = json!(self.warnings);
        }
        json!({"kind": review.kind, "apiVersion": review.api_version, "response": response})
    }
}
