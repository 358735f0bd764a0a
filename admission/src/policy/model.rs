//! The fields of ClusterImagePolicy (v1alpha1 and v1beta1 have the same), written as upstream writes them.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::go_url_error;

/// A whole object.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "S: Default + Deserialize<'de>")
)]
pub(crate) struct Document<S> {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) api_version: String,
    #[serde(default = "empty_object")]
    pub(crate) metadata: Value,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) spec: S,
    #[serde(default = "empty_object", deserialize_with = "object")]
    pub(crate) status: Value,
}

pub(crate) type ClusterImagePolicy = Document<Spec>;

impl<S> Document<S> {
    pub(crate) fn name(&self) -> &str {
        self.metadata
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    #[serde(default)]
    pub(crate) images: Option<Vec<ImagePattern>>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) authorities: Vec<Authority>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Policy>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) mode: String,
    #[serde(
        rename = "match",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) matches: Vec<MatchResource>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct ImagePattern {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) glob: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Authority {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keyless: Option<Keyless>,
    #[serde(rename = "static", default, skip_serializing_if = "Option::is_none")]
    pub(crate) fixed: Option<Static>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) source: Vec<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ctlog: Option<TransparencyLog>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) attestations: Vec<Attestation>,
    #[serde(
        rename = "rfc3161timestamp",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) rfc3161_timestamp: Option<Timestamp>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) signature_format: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyRef {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret_ref: Option<SecretRef>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) data: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) kms: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) hash_algorithm: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct SecretRef {
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) name: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) namespace: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Keyless {
    #[serde(
        default,
        deserialize_with = "url",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) url: Option<String>,
    #[serde(default)]
    pub(crate) identities: Option<Vec<Identity>>,
    #[serde(rename = "ca-cert", default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_cert: Option<KeyRef>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) trust_root_ref: String,
    #[serde(
        rename = "insecureIgnoreSCT",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) insecure_ignore_sct: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Identity {
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) issuer: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) subject: String,
    #[serde(
        rename = "issuerRegExp",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) issuer_regexp: String,
    #[serde(
        rename = "subjectRegExp",
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) subject_regexp: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Static {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) action: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) message: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Source {
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) oci: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) signature_pull_secrets: Vec<SecretName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag_prefix: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct SecretName {
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) name: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TransparencyLog {
    #[serde(
        default,
        deserialize_with = "url",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) url: Option<String>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) trust_root_ref: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timestamp {
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) trust_root_ref: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attestation {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) predicate_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Policy>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Policy {
    #[serde(rename = "type", default, deserialize_with = "null_is_default")]
    pub(crate) kind: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) data: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remote: Option<Remote>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) config_map_ref: Option<ConfigMapRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fetch_config_file: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) include_spec: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) include_object_meta: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) include_type_meta: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Remote {
    #[serde(default, deserialize_with = "required_url")]
    pub(crate) url: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) sha256sum: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct ConfigMapRef {
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) name: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) namespace: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) key: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct MatchResource {
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) group: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) version: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub(crate) resource: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LabelSelector {
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) match_labels: BTreeMap<String, String>,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) match_expressions: Vec<LabelRequirement>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct LabelRequirement {
    #[serde(default)]
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) operator: String,
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(crate) values: Vec<String>,
}

/// Decodes as Go's decoder does with unknown fields disallowed.
///
/// # Errors
/// Go's text, as near as a type error allows.
pub(crate) fn decode_strictly<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let mut unknown = None;
    let decoded = serde_ignored::deserialize(value, |path| {
        if unknown.is_none() {
            unknown = Some(last_segment(&path));
        }
    });
    match unknown {
        Some(field) => Err(format!("json: unknown field \"{field}\"")),
        None => decoded.map_err(|error: serde_json::Error| go_text(&error.to_string())),
    }
}

/// Decodes and drops what is unknown.
///
/// # Errors
/// As [`decode_strictly`].
pub(crate) fn decode_leniently<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    T::deserialize(value).map_err(|error| go_text(&error.to_string()))
}

fn last_segment(path: &serde_ignored::Path<'_>) -> String {
    match path {
        serde_ignored::Path::Map { key, .. } => key.clone(),
        serde_ignored::Path::Some { parent }
        | serde_ignored::Path::NewtypeStruct { parent }
        | serde_ignored::Path::NewtypeVariant { parent }
        | serde_ignored::Path::Seq { parent, .. } => last_segment(parent),
        serde_ignored::Path::Root => String::new(),
    }
}

fn go_text(text: &str) -> String {
    text.strip_prefix(URL_MARK)
        .map_or_else(|| format!("json: {text}"), str::to_owned)
}

/// Sets a URL's error, which Go gives bare, apart from those of the decoder.
const URL_MARK: &str = "\u{1}";

fn check_url<E: serde::de::Error>(text: &str) -> Result<(), E> {
    match go_url_error(text) {
        Some(error) => Err(E::custom(format!("{URL_MARK}{error}"))),
        None => Ok(()),
    }
}

fn url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let url = Option::<String>::deserialize(deserializer)?;
    url.as_deref().map_or(Ok(()), check_url)?;
    Ok(url)
}

fn required_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(url(deserializer)?.unwrap_or_default())
}

/// Go reads `null` as the zero value.
pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn empty_object() -> Value {
    Value::Object(serde_json::Map::new())
}

fn object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    Ok(Option::<Value>::deserialize(deserializer)?.unwrap_or_else(empty_object))
}
