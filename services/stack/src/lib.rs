//! The composition root: all services in one process, wired by URLs as separate processes are.
//!
//! [`Stack::start`] binds every listener, opens every service at once and serves them. Several stacks may
//! run side by side in a process, each with its own settings, clock and directory.

pub mod environment;
pub mod maintenance;

pub use admission::{lint, manifests};

use std::time::Duration;

use anyhow::Context as _;
use runtime::{Clock, Host, Opened, Plan, Running, Service, settings::Settings};

/// How long a start may take before it is called failed.
const START_MAX: Duration = Duration::from_secs(60);

/// A running lab.
#[derive(Debug)]
pub struct Stack {
    running: Running,
}

impl Stack {
    /// Starts all services and returns when each is ready.
    ///
    /// # Errors
    /// One line that names the service, the file or address, and the reason.
    pub async fn start(settings: Settings, clock: Clock) -> anyhow::Result<Self> {
        let mut plan = Plan::new(settings).await?;
        plan.bind::<oidc::Service>().await?;
        plan.bind::<fulcio::Service>().await?;
        plan.bind::<ctlog::Service>().await?;
        plan.bind::<rekor::Service>().await?;
        plan.bind::<tsa::Service>().await?;
        plan.bind::<tuf::Service>().await?;
        plan.bind::<registry::Service>().await?;
        plan.bind::<admission::Service>().await?;
        let host = plan.bound(clock)?;
        let opened = open_all(&host).await?;
        let running = host.serve(opened);
        running
            .ready(START_MAX)
            .await
            .context("the lab did not become ready")?;
        Ok(Self { running })
    }

    /// URL of a listener as clients see it, without a trailing slash.
    ///
    /// # Panics
    /// When there is no such service or listener: names are constants of the caller.
    #[must_use]
    pub fn url(&self, service: &str, listener: &str) -> String {
        let key = (service.to_owned(), listener.to_owned());
        let url = self.running.urls.get(&key);
        let url = url.unwrap_or_else(|| panic!("{service} has no listener {listener}"));
        url.as_str().trim_end_matches('/').to_owned()
    }

    /// URL of the admin door, without a trailing slash.
    #[must_use]
    pub fn admin_url(&self) -> String {
        self.running
            .admin_url
            .as_str()
            .trim_end_matches('/')
            .to_owned()
    }

    /// What runs.
    #[must_use]
    pub const fn running(&self) -> &Running {
        &self.running
    }

    /// Ends all services: open requests finish, directories are given up.
    pub async fn stop(self) {
        self.running.stop().await;
    }
}

/// Opens every service side by side: key generation and index checks are what a start waits for.
async fn open_all(host: &Host) -> anyhow::Result<Vec<Opened>> {
    let (oidc, fulcio, ctlog, rekor, tsa, tuf, registry, admission) = tokio::try_join!(
        host.open::<oidc::Service>(),
        host.open::<fulcio::Service>(),
        host.open::<ctlog::Service>(),
        host.open::<rekor::Service>(),
        host.open::<tsa::Service>(),
        host.open::<tuf::Service>(),
        host.open::<registry::Service>(),
        host.open::<admission::Service>(),
    )?;
    Ok(vec![
        oidc, fulcio, ctlog, rekor, tsa, tuf, registry, admission,
    ])
}

/// Whether the table of default listeners in `runtime` says what `S` says.
#[must_use]
pub fn known<S: Service>() -> bool {
    runtime::KNOWN
        .iter()
        .any(|(name, listeners)| *name == S::NAME && *listeners == S::LISTENERS)
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn the_table_of_known_services_is_theirs() {
        assert!(known::<oidc::Service>());
        assert!(known::<fulcio::Service>());
        assert!(known::<ctlog::Service>());
        assert!(known::<rekor::Service>());
        assert!(known::<tsa::Service>());
        assert!(known::<tuf::Service>());
        assert!(known::<registry::Service>());
        assert!(known::<admission::Service>());
        assert_eq!(runtime::KNOWN.len(), 8);
    }
}
