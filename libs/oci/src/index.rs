//! The referrers index and the tag that stands in for it, distribution-spec "Referrers Tag Schema".

use serde::Serialize;

use crate::{Algorithm, Descriptor, Digest, Manifest, Tag, media_type};

const ALGORITHM_CHARS_MAX: usize = 32;
const ENCODED_CHARS_MAX: usize = 64;

/// What a referrers list says of `manifest`, whose stored bytes have this digest and size.
#[must_use]
pub fn referrer_descriptor(manifest: &Manifest, digest: Digest, size: u64) -> Descriptor {
    let mut descriptor = Descriptor::new(manifest.media_type(), digest, size);
    descriptor.artifact_type = manifest.artifact_type().map(str::to_owned);
    descriptor.annotations = manifest.annotations().cloned();
    descriptor
}

/// An image index of `manifests`, which are descriptors ready to be written.
///
/// # Errors
/// None for values that [`serde_json`] can write.
pub fn index_bytes<D: Serialize>(manifests: &[D]) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Index<'a, D> {
        schema_version: u32,
        media_type: &'static str,
        manifests: &'a [D],
    }
    let media_type = media_type::IMAGE_INDEX;
    serde_json::to_vec(&Index {
        schema_version: 2,
        media_type,
        manifests,
    })
}

/// The tag under which clients of a registry without the referrers API keep the index.
#[must_use]
pub fn fallback_tag(subject: &Digest) -> Tag {
    let algorithm = subject.algorithm().name();
    let algorithm = &algorithm[..algorithm.len().min(ALGORITHM_CHARS_MAX)];
    let encoded = &subject.hex()[..subject.hex().len().min(ENCODED_CHARS_MAX)];
    format!("{algorithm}-{encoded}")
        .parse()
        .expect("letters, digits and one dash are a tag")
}

/// The start of the subject's digest text that `tag` stands for, when it has the form of a fallback
/// tag. Whole for sha256; for sha512 the encoded part is cut to 64 digits.
#[must_use]
pub fn fallback_subject(tag: &Tag) -> Option<String> {
    let (algorithm, encoded) = tag.as_str().split_once('-')?;
    let algorithm: Algorithm = algorithm.parse().ok()?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (encoded.len() == ENCODED_CHARS_MAX && encoded.bytes().all(is_hex))
        .then(|| format!("{algorithm}:{encoded}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallback_tag_keeps_sixty_four_digits() {
        let sha256 = Digest::of(Algorithm::Sha256, b"{}");
        assert_eq!(
            fallback_tag(&sha256).as_str(),
            format!("sha256-{}", sha256.hex())
        );
        let sha512 = Digest::of(Algorithm::Sha512, b"{}");
        let tag = fallback_tag(&sha512);
        assert_eq!(tag.as_str(), format!("sha512-{}", &sha512.hex()[..64]));
        let start = fallback_subject(&tag).unwrap();
        assert!(sha512.to_string().starts_with(&start));
    }

    #[test]
    fn signature_tags_are_not_fallback_tags() {
        let tag = fallback_tag(&Digest::of(Algorithm::Sha256, b"{}"));
        for other in [
            format!("{tag}.sig"),
            "latest".to_owned(),
            "sha256-00".to_owned(),
        ] {
            assert_eq!(fallback_subject(&other.parse().unwrap()), None, "{other}");
        }
    }

    #[test]
    fn an_empty_index_has_an_empty_list() {
        let bytes = index_bytes::<Descriptor>(&[]).unwrap();
        let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
    }
}
