//! OCI image layouts: their files, and the names that different tools give to images in them.

use std::collections::BTreeMap;

use oci::{Descriptor, Digest, ImageReference, Manifest, Opaque, RepositoryName, Tag};
use serde::Deserialize;

use crate::{
    Error,
    archive::{Archive, promised_digest},
    content::Content,
    options::LIST_BYTES_MAX,
};

pub(crate) const INDEX: &str = "index.json";
pub(crate) const LAYOUT: &str = "oci-layout";
pub(crate) const LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
pub(crate) const TRUSTED_ROOT: &str = "siglab/trusted_root.json";
pub(crate) const SIGNING_CONFIG: &str = "siglab/signing_config.json";
pub(crate) const SHA256SUMS: &str = "siglab/sha256sums";

/// Tag, or with some tools a whole reference; image-spec "Pre-Defined Annotation Keys".
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The full reference, as containerd, docker and hauler write it.
pub(crate) const IMAGE_NAME: &str = "io.containerd.image.name";
/// The full reference, as zarf writes it.
const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// What an entry is, as cosign and hauler write it.
const KIND: &str = "kind";

/// Suffixes of the tags under which signing clients keep what belongs to a digest.
pub(crate) const LEGACY_SUFFIXES: [&str; 3] = ["sig", "att", "sbom"];

/// What `kind` says of an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Image,
    /// Signatures, attestations or SBOMs of the image of the same name: the suffix of its tag.
    Legacy(&'static str),
    /// Found by its subject, whatever its name says.
    Referrer,
}

/// Where an entry belongs, as far as its annotations say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Name {
    /// A repository, with a tag unless it is named by digest.
    Full {
        repository: RepositoryName,
        tag: Option<Tag>,
    },
    /// A tag without a repository.
    Tag(Tag),
    Nothing,
}

/// One entry of `index.json`.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    pub(crate) descriptor: Descriptor,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
}

/// The blobs of an archive and whether each may be JSON, and the entries of its index.
pub(crate) struct Listing {
    pub(crate) contents: BTreeMap<Digest, (Content, bool)>,
    pub(crate) roots: Vec<Root>,
}

/// Reads a layout.
pub(crate) fn read(archive: &Archive) -> Result<Listing, Error> {
    if let Some(link) = archive.links.keys().next() {
        return Err(Error::Link {
            entry: link.clone(),
        });
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        #[serde(default)]
        image_layout_version: String,
    }
    let version: Option<Version> = archive.json(LAYOUT, 4096)?;
    let found = version.ok_or(Error::NoLayoutFile)?.image_layout_version;
    if found != "1.0.0" {
        return Err(Error::LayoutVersion { found });
    }
    let bytes = archive.read(INDEX, LIST_BYTES_MAX)?.unwrap_or_default();
    let index =
        Manifest::parse(&bytes, None, Opaque::Refuse).map_err(|source| Error::Manifest {
            item: INDEX.to_owned(),
            source,
        })?;
    let roots = index.manifests().iter().cloned().map(root).collect();
    let mut contents = BTreeMap::new();
    for (name, entry) in &archive.entries {
        if let Some(digest) = promised_digest(name)? {
            contents.insert(digest, (entry.content.clone(), entry.is_object));
        }
    }
    Ok(Listing { contents, roots })
}

fn root(descriptor: Descriptor) -> Root {
    let kind = match descriptor
        .annotation(KIND)
        .map(|kind| kind.rsplit('/').next())
    {
        Some(Some("sigs")) => Kind::Legacy("sig"),
        Some(Some("atts")) => Kind::Legacy("att"),
        Some(Some("sboms")) => Kind::Legacy("sbom"),
        _ if descriptor
            .annotation(KIND)
            .is_some_and(|kind| kind.contains("/referrers/")) =>
        {
            Kind::Referrer
        }
        _ => Kind::Image,
    };
    let name = name(&descriptor);
    Root {
        descriptor,
        name,
        kind,
    }
}

