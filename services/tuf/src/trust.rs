//! Turns the peers' trust into targets: trusted root, signing configs, and the single files that clients
//! before the trusted root look for.

use std::collections::BTreeMap;

use bundle::{
    CertificateAuthority, DistinguishedName, HashAlgorithm, KeyDetails, LogId, PublicKey,
    ServiceConfiguration, ServiceSelector, SigningConfig, TransparencyLog, TrustedRoot,
    ValidityPeriod,
};
use jiff::Timestamp;
use runtime::{ServiceRole, ServiceUrl, Trust};
use serde_json::{Value, json};
use tuf_metadata::whole_seconds;

/// Name of the trusted root among the targets.
pub(crate) const TRUSTED_ROOT: &str = "trusted_root.json";
/// Name of the default signing config: all services, of which clients take the highest version.
pub(crate) const SIGNING_CONFIG: &str = "signing_config.v0.2.json";
/// Name of the signing config with Rekor v1 alone.
pub(crate) const SIGNING_CONFIG_V1: &str = "signing_config_rekor_v1.v0.2.json";
/// Name of the signing config with Rekor v2 alone; cosign's `--with-default-rekor-v2` asks for it.
pub(crate) const SIGNING_CONFIG_V2: &str = "signing_config_rekor_v2.v0.2.json";

/// A target and its custom metadata.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Target {
    pub(crate) bytes: Vec<u8>,
    pub(crate) custom: Option<Value>,
}

/// Why a peer's trust cannot be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("log {url} has unknown key details {name:?}")]
    KeyDetails { url: String, name: String },
    #[error("authority {uri} has an empty chain")]
    EmptyChain { uri: String },
    #[error("no peer offers {what}, no client could sign")]
    Missing { what: &'static str },
}

/// The documents published so far, which starts of validity and retired keys are carried over from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Previous {
    pub(crate) trusted_root: TrustedRoot,
    pub(crate) signing_config: SigningConfig,
}

/// All targets by name.
pub(crate) fn targets(
    trust: &Trust,
    previous: &Previous,
    operator: &str,
    now: Timestamp,
) -> Result<BTreeMap<String, Target>, Refused> {
    let mut root = trusted_root(trust, operator)?;
    carry_over(&mut root, &previous.trusted_root, now);
    let config = signing_config(trust, &previous.signing_config, operator)?;
    let mut targets = BTreeMap::new();
    let mut add = |name: &str, bytes: String, custom| {
        targets.insert(
            name.to_owned(),
            Target {
                bytes: bytes.into_bytes(),
                custom,
            },
        );
    };
    for (name, version) in [(SIGNING_CONFIG_V1, 1), (SIGNING_CONFIG_V2, 2)] {
        let mut only = config.clone();
        only.rekor_tlog_urls
            .retain(|service| service.major_api_version == version);
        if !only.rekor_tlog_urls.is_empty() {
            add(name, only.to_json(), None);
        }
    }
    add(SIGNING_CONFIG, config.to_json(), None);
    add(TRUSTED_ROOT, root.to_json(), None);
    for SingleFile {
        name,
        pem,
        usage,
        uri,
    } in single_files(&root)
    {
        let status = json!({"usage": usage, "status": "Active", "uri": uri});
        add(&name, pem, Some(json!({ "sigstore": status })));
    }
    Ok(targets)
}

