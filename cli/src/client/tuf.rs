//! Trust from the lab's TUF repository.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bundle::TrustedRoot;
use tuf_metadata::{Limits, Updater};

use super::{Lab, expect};

impl Lab {
    /// The trusted root, by the repository's newest metadata.
    ///
    /// # Errors
    /// When the repository has none or it does not parse.
    pub(crate) async fn trusted_root(&self) -> anyhow::Result<TrustedRoot> {
        let bytes = self.target("trusted_root.json").await?;
        TrustedRoot::from_json(&bytes).context("the trusted root does not parse")
    }

    /// The files that clients need, by name, as the TUF service's admin door gives them.
    ///
    /// # Errors
    /// When the lab is not ready.
    pub(crate) async fn trust_directory(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let url = format!("{}/tuf/trust-directory", self.admin);
        let answer = expect("the admin door", self.http.get(url).send().await, &[200]).await?;
        Ok(answer.json().await?)
    }

    /// A target of the repository, by its newest metadata, followed as any TUF client does from the
    /// root that the lab's admin door gives.
    ///
    /// # Errors
    /// When the repository does not have it, or a signature, version or digest is not as it must be.
    pub(crate) async fn target(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let base = self.url("tuf", "http")?;
        let get = async |path: &str| -> anyhow::Result<Vec<u8>> {
            let answer = self.http.get(format!("{base}/{path}")).send().await;
            let answer = expect("the TUF repository", answer, &[200]).await?;
            Ok(answer.bytes().await?.to_vec())
        };
        let files = self.trust_directory().await?;
        let root = files
            .get("root.json")
            .context("the lab gives no root.json")?;
        let mut updater = Updater::new(root.as_bytes())?;
        for _ in 0..Limits::ROOT_ROTATIONS {
            let path = format!("{base}/{}.root.json", updater.root().version + 1);
            let answer = expect(
                "the TUF repository",
                self.http.get(path).send().await,
                &[200, 404],
            );
            let answer = answer.await?;
            if answer.status() == 404 {
                break;
            }
            updater.update_root(&answer.bytes().await?)?;
        }
        updater.update_timestamp(&get("timestamp.json").await?)?;
        let version = updater.snapshot_meta()?.version;
        updater.update_snapshot(&get(&format!("{version}.snapshot.json")).await?)?;
        let version = updater.targets_meta()?.version;
        updater.update_targets(&get(&format!("{version}.targets.json")).await?)?;
        let trusted = updater.finish(runtime::Clock::system().now())?;
        let target = get(&format!("targets/{}", trusted.target_file_name(name)?)).await?;
        trusted.verify_target(name, &target)?;
        Ok(target)
    }
}
