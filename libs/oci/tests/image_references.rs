//! References against the reading of go-containerregistry, which signing clients use.

use oci::ImageReference;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    input: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    registry: String,
    #[serde(default)]
    repository: String,
    #[serde(default)]
    identifier: String,
    #[serde(default)]
    scheme: String,
}

/// What go-containerregistry takes and we do not: names that no registry takes.
const STRICTER: &[&str] = &[
    "a/b:-x",
    "a/b:.x",
    "h.test//a",
    "h.test/a..b",
    "h.test/a___b",
    "h.test/-a",
    "h.test/a-",
    "/a",
    "a/",
    "user:pass@h.test/a",
];

#[test]
fn references_are_read_as_go_containerregistry_reads_them() {
    let vectors = include_str!("vectors/image_references.json");
    let vectors: Vec<Vector> = serde_json::from_str(vectors).unwrap();
    let mut accepted = 0;
    for vector in &vectors {
        let input = vector.input.as_str();
        let read = input.parse::<ImageReference>();
        let Ok(read) = read else {
            let expected = vector.name.is_empty() || STRICTER.contains(&input);
            assert!(expected, "{input:?} is {}", vector.name);
            continue;
        };
        assert_eq!(read.to_string(), vector.name, "{input:?}");
        assert_eq!(read.registry(), vector.registry, "{input:?}");
        assert_eq!(read.repository().as_str(), vector.repository, "{input:?}");
        assert_eq!(read.reference().to_string(), vector.identifier, "{input:?}");
        let scheme = if read.is_plain_http() {
            "http"
        } else {
            "https"
        };
        assert_eq!(scheme, vector.scheme, "{input:?}");
        accepted += 1;
    }
    assert!(accepted > 35, "{accepted}");
}
