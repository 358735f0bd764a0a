//! The same lab for tests without async. It may also be used, and dropped, inside of an executor.

use std::path::PathBuf;

use futures::executor::block_on;
use runtime::Clock;

/// A whole Sigstore on free ports. It ends, and its directory goes away, with the value.
#[derive(Debug)]
pub struct Lab(crate::Lab);

impl Lab {
    /// Starts a lab with nothing set.
    ///
    /// # Errors
    /// One line that names the service and the reason.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(crate::Lab::builder())
    }

    /// Starts a lab of which something was set.
    ///
    /// # Errors
    /// One line that names the service or setting, and the reason.
    pub fn start_with(builder: crate::Builder) -> anyhow::Result<Self> {
        Ok(Self(block_on(builder.start())?))
    }

    /// Ends the lab and waits for it, as dropping it does.
    pub fn stop(self) {
        drop(self);
    }

    /// The lab's clock.
    #[must_use]
    pub const fn clock(&self) -> &Clock {
        self.0.clock()
    }

    /// The lab's name, which every certificate's subject has in it.
    #[must_use]
    pub fn instance(&self) -> &str {
        self.0.instance()
    }

    /// URL of a listener, without a trailing slash; the names are those of [`crate::Lab::url`].
    ///
    /// # Panics
    /// When there is no such listener.
    #[must_use]
    pub fn url(&self, service: &str, listener: &str) -> String {
        self.0.url(service, listener)
    }

    /// URL of the admin door, without a trailing slash.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.0.admin_url()
    }

    /// The registry as image names begin: `localhost:PORT`.
    #[must_use]
    pub fn registry(&self) -> String {
        self.0.registry()
    }

    /// Path of a file that clients trust the lab by, as `siglab trust` writes them.
    ///
    /// # Panics
    /// When there is no such file.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.file(name)
    }

    /// An identity token; see [`crate::Lab::token`].
    ///
    /// # Errors
    /// What the issuer refused.
    pub fn token<K: Into<String>, V: Into<String>>(
        &self,
        claims: impl IntoIterator<Item = (K, V)>,
    ) -> anyhow::Result<String> {
        block_on(self.0.token(claims))
    }

    /// What verifiers trust: the keys and chains of this lab, as JSON.
    ///
    /// # Errors
    /// When the lab does not give it.
    pub fn trusted_root(&self) -> anyhow::Result<String> {
        block_on(self.0.trusted_root())
    }

    /// Environment variables for other programs: names and values of `siglab env`.
    ///
    /// # Errors
    /// When the issuer gives no token or the token's file cannot be written.
    pub fn variables(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        block_on(self.0.variables())
    }
}
