//! Manifests: pull, push, delete.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use oci::{
    Algorithm, Descriptor, Digest, Manifest, ManifestKind, Opaque, Reference, ReferenceError,
    RepositoryName, Tag,
};

use super::{
    CONTENT_DIGEST, Call, OCI_SUBJECT, OCI_TAG, blobs::FOREVER, empty, is_cached,
    request::read_whole, with_headers,
};
use crate::{
    Config, Error, Service,
    config::{ReferencesMode, ReferrersMode},
    store::{Precondition, PutManifest, Stored},
};

/// end-3: the stored bytes under the stored type, whatever the client accepts.
pub(super) async fn pull(
    call: &Call<'_>,
    name: RepositoryName,
    reference: &str,
) -> Result<Response, Error> {
    let reference = read_reference(reference)?;
    let is_head = call.incoming.parts.method == Method::HEAD;
    let cache = match &reference {
        Reference::Digest(_) => FOREVER,
        Reference::Tag(_) => "no-cache",
    };
    let find = move |service: &Service| find(service, &name, &reference, !is_head);
    let stored = call.service.blocking(find).await?;
    let mut headers = vec![
        (CONTENT_DIGEST, stored.digest.to_string()),
        (header::ETAG, format!("\"{}\"", stored.digest)),
        (header::CACHE_CONTROL, cache.to_owned()),
    ];
    if is_cached(&call.incoming.parts.headers, &stored.digest) {
        return Ok(empty(StatusCode::NOT_MODIFIED, &headers));
    }
    headers.push((header::CONTENT_TYPE, stored.media_type));
    headers.push((header::CONTENT_LENGTH, stored.size.to_string()));
    let body = stored
        .bytes
        .filter(|_| !is_head)
        .map_or_else(Body::empty, Body::from);
    Ok(with_headers(StatusCode::OK, &headers, body))
}

fn find(
    service: &Service,
    name: &RepositoryName,
    reference: &Reference,
    with_bytes: bool,
) -> Result<Stored, Error> {
    let stored = service.store.manifest(name, reference, with_bytes);
    let config = &service.config;
    let may_be_virtual = config.virtual_fallback_tags && config.referrers == ReferrersMode::On;
    match (&stored, reference) {
        (Err(Error::ManifestUnknown { .. }), Reference::Tag(tag)) if may_be_virtual => service
            .store
            .virtual_fallback(name, tag)?
            .map_or(stored, Ok),
        _ => stored,
    }
}

/// end-7: stores the bytes as they are, in the order of checks that clients see errors in.
pub(super) async fn put(
    call: &Call<'_>,
    name: RepositoryName,
    reference: &str,
    body: &mut Body,
) -> Result<Response, Error> {
    let config = &call.service.config;
    let reference = read_reference(reference)?;
    let tags = read_tags(call, &reference)?;
    let precondition = read_precondition(call);
    let bytes_max = config.manifest_bytes_max;
    let too_large = Error::ManifestTooLarge { bytes_max };
    if call
        .incoming
        .content_length()
        .is_some_and(|length| length > bytes_max as u64)
    {
        return Err(too_large);
    }
    let bytes = read_whole(body, bytes_max).await?.ok_or(too_large)?;
    let content_type = call
        .incoming
        .header(&header::CONTENT_TYPE)
        .map(str::to_owned);
    let push = Push {
        name,
        reference,
        tags,
        precondition,
        bytes,
        content_type,
    };
    call.service
        .blocking(move |service| push.store(service))
        .await
}

struct Push {
    name: RepositoryName,
    reference: Reference,
    /// From `?tag=`; empty for pushes by tag.
    tags: Vec<Tag>,
    precondition: Precondition,
    bytes: Bytes,
    content_type: Option<String>,
}

