//! The whole stack in this process: free ports, a temporary directory, a clock that stands still.

use std::{
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, ensure};
use bundle::{Bundle, TransparencyLogEntry, TrustedRoot};
use crypto::{KeyKind, SigningKey};
use runtime::Clock;
use serde_json::Value;
use siglab_testing::Lab as Fixture;
use stack::maintenance;
use tempfile::TempDir;
use tuf_metadata::Updater;

use crate::{keyless, world};

/// Which of the two transparency logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Log {
    /// Rekor v1.
    V1,
    /// Rekor v2.
    V2,
}

/// What a log promised to keep.
#[derive(Clone, Debug)]
pub(crate) struct Promise {
    pub(crate) log: Log,
    pub(crate) entry: TransparencyLogEntry,
}

/// A lab. [`Lab::run`] ends every test with a check of the whole world.
#[derive(Debug)]
pub struct Lab {
    /// The only clock; it starts at 2026-01-01T00:00:00Z.
    pub clock: Clock,
    pub(crate) http: reqwest::Client,
    pub(crate) promises: Mutex<Vec<Promise>>,
    /// Handed out, those of the promises not counted.
    pub(crate) certificates: AtomicUsize,
    fixture: Option<Fixture>,
    dir: TempDir,
}

impl Lab {
    /// Starts all services, runs `test`, and if it passes checks the whole world over public HTTP: every
    /// log is read again and its tree rebuilt, every promise is looked up, the trusted root is compared
    /// with the keys in use, and after the end the files are checked as `siglab fsck` does.
    ///
    /// # Errors
    /// What the test found, or the first thing that is not as promised.
    pub async fn run(
        test: impl AsyncFnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut lab = Self::start().await?;
        test(&mut lab).await?;
        world::check(&lab).await?;
        lab.fixture = None;
        fsck(lab.dir.path())?;
        Ok(())
    }

    async fn start() -> anyhow::Result<Self> {
        let dir = TempDir::with_prefix("siglab-flow-")?;
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse()?);
        let fixture = Some(fixture(&dir, &clock).await?);
        let http = runtime::http::client(None)?;
        Ok(Self {
            clock,
            http,
            promises: Mutex::default(),
            certificates: AtomicUsize::new(0),
            fixture,
            dir,
        })
    }

    /// Stops all services and starts them again with the same state, on other ports.
    ///
    /// # Errors
    /// Why they do not start.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.look_at_files(|_| Ok(())).await
    }

    /// Stops all services, looks at their files, and starts them again.
    ///
    /// # Errors
    /// What was found, or why they do not start.
    pub async fn look_at_files(
        &mut self,
        look: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.fixture = None;
        look(self.dir.path())?;
        self.fixture = Some(fixture(&self.dir, &self.clock).await?);
        Ok(())
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().expect("it runs until it is dropped")
    }

    /// URL of a listener, without a trailing slash.
    ///
    /// # Panics
    /// When there is no such listener.
    #[must_use]
    pub fn url(&self, service: &str, listener: &str) -> String {
        self.fixture().url(service, listener)
    }

    /// Body of a successful answer.
    ///
    /// # Errors
    /// Another status than 200.
    pub async fn get(&self, url: &str) -> anyhow::Result<Vec<u8>> {
        let answer = self.http.get(url).send().await?;
        ensure!(answer.status() == 200, "{url}: {}", answer.status());
        Ok(answer.bytes().await?.to_vec())
    }

    pub(crate) async fn json(&self, url: &str) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.get(url).await?).with_context(|| url.to_owned())
    }

    /// An identity token with an email.
    ///
    /// # Errors
    /// When the issuer gives none.
    pub async fn token(&self, email: &str) -> anyhow::Result<String> {
        self.fixture().token([("email", email)]).await
    }

    /// A certificate in PEM for a new key.
    ///
    /// # Errors
    /// What Fulcio says when it refuses.
    pub async fn certificate(&self, token: &str) -> anyhow::Result<String> {
        let key = SigningKey::generate(KeyKind::EcdsaP256)?;
        let certificate = keyless::certificate(self, token, &key).await?;
        self.certificates.fetch_add(1, Ordering::Relaxed);
        Ok(certificate)
    }

    /// Signs `message` without a key through every service, and remembers what was promised.
    ///
    /// # Errors
    /// Which service refused, and what it said.
    pub async fn sign(&self, token: &str, message: &[u8], log: Log) -> anyhow::Result<Bundle> {
        let bundle = keyless::sign(self, token, message, log).await?;
        let entry = bundle.verification_material.tlog_entries[0].clone();
        self.promises
            .lock()
            .expect("no test panics in here")
            .push(Promise { log, entry });
        Ok(bundle)
    }

    /// The trusted root, by the TUF client workflow.
    ///
    /// # Errors
    /// When the repository does not verify.
    pub async fn trusted_root(&self) -> anyhow::Result<TrustedRoot> {
        let mirror = self.url("tuf", "http");
        let file = async |name: String| self.get(&format!("{mirror}/{name}")).await;
        let mut updater = Updater::new(&file("1.root.json".to_owned()).await?)?;
        while let Ok(root) = file(format!("{}.root.json", updater.root().version + 1)).await {
            updater.update_root(&root)?;
        }
        updater.update_timestamp(&file("timestamp.json".to_owned()).await?)?;
        let version = updater.snapshot_meta()?.version;
        updater.update_snapshot(&file(format!("{version}.snapshot.json")).await?)?;
        let version = updater.targets_meta()?.version;
        updater.update_targets(&file(format!("{version}.targets.json")).await?)?;
        let trusted = updater.finish(self.clock.now())?;
        let name = "trusted_root.json";
        let target = file(format!("targets/{}", trusted.target_file_name(name)?)).await?;
        trusted.verify_target(name, &target)?;
        Ok(TrustedRoot::from_json(&target)?)
    }
}

async fn fixture(dir: &TempDir, clock: &Clock) -> anyhow::Result<Fixture> {
    let builder = Fixture::builder().clock(clock.clone()).data_dir(dir.path());
    builder.start().await
}

/// Folder and text of every part of a lab in which everything holds.
///
/// # Errors
/// The first file that does not hold.
pub fn fsck(dir: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let checked = maintenance::fsck(dir, &mut |_| {})?;
    Ok(checked
        .into_iter()
        .map(|part| (part.folder, part.text))
        .collect())
}
