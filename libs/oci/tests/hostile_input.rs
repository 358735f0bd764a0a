//! Arbitrary input is read or refused, and what is read is safe to make a path of.

use std::path::{Component, Path};

use oci::{Digest, ImageReference, Manifest, Opaque, Reference, RepositoryName, Tag};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

fn is_safe(path: &str) -> bool {
    Path::new(path)
        .components()
        .all(|part| matches!(part, Component::Normal(_)))
        && !path
            .split('/')
            .any(|part| part.is_empty() || part.starts_with(['.', '-']))
}

proptest! {
    #[test]
    fn names_that_are_read_are_safe_paths(text in "[a-z0-9._/%\\-]{1,12}") {
        if let Ok(name) = text.parse::<RepositoryName>() {
            prop_assert!(is_safe(name.as_str()) && !name.as_str().contains("/_"));
            prop_assert_eq!(name.as_str(), text);
        }
    }

    #[test]
    fn tags_that_are_read_are_safe_file_names(text in "[a-zA-Z0-9._/\\-]{1,8}") {
        if let Ok(tag) = text.parse::<Tag>() {
            prop_assert!(is_safe(tag.as_str()) && !tag.as_str().contains('/'));
        }
    }

    #[test]
    fn anything_is_read_or_refused(text in any::<String>()) {
        let _ = text.parse::<RepositoryName>();
        let _ = text.parse::<Tag>();
        let _ = text.parse::<Reference>();
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text.clone());
        }
        if let Ok(reference) = text.parse::<ImageReference>() {
            prop_assert_eq!(reference.to_string().parse::<ImageReference>().map(|r| r.to_string()),
                Ok(reference.to_string()));
        }
    }

    #[test]
    fn references_survive_being_written(text in "[a-z0-9.:/@\\[\\]-]{1,20}") {
        if let Ok(reference) = text.parse::<ImageReference>() {
            let written = reference.to_string();
            let read = written.parse::<ImageReference>().map(|read| read.to_string());
            prop_assert_eq!(read, Ok(written));
        }
    }

    #[test]
    fn any_bytes_are_a_manifest_or_refused(bytes in any::<Vec<u8>>()) {
        for opaque in [Opaque::Accept, Opaque::Refuse] {
            let _ = Manifest::parse(&bytes, None, opaque);
        }
    }

    #[test]
    fn any_json_is_a_manifest_or_refused(
        text in r#"\{("(schemaVersion|mediaType|config|layers|manifests|subject)":(2|\[\]|\{\}|null|"x"|-1),?){0,4}\}"#
    ) {
        let _ = Manifest::parse(text.as_bytes(), None, Opaque::Accept);
    }
}
