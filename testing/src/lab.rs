//! A running lab, for async tests of any executor.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use runtime::{
    Clock, files,
    settings::{Settings, Sources},
};
use tempfile::TempDir;

use crate::reactor::{Reactor, Served};

/// A whole Sigstore on free ports. It ends, and its directory goes away, with the value.
#[derive(Debug)]
pub struct Lab {
    // Fields are dropped in this order: the lab ends before its directory goes.
    reactor: Reactor,
    served: Served,
    clock: Clock,
    http: reqwest::Client,
    trust: TempDir,
    _state: Option<TempDir>,
}

/// A lab that is about to start.
#[derive(Debug, Default)]
#[must_use = "nothing runs before `start`"]
pub struct Builder {
    clock: Clock,
    data_dir: Option<PathBuf>,
    set: Vec<String>,
}

impl Builder {
    /// Gives the lab another clock than the machine's; clones of it share the time.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps the lab's state in `dir`: a later lab over the same directory goes on with it.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Sets one setting, `TABLE.KEY=VALUE`, as `siglab up --set` does.
    pub fn set(mut self, assignment: impl Into<String>) -> Self {
        self.set.push(assignment.into());
        self
    }

    /// Starts the lab and returns when every service is ready.
    ///
    /// # Errors
    /// One line that names the service or setting, and the reason.
    pub async fn start(self) -> anyhow::Result<Lab> {
        let (data_dir, state) = match self.data_dir {
            Some(dir) => (dir, None),
            None => {
                let dir = TempDir::with_prefix("siglab-testing-")?;
                (dir.path().to_owned(), Some(dir))
            }
        };
        let sources = Sources {
            data_dir: Some(data_dir),
            any_port: true,
            set: self.set,
            ..Sources::default()
        };
        let settings = Settings::load(&sources)?;
        let (reactor, served) = Reactor::start(settings, self.clock.clone()).await?;
        let lab = Lab {
            reactor,
            served,
            clock: self.clock,
            http: runtime::http::client(None)?,
            trust: TempDir::with_prefix("siglab-trust-")?,
            _state: state,
        };
        for (name, text) in lab.trust_directory().await? {
            let name = Path::new(&name).file_name().context("a file's name")?;
            let path = lab.trust.path().join(name);
            files::replace_with_mode(&path, text.as_bytes(), 0o644)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(lab)
    }
}

impl Lab {
    /// Starts a lab with nothing set.
    ///
    /// # Errors
    /// One line that names the service and the reason.
    pub async fn start() -> anyhow::Result<Self> {
        Self::builder().start().await
    }

    /// A lab of which something is set before it starts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Ends the lab and waits for it, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }

    /// The lab's clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The lab's name, which every certificate's subject has in it.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.served.instance
    }

    /// URL of a listener, without a trailing slash: `fulcio http`, `fulcio grpc`, `rekor v1`,
    /// `rekor v2`, `admission https`, and `http` of `oidc`, `ctlog`, `tsa`, `tuf` and `registry`.
    ///
    /// # Panics
    /// When there is no such listener.
    #[must_use]
    pub fn url(&self, service: &str, listener: &str) -> String {
        let key = (service.to_owned(), listener.to_owned());
        let url = self.served.urls.get(&key);
        url.unwrap_or_else(|| panic!("{service} has no listener {listener}"))
            .clone()
    }

    /// URL of the admin door, without a trailing slash.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.served.admin.clone()
    }

    /// The registry as image names begin: `localhost:PORT`.
    #[must_use]
    pub fn registry(&self) -> String {
        let url = self.url("registry", "http");
        let name = url.split_once("://").map_or(url.as_str(), |(_, name)| name);
        name.to_owned()
    }

    /// Path of a file that clients trust the lab by, as `siglab trust` writes them.
    ///
    /// # Panics
    /// When there is no such file.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        let path = self.trust.path().join(name);
        assert!(path.is_file(), "the lab has no file {name}");
        path
    }

    /// An identity token with these claims and inputs (`email`, `preset`, `repository`, `lifetime`, …),
    /// for the audience `sigstore` unless another is among them.
    ///
    /// # Errors
    /// What the issuer refused.
    pub async fn token<K: Into<String>, V: Into<String>>(
        &self,
        claims: impl IntoIterator<Item = (K, V)>,
    ) -> anyhow::Result<String> {
        let mut parameters: Vec<(String, String)> = claims
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        if !parameters
            .iter()
            .any(|(name, _)| matches!(name.as_str(), "aud" | "audience"))
        {
            parameters.push(("audience".to_owned(), "sigstore".to_owned()));
        }
        let url = format!("{}/token", self.url("oidc", "http"));
        let request = self.http.get(url).query(&parameters);
        self.reactor.run(text(request)).await
    }

    /// What verifiers trust: the keys and chains of this lab, as JSON.
    ///
    /// # Errors
    /// When the lab does not give it.
    pub async fn trusted_root(&self) -> anyhow::Result<String> {
        let mut files = self.trust_directory().await?;
        files
            .remove("trusted_root.json")
            .context("the lab gave no trusted root")
    }

    /// Environment variables for other programs: names and values of `siglab env`.
    ///
    /// # Errors
    /// When the issuer gives no token or the token's file cannot be written.
    pub async fn variables(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let token = self.token([("preset", "email")]).await?;
        let url = |service: &str, listener: &str| Ok(self.url(service, listener));
        stack::environment::write(self.trust.path(), &self.served.admin, &token, url)
    }

    async fn trust_directory(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let url = format!("{}/tuf/trust-directory", self.served.admin);
        let files = self.reactor.run(text(self.http.get(url))).await?;
        Ok(serde_json::from_str(&files)?)
    }
}

/// The body of an answer that must be 200.
async fn text(request: reqwest::RequestBuilder) -> anyhow::Result<String> {
    let answer = request.send().await?;
    let (url, status) = (answer.url().clone(), answer.status());
    let text = answer.text().await?;
    ensure!(status == 200, "{url} answered {status}: {text}");
    Ok(text)
}
