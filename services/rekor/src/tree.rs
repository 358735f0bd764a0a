//! The two logs: each a tree of its own with its own key, in its own directory.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use crypto::{KeyKind, PublicKey, SigningKey};
use note::{Scheme, Signer};
use runtime::{Clock, Context};
use sequencer::{Log, LogConfig, NoteSigner};
use url::Url;

use crate::{config::LogKey, ids::TreeId};

/// The log of API version 1.
#[derive(Debug)]
pub(crate) struct V1Log {
    pub(crate) log: Log,
    pub(crate) tree: TreeId,
    /// SHA-256 of the key, in hex.
    pub(crate) log_id: String,
    signer: Arc<NoteSigner>,
}

impl V1Log {
    /// Opens the tree in `v1/`. Blocks.
    pub(crate) fn open(context: &Context) -> anyhow::Result<Self> {
        let key = runtime::keys::load_or_generate(&context.dir, "v1", KeyKind::EcdsaP256)?;
        refuse_public(key.public_key(), &context.dir, "v1")?;
        let host = host(&context.urls.own("v1"))?;
        let tree = TreeId::of_key(key.public_key());
        let log_id = hex::encode(key.public_key().key_id());
        // Upstream's note: the origin names the tree, the signature line only the host.
        let origin = format!("{host} - {tree}");
        let (log, signer) = open(
            &context.dir.join("v1"),
            origin,
            &host,
            Scheme::Spki,
            key,
            context,
        )?;
        Ok(Self {
            log,
            tree,
            log_id,
            signer,
        })
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.signer.signer().verifier().public_key()
    }

    /// Signs an inclusion promise.
    pub(crate) fn sign(&self, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(self.signer.signer().key().sign(payload)?)
    }
}

/// The log of API version 2.
#[derive(Debug)]
pub(crate) struct V2Log {
    pub(crate) log: Log,
    signer: Arc<NoteSigner>,
}

impl V2Log {
    /// Opens the tree in `v2/`. Blocks.
    pub(crate) fn open(context: &Context, key: LogKey) -> anyhow::Result<Self> {
        let kind = match key {
            LogKey::Ecdsa => KeyKind::EcdsaP256,
            LogKey::Ed25519 => KeyKind::Ed25519,
        };
        let key = runtime::keys::load_or_generate(&context.dir, "v2", kind)?;
        refuse_public(key.public_key(), &context.dir, "v2")?;
        let host = host(&context.urls.own("v2"))?;
        let dir = context.dir.join("v2");
        let (log, signer) = open(&dir, host.clone(), &host, Scheme::Note, key, context)?;
        Ok(Self { log, signer })
    }

    pub(crate) fn public_key(&self) -> &PublicKey {
        self.signer.signer().verifier().public_key()
    }

    /// All 32 bytes of the checkpoint key's id.
    pub(crate) fn log_id(&self) -> [u8; 32] {
        self.signer.signer().verifier().key_id()
    }
}

/// A lab must never log with a public instance's key.
fn refuse_public(key: &PublicKey, dir: &Path, role: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        !x509::public_instance::is_public_key(key.spki_der()),
        "key {} is a public Sigstore instance's",
        runtime::keys::path(dir, role).display()
    );
    Ok(())
}

fn open(
    dir: &Path,
    origin: String,
    name: &str,
    scheme: Scheme,
    key: SigningKey,
    context: &Context,
) -> anyhow::Result<(Log, Arc<NoteSigner>)> {
    let signer = Arc::new(NoteSigner::new(origin, Signer::new(name, scheme, key)?));
    let clock: Clock = context.clock.clone();
    let shared: Arc<NoteSigner> = Arc::clone(&signer);
    let config = LogConfig::in_dir(dir, shared, clock)
        .with_context(|| format!("cannot open the log in {}", dir.display()))?;
    let log =
        Log::open(config).with_context(|| format!("cannot open the log in {}", dir.display()))?;
    Ok((log, signer))
}

/// Host name of a URL: what verifiers take as a log's name, without port and path.
fn host(url: &Url) -> anyhow::Result<String> {
    match url.host_str() {
        Some(host) => Ok(host.to_owned()),
        None => bail!("the log's external URL {url} has no host name"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody here has such a private key, so the check is asked about the public ones.
    #[test]
    fn keys_of_the_public_instance_are_refused() {
        let root =
            include_bytes!("../../../libs/verify/tests/vectors/public_good_trusted_root.json");
        let root = bundle::TrustedRoot::from_json(root).unwrap();
        assert!(!root.tlogs.is_empty());
        for log in root.tlogs {
            let key = PublicKey::from_spki_der(&log.public_key.raw_bytes).unwrap();
            let refusal = refuse_public(&key, Path::new("rekor"), "v1").unwrap_err();
            let said = "key rekor/keys/v1.pem is a public Sigstore instance's";
            assert_eq!(refusal.to_string(), said);
        }
        let own = SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        refuse_public(own.public_key(), Path::new("rekor"), "v1").unwrap();
    }
}
