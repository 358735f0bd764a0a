//! Lists: the base path, the catalog, tags, referrers.

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use oci::{Digest, RepositoryName, media_type};
use serde_json::json;
use url::form_urlencoded;

use super::{Call, OCI_FILTERS, with_headers};
use crate::{Error, Service, config::ReferrersMode, store::index_of};

const JSON: &str = "application/json";

/// end-1: that this is a registry, and whether credentials are needed.
pub(super) fn base() -> Response {
    answer("{}".to_owned(), None)
}

/// Extensions beyond the specification: none is advertised.
pub(super) fn discover() -> Response {
    answer(json!({"extensions": []}).to_string(), None)
}

/// The catalog: repositories that hold a manifest and that the caller may read.
pub(super) async fn catalog(call: &Call<'_>) -> Result<Response, Error> {
    let page = Page::read(call)?;
    let names = call
        .service
        .blocking(|service| service.store.catalog())
        .await?;
    let names = names
        .into_iter()
        .filter(|name| call.service.auth.shows(call.caller, name));
    let names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
    let (names, link) = page.cut(&names, "/v2/_catalog");
    Ok(answer(json!({"repositories": names}).to_string(), link))
}

/// end-8: tags in byte order. Without `n` all of them, as clients expect that do not follow links.
pub(super) async fn tags(call: &Call<'_>, name: RepositoryName) -> Result<Response, Error> {
    let page = Page::read(call)?;
    let asked = name.clone();
    let tags = call
        .service
        .blocking(move |service| service.store.tags(&asked))
        .await?;
    let tags: Vec<String> = tags.iter().map(|tag| tag.as_str().to_owned()).collect();
    let (tags, link) = page.cut(&tags, &format!("/v2/{name}/tags/list"));
    Ok(answer(
        json!({"name": name.as_str(), "tags": tags}).to_string(),
        link,
    ))
}

/// Part of a list in byte order.
struct Page {
    n: Option<usize>,
    last: Option<String>,
    list_max: usize,
}

impl Page {
    fn read(call: &Call<'_>) -> Result<Self, Error> {
        let read = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            // More digits than a usize has are more names than there are.
            true if !text.is_empty() => Ok(text.parse().unwrap_or(usize::MAX)),
            _ => Err(Error::PageSizeInvalid),
        };
        let n = call.incoming.query("n").map(read).transpose()?;
        let last = call.incoming.query("last").map(str::to_owned);
        Ok(Self {
            n,
            last,
            list_max: call.service.config.list_max,
        })
    }

    /// The names after `last`, which need not exist, and the Link header if there are more.
    fn cut<'a>(&self, names: &'a [String], path: &str) -> (&'a [String], Option<String>) {
        let start = self
            .last
            .as_ref()
            .map_or(0, |last| names.partition_point(|name| name <= last));
        let (shown, rest) = self.split(&names[start..]);
        let last = shown.last().filter(|_| rest);
        (shown, last.map(|last| self.link(path, last, &[])))
    }

    fn split<'a, T>(&self, items: &'a [T]) -> (&'a [T], bool) {
        let n = self.n.unwrap_or(self.list_max).min(self.list_max);
        let shown = &items[..items.len().min(n)];
        (shown, shown.len() < items.len())
    }

    fn link(&self, path: &str, last: &str, more: &[(&str, &str)]) -> String {
        let n = self.n.unwrap_or(self.list_max).min(self.list_max);
        let mut query = form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("n", &n.to_string())
            .append_pair("last", last);
        for (name, value) in more {
            query.append_pair(name, value);
        }
        format!("<{path}?{}>; rel=\"next\"", query.finish())
    }
}

/// end-12: an index of what is about a digest, known here or not. One page, unless the client asks for
/// pages: most do not follow links.
pub(super) async fn referrers(
    call: &Call<'_>,
    name: RepositoryName,
    digest: &str,
) -> Result<Response, Error> {
    if call.service.config.referrers != ReferrersMode::On {
        return Err(Error::ReferrersDisabled);
    }
    let digest: Digest = digest.parse()?;
    let page = Page::read(call)?;
    // No media type has a space: it is a plus sign that the client did not escape.
    let types: Vec<String> = call
        .incoming
        .queries("artifactType")
        .map(|name| name.replace(' ', "+"))
        .collect();
    let (asked, subject) = (name.clone(), digest.clone());
    let find = move |service: &Service| service.store.referrers(&asked, &subject);
    let mut found = call.service.blocking(find).await?;
    if !types.is_empty() {
        found.retain(|referrer| referrer.is_of_type(&types));
    }
    let mut headers = Vec::new();
    if !types.is_empty() {
        headers.push((OCI_FILTERS, "artifactType".to_owned()));
    }
    if let Some(last) = &page.last {
        let after = found.iter().position(|referrer| referrer.digest() == last);
        found.drain(..after.map_or(0, |at| at + 1));
    }
    if page.n.is_some() {
        let path = format!("/v2/{name}/referrers/{digest}");
        let filters: Vec<_> = types
            .iter()
            .map(|name| ("artifactType", name.as_str()))
            .collect();
        let (shown, rest) = page.split(&found);
        if let Some(last) = shown.last().filter(|_| rest) {
            headers.push((header::LINK, page.link(&path, last.digest(), &filters)));
        }
        let shown = shown.len();
        found.truncate(shown);
    }
    let body = index_of(&found)?;
    headers.push((header::CONTENT_TYPE, media_type::IMAGE_INDEX.to_owned()));
    headers.push((header::CONTENT_LENGTH, body.len().to_string()));
    Ok(with_headers(StatusCode::OK, &headers, Body::from(body)))
}

fn answer(body: String, link: Option<String>) -> Response {
    let mut headers = vec![
        (header::CONTENT_TYPE, JSON.to_owned()),
        (header::CONTENT_LENGTH, body.len().to_string()),
    ];
    headers.extend(link.map(|link| (header::LINK, link)));
    with_headers(StatusCode::OK, &headers, Body::from(body))
}
