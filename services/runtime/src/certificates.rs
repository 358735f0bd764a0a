//! TLS certificates for services that are processes of their own, all below one authority.
//!
//! The authority may speak for the given names alone, and its key is forgotten as soon as the
//! certificates are made: whoever trusts it for the lab's sake trusts nothing else by it.

use std::{fmt::Write as _, path::Path};

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, GeneralSubtree, Issuer, KeyPair, NameConstraints};

use crate::{files, tls};

/// Days that authority and certificates are valid (RELIABILITY "Safe defaults" 5).
const VALID_DAYS: i64 = 90;

/// Days after which a start makes new ones.
const RENEW_DAYS: i64 = 60;

/// A service and the host names that it answers to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Name of its files.
    pub name: String,
    /// DNS names.
    pub hosts: Vec<String>,
}

/// Makes `authority.pem` and for each server `NAME.pem` and `NAME.key` in `dir`, unless they are there for
/// the same servers and not old. Returns whether they were made.
///
/// # Errors
/// A name that is none, and those of the file system.
pub fn issue(
    dir: &Path,
    instance: &str,
    servers: &[Server],
    now: Timestamp,
) -> anyhow::Result<bool> {
    for server in servers {
        let file = server
            .name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'-');
        ensure!(
            file && !server.name.is_empty(),
            "{:?} is not a service",
            server.name
        );
        ensure!(
            server.name != "authority",
            "authority is the authority's own name"
        );
        ensure!(
            !server.hosts.is_empty(),
            "{} has no host names",
            server.name
        );
        for host in &server.hosts {
            ensure!(is_host_name(host), "{host:?} is not a host name");
        }
    }
    files::create_dirs(dir)?;
    let made_for = described(instance, servers);
    let record = dir.join("issued");
    if let Some(bytes) = files::read_optional(&record)?
        && let Some((at, kept_for)) = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|t| t.split_once('\n'))
        && let Ok(at) = at.parse::<Timestamp>()
        && kept_for == made_for
        && (at..at + SignedDuration::from_hours(24 * RENEW_DAYS)).contains(&now)
    {
        return Ok(false);
    }
    make(dir, instance, servers, now)?;
    let text = format!("{now}\n{made_for}");
    files::replace(&record, text.as_bytes())?;
    Ok(true)
}

/// Lower-case letters, digits and hyphens between dots (RFC 1123 §2.1), and no address.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let known = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !label.is_empty() && label.bytes().all(known)
    };
    text.parse::<std::net::IpAddr>().is_err() && text.split('.').all(is_label)
}

fn described(instance: &str, servers: &[Server]) -> String {
    let mut text = format!("{instance}\n");
    for server in servers {
        let _ = writeln!(text, "{}={}", server.name, server.hosts.join(","));
    }
    text
}

fn make(dir: &Path, instance: &str, servers: &[Server], now: Timestamp) -> anyhow::Result<()> {
    let authority_key = KeyPair::generate()?;
    let mut params = tls::authority_params(instance, now, VALID_DAYS)?;
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: servers
            .iter()
            .flat_map(|server| server.hosts.iter().cloned())
            .map(GeneralSubtree::DnsName)
            .collect(),
        excluded_subtrees: Vec::new(),
    });
    let authority = params.self_signed(&authority_key)?.pem();
    let issuer = Issuer::from_params(&params, authority_key);
    let put = |name: &str, text: &str, mode| {
        files::replace_with_mode(&dir.join(name), text.as_bytes(), mode)
            .with_context(|| format!("cannot write {}", dir.join(name).display()))
    };
    for server in servers {
        let key = KeyPair::generate()?;
        let params: CertificateParams =
            tls::server_params(instance, &server.hosts, now, VALID_DAYS)?;
        let certificate = params.signed_by(&key, &issuer)?.pem();
        put(&format!("{}.key", server.name), &key.serialize_pem(), 0o600)?;
        let chain = format!("{certificate}{authority}");
        put(&format!("{}.pem", server.name), &chain, 0o644)?;
    }
    put("authority.pem", &authority, 0o644)
}
