//! Settings of the table `[tuf]`.

use anyhow::ensure;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

/// Plain data; the default is a working lab.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who runs the services, as the signing config and the trusted root say. Clients use at most one
    /// service of each kind per operator.
    pub operator: String,
    /// Days that a root stays valid. It is re-signed when half of them are left.
    pub root_validity_days: u32,
    /// Days that timestamp, snapshot and targets stay valid. They are re-signed when half of them are left.
    pub validity_days: u32,
    /// Seconds between two looks at the peers' trust, once the first version is published.
    pub refresh_secs: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            operator: "siglab".to_owned(),
            root_validity_days: 3650,
            validity_days: 180,
            refresh_secs: 10,
        }
    }
}

impl Config {
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.operator.is_empty(),
            "operator is empty, clients need a name"
        );
        let days = 1..=36_500;
        for (key, value) in [
            ("root_validity_days", self.root_validity_days),
            ("validity_days", self.validity_days),
        ] {
            ensure!(
                days.contains(&value),
                "{key} is {value}, expected 1 to 36500"
            );
        }
        ensure!(
            self.refresh_secs > 0,
            "refresh_secs is 0, expected 1 or more"
        );
        Ok(())
    }

    pub(crate) fn root_validity(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.root_validity_days))
    }

    pub(crate) fn validity(&self) -> SignedDuration {
        SignedDuration::from_hours(24 * i64::from(self.validity_days))
    }
}
