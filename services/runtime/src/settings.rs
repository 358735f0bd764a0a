//! One TOML file for all services, a table for each; the environment and flags override single keys.
//!
//! `SIGLAB__FULCIO__LISTEN=0.0.0.0` sets `listen` in `[fulcio]`; two underscores go one level deeper. The
//! value is read as TOML and, failing that, as a string. Nothing else in siglab reads the environment.
//!
//! Beside its own settings a service's table says where it is: `listen`, `external_url`, `admin_url`, and
//! by `certificate` and `certificate_key` (PEM files) what its https listeners show. `[peers] ca` is the
//! PEM file of the authorities that are trusted when services call each other.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use url::Url;

use crate::{Listener, Service, service::KNOWN};

/// Tables of a settings file beside those of the services.
const TABLES: [&str; 3] = ["admin", "log", "peers"];

/// Keys outside any table.
const TOP_LEVEL: [&str; 3] = ["data_dir", "instance", "public_names"];

/// Domains of the public Sigstore, of the issuers and of the registries that it is used with. A lab's
/// URL in one of them needs `public_names = true`.
const PUBLIC_DOMAINS: [&str; 14] = [
    "accounts.google.com",
    "agent.buildkite.com",
    "docker.com",
    "docker.io",
    "gcr.io",
    "ghcr.io",
    "github.com",
    "githubusercontent.com",
    "gitlab.com",
    "login.microsoftonline.com",
    "pkg.dev",
    "quay.io",
    "sigstage.dev",
    "sigstore.dev",
];

/// Default port of the admin door.
pub const ADMIN_PORT: u16 = 7070;

/// Where settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The settings file.
    pub config: Option<PathBuf>,
    /// Overrides `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// Take any free port for every listener.
    pub any_port: bool,
    /// `TABLE.KEY=VALUE`, strongest.
    pub set: Vec<String>,
    /// Variables as of [`environment`].
    pub environment: Vec<(String, String)>,
}

/// This process's environment, for [`Sources::environment`].
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the environment is read"
)]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars().collect()
}

/// All settings, read and merged.
#[derive(Clone, Debug)]
pub struct Settings {
    origin: String,
    table: toml::Table,
    any_port: bool,
    /// Where state lives.
    pub data_dir: PathBuf,
    /// The lab's name, if it is set and not to be made up.
    pub instance: Option<String>,
    /// Whether URLs of this lab may be in domains of the public world, to play it on a sealed network.
    pub public_names: bool,
}

fn tables() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name).chain(TABLES)
}

/// Where a service is, as far as the settings say.
#[derive(Clone, Debug)]
pub struct Places {
    /// Address of each listener, by name.
    pub listen: BTreeMap<&'static str, SocketAddr>,
    /// URL of each listener as clients see it, where it is set.
    pub external: BTreeMap<&'static str, Url>,
    /// Admin door of the process that serves it, where it is set.
    pub admin_url: Option<Url>,
    /// What its https listeners show that have nothing of their own: PEM files of the chain, leaf first,
    /// and of its PKCS#8 key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Keys of a service's table that say where it is; the rest is the service's own configuration.
const PLACES: [&str; 5] = [
    "listen",
    "external_url",
    "admin_url",
    "certificate",
    "certificate_key",
];

/// A value for all listeners, or one for each by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrEach<T> {
    One(T),
    Each(BTreeMap<String, T>),
}

