//! Manifests that are accepted and refused, and by which rule.

use serde_json::{Value, json};

use super::*;

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

fn descriptor(media_type: &str) -> Value {
    json!({"mediaType": media_type, "digest": DIGEST, "size": 2})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": media_type::IMAGE_MANIFEST,
        "config": descriptor(media_type::IMAGE_CONFIG),
        "layers": [],
    })
}

fn index() -> Value {
    json!({"schemaVersion": 2, "mediaType": media_type::IMAGE_INDEX, "manifests": []})
}

fn with(mut manifest: Value, field: &str, value: Value) -> Value {
    manifest[field] = value;
    manifest
}

fn parse(manifest: &Value, content_type: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(
        manifest.to_string().as_bytes(),
        Some(content_type),
        Opaque::Refuse,
    )
}

#[test]
fn parameters_of_the_content_type_are_ignored() {
    let manifest = parse(
        &image(),
        "application/vnd.oci.image.manifest.v1+json; charset=utf-8",
    );
    assert_eq!(manifest.unwrap().media_type(), media_type::IMAGE_MANIFEST);
}

#[test]
fn missing_media_type_is_inferred_from_the_body() {
    let mut bare = image();
    bare.as_object_mut().unwrap().remove("mediaType");
    assert_eq!(parse(&bare, "").unwrap().kind(), ManifestKind::Image);
    let mut bare = index();
    bare.as_object_mut().unwrap().remove("mediaType");
    assert_eq!(parse(&bare, "").unwrap().kind(), ManifestKind::Index);
    let nothing = json!({"schemaVersion": 2});
    assert!(matches!(
        parse(&nothing, ""),
        Err(ManifestError::UnknownMediaType)
    ));
}

#[test]
fn media_type_and_content_type_must_agree() {
    let error = parse(&image(), media_type::IMAGE_INDEX).unwrap_err();
    assert!(
        matches!(error, ManifestError::MediaTypeMismatch { .. }),
        "{error}"
    );
}

#[test]
fn schema_one_is_refused() {
    let schema1 = with(image(), "schemaVersion", json!(1));
    assert!(matches!(
        parse(&schema1, media_type::IMAGE_MANIFEST),
        Err(ManifestError::SchemaVersion)
    ));
    let prettyjws = "application/vnd.docker.distribution.manifest.v1+json";
    let body = json!({"schemaVersion": 2}).to_string();
    let error = Manifest::parse(body.as_bytes(), Some(prettyjws), Opaque::Accept).unwrap_err();
    assert!(
        matches!(error, ManifestError::UnsupportedMediaType { .. }),
        "{error}"
    );
}

#[test]
fn one_kind_with_the_fields_of_the_other_is_refused() {
    let cases = [
        (
            with(image(), "manifests", json!([])),
            media_type::IMAGE_MANIFEST,
        ),
        (with(index(), "layers", json!([])), media_type::IMAGE_INDEX),
        (
            with(index(), "config", descriptor(media_type::EMPTY)),
            media_type::IMAGE_INDEX,
        ),
        (with(index(), "layers", json!([])), media_type::IMAGE_INDEX),
    ];
    for (manifest, content_type) in cases {
        let error = parse(&manifest, content_type).unwrap_err();
        assert!(
            matches!(error, ManifestError::ForeignField { .. }),
            "{error}"
        );
    }
}

#[test]
fn descriptors_need_a_digest_and_a_size() {
    let bad = with(
        image(),
        "layers",
        json!([{"mediaType": "a/b", "digest": "md5:00", "size": 1}]),
    );
    let error = parse(&bad, media_type::IMAGE_MANIFEST).unwrap_err();
    assert!(
        matches!(error, ManifestError::DescriptorDigest(_)),
        "{error}"
    );
    let bad = with(
        image(),
        "layers",
        json!([{"mediaType": "a/b", "digest": DIGEST, "size": -1}]),
    );
    let error = parse(&bad, media_type::IMAGE_MANIFEST).unwrap_err();
    assert!(matches!(error, ManifestError::DescriptorSize), "{error}");
}

#[test]
fn artifact_type_falls_back_to_the_config_of_an_image_only() {
    let plain = parse(&image(), media_type::IMAGE_MANIFEST).unwrap();
    assert_eq!(plain.artifact_type(), Some(media_type::IMAGE_CONFIG));
    let typed = with(image(), "artifactType", json!("a/b"));
    assert_eq!(
        parse(&typed, media_type::IMAGE_MANIFEST)
            .unwrap()
            .artifact_type(),
        Some("a/b")
    );
    assert_eq!(
        parse(&index(), media_type::IMAGE_INDEX)
            .unwrap()
            .artifact_type(),
        None
    );
}

#[test]
fn deep_json_is_refused_without_a_stack_overflow() {
    let deep = format!(
        r#"{{"schemaVersion":2,"x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let error = Manifest::parse(deep.as_bytes(), None, Opaque::Accept).unwrap_err();
    assert!(matches!(error, ManifestError::TooDeep { .. }), "{error}");
    let brackets = with(image(), "annotations", json!({"a": "[\"{".repeat(200)}));
    assert!(parse(&brackets, media_type::IMAGE_MANIFEST).is_ok());
    for text in ["", "[]", "null", "{", "\u{feff}{}"] {
        let error = Manifest::parse(text.as_bytes(), None, Opaque::Accept).unwrap_err();
        assert!(matches!(error, ManifestError::Json(_)), "{text}: {error}");
    }
}

#[test]
fn other_json_is_accepted_only_as_opaque() {
    let body = json!({"anything": [1, 2]}).to_string();
    let parse = |content_type, opaque| Manifest::parse(body.as_bytes(), Some(content_type), opaque);
    let helm = "application/vnd.example.thing.v1+json";
    assert_eq!(
        parse(helm, Opaque::Accept).unwrap().kind(),
        ManifestKind::Opaque
    );
    assert!(parse(helm, Opaque::Refuse).is_err());
    assert!(parse("text/plain", Opaque::Accept).is_err());
}
