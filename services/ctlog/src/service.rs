//! The log: chains in, promises out. No HTTP types.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto::{KeyKind, PublicKey};
use merkle::Hash;
use note::{Scheme, SignedNote, Signer};
use runtime::{Clock, Figure, FigureKind, Listener, TransparencyLog, Trust, files};
use sequencer::{AppendError, Entry, LeafAndExtra, Log, LogConfig, NoteSigner};
use serde::Serialize;
use x509::Certificate;

use crate::{
    ChainError, Config, Error, chain, chain::Signatures, issuers::Issuers, leaf, leaf::Leaf,
    roots::Roots,
};

/// The certificate transparency log of the lab.
#[derive(Debug)]
pub struct Service {
    log: Log,
    signer: Arc<NoteSigner>,
    roots: Roots,
    signatures: Signatures,
    issuers: Issuers,
    clock: Clock,
    base_url: String,
    valid_from: jiff::Timestamp,
}

/// A signed certificate timestamp as `add-chain` answers it, RFC 6962 §4.1.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SignedCertificateTimestamp {
    pub(crate) sct_version: u8,
    pub(crate) id: String,
    pub(crate) timestamp: u64,
    pub(crate) extensions: &'static str,
    pub(crate) signature: String,
}

/// A signed tree head as `get-sth` answers it, RFC 6962 §4.3.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SignedTreeHead {
    pub(crate) tree_size: u64,
    pub(crate) timestamp: u64,
    pub(crate) sha256_root_hash: String,
    pub(crate) tree_head_signature: String,
}

impl Service {
    /// Verifies a chain, logs it and promises it. The same certificate again gets the promise of its
    /// first time. The promise is signed only after the entry is durable and integrated.
    pub(crate) async fn add(
        &self,
        sent: &[Certificate],
        precertificate: bool,
    ) -> Result<SignedCertificateTimestamp, Error> {
        let known = self.roots.known();
        let chain = match chain::verify(sent, &known, &self.signatures, precertificate) {
            Err(ChainError::UnknownAuthority) => {
                let known = self.roots.refresh(&known).await;
                chain::verify(sent, &known, &self.signatures, precertificate)
            }
            other => other,
        };
        let chain = chain.map_err(Error::Chain)?;
        let above = chain.iter().skip(1).map(|issuer| self.issuers.keep(issuer));
        let issuers: Vec<Hash> = above.collect::<anyhow::Result<_>>()?;
        // Never before a tree head that is published already; the log refuses a clock that is far
        // behind.
        let head = self.log.head().time.as_millisecond();
        let now = self.clock.now().as_millisecond().max(head);
        let timestamp_ms = u64::try_from(now).map_err(|_| AppendError::ClockBehind)?;
        let Leaf {
            input,
            extra,
            identity,
        } = Leaf::new(&chain, &issuers, precertificate, timestamp_ms);
        let entry = Entry {
            leaf: input.clone(),
            extra,
            dedup_key: Some(identity),
        };
        let appended = self.log.append(entry).await?;
        let input = if appended.duplicate {
            self.log.leaf(appended.leaf_index)?.0
        } else {
            input
        };
        self.promise(&input)
    }

    fn promise(&self, input: &[u8]) -> Result<SignedCertificateTimestamp, Error> {
        let timestamp = leaf::timestamp_ms(input).context("a leaf without a timestamp")?;
        let key = self.signer.signer().key();
        let signature = note::digitally_signed(key, input).context("cannot sign an SCT")?;
        Ok(SignedCertificateTimestamp {
            sct_version: 0,
            id: STANDARD.encode(key.public_key().key_id()),
            timestamp,
            extensions: "",
            signature: STANDARD.encode(signature),
        })
    }

    /// The published tree head. Its signature is the one inside the checkpoint.
    pub(crate) fn sth(&self) -> Result<SignedTreeHead, Error> {
        let head = self.log.head();
        let note = SignedNote::parse(head.checkpoint.as_bytes()).context("own checkpoint")?;
        let signature = note
            .signatures
            .first()
            .and_then(|line| line.signature.split_at_checked(8));
        let (time, signature) = signature.context("own checkpoint without a time")?;
        let time: [u8; 8] = time.try_into().context("own checkpoint without a time")?;
        Ok(SignedTreeHead {
            tree_size: head.tree_size,
            timestamp: u64::from_be_bytes(time),
            sha256_root_hash: STANDARD.encode(head.root_hash),
            tree_head_signature: STANDARD.encode(signature),
        })
    }

