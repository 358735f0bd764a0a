//! Settings of the timestamp authority; the defaults give a working lab.

use serde::{Deserialize, Serialize};

/// The `[tsa]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Policies that a request may ask for, beside the default one.
    pub accepted_policy_oids: Vec<String>,
    /// Days that the generated certificates stay valid, all three of the chain.
    pub ca_validity_days: u16,
    /// The policy of a timestamp whose request asks for none. Upstream's by default.
    pub default_policy_oid: String,
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
            default_policy_oid: "1.3.6.1.4.1.57264.2".to_owned(),
            include_chain_in_response: false,
            use_http_201: false,
        }
    }
}
