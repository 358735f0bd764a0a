//! How registries are reached: the HTTP client, credentials, and which of them speak without TLS.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use oci::{ImageReference, RepositoryName};

use crate::{Error, remote::Remote};

/// User and password, or a name and an access token, of one registry.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct Endpoints {
    http: reqwest::Client,
    credentials: BTreeMap<String, Credentials>,
    plain_http: BTreeSet<String>,
}

impl Endpoints {
    /// With a client that trusts the right authorities and follows no redirects; its limits of time
    /// are not used, because blobs are large.
    #[must_use]
    pub const fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            credentials: BTreeMap::new(),
            plain_http: BTreeSet::new(),
        }
    }

    /// Credentials for `registry`, `host` or `host:port`.
    #[must_use]
    pub fn with_credentials(mut self, registry: &str, credentials: Credentials) -> Self {
        self.credentials
            .insert(canonical(registry).to_owned(), credentials);
        self
    }

    /// Speaks plain HTTP to `registry` although it is neither a loopback name nor a private address.
    #[must_use]
    pub fn with_plain_http(mut self, registry: &str) -> Self {
        self.plain_http.insert(canonical(registry).to_owned());
        self
    }

    /// A repository, for pulling or, with `push`, for both.
    pub(crate) fn remote(
        &self,
        registry: &str,
        repository: &RepositoryName,
        push: bool,
    ) -> Result<Remote, Error> {
        let text = format!("{registry}/{repository}");
        let reference: ImageReference = text.parse().map_err(|source| Error::Reference {
            text: registry.to_owned(),
            source,
        })?;
        let registry = reference.registry();
        let plain = reference.is_plain_http() || self.plain_http.contains(registry);
        Ok(Remote::new(
            self.http.clone(),
            if plain { "http" } else { "https" },
            registry,
            repository.clone(),
            self.credentials.get(registry).cloned(),
            if push { "pull,push" } else { "pull" },
        ))
    }
}

fn canonical(registry: &str) -> &str {
    if registry == "docker.io" {
        "index.docker.io"
    } else {
        registry
    }
}
