//! References as people write them (`ubuntu`, `host:5000/a/b:tag@sha256:…`), completed the way
//! go-containerregistry completes them, because that is what the signing clients compare.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::{Digest, ImageReferenceError, Reference, RepositoryName, Tag};

const DEFAULT_REGISTRY: &str = "index.docker.io";
const DEFAULT_REGISTRY_ALIAS: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library";
const DEFAULT_TAG: &str = "latest";

/// A registry, a repository in it, and a tag or digest.
///
/// With both a tag and a digest the digest is what is meant; the tag is kept for display.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ImageReference {
    registry: String,
    repository: RepositoryName,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// `host` or `host:port`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository, with `library/` for one-word names of the default registry.
    #[must_use]
    pub const fn repository(&self) -> &RepositoryName {
        &self.repository
    }

    /// The tag, `latest` if neither a tag nor a digest was written.
    #[must_use]
    pub const fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was written.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the registry for.
    ///
    /// # Panics
    /// Never: a reference without a digest has a tag.
    #[must_use]
    pub fn reference(&self) -> Reference {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => Reference::Digest(digest.clone()),
            (None, tag) => Reference::Tag(tag.clone().expect("a tag stands in for a digest")),
        }
    }

    /// The same repository under another digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            tag: None,
            ..self.clone()
        }
    }

    /// `registry/repository`, what signatures name as the docker reference.
    #[must_use]
    pub fn context(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Whether clients speak plain HTTP to this registry without being told to: loopback names and
    /// private IPv4 addresses.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        let registry = self.registry.as_str();
        let (host, has_port) = split_port(registry);
        let private = host
            .parse::<Ipv4Addr>()
            .is_ok_and(|address| address.is_private());
        private
            || (host == "localhost" && has_port)
            || host.ends_with(".localhost")
            || host == "127.0.0.1"
            || registry == "::1"
            || host == "[::1]"
    }
}

fn split_port(registry: &str) -> (&str, bool) {
    match registry.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            (host, true)
        }
        _ => (registry, false),
    }
}

impl FromStr for ImageReference {
    type Err = ImageReferenceError;

    fn from_str(text: &str) -> Result<Self, ImageReferenceError> {
        if text.is_empty() {
            return Err(ImageReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; before it, a port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.parse::<Tag>()?)),
            _ => (rest, None),
        };
        let (registry, repository) = match name.split_once('/') {
            Some((first, repository)) if first == "localhost" || first.contains(['.', ':']) => {
                (first, repository)
            }
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = check_registry(registry)?;
        let repository: RepositoryName = if registry == DEFAULT_REGISTRY
            && !repository.contains('/')
            && !repository.is_empty()
        {
            format!("{DEFAULT_NAMESPACE}/{repository}").parse()?
        } else {
            repository.parse()?
        };
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.parse()?),
            (tag, _) => tag,
        };
        Ok(Self {
            registry,
            repository,
            tag,
            digest,
        })
    }
}

fn check_registry(registry: &str) -> Result<String, ImageReferenceError> {
    if registry == DEFAULT_REGISTRY_ALIAS {
        return Ok(DEFAULT_REGISTRY.to_owned());
    }
    let (host, _) = split_port(registry);
    let bracketed = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_ip6 = |text: &str| matches!(text.parse(), Ok(IpAddr::V6(_)));
    let is_name = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
    };
    let ok = bracketed.map_or_else(|| is_name(host) || is_ip6(registry), is_ip6);
    if ok {
        Ok(registry.to_owned())
    } else {
        Err(ImageReferenceError::Registry {
            registry: registry.to_owned(),
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.digest, &self.tag) {
            (Some(digest), _) => write!(f, "@{digest}"),
            (None, Some(tag)) => write!(f, ":{tag}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn read(text: &str) -> String {
        text.parse::<ImageReference>()
            .map_or_else(|error| error.to_string(), |r| r.to_string())
    }

    #[test]
    fn short_names_are_completed_as_clients_complete_them() {
        let cases = [
            ("ubuntu", "index.docker.io/library/ubuntu:latest"),
            ("ubuntu:24.04", "index.docker.io/library/ubuntu:24.04"),
            ("docker.io/ubuntu", "index.docker.io/library/ubuntu:latest"),
            ("a/b", "index.docker.io/a/b:latest"),
            ("localhost/a", "localhost/a:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("registry.test/a/b:v1", "registry.test/a/b:v1"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ];
        for (written, meant) in cases {
            assert_eq!(read(written), meant);
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let reference: ImageReference = format!("h:1/a:v1@{DIGEST}").parse().unwrap();
        assert_eq!(reference.to_string(), format!("h:1/a@{DIGEST}"));
        assert_eq!(reference.tag().unwrap().as_str(), "v1");
        assert!(matches!(reference.reference(), Reference::Digest(_)));
        assert_eq!(reference.context(), "h:1/a");
    }

    #[test]
    fn unreadable_references_are_refused() {
        let refused = [
            "",
            "A/b",
            "h:1/",
            "h:1/a:",
            "h:1/a@sha256:00",
            "h:1/a:-x",
            "h/t:p/a",
            "x.y//a",
        ];
        for text in refused {
            assert!(text.parse::<ImageReference>().is_err(), "{text}");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_and_private_addresses() {
        let plain = |registry: &str| {
            format!("{registry}/a")
                .parse::<ImageReference>()
                .unwrap()
                .is_plain_http()
        };
        for registry in [
            "localhost:5000",
            "127.0.0.1",
            "127.0.0.1:1",
            "x.localhost",
            "10.1.2.3:5000",
            "[::1]:5000",
        ] {
            assert!(plain(registry), "{registry}");
        }
        for registry in [
            "localhost",
            "registry.local",
            "127.0.0.2",
            "8.8.8.8",
            "registry:5000",
        ] {
            assert!(!plain(registry), "{registry}");
        }
    }
}
