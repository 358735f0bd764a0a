//! The accepted roots: from files, and from the lab's Fulcio when a chain arrives under an unknown one.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::Context as _;
use runtime::files;
use url::Url;
use x509::Certificate;

/// Bytes of Fulcio's answer that are read at most.
const CHAIN_BYTES_MAX: usize = 256 << 10;

/// The roots, and where more of them are.
#[derive(Debug)]
pub(crate) struct Roots {
    dir: PathBuf,
    http: reqwest::Client,
    /// Fulcio's chain; `None` when only files count.
    source: Option<Url>,
    known: RwLock<Arc<Vec<Certificate>>>,
    /// Held while Fulcio is asked, so that many unknown chains ask once.
    asking: tokio::sync::Mutex<()>,
}

impl Roots {
    /// Reads the PEM files of the settings and those kept in `dir`.
    pub(crate) fn open(
        dir: PathBuf,
        accepted: &[PathBuf],
        source: Option<Url>,
        http: reqwest::Client,
    ) -> anyhow::Result<Self> {
        files::create_dirs(&dir)?;
        let mut known = Vec::new();
        for path in accepted {
            add(&mut known, read(path)?);
        }
        let mut kept: Vec<PathBuf> = fs::read_dir(&dir)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        kept.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
        kept.sort();
        for path in kept {
            add(&mut known, read(&path)?);
        }
        let known = RwLock::new(Arc::new(known));
        Ok(Self {
            dir,
            http,
            source,
            known,
            asking: tokio::sync::Mutex::default(),
        })
    }

    /// The roots known now.
    pub(crate) fn known(&self) -> Arc<Vec<Certificate>> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Asks Fulcio for its chain, keeps its root, and returns all roots. When somebody else has asked
    /// meanwhile, their answer is taken.
    pub(crate) async fn refresh(&self, seen: &Arc<Vec<Certificate>>) -> Arc<Vec<Certificate>> {
        let Some(source) = &self.source else {
            return self.known();
        };
        let _asking = self.asking.lock().await;
        let known = self.known();
        if !Arc::ptr_eq(&known, seen) {
            return known;
        }
        match self.fetch(source).await {
            Ok(chain) => self.keep(&chain),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), %source, "no chain from Fulcio");
                known
            }
        }
    }

    async fn fetch(&self, source: &Url) -> anyhow::Result<Vec<Certificate>> {
        let mut response = self
            .http
            .get(source.clone())
            .send()
            .await?
            .error_for_status()?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            anyhow::ensure!(
                text.len() + chunk.len() <= CHAIN_BYTES_MAX,
                "the chain is too long"
            );
            text.extend_from_slice(&chunk);
        }
        Ok(Certificate::chain_from_pem(std::str::from_utf8(&text)?)?)
    }

    /// Adds the root of a chain: its self-signed certificates, or else its last one.
    fn keep(&self, chain: &[Certificate]) -> Arc<Vec<Certificate>> {
        let own = |certificate: &&Certificate| {
            certificate.is_self_issued() && certificate.verify_signed_by(certificate).is_ok()
        };
        let mut roots: Vec<Certificate> = chain.iter().filter(own).cloned().collect();
        if roots.is_empty() {
            roots.extend(chain.last().cloned());
        }
        let mut known = (*self.known()).clone();
        let before = known.len();
        for root in &roots {
            let path = self
                .dir
                .join(format!("{}.pem", hex::encode(root.fingerprint())));
            // Not kept is not fatal: it is asked for again after the next start.
            if let Err(error) = files::replace(&path, root.to_pem().as_bytes()) {
                tracing::warn!(%error, path = %path.display(), "an accepted root was not kept");
            }
        }
        add(&mut known, roots);
        if known.len() == before {
            return self.known();
        }
        let known = Arc::new(known);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&known);
        known
    }
}

fn add(known: &mut Vec<Certificate>, roots: Vec<Certificate>) {
    for root in roots {
        if !known.contains(&root) {
            known.push(root);
        }
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<Certificate>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read accepted root {}", path.display()))?;
    Certificate::chain_from_pem(&text)
        .with_context(|| format!("accepted root {} cannot be used", path.display()))
}
