//! Paths, read from right to left: a repository name may contain `manifests`, `blobs` and the others.

use oci::RepositoryName;

use crate::Error;

/// What a path names. References, digests and ids are as written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Route {
    /// end-1
    Base,
    /// The catalog, an extension.
    Catalog,
    /// Extension discovery.
    Discover,
    /// end-8
    Tags(RepositoryName),
    /// end-12
    Referrers(RepositoryName, String),
    /// end-3, end-7, end-9
    Manifest(RepositoryName, String),
    /// end-2, end-10
    Blob(RepositoryName, String),
    /// end-4, end-11
    UploadStart(RepositoryName),
    /// end-5, end-6, end-13, end-14
    Upload(RepositoryName, String),
}

impl Route {
    /// Reads a path, percent-decoding each segment once.
    pub(crate) fn read(path: &str) -> Result<Self, Error> {
        if path == "/v2" {
            return Ok(Self::Base);
        }
        let rest = path.strip_prefix("/v2/").ok_or(Error::PathUnknown)?;
        let segments = rest.split('/').map(decoded).collect::<Option<Vec<_>>>();
        let segments = segments.ok_or(Error::PathUnknown)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            [""] => Ok(Self::Base),
            ["_catalog"] => Ok(Self::Catalog),
            ["_oci", "ext", "discover"] => Ok(Self::Discover),
            [name @ .., "tags", "list"] => Ok(Self::Tags(read_name(name)?)),
            [name @ .., "manifests", reference] => {
                Ok(Self::Manifest(read_name(name)?, (*reference).to_owned()))
            }
            [name @ .., "referrers", digest] => {
                Ok(Self::Referrers(read_name(name)?, (*digest).to_owned()))
            }
            [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => {
                Ok(Self::UploadStart(read_name(name)?))
            }
            [name @ .., "blobs", "uploads", id] => {
                Ok(Self::Upload(read_name(name)?, (*id).to_owned()))
            }
            [name @ .., "blobs", digest] => Ok(Self::Blob(read_name(name)?, (*digest).to_owned())),
            _ => Err(Error::PathUnknown),
        }
    }

    /// Value of the Allow header.
    pub(crate) const fn methods(&self) -> &'static str {
        match self {
            Self::Base | Self::Catalog | Self::Discover | Self::Tags(_) | Self::Referrers(..) => {
                "GET, HEAD, OPTIONS"
            }
            Self::Manifest(..) => "GET, HEAD, PUT, DELETE, OPTIONS",
            Self::Blob(..) => "GET, HEAD, DELETE, OPTIONS",
            Self::UploadStart(_) => "POST, OPTIONS",
            Self::Upload(..) => "GET, HEAD, PATCH, PUT, DELETE, OPTIONS",
        }
    }
}

/// Percent-decodes once. A percent sign that starts no escape stays; what is not UTF-8 is refused.
fn decoded(segment: &str) -> Option<String> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = segment.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (
            bytes[at],
            digit(bytes.get(at + 1)),
            digit(bytes.get(at + 2)),
        ) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits"));
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

fn read_name(segments: &[&str]) -> Result<RepositoryName, Error> {
    segments.join("/").parse().map_err(Error::NameInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    #[test]
    fn names_may_contain_the_words_of_the_api() {
        let cases = [
            ("/v2", Route::Base),
            ("/v2/", Route::Base),
            ("/v2/a/tags/list", Route::Tags(name("a"))),
            ("/v2/tags/list/tags/list", Route::Tags(name("tags/list"))),
            (
                "/v2/a/blobs/uploads/manifests/v1",
                Route::Manifest(name("a/blobs/uploads"), "v1".into()),
            ),
            (
                "/v2/a/manifests/blobs/uploads/",
                Route::UploadStart(name("a/manifests")),
            ),
            ("/v2/a/blobs/uploads", Route::UploadStart(name("a"))),
            (
                "/v2/blobs/uploads/blobs/uploads/x",
                Route::Upload(name("blobs/uploads"), "x".into()),
            ),
            (
                "/v2/a/blobs/sha256%3Aab",
                Route::Blob(name("a"), "sha256:ab".into()),
            ),
            (
                "/v2/a/referrers/sha256:ab",
                Route::Referrers(name("a"), "sha256:ab".into()),
            ),
            (
                "/v2/a/manifests/tags/list",
                Route::Tags(name("a/manifests")),
            ),
        ];
        for (path, route) in cases {
            assert_eq!(Route::read(path).unwrap(), route, "{path}");
        }
    }

    #[test]
    fn paths_that_leave_the_grammar_are_refused() {
        for path in [
            "/v2//manifests/v1",
            "/v2/../manifests/v1",
            "/v2/a/%2e%2e/b/manifests/v1",
            "/v2/a//b/tags/list",
            "/v2/A/tags/list",
            "/v2/manifests/v1",
            "/v2/%00/tags/list",
        ] {
            assert!(
                matches!(Route::read(path), Err(Error::NameInvalid(_))),
                "{path}"
            );
        }
        for path in [
            "/",
            "/v1/",
            "/v2x",
            "/v2/a",
            "/v2/a/tags",
            "/v2/%ff/tags/list",
        ] {
            assert!(
                matches!(Route::read(path), Err(Error::PathUnknown)),
                "{path}"
            );
        }
    }
}
