//! Settings of the timestamp authority; the defaults give a working lab.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The `[tsa]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Policies that a request may ask for, beside the default one.
    pub accepted_policy_oids: Vec<String>,
    /// Days that the generated certificates stay valid, all three of the chain.
    pub ca_validity_days: u16,
    /// PEM chain of an own authority, leaf first, root last, instead of the generated one.
    pub certificate_chain_path: Option<PathBuf>,
    /// The policy of a timestamp whose request asks for none. Upstream's by default.
    pub default_policy_oid: String,
    /// PEM PKCS#8 key of the own chain's leaf.
    pub file_signer_key_path: Option<PathBuf>,
    /// Password of the own key, when it is encrypted.
    pub file_signer_passwd: Option<String>,
    /// Whether a response that carries certificates carries the whole chain instead of the leaf.
    pub include_chain_in_response: bool,
    /// Whether a timestamp is answered with status 201 instead of 200.
    pub use_http_201: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            accepted_policy_oids: Vec::new(),
            ca_validity_days: 90,
            certificate_chain_path: None,
            default_policy_oid: "1.3.6.1.4.1.57264.2".to_owned(),
            file_signer_key_path: None,
            file_signer_passwd: None,
            include_chain_in_response: false,
            use_http_201: false,
        }
    }
}