impl Settings {
    /// Reads and merges all sources.
    ///
    /// # Errors
    /// One line that names file or variable, key and reason.
    pub fn load(sources: &Sources) -> anyhow::Result<Self> {
        let (origin, mut table) = match &sources.config {
            Some(path) => {
                let text = fs::read_to_string(path)
                    .with_context(|| format!("cannot read settings {}", path.display()))?;
                let table: toml::Table = text
                    .parse()
                    .with_context(|| format!("settings {} are not TOML", path.display()))?;
                (path.display().to_string(), table)
            }
            None => ("settings".to_owned(), toml::Table::new()),
        };
        for (name, value) in &sources.environment {
            if let Some(path) = name.strip_prefix("SIGLAB__") {
                let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
                set(&mut table, &path, value)
                    .with_context(|| format!("environment variable {name} cannot be applied"))?;
            }
        }
        for assignment in &sources.set {
            let (path, value) = assignment
                .split_once('=')
                .with_context(|| format!("{assignment:?} is not TABLE.KEY=VALUE"))?;
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            set(&mut table, &path, value)
                .with_context(|| format!("--set {assignment} cannot be applied"))?;
        }
        for (key, value) in &table {
            let known = TOP_LEVEL.contains(&key.as_str())
                || (tables().any(|table| table == key) && value.is_table());
            if !known {
                bail!(
                    "{origin}: unknown key {key}, expected a table of {} or one of {}",
                    tables().collect::<Vec<_>>().join(", "),
                    TOP_LEVEL.join(", ")
                );
            }
        }
        let text = |key: &str| -> anyhow::Result<Option<String>> {
            match table.get(key) {
                None => Ok(None),
                Some(value) => match value.as_str() {
                    Some(text) => Ok(Some(text.to_owned())),
                    None => bail!("{origin}: {key} is not a string"),
                },
            }
        };
        let data_dir = match (&sources.data_dir, text("data_dir")?) {
            (Some(dir), _) => dir.clone(),
            (None, Some(dir)) => PathBuf::from(dir),
            (None, None) => default_data_dir(&sources.environment)?,
        };
        let instance = text("instance")?;
        let public_names = match table.get("public_names") {
            None => false,
            Some(value) => match value.as_bool() {
                Some(value) => value,
                None => bail!("{origin}: public_names is not true or false"),
            },
        };
        Ok(Self {
            origin,
            table,
            any_port: sources.any_port,
            data_dir,
            instance,
            public_names,
        })
    }

    /// Where a service is: its own listeners when this process serves it, else with default ports.
    ///
    /// # Errors
    /// One line that names the table, the key and the reason.
    pub fn places(
        &self,
        service: &str,
        listeners: &'static [Listener],
        own: bool,
    ) -> anyhow::Result<Places> {
        let mut table = self.table(service);
        let at = |key: &str| format!("{}: [{service}] {key}", self.origin);
        let mut take = |key: &'static str| table.remove(key);
        let listen: Option<OneOrEach<String>> =
            read(take("listen")).with_context(|| format!("{} is not an address", at("listen")))?;
        let external: Option<OneOrEach<Url>> = read(take("external_url"))
            .with_context(|| format!("{} is not a URL", at("external_url")))?;
        let admin_url =
            read(take("admin_url")).with_context(|| format!("{} is not a URL", at("admin_url")))?;
        let path = |value, key| {
            read::<PathBuf>(value).with_context(|| format!("{} is not a path", at(key)))
        };
        let certificate = match (
            path(take("certificate"), "certificate")?,
            path(take("certificate_key"), "certificate_key")?,
        ) {
            (Some(chain), Some(key)) => Some((chain, key)),
            (None, None) => None,
            _ => bail!(
                "{} and certificate_key are needed together",
                at("certificate")
            ),
        };
        let any_port = own && self.any_port;
        let external = by_listener(listeners, external).with_context(|| at("external_url"))?;
        if let Some(url) = external.values().find(|url| is_public(url))
            && !self.public_names
        {
            bail!(
                "{}: {url} is in the public world; to play it on a sealed network, set public_names = true",
                at("external_url")
            );
        }
        Ok(Places {
            listen: addresses(listeners, listen, any_port).with_context(|| at("listen"))?,
            external,
            admin_url,
            certificate,
        })
    }

    /// PEM of the authorities that are trusted when services call each other, where it is set.
    ///
    /// # Errors
    /// One line that names the key or the file.
    pub fn peers_ca(&self) -> anyhow::Result<Option<String>> {
        let mut table = self.table("peers");
        let path: Option<PathBuf> = read(table.remove("ca"))
            .with_context(|| format!("{}: [peers] ca is not a path", self.origin))?;
        if let Some(key) = table.keys().next() {
            bail!("{}: unknown key {key} in [peers], expected ca", self.origin);
        }
        let Some(path) = path else {
            return Ok(None);
        };
        let text = fs::read_to_string(&path)
            .with_context(|| format!("{}: [peers] ca {}", self.origin, path.display()))?;
        Ok(Some(text))
    }

    /// A service's own configuration.
    ///
    /// # Errors
    /// One line that names the table, the key and the reason.
    pub fn config<S: Service>(&self) -> anyhow::Result<S::Config> {
        let mut table = self.table(S::NAME);
        for key in PLACES {
            table.remove(key);
        }
        toml::Value::Table(table)
            .try_into()
            .with_context(|| format!("{}: table [{}] cannot be used", self.origin, S::NAME))
    }

