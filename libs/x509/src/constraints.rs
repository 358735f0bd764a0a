//! Name constraints (RFC 5280 §4.2.1.10) over e-mail, URI, DNS and IP names.

use std::net::IpAddr;

use der::Decode as _;
use x509_cert::ext::pkix::{
    NameConstraints, constraints::name::GeneralSubtrees, name::GeneralName,
};

use crate::{Certificate, Error, San, oid};

/// Checks every name below every constraining issuer of `path`, which is leaf first.
pub(crate) fn check(path: &[&Certificate]) -> Result<(), Error> {
    for (position, issuer) in path.iter().enumerate().skip(1) {
        let Some(value) = issuer.extension(oid::NAME_CONSTRAINTS) else {
            continue;
        };
        let constraints = NameConstraints::from_der(value).map_err(|_| Error::Malformed {
            part: "name constraints",
        })?;
        let permitted = constraints.permitted_subtrees.unwrap_or_default();
        let excluded = constraints.excluded_subtrees.unwrap_or_default();
        check_forms(issuer, &permitted, &excluded)?;
        for certificate in &path[..position] {
            for name in certificate.sans()? {
                if !allowed(&name, &permitted, &excluded) {
                    let name = name.text().unwrap_or_else(|| format!("{name:?}"));
                    return Err(Error::NameConstraint {
                        name,
                        subject: issuer.subject_text(),
                    });
                }
            }
        }
    }
    Ok(())
}

/// A critical constraint on a form that is not processed must not be passed over.
fn check_forms(
    issuer: &Certificate,
    permitted: &GeneralSubtrees,
    excluded: &GeneralSubtrees,
) -> Result<(), Error> {
    let processed = |base: &GeneralName| {
        matches!(
            base,
            GeneralName::Rfc822Name(_)
                | GeneralName::DnsName(_)
                | GeneralName::UniformResourceIdentifier(_)
                | GeneralName::IpAddress(_)
        )
    };
    let critical = issuer
        .extensions()
        .iter()
        .any(|e| e.oid == oid::NAME_CONSTRAINTS && e.critical);
    if critical
        && permitted
            .iter()
            .chain(excluded)
            .any(|tree| !processed(&tree.base))
    {
        return Err(Error::CriticalExtension {
            oid: oid::NAME_CONSTRAINTS,
        });
    }
    Ok(())
}

fn allowed(name: &San, permitted: &GeneralSubtrees, excluded: &GeneralSubtrees) -> bool {
    let mut constrained = false;
    let mut inside = false;
    for tree in permitted {
        match matches(name, &tree.base, false) {
            Some(matched) => {
                constrained = true;
                inside |= matched;
            }
            None => continue,
        }
    }
    let outside = excluded
        .iter()
        .any(|tree| matches(name, &tree.base, true) == Some(true));
    !outside && (!constrained || inside)
}

/// Whether `name` is within `base`; `None` when they are of different forms. `wide` takes a host to
/// mean its subdomains too: RFC 5280 does not for e-mail and URI, other verifiers do, and an exclusion
/// must hold either way.
fn matches(name: &San, base: &GeneralName, wide: bool) -> Option<bool> {
    match (name, base) {
        (San::Email(name), GeneralName::Rfc822Name(base)) => {
            let (local, host) = name.rsplit_once('@')?;
            let base = base.as_str();
            Some(match base.rsplit_once('@') {
                Some((want_local, want_host)) => {
                    local == want_local && host.eq_ignore_ascii_case(want_host)
                }
                None => host_within(host, base, wide),
            })
        }
        (San::Dns(name), GeneralName::DnsName(base)) => {
            Some(host_within(name, base.as_str(), true))
        }
        (San::Uri(name), GeneralName::UniformResourceIdentifier(base)) => {
            // A URI without a host, or with an address for one, is in no domain.
            Some(uri_host(name).is_some_and(|host| host_within(host, base.as_str(), wide)))
        }
        (San::Ip(name), GeneralName::IpAddress(base)) => {
            Some(address_within(*name, base.as_bytes()))
        }
        _ => None,
    }
}

fn host_within(host: &str, base: &str, wide: bool) -> bool {
    if base.is_empty() {
        return true;
    }
    let below = |domain: &str| {
        host.len() > domain.len()
            && host.is_char_boundary(host.len() - domain.len())
            && host[host.len() - domain.len()..].eq_ignore_ascii_case(domain)
    };
    if let Some(domain) = base.strip_prefix('.') {
        return below(base) || (wide && host.eq_ignore_ascii_case(domain));
    }
    host.eq_ignore_ascii_case(base) || (wide && below(&format!(".{base}")))
}

fn uri_host(uri: &str) -> Option<&str> {
    let (_, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    if host.starts_with('[') {
        return None;
    }
    let host = host.split(':').next()?;
    (!host.is_empty() && host.parse::<IpAddr>().is_err()).then_some(host)
}

fn address_within(address: IpAddr, base: &[u8]) -> bool {
    let bytes = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if base.len() != bytes.len() * 2 {
        return false;
    }
    let (network, mask) = base.split_at(bytes.len());
    bytes
        .iter()
        .zip(network)
        .zip(mask)
        .all(|((byte, net), mask)| byte & mask == net & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_period_asks_for_a_label_more() {
        assert!(host_within("a.example.com", ".example.com", false));
        assert!(!host_within("example.com", ".example.com", false));
        assert!(host_within("Example.com", "example.com", false));
        assert!(!host_within("a.example.com", "example.com", false));
        assert!(host_within("a.example.com", "example.com", true));
        assert!(!host_within("badexample.com", "example.com", true));
    }

    #[test]
    fn the_host_of_a_uri_is_found_behind_user_and_port() {
        assert_eq!(uri_host("https://u:p@h.example:8/x@y"), Some("h.example"));
        assert_eq!(uri_host("https://127.0.0.1/x"), None);
        assert_eq!(uri_host("https://[::1]/x"), None);
        assert_eq!(uri_host("mailto:a@b"), None);
    }
}
