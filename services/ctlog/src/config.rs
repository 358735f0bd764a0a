//! Settings of the CT log; the defaults give a working lab.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

/// The `[ctlog]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// PEM files whose certificates are accepted as roots, beside the chain of the lab's Fulcio.
    pub accepted_roots: Vec<PathBuf>,
    /// Where the chain of Fulcio is fetched when a certificate arrives under a root that is not known
    /// yet. Unset: the lab's Fulcio.
    pub fulcio_url: Option<Url>,
    /// Whether Fulcio is asked at all; without it only `accepted_roots` are.
    pub trust_fulcio: bool,
    /// Certificates that wait to be logged, beyond which 429 is answered.
    pub queue_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            accepted_roots: Vec::new(),
            fulcio_url: None,
            trust_fulcio: true,
            queue_max: 4096,
        }
    }
}