/// The most complete name wins, whoever wrote it.
fn name(descriptor: &Descriptor) -> Name {
    let written = [IMAGE_NAME, REF_NAME, BASE_NAME].map(|key| descriptor.annotation(key));
    let full = written.iter().flatten().find_map(|text| full_name(text));
    let tag = || written[1].and_then(|text| text.parse().ok()).map(Name::Tag);
    full.or_else(tag).unwrap_or(Name::Nothing)
}

fn full_name(text: &str) -> Option<Name> {
    // A word without any separator is a tag: oras and docker write it so.
    if !text.contains(['/', ':', '@']) {
        return None;
    }
    let reference: ImageReference = text.parse().ok()?;
    // `name:tag@digest` has both, `name@digest` has no tag.
    let tag = reference.tag().cloned();
    Some(Name::Full {
        repository: reference.repository().clone(),
        tag,
    })
}

/// Where a blob is in a layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// The tag that signing clients look for beside `digest`.
pub(crate) fn legacy_tag(digest: &Digest, suffix: &str) -> Option<Tag> {
    format!("{}-{}.{suffix}", digest.algorithm(), digest.hex())
        .parse()
        .ok()
}

/// The digest that a tag of that form belongs to.
pub(crate) fn legacy_subject(tag: &Tag) -> Option<Digest> {
    let (digest, suffix) = tag.as_str().rsplit_once('.')?;
    let (algorithm, hex) = digest.split_once('-')?;
    if !LEGACY_SUFFIXES.contains(&suffix) {
        return None;
    }
    Digest::from_parts(algorithm.parse().ok()?, hex).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn read_name(annotations: &serde_json::Value) -> String {
        let descriptor = serde_json::from_value(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": DIGEST,
            "size": 2,
            "annotations": annotations,
        }));
        match name(&descriptor.unwrap()) {
            Name::Full {
                repository,
                tag: Some(tag),
            } => format!("{repository}:{tag}"),
            Name::Full {
                repository,
                tag: None,
            } => repository.to_string(),
            Name::Tag(tag) => format!(":{tag}"),
            Name::Nothing => String::new(),
        }
    }

    #[test]
    fn every_tool_s_names_are_read() {
        let containerd = "io.containerd.image.name";
        let cases = [
            (json!({REF_NAME: "v1"}), ":v1"),
            (json!({REF_NAME: "localhost:5000/a/b:v1"}), "a/b:v1"),
            (json!({REF_NAME: "alpine:3"}), "library/alpine:3"),
            (
                json!({REF_NAME: "3", containerd: "docker.io/library/alpine:3"}),
                "library/alpine:3",
            ),
            (json!({containerd: format!("h:1/a@{DIGEST}")}), "a"),
            (json!({containerd: format!("h:1/a:t@{DIGEST}")}), "a:t"),
            (
                json!({"org.opencontainers.image.base.name": "ghcr.io/x/y:z"}),
                "x/y:z",
            ),
            (json!({"kind": "dev.cosignproject.cosign/image"}), ""),
            (json!({REF_NAME: "../../etc"}), ""),
            (json!({}), ""),
        ];
        for (annotations, expected) in cases {
            assert_eq!(read_name(&annotations), expected, "{annotations}");
        }
    }

    #[test]
    fn legacy_tags_lead_to_their_digest_and_back() {
        let digest: Digest = DIGEST.parse().unwrap();
        for suffix in LEGACY_SUFFIXES {
            let tag = legacy_tag(&digest, suffix).unwrap();
            assert_eq!(legacy_subject(&tag), Some(digest.clone()));
        }
        for other in [
            "latest",
            "sha256-00.sig",
            "v1.sig",
            &DIGEST.replace(':', "-"),
        ] {
            assert_eq!(legacy_subject(&other.parse().unwrap()), None, "{other}");
        }
    }
}
