//! One repository of a registry over HTTP, distribution-spec 1.1, as a client.

mod blobs;
mod session;

use std::sync::Arc;

use bytes::Bytes;
use oci::{
    Algorithm, Descriptor, Digest, Manifest, Opaque, Reference, RepositoryName, Tag, fallback_tag,
    media_type,
};
use reqwest::{
    Method, Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, LINK},
};
use session::Session;

use crate::{
    Credentials, Error,
    options::{LIST_BYTES_MAX, MANIFEST_BYTES_MAX},
};

pub(crate) use blobs::{Pushed, Sink};

const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// Pages of one referrers list.
const PAGES_MAX: usize = 10_000;

/// A repository. Clones share the authorization.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    session: Arc<Session>,
    registry: Arc<str>,
    repository: RepositoryName,
}

/// A manifest as it was served; its bytes have this digest.
#[derive(Clone, Debug)]
pub(crate) struct Pulled {
    pub(crate) digest: Digest,
    pub(crate) media_type: Option<String>,
    pub(crate) bytes: Bytes,
}

/// What a registry says of referrers.
#[derive(Debug)]
pub(crate) enum Referrers {
    /// It has the API.
    Listed(Vec<Descriptor>),
    /// It has not: clients keep an index under a tag.
    NoApi,
}

impl Remote {
    pub(crate) fn new(
        http: reqwest::Client,
        scheme: &'static str,
        registry: &str,
        repository: RepositoryName,
        credentials: Option<Credentials>,
        actions: &'static str,
    ) -> Self {
        let scope = format!("repository:{repository}:{actions}");
        let name = format!("{registry}/{repository}");
        let session = Session::new(http, scheme, registry, name, scope, credentials);
        Self {
            session: Arc::new(session),
            registry: registry.into(),
            repository,
        }
    }

