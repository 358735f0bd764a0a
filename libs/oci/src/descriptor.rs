//! Content descriptors, image-spec "OCI Content Descriptors".

use std::collections::BTreeMap;

use oci_spec::image::Platform;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Digest;

/// A descriptor. Fields that this crate does not know are kept and written back.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// Media type of the content.
    pub media_type: String,
    /// Digest of the content.
    pub digest: Digest,
    /// Bytes of the content.
    pub size: u64,
    /// Type of the artifact, when the content is an artifact's manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// `platform`, `urls`, `data` and everything else, as written.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// A descriptor with the three required fields.
    #[must_use]
    pub fn new(media_type: impl Into<String>, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.into(),
            digest,
            size,
            artifact_type: None,
            annotations: None,
            other: Map::new(),
        }
    }

    /// One annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// `platform`, if it is there and well formed.
    #[must_use]
    pub fn platform(&self) -> Option<Platform> {
        Platform::deserialize(self.other.get("platform")?).ok()
    }

    /// Whether the content may be absent: a non-distributable type, or `urls` that name another
    /// place.
    #[must_use]
    pub fn may_be_absent(&self) -> bool {
        let has_urls = self
            .other
            .get("urls")
            .and_then(Value::as_array)
            .is_some_and(|u| !u.is_empty());
        has_urls || crate::media_type::is_non_distributable(&self.media_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_survive() {
        let text = r#"{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"platform":{"architecture":"arm64","os":"linux","x":1},"new":[1]}"#;
        let descriptor: Descriptor = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&descriptor).unwrap(), text);
        assert_eq!(
            descriptor.platform().unwrap().architecture().to_string(),
            "arm64"
        );
    }

    #[test]
    fn foreign_content_may_be_absent() {
        let digest = Digest::of(crate::Algorithm::Sha256, b"");
        let mut descriptor = Descriptor::new("a/b", digest, 0);
        assert!(!descriptor.may_be_absent());
        descriptor
            .other
            .insert("urls".into(), serde_json::json!([]));
        assert!(!descriptor.may_be_absent());
        descriptor
            .other
            .insert("urls".into(), serde_json::json!(["https://example.test"]));
        assert!(descriptor.may_be_absent());
    }
}