fn trusted_root(trust: &Trust, operator: &str) -> Result<TrustedRoot, Refused> {
    let logs = |logs: &[runtime::TransparencyLog]| {
        logs.iter()
            .map(|each| log(each, operator))
            .collect::<Result<Vec<_>, _>>()
    };
    let authorities = |list: &[runtime::CertificateAuthority]| {
        list.iter()
            .map(|each| authority(each, operator))
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(TrustedRoot {
        tlogs: logs(&trust.tlogs)?,
        ctlogs: logs(&trust.ctlogs)?,
        certificate_authorities: authorities(&trust.certificate_authorities)?,
        timestamp_authorities: authorities(&trust.timestamp_authorities)?,
        ..TrustedRoot::default()
    })
}

fn log(log: &runtime::TransparencyLog, operator: &str) -> Result<TransparencyLog, Refused> {
    let key_details =
        KeyDetails::from_name(&log.key_details).ok_or_else(|| Refused::KeyDetails {
            url: log.base_url.clone(),
            name: log.key_details.clone(),
        })?;
    Ok(TransparencyLog {
        base_url: log.base_url.clone(),
        hash_algorithm: HashAlgorithm::Sha2_256,
        public_key: PublicKey {
            raw_bytes: log.public_key.clone(),
            key_details,
            valid_for: Some(ValidityPeriod::since(whole_seconds(log.valid_from))),
        },
        log_id: LogId {
            key_id: log.log_id.clone(),
        },
        operator: operator.to_owned(),
        ..TransparencyLog::default()
    })
}

fn authority(
    authority: &runtime::CertificateAuthority,
    operator: &str,
) -> Result<CertificateAuthority, Refused> {
    if authority.chain.is_empty() {
        return Err(Refused::EmptyChain {
            uri: authority.uri.clone(),
        });
    }
    Ok(CertificateAuthority {
        subject: DistinguishedName {
            organization: authority.organization.clone(),
            common_name: authority.common_name.clone(),
        },
        uri: authority.uri.clone(),
        cert_chain: authority.chain.clone(),
        valid_for: Some(ValidityPeriod::since(whole_seconds(authority.valid_from))),
        operator: operator.to_owned(),
    })
}

/// Keeps what was published: the earliest start of a key that is still used (else signatures from before
/// a restart would precede their own key), and keys that are not used any more, with their end.
fn carry_over(root: &mut TrustedRoot, previous: &TrustedRoot, now: Timestamp) {
    merge(
        &mut root.tlogs,
        &previous.tlogs,
        now,
        |log| &log.log_id.key_id,
        |log| &mut log.public_key.valid_for,
    );
    merge(
        &mut root.ctlogs,
        &previous.ctlogs,
        now,
        |log| &log.log_id.key_id,
        |log| &mut log.public_key.valid_for,
    );
    for (list, old) in [
        (
            &mut root.certificate_authorities,
            &previous.certificate_authorities,
        ),
        (
            &mut root.timestamp_authorities,
            &previous.timestamp_authorities,
        ),
    ] {
        merge(
            list,
            old,
            now,
            |each| &each.cert_chain,
            |each| &mut each.valid_for,
        );
    }
}

fn merge<T: Clone, K: PartialEq + ?Sized>(
    list: &mut Vec<T>,
    previous: &[T],
    now: Timestamp,
    identity: impl Fn(&T) -> &K,
    validity: impl Fn(&mut T) -> &mut Option<ValidityPeriod>,
) {
    for old in previous {
        let mut old = old.clone();
        let period = validity(&mut old).clone().unwrap_or_default();
        if let Some(new) = list.iter_mut().find(|new| identity(new) == identity(&old)) {
            let validity = validity(new).get_or_insert_default();
            validity.start = earliest(period.start, validity.start);
        } else {
            validity(&mut old).get_or_insert_default().end = Some(period.end.unwrap_or(now));
            list.push(old);
        }
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

fn signing_config(
    trust: &Trust,
    previous: &SigningConfig,
    operator: &str,
) -> Result<SigningConfig, Refused> {
    let pick = |role, old: &[bundle::Service]| -> Vec<bundle::Service> {
        let offered = trust.services.iter().filter(|service| service.role == role);
        offered
            .map(|service| listed(service, old, operator))
            .collect()
    };
    let any = |services: &[bundle::Service]| {
        let selector = ServiceSelector::Any;
        (!services.is_empty()).then_some(ServiceConfiguration { selector, count: 0 })
    };
    let ca_urls = pick(ServiceRole::CertificateAuthority, &previous.ca_urls);
    let rekor_tlog_urls = pick(ServiceRole::TransparencyLog, &previous.rekor_tlog_urls);
    let tsa_urls = pick(ServiceRole::TimestampAuthority, &previous.tsa_urls);
    for (services, what) in [
        (&ca_urls, "a certificate authority"),
        (&rekor_tlog_urls, "a transparency log"),
        (&tsa_urls, "a timestamp authority"),
    ] {
        if services.is_empty() {
            return Err(Refused::Missing { what });
        }
    }
    Ok(SigningConfig {
        ca_urls,
        oidc_urls: pick(ServiceRole::OidcProvider, &previous.oidc_urls),
        rekor_tlog_config: any(&rekor_tlog_urls),
        rekor_tlog_urls,
        tsa_config: any(&tsa_urls),
        tsa_urls,
        ..SigningConfig::default()
    })
}

fn listed(service: &ServiceUrl, old: &[bundle::Service], operator: &str) -> bundle::Service {
    let known = old
        .iter()
        .find(|old| old.url == service.url && old.major_api_version == service.major_api_version);
    let before = known
        .and_then(|old| old.valid_for.as_ref())
        .and_then(|period| period.start);
    let start = earliest(before, Some(whole_seconds(service.valid_from)));
    bundle::Service {
        url: service.url.clone(),
        major_api_version: service.major_api_version,
        valid_for: Some(ValidityPeriod { start, end: None }),
        operator: operator.to_owned(),
    }
}

/// A target that cosign 1 and 2 and policy-controller look for by its usage.
struct SingleFile {
    name: String,
    pem: String,
    usage: &'static str,
    uri: String,
}

/// Only what is in use and what those clients can read: ECDSA keys.
fn single_files(root: &TrustedRoot) -> Vec<SingleFile> {
    let mut files = Vec::new();
    log_files(&root.tlogs, "rekor", "Rekor", &mut files);
    log_files(&root.ctlogs, "ctfe", "CTFE", &mut files);
    for (index, authority) in in_use(&root.certificate_authorities).enumerate() {
        let depths = authority.cert_chain.iter().rev().enumerate();
        for (depth, der) in depths {
            let stem = match depth {
                0 => "fulcio".to_owned(),
                depth => format!("fulcio_intermediate_v{depth}"),
            };
            files.push(certificate(
                numbered(&stem, index, "crt.pem"),
                der,
                "Fulcio",
                authority,
            ));
        }
    }
    // One chain only: these names have no room for a second.
    if let Some(authority) = in_use(&root.timestamp_authorities).next() {
        let last = authority.cert_chain.len() - 1;
        for (depth, der) in authority.cert_chain.iter().enumerate() {
            let name = match depth {
                0 => "tsa_leaf.crt.pem".to_owned(),
                depth if depth == last => "tsa_root.crt.pem".to_owned(),
                depth => format!("tsa_intermediate_{}.crt.pem", depth - 1),
            };
            files.push(certificate(name, der, "TSA", authority));
        }
    }
    files
}

fn log_files(
    logs: &[TransparencyLog],
    stem: &str,
    usage: &'static str,
    files: &mut Vec<SingleFile>,
) {
    let current = logs.iter().filter(|log| {
        current(log.public_key.valid_for.as_ref())
            && log.public_key.key_details != KeyDetails::Ed25519
    });
    for (index, log) in current.enumerate() {
        files.push(SingleFile {
            name: numbered(stem, index, "pub"),
            pem: crypto::to_pem("PUBLIC KEY", &log.public_key.raw_bytes),
            usage,
            uri: log.base_url.clone(),
        });
    }
}

fn certificate(
    name: String,
    der: &[u8],
    usage: &'static str,
    authority: &CertificateAuthority,
) -> SingleFile {
    SingleFile {
        name,
        pem: crypto::to_pem("CERTIFICATE", der),
        usage,
        uri: authority.uri.clone(),
    }
}

/// `STEM.EXT`, `STEM_1.EXT`, …
fn numbered(stem: &str, index: usize, extension: &str) -> String {
    if index == 0 {
        format!("{stem}.{extension}")
    } else {
        format!("{stem}_{index}.{extension}")
    }
}

fn current(period: Option<&ValidityPeriod>) -> bool {
    period.is_some_and(|period| period.end.is_none())
}

fn in_use(list: &[CertificateAuthority]) -> impl Iterator<Item = &CertificateAuthority> {
    list.iter().filter(|each| current(each.valid_for.as_ref()))
}