impl Push {
    fn store(self, service: &Service) -> Result<Response, Error> {
        let config = &service.config;
        let opaque = if config.other_manifests {
            Opaque::Accept
        } else {
            Opaque::Refuse
        };
        let manifest = Manifest::parse(&self.bytes, self.content_type.as_deref(), opaque)?;
        let (digest, tags) = match self.reference {
            Reference::Tag(tag) => (Digest::of(Algorithm::Sha256, &self.bytes), vec![tag]),
            Reference::Digest(expected) => {
                let actual = Digest::of(expected.algorithm(), &self.bytes);
                if actual != expected {
                    return Err(Error::DigestMismatch { expected, actual });
                }
                (expected, self.tags.clone())
            }
        };
        service.store.put_manifest(&PutManifest {
            name: &self.name,
            digest: &digest,
            bytes: &self.bytes,
            manifest: &manifest,
            tags: &tags,
            precondition: self.precondition,
            required: &required(config, &manifest),
        })?;
        service.pushed.manifests.fetch_add(1, Ordering::Relaxed);
        let mut headers = vec![
            (
                header::LOCATION,
                format!("/v2/{}/manifests/{digest}", self.name),
            ),
            (CONTENT_DIGEST, digest.to_string()),
            (header::CONTENT_LENGTH, "0".to_owned()),
        ];
        if let Some(subject) = manifest.subject()
            && config.referrers == ReferrersMode::On
        {
            headers.push((OCI_SUBJECT, subject.digest.to_string()));
        }
        headers.extend(self.tags.iter().map(|tag| (OCI_TAG, tag.to_string())));
        Ok(empty(StatusCode::CREATED, &headers))
    }
}

/// What must be in the repository. Never the subject: signatures may come before what they sign, or go
/// to another repository.
fn required(config: &Config, manifest: &Manifest) -> Vec<Descriptor> {
    let is_exempt = config.references == ReferencesMode::Lenient || manifest.subject().is_some();
    match manifest.kind() {
        _ if is_exempt => Vec::new(),
        ManifestKind::Image => manifest
            .blobs()
            .filter(|d| !d.may_be_absent())
            .cloned()
            .collect(),
        ManifestKind::Index if !config.sparse_indexes => manifest.manifests().to_vec(),
        ManifestKind::Index | ManifestKind::Opaque => Vec::new(),
    }
}

/// end-9: a tag only, or a manifest and all its tags.
pub(super) async fn delete(
    call: &Call<'_>,
    name: RepositoryName,
    reference: &str,
) -> Result<Response, Error> {
    if !call.service.config.delete {
        return Err(Error::DeleteDisabled);
    }
    let reference = read_reference(reference)?;
    let delete = move |service: &Service| service.store.delete_manifest(&name, &reference);
    call.service.blocking(delete).await?;
    Ok(empty(
        StatusCode::ACCEPTED,
        &[(header::CONTENT_LENGTH, "0")],
    ))
}

fn read_reference(text: &str) -> Result<Reference, Error> {
    text.parse().map_err(|error| match error {
        ReferenceError::Digest(error) => Error::DigestInvalid(error),
        ReferenceError::Tag(error) => Error::TagInvalid(error),
    })
}

/// Tags of `?tag=a&tag=b`, each once.
fn read_tags(call: &Call<'_>, reference: &Reference) -> Result<Vec<Tag>, Error> {
    let tags_max = call.service.config.tags_per_push_max;
    let given: Vec<&str> = call.incoming.queries("tag").take(tags_max + 1).collect();
    if given.is_empty() {
        return Ok(Vec::new());
    }
    if matches!(reference, Reference::Tag(_)) {
        return Err(Error::TagParameter);
    }
    if given.len() > tags_max {
        return Err(Error::TooManyTags { tags_max });
    }
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    for text in given {
        let tag: Tag = text.parse().map_err(Error::TagInvalid)?;
        if seen.insert(tag.clone()) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

/// `If-Match` with entity tags, or `If-None-Match: *` (RFC 9110 §13.1): lets clients change the tag
/// that they read without losing somebody else's change.
fn read_precondition(call: &Call<'_>) -> Precondition {
    let headers = &call.incoming.parts.headers;
    let all = |name| {
        let values = headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let parts = values.flat_map(|value| value.split(','));
        parts
            .map(|one| one.trim().trim_matches('"').to_owned())
            .collect::<Vec<_>>()
    };
    let wanted = all(header::IF_MATCH);
    if wanted.iter().any(|one| one == "*") {
        Precondition::Match(None)
    } else if !wanted.is_empty() {
        Precondition::Match(Some(wanted))
    } else if all(header::IF_NONE_MATCH).iter().any(|one| one == "*") {
        Precondition::Absent
    } else {
        Precondition::None
    }
}
