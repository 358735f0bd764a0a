//! Where the signatures and attestations of an image are: bundles that refer to it, and legacy tags.

use std::collections::BTreeMap;

use bundle::Bundle;
use futures::StreamExt as _;
use oci::Digest;

use crate::budget::Reserved;
use crate::registry::{Descriptor, Registry, RegistryError, Repository};

/// Longest legacy simple signing payload, in bytes.
const PAYLOAD_MAX: usize = 1 << 20;
/// Fetches at a time.
const PARALLEL: usize = 4;

/// Which of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wanted {
    Signatures,
    Attestations,
}

/// How signatures are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// Bundles only.
    Bundle,
    /// Tags only.
    Legacy,
    /// Both: what a policy gets that names no format.
    Any,
}

/// One signature or attestation, not looked at yet.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// Where it was found.
    pub(crate) source: String,
    pub(crate) content: Content,
    /// Its share of what may be in memory.
    _reserved: Option<Reserved>,
}

impl Candidate {
    fn new(source: String, content: Content, reserved: Option<Reserved>) -> Self {
        Self {
            source,
            content,
            _reserved: reserved,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Content {
    Bundle(Box<Bundle>),
    Legacy {
        payload: Vec<u8>,
        annotations: BTreeMap<String, String>,
    },
    /// It could not be read.
    Broken(String),
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) candidates: Vec<Candidate>,
    /// How many there are in all, looked at or not.
    pub(crate) total: usize,
}

/// Where to look.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// The image's own repository.
    pub(crate) image: &'a Repository,
    /// The repository of the tags.
    pub(crate) tags: &'a Repository,
    pub(crate) tag_prefix: &'a str,
    pub(crate) digest: &'a Digest,
}

/// At most `max` candidates, bundles first.
///
/// # Errors
/// What the registry answered.
pub(crate) async fn find(
    registry: &Registry,
    place: &Place<'_>,
    wanted: Wanted,
    format: Format,
    max: usize,
) -> Result<Found, RegistryError> {
    let bundles = async {
        match format {
            Format::Legacy => Ok(Found::default()),
            Format::Bundle | Format::Any => find_bundles(registry, place, max).await,
        }
    };
    let tagged = async {
        match format {
            Format::Bundle => Ok(Found::default()),
            Format::Legacy | Format::Any => find_tagged(registry, place, wanted, max).await,
        }
    };
    let (mut found, tagged) = futures::try_join!(bundles, tagged)?;
    found.total += tagged.total;
    found.candidates.extend(tagged.candidates);
    found.candidates.truncate(max);
    Ok(found)
}

async fn find_bundles(
    registry: &Registry,
    place: &Place<'_>,
    max: usize,
) -> Result<Found, RegistryError> {
    let referrers = registry.referrers(place.image, place.digest).await?;
    let bundles: Vec<Descriptor> = referrers.into_iter().filter(may_be_bundle).collect();
    let mut found = Found {
        total: bundles.len(),
        candidates: Vec::new(),
    };
    let fetched = futures::stream::iter(bundles.into_iter().take(max))
        .map(|referrer| fetch_bundle(registry, place.image, referrer))
        .buffered(PARALLEL)
        .collect::<Vec<_>>()
        .await;
    for candidate in fetched {
        match candidate? {
            Some(candidate) => found.candidates.push(candidate),
            None => found.total -= 1,
        }
    }
    Ok(found)
}

/// A referrer without an artifact type may be one whose config says so.
fn may_be_bundle(referrer: &Descriptor) -> bool {
    referrer.artifact_type.is_empty()
        || referrer
            .artifact_type
            .starts_with(Bundle::MEDIA_TYPE_PREFIX)
}

async fn fetch_bundle(
    registry: &Registry,
    repository: &Repository,
    referrer: Descriptor,
) -> Result<Option<Candidate>, RegistryError> {
    let source = format!("bundle {}@{}", repository.context(), referrer.digest);
    let manifest = registry
        .manifest_body(repository, &referrer.digest.to_string())
        .await?;
    let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
    let [layer] = layers.as_slice() else {
        return Ok(None);
    };
    if !layer.media_type.starts_with(Bundle::MEDIA_TYPE_PREFIX) {
        return Ok(None);
    }
    let blob = registry.blob(repository, layer, Bundle::BYTES_MAX).await;
    let (content, reserved) = match blob {
        Ok(Some(blob)) => match Bundle::from_json(&blob.bytes) {
            Ok(bundle) => (Content::Bundle(Box::new(bundle)), Some(blob.reserved)),
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                (Content::Broken(error), None)
            }
        },
        Ok(None) => {
            let missing = format!("blob {} is missing", layer.digest);
            (Content::Broken(missing), None)
        }
        Err(error @ RegistryError::TooLarge { .. }) => (Content::Broken(error.to_string()), None),
        Err(error) => return Err(error),
    };
    Ok(Some(Candidate::new(source, content, reserved)))
}

async fn find_tagged(
    registry: &Registry,
    place: &Place<'_>,
    wanted: Wanted,
    max: usize,
) -> Result<Found, RegistryError> {
    let (suffix, layer_max) = match wanted {
        Wanted::Signatures => ("sig", PAYLOAD_MAX),
        Wanted::Attestations => ("att", Bundle::BYTES_MAX),
    };
    let digest = place.digest.to_string().replace(':', "-");
    let tag = format!("{}{digest}.{suffix}", place.tag_prefix);
    let manifest = registry.manifest_body(place.tags, &tag).await?;
    let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
    let mut found = Found {
        total: layers.len(),
        candidates: Vec::new(),
    };
    let fetched = futures::stream::iter(layers.into_iter().take(max))
        .map(|layer| fetch_layer(registry, place.tags, &tag, layer, layer_max))
        .buffered(PARALLEL)
        .collect::<Vec<_>>()
        .await;
    for candidate in fetched {
        found.candidates.push(candidate?);
    }
    Ok(found)
}

async fn fetch_layer(
    registry: &Registry,
    repository: &Repository,
    tag: &str,
    layer: Descriptor,
    max: usize,
) -> Result<Candidate, RegistryError> {
    let source = format!("{}:{tag} layer {}", repository.context(), layer.digest);
    let (content, reserved) = match registry.blob(repository, &layer, max).await {
        Ok(Some(blob)) => {
            let content = Content::Legacy {
                payload: blob.bytes,
                annotations: layer.annotations,
            };
            (content, Some(blob.reserved))
        }
        Ok(None) => {
            let missing = format!("blob {} is missing", layer.digest);
            (Content::Broken(missing), None)
        }
        Err(error @ RegistryError::TooLarge { .. }) => (Content::Broken(error.to_string()), None),
        Err(error) => return Err(error),
    };
    Ok(Candidate::new(source, content, reserved))
}