    /// Size of the published tree.
    pub(crate) fn tree_size(&self) -> u64 {
        self.log.head().tree_size
    }

    /// From the tree of `first` leaves to that of `second`; nothing leads from the empty tree.
    pub(crate) fn consistency_proof(&self, first: u64, second: u64) -> Result<Vec<Hash>, Error> {
        let got = self.tree_size();
        if second > got {
            return Err(Error::TreeTooSmall { need: second, got });
        }
        if first == 0 {
            return Ok(Vec::new());
        }
        Ok(self.log.consistency_proof(first, second)?)
    }

    /// Index and audit path of the leaf with this hash.
    pub(crate) fn proof_by_hash(
        &self,
        leaf_hash: &Hash,
        tree_size: u64,
    ) -> Result<(u64, Vec<Hash>), Error> {
        let got = self.tree_size();
        if tree_size > got {
            return Err(Error::ProofBeyondTree {
                need: tree_size,
                got,
            });
        }
        match self.log.leaf_index(leaf_hash)? {
            Some(index) if index < tree_size => {
                Ok((index, self.log.inclusion_proof(index, tree_size)?))
            }
            _ => Err(Error::NoProof),
        }
    }

    /// MerkleTreeLeaf and extra data of `first` and up to `count` entries, at least one.
    pub(crate) fn entries(&self, first: u64, count: u64) -> Result<Vec<LeafAndExtra>, Error> {
        let got = self.tree_size();
        if first >= got {
            return Err(Error::NoEntries {
                need: first + 1,
                got,
            });
        }
        let count = count.min(got - first);
        let mut entries = Vec::new();
        while (entries.len() as u64) < count {
            let done = entries.len() as u64;
            for entry in self.log.leaves(first + done, count - done)? {
                entries.push(self.as_served(entry)?);
            }
        }
        Ok(entries)
    }

    /// An entry with the certificates that are kept once for all.
    fn as_served(&self, (input, kept): LeafAndExtra) -> Result<LeafAndExtra, Error> {
        let extra = leaf::extra_data(&kept, &self.issuers);
        Ok((input, extra.context("an issuer of an entry is not there")?))
    }

    /// One entry and its audit path.
    pub(crate) fn entry_and_proof(
        &self,
        index: u64,
        tree_size: u64,
    ) -> Result<(LeafAndExtra, Vec<Hash>), Error> {
        let got = self.tree_size();
        if tree_size > got {
            return Err(Error::TreeTooSmall {
                need: tree_size,
                got,
            });
        }
        let entry = self.as_served(self.log.leaf(index)?)?;
        Ok((entry, self.log.inclusion_proof(index, tree_size)?))
    }

    /// The accepted roots, in the order in which they came to be known.
    pub(crate) async fn accepted_roots(&self) -> Arc<Vec<Certificate>> {
        let known = self.roots.known();
        if known.is_empty() {
            self.roots.refresh(&known).await
        } else {
            known
        }
    }
}

impl runtime::Service for Service {
    const NAME: &'static str = "ctlog";
    const LISTENERS: &'static [Listener] = &[Listener::http("http", 6962)];
    type Config = Config;

