//! Trust from the lab's TUF repository.

use std::collections::BTreeMap;

use anyhow::Context as _;
use bundle::TrustedRoot;

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

    /// A target of the repository, by its newest metadata.
    ///
    /// # Errors
    /// When the repository does not have it, or its digest is another than the metadata says.
    pub(crate) async fn target(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let base = self.url("tuf", "http")?;
        let get = async |path: String| -> anyhow::Result<Vec<u8>> {
            let answer = self.http.get(format!("{base}/{path}")).send().await;
            let answer = expect("the TUF repository", answer, &[200]).await?;
            Ok(answer.bytes().await?.to_vec())
        };
        let version = |metadata: &[u8], file: &str| -> anyhow::Result<u64> {
            let metadata: serde_json::Value = serde_json::from_slice(metadata)?;
            let version = &metadata["signed"]["meta"][file]["version"];
            version
                .as_u64()
                .with_context(|| format!("the TUF metadata names no {file}"))
        };
        let timestamp = get("timestamp.json".to_owned()).await?;
        let snapshot = version(&timestamp, "snapshot.json")?;
        let snapshot = get(format!("{snapshot}.snapshot.json")).await?;
        let targets = version(&snapshot, "targets.json")?;
        let targets: serde_json::Value =
            serde_json::from_slice(&get(format!("{targets}.targets.json")).await?)?;
        let digest = targets["signed"]["targets"][name]["hashes"]["sha256"]
            .as_str()
            .with_context(|| format!("the TUF repository has no target {name}"))?;
        let bytes = get(format!("targets/{digest}.{name}")).await?;
        anyhow::ensure!(
            hex::encode(crypto::sha256(&bytes)) == digest,
            "target {name} is not what the TUF metadata says"
        );
        Ok(bytes)
    }
}
