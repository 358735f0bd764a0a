//! Where the services are, as the settings say, and asking their admin doors.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, bail, ensure};
use runtime::{KNOWN, settings::Settings};
use serde_json::{Map, Value};
use url::Url;

use crate::Shared;

/// Bytes of an answer that is read into memory.
const ANSWER_MAX: usize = 1 << 20;

/// How long a service may take to answer about itself.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// A service of the lab.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Its admin door, without a trailing slash.
    pub(crate) admin: String,
    /// URL of each listener as clients see it.
    pub(crate) urls: Map<String, Value>,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Peers {
    list: Vec<Peer>,
    /// `host:port` of every listener: where the proxy leads to, and nowhere else.
    targets: BTreeSet<String>,
}

impl Peers {
    /// Reads the tables of all services.
    ///
    /// # Errors
    /// When one does not name the service's admin door.
    pub(crate) fn read(settings: &Settings) -> anyhow::Result<Self> {
        let mut list = Vec::new();
        let mut targets = BTreeSet::new();
        for (name, listeners) in KNOWN {
            let places = settings.places(name, listeners, false)?;
            let Some(admin) = places.admin_url else {
                bail!("{settings}: [{name}] admin_url is needed by the door to all services");
            };
            let mut urls = Map::new();
            for listener in listeners {
                let Some(url) = places.external.get(listener.name) else {
                    continue;
                };
                targets.insert(authority(url).with_context(|| {
                    format!("{settings}: [{name}] external_url has no host or port")
                })?);
                urls.insert(listener.name.to_owned(), url.as_str().into());
            }
            list.push(Peer {
                name,
                admin: admin.as_str().trim_end_matches('/').to_owned(),
                urls,
            });
        }
        Ok(Self { list, targets })
    }

    pub(crate) fn all(&self) -> &[Peer] {
        &self.list
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Peer> {
        self.list.iter().find(|peer| peer.name == name)
    }

    /// Whether `host:port` is a listener of the lab.
    pub(crate) fn is_target(&self, authority: &str) -> bool {
        self.targets.contains(&authority.to_ascii_lowercase())
    }
}

/// `host:port`, the port also where it is the scheme's.
pub(crate) fn authority(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let port = url.port_or_known_default()?;
    Some(format!("{host}:{port}"))
}

impl Shared {
    /// The text that a service's admin door answers with, and whether it is a success.
    pub(crate) async fn ask(&self, peer: &Peer, path: &str) -> anyhow::Result<(bool, String)> {
        let url = format!("{}/{path}", peer.admin);
        let mut answer = self.http.get(&url).timeout(ANSWER_TIME).send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            ensure!(
                body.len() + chunk.len() <= ANSWER_MAX,
                "{url} answered with more than {ANSWER_MAX} bytes"
            );
            body.extend_from_slice(&chunk);
        }
        let text = String::from_utf8(body).with_context(|| format!("{url} answered no text"))?;
        Ok((answer.status().is_success(), text))
    }

    /// What every service answers, asked at the same time.
    pub(crate) async fn ask_all(&self, path: &str) -> Vec<(&Peer, anyhow::Result<(bool, String)>)> {
        let answers = self
            .peers
            .all()
            .iter()
            .map(async |peer| (peer, self.ask(peer, path).await));
        futures::future::join_all(answers).await
    }
}

/// Why a service cannot be asked, in one line.
pub(crate) fn silent(peer: &Peer, error: &anyhow::Error) -> String {
    format!("nothing answers at {}: {error:#}", peer.admin)
}