    async fn open(config: Config, context: runtime::Context) -> anyhow::Result<Arc<Self>> {
        let key = runtime::keys::load_or_generate(&context.dir, "ctlog", KeyKind::EcdsaP256)?;
        refuse_public(key.public_key(), &context.dir)?;
        // The log's name never reaches a client; it must only stay the same wherever the log is served.
        let origin = format!(
            "ctlog-{}.lab.invalid",
            hex::encode(&key.public_key().key_id()[..4])
        );
        let signer = Signer::new(&origin, Scheme::Rfc6962, key)?;
        let signer = Arc::new(NoteSigner::timed(origin, signer));
        let dir = context.dir.join("log");
        let mut log =
            LogConfig::in_dir(&dir, signer.clone(), context.clock.clone()).map_err(|error| {
                match error.kind() {
                    std::io::ErrorKind::WouldBlock => {
                        anyhow::anyhow!("another process has {} open", dir.display())
                    }
                    _ => {
                        anyhow::Error::new(error).context(format!("cannot open {}", dir.display()))
                    }
                }
            })?;
        log.queue_max = config.queue_max;
        let log = tokio::task::spawn_blocking(move || Log::open(log)).await?;
        let log = log.with_context(|| format!("cannot open the log in {}", dir.display()))?;
        let source = config.trust_fulcio.then(|| match &config.fulcio_url {
            Some(url) => url.clone(),
            None => context.urls.of("fulcio", "http"),
        });
        let source = source.map(|url| url.join("/api/v1/rootCert")).transpose()?;
        let roots = context.dir.join("roots");
        Ok(Arc::new(Self {
            log,
            signer,
            roots: Roots::open(roots, &config.accepted_roots, source, context.http.clone())?,
            signatures: Signatures::default(),
            issuers: Issuers::open(context.dir.join("issuers"))?,
            base_url: context.urls.text("ctlog", "http"),
            valid_from: valid_from(&context.dir, &context.clock)?,
            clock: context.clock,
        }))
    }

    fn router(self: Arc<Self>, _listener: &'static str) -> axum::Router {
        crate::api::router(self)
    }

    fn trust(&self) -> Trust {
        let key = self.signer.signer().verifier().public_key();
        let log = TransparencyLog {
            base_url: self.base_url.clone(),
            public_key: key.spki_der().to_vec(),
            key_details: "PKIX_ECDSA_P256_SHA_256".to_owned(),
            log_id: key.key_id().to_vec(),
            valid_from: self.valid_from,
        };
        Trust {
            ctlogs: vec![log],
            ..Trust::default()
        }
    }

    fn readiness(&self) -> Result<(), String> {
        self.log
            .trouble()
            .map_or(Ok(()), |trouble| Err(trouble.to_string()))
    }

    fn figures(&self) -> Vec<Figure> {
        let head = self.log.head();
        vec![
            Figure {
                name: "siglab_ctlog_tree_size",
                help: "Entries in the published tree of the CT log.",
                kind: FigureKind::Gauge,
                value: head.tree_size as f64,
            },
            Figure {
                name: "siglab_ctlog_tree_head_seconds",
                help: "When the published tree head was signed, in Unix seconds.",
                kind: FigureKind::Gauge,
                value: head.time.as_second() as f64,
            },
        ]
    }
}

/// A lab must never promise with a public instance's key.
fn refuse_public(key: &PublicKey, dir: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        !x509::public_instance::is_public_key(key.spki_der()),
        "key {} is a public Sigstore instance's",
        runtime::keys::path(dir, "ctlog").display()
    );
    Ok(())
}

/// Since when the log's key is valid: a little before it was first used, kept beside it.
fn valid_from(dir: &Path, clock: &Clock) -> anyhow::Result<jiff::Timestamp> {
    let path = dir.join("valid-from");
    if let Some(bytes) = files::read_optional(&path)? {
        let text = String::from_utf8(bytes)?;
        return text
            .trim()
            .parse()
            .with_context(|| format!("{} is damaged", path.display()));
    }
    let since = clock.backdated();
    files::write_new(&path, format!("{since}\n").as_bytes())?;
    Ok(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody here has such a private key, so the check is asked about the public one.
    #[test]
    fn a_key_of_the_public_instance_is_refused() {
        let public = include_str!("../../../libs/x509/tests/vectors/public-good-ctlog.pem");
        let key = PublicKey::from_pem(public).unwrap();
        let refusal = refuse_public(&key, Path::new("ctlog")).unwrap_err();
        let said = "key ctlog/keys/ctlog.pem is a public Sigstore instance's";
        assert_eq!(refusal.to_string(), said);
        let own = crypto::SigningKey::generate(KeyKind::EcdsaP256).unwrap();
        refuse_public(own.public_key(), Path::new("ctlog")).unwrap();
    }
}
