//! Media types that registries and clients of them have to know.

/// Image manifest, image-spec.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Image index, image-spec.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Docker image manifest, version 2 schema 2.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker manifest list, version 2.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker image configuration.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// Docker layer, gzip.
pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
/// Image configuration, image-spec.
pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The empty JSON object `{}`, image-spec.
pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The media type without parameters: `application/json; charset=utf-8` is `application/json`.
#[must_use]
pub fn without_parameters(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether blobs of this type may be absent from the registry that holds the manifest.
#[must_use]
pub fn is_non_distributable(media_type: &str) -> bool {
    media_type.contains(".nondistributable.") || media_type.contains(".foreign.")
}

/// Whether this is a schema 1 manifest, which no registry accepts any more.
pub(crate) fn is_schema1(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.docker.distribution.manifest.v1+")
}

#[cfg(test)]
mod tests {
    use oci_spec::image::MediaType;

    use super::*;

    #[test]
    fn spellings_are_those_of_the_image_specification() {
        let spelled = [
            (MediaType::ImageManifest, IMAGE_MANIFEST),
            (MediaType::ImageIndex, IMAGE_INDEX),
            (MediaType::ImageConfig, IMAGE_CONFIG),
            (MediaType::EmptyJSON, EMPTY),
        ];
        for (theirs, ours) in spelled {
            assert_eq!(theirs.to_string(), ours);
        }
        assert!(is_non_distributable(
            MediaType::ImageLayerNonDistributableGzip.as_ref()
        ));
        assert!(is_non_distributable(
            "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        ));
        assert!(!is_non_distributable(MediaType::ImageLayerGzip.as_ref()));
    }
}