    /// Address of the admin door.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn admin_address(&self) -> anyhow::Result<SocketAddr> {
        let table = self.table("admin");
        let port = if self.any_port { 0 } else { ADMIN_PORT };
        match table.get("listen") {
            None => Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
            Some(value) => {
                let text = value.as_str().unwrap_or_default();
                address(text, port).with_context(|| format!("{}: [admin] listen", self.origin))
            }
        }
    }

    /// URL of the admin door as others see it, where it is set.
    ///
    /// # Errors
    /// One line that names the key.
    pub fn admin_external_url(&self) -> anyhow::Result<Option<Url>> {
        match self.table("admin").remove("external_url") {
            None => Ok(None),
            Some(value) => Ok(Some(value.try_into().with_context(|| {
                format!("{}: [admin] external_url is not a URL", self.origin)
            })?)),
        }
    }

    /// The `tracing` filter, and whether events are JSON lines.
    #[must_use]
    pub fn log(&self) -> (String, bool) {
        let table = self.table("log");
        let filter = table
            .get("filter")
            .and_then(toml::Value::as_str)
            .unwrap_or("info");
        let json = table
            .get("json")
            .and_then(toml::Value::as_bool)
            .unwrap_or(false);
        (filter.to_owned(), json)
    }

    fn table(&self, name: &str) -> toml::Table {
        self.table
            .get(name)
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default()
    }
}

/// Whether a URL's host is in a domain of the public world.
fn is_public(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    PUBLIC_DOMAINS.iter().any(|domain| {
        host.strip_suffix(domain)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

fn read<T: serde::de::DeserializeOwned>(value: Option<toml::Value>) -> anyhow::Result<Option<T>> {
    Ok(value.map(toml::Value::try_into).transpose()?)
}

fn addresses(
    listeners: &'static [Listener],
    given: Option<OneOrEach<String>>,
    any_port: bool,
) -> anyhow::Result<BTreeMap<&'static str, SocketAddr>> {
    // One address is the first listener's; one IP without a port is for all of them.
    let for_all = match &given {
        Some(OneOrEach::One(text)) => text.parse::<IpAddr>().ok(),
        _ => None,
    };
    let each = by_listener(listeners, given)?;
    listeners
        .iter()
        .map(|listener| {
            let port = if any_port { 0 } else { listener.port };
            let address = match (for_all, each.get(listener.name)) {
                (Some(ip), _) => SocketAddr::new(ip, port),
                (None, Some(text)) => address(text, port)?,
                (None, None) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            };
            Ok((listener.name, address))
        })
        .collect()
}

fn by_listener<T: Clone>(
    listeners: &'static [Listener],
    given: Option<OneOrEach<T>>,
) -> anyhow::Result<BTreeMap<&'static str, T>> {
    match given {
        None => Ok(BTreeMap::new()),
        // One URL or address with a port can only be the first listener's.
        Some(OneOrEach::One(value)) => Ok(BTreeMap::from([(listeners[0].name, value)])),
        Some(OneOrEach::Each(map)) => map
            .into_iter()
            .map(|(name, value)| {
                let listener = listeners.iter().find(|listener| listener.name == name);
                match listener {
                    Some(listener) => Ok((listener.name, value)),
                    None => bail!("no listener {name}, expected {}", names(listeners)),
                }
            })
            .collect(),
    }
}

fn names(listeners: &[Listener]) -> String {
    listeners
        .iter()
        .map(|listener| listener.name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `IP`, `IP:PORT` or `:PORT`.
fn address(text: &str, default_port: u16) -> anyhow::Result<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, default_port));
    }
    if let Some(Ok(port)) = text.strip_prefix(':').map(str::parse) {
        return Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port));
    }
    bail!("{text:?} is not an address, expected IP, IP:PORT or :PORT")
}

fn set(table: &mut toml::Table, path: &[String], value: &str) -> anyhow::Result<()> {
    let parsed = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let (last, folders) = path.split_last().context("the key is empty")?;
    let mut here = table;
    for folder in folders {
        here = here
            .entry(folder.clone())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .with_context(|| format!("{folder} is not a table"))?;
    }
    here.insert(last.clone(), parsed);
    Ok(())
}

fn default_data_dir(environment: &[(String, String)]) -> anyhow::Result<PathBuf> {
    let value = |name: &str| {
        let found = environment
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    };
    if let Some(dir) = value("XDG_DATA_HOME").filter(|dir| Path::new(dir).is_absolute()) {
        return Ok(Path::new(dir).join("siglab"));
    }
    let home = value("HOME").context("no HOME to keep state under, give --data-dir DIR")?;
    Ok(Path::new(home).join(".local/share/siglab"))
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}