    pub(crate) const fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// `host/name`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    fn url(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.session.base(), self.repository)
    }

    /// A manifest, or `None` when there is none. Its digest is checked: against the reference, or
    /// with a tag against what the registry says of it.
    pub(crate) async fn pull_manifest(
        &self,
        reference: &Reference,
    ) -> Result<Option<Pulled>, Error> {
        let url = self.url(&format!("manifests/{reference}"));
        let request = format!("GET {url}");
        let response = self
            .session
            .get(&url, &[(ACCEPT, MANIFEST_TYPES.to_owned())])
            .await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = session::expect(&request, response, &[StatusCode::OK]).await?;
        let said = digest_header(response.headers());
        let media_type = text_header(response.headers(), CONTENT_TYPE.as_str());
        let bytes = session::read(&request, response, MANIFEST_BYTES_MAX).await?;
        let expected = match reference {
            Reference::Digest(digest) => Some(digest.clone()),
            Reference::Tag(_) => said,
        };
        let algorithm = expected
            .as_ref()
            .map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = Digest::of(algorithm, &bytes);
        if let Some(expected) = expected.filter(|expected| *expected != digest) {
            let item = format!("{}/{reference}", self.name());
            return Err(Error::DigestMismatch {
                item,
                expected,
                actual: digest,
            });
        }
        let media_type = media_type.map(|it| media_type::without_parameters(&it).to_owned());
        Ok(Some(Pulled {
            digest,
            media_type,
            bytes,
        }))
    }

    /// Whether the repository has a manifest.
    pub(crate) async fn has_manifest(&self, digest: &Digest) -> Result<bool, Error> {
        let reference = Reference::Digest(digest.clone());
        Ok(self.head_manifest(&reference).await?.is_some())
    }

    /// The digest of what has a tag, if the registry says it; the outer `None` when nothing has it.
    pub(crate) async fn tagged(&self, tag: &Tag) -> Result<Option<Option<Digest>>, Error> {
        let response = self.head_manifest(&Reference::Tag(tag.clone())).await?;
        Ok(response.map(|response| digest_header(response.headers())))
    }

    async fn head_manifest(&self, reference: &Reference) -> Result<Option<Response>, Error> {
        let url = self.url(&format!("manifests/{reference}"));
        let headers = [(ACCEPT, MANIFEST_TYPES.to_owned())];
        let response = self
            .session
            .send(Method::HEAD, &url, &headers, None)
            .await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let request = format!("HEAD {url}");
        session::expect(&request, response, &[StatusCode::OK])
            .await
            .map(Some)
    }

    /// Pushes a manifest. Returns whether the registry says that it knows the subject.
    pub(crate) async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<bool, Error> {
        self.put_manifest(
            self.url(&format!("manifests/{reference}")),
            media_type,
            bytes,
        )
        .await
    }

    /// Gives a pushed manifest a tag. The digest of another algorithm than SHA-256 cannot be given
    /// with a plain push by tag, so the tag goes into the query.
    pub(crate) async fn tag(
        &self,
        tag: &Tag,
        digest: &Digest,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        let url = match digest.algorithm() {
            Algorithm::Sha256 => self.url(&format!("manifests/{tag}")),
            Algorithm::Sha512 => self.url(&format!("manifests/{digest}?tag={tag}")),
        };
        self.put_manifest(url, media_type, bytes).await.map(drop)
    }

    async fn put_manifest(
        &self,
        url: String,
        media_type: &str,
        bytes: &Bytes,
    ) -> Result<bool, Error> {
        let headers = [(CONTENT_TYPE, media_type.to_owned())];
        let response = self
            .session
            .send(Method::PUT, &url, &headers, Some(bytes.clone()))
            .await?;
        let request = format!("PUT {url}");
        let accepted = [StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED];
        let response = session::expect(&request, response, &accepted).await?;
        Ok(response.headers().contains_key("oci-subject"))
    }

    /// What refers to `subject`, by the API, distribution-spec "Listing Referrers".
    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Referrers, Error> {
        let mut url = self.url(&format!("referrers/{subject}"));
        let mut listed = Vec::new();
        for page in 0..PAGES_MAX {
            let request = format!("GET {url}");
            let headers = [(ACCEPT, media_type::IMAGE_INDEX.to_owned())];
            let response = self.session.get(&url, &headers).await?;
            // What registries without the API answer, and clients take for that.
            let is_absent = matches!(response.status().as_u16(), 400 | 404 | 405 | 406);
            if page == 0 && (is_absent || !is_index(&response)) {
                return Ok(Referrers::NoApi);
            }
            let response = session::expect(&request, response, &[StatusCode::OK]).await?;
            let next = next_page(&response);
            let bytes = session::read(&request, response, LIST_BYTES_MAX).await?;
            let content_type = Some(media_type::IMAGE_INDEX);
            let index =
                Manifest::parse(&bytes, content_type, Opaque::Refuse).map_err(|source| {
                    Error::Manifest {
                        item: request.clone(),
                        source,
                    }
                })?;
            listed.extend_from_slice(index.manifests());
            match next {
                Some(next) if next != url => url = next,
                _ => return Ok(Referrers::Listed(listed)),
            }
        }
        Err(Error::Answer {
            request: format!("GET {url}"),
            field: "end of pages",
        })
    }

    /// The index under the tag that stands in for the API: its descriptors, none when there is none.
    pub(crate) async fn fallback(&self, subject: &Digest) -> Result<Vec<Descriptor>, Error> {
        let reference = Reference::Tag(fallback_tag(subject));
        let Some(pulled) = self.pull_manifest(&reference).await? else {
            return Ok(Vec::new());
        };
        let item = format!("{}:{reference}", self.name());
        let index = Manifest::parse(&pulled.bytes, pulled.media_type.as_deref(), Opaque::Refuse)
            .map_err(|source| Error::Manifest { item, source })?;
        Ok(index.manifests().to_vec())
    }
}

fn is_index(response: &Response) -> bool {
    let content_type = text_header(response.headers(), CONTENT_TYPE.as_str());
    !response.status().is_success()
        || content_type
            .is_some_and(|it| media_type::without_parameters(&it) == media_type::IMAGE_INDEX)
}

fn text_header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn digest_header(headers: &HeaderMap) -> Option<Digest> {
    text_header(headers, "docker-content-digest").and_then(|text| text.parse().ok())
}

/// `Link: <…>; rel="next"`, RFC 8288, relative to the page.
fn next_page(response: &Response) -> Option<String> {
    let link = text_header(response.headers(), LINK.as_str())?;
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    if !parameters.replace('"', "").contains("rel=next") {
        return None;
    }
    let next = response.url().join(target).ok()?;
    same_origin(&next, response.url()).then(|| next.to_string())
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}
