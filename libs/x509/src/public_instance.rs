//! Names and keys of the public Sigstore instances, which no lab may have, and of public issuers.

use crate::Certificate;

const KEYS: &str = include_str!("public-instance-keys.txt");

/// Organizations and common names of the public instances' authorities.
const NAMES: [&str; 6] = [
    "sigstore.dev",
    "sigstore",
    "sigstore-intermediate",
    "sigstore-tsa",
    "sigstore-tsa-selfsigned",
    "GitHub, Inc.",
];

/// Hosts of issuers that policies in the public world name.
const ISSUER_HOSTS: [&str; 14] = [
    "accounts.google.com",
    "agent.buildkite.com",
    "app.buddy.works",
    "dev.gitlab.org",
    "github.com",
    "gitlab.com",
    "issuer.enforce.dev",
    "login.microsoftonline.com",
    "oauth2.sigstage.dev",
    "oauth2.sigstore.dev",
    "oidc.circleci.com",
    "oidc.codefresh.io",
    "ops.gitlab.net",
    "token.actions.githubusercontent.com",
];

/// Whether a key is one of the public-good or staging instance: DER SubjectPublicKeyInfo.
#[must_use]
pub fn is_public_key(spki_der: &[u8]) -> bool {
    let digest = crypto::sha256(spki_der);
    let mut known = KEYS.lines().filter_map(|line| line.split(' ').next());
    known.any(|text| {
        text.len() == 64
            && text
                .as_bytes()
                .chunks_exact(2)
                .zip(digest)
                .all(|(pair, byte)| {
                    std::str::from_utf8(pair)
                        .ok()
                        .and_then(|p| u8::from_str_radix(p, 16).ok())
                        == Some(byte)
                })
    })
}

/// What of a certificate's subject belongs to a public instance: the offending name.
#[must_use]
pub fn public_name(certificate: &Certificate) -> Option<String> {
    [
        certificate.subject_organization(),
        certificate.subject_common_name(),
    ]
    .into_iter()
    .flatten()
    .find(|name| {
        NAMES
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name.trim()))
    })
}

/// Whether an issuer URL is that of a public identity provider.
#[must_use]
pub fn is_public_issuer(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let below = |domain: &str| {
        let host = host.to_ascii_lowercase();
        host == domain || host.ends_with(&format!(".{domain}"))
    };
    // The whole of these domains is public; of the others, the host alone.
    ISSUER_HOSTS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(host))
        || [
            "githubusercontent.com",
            "sigstore.dev",
            "sigstage.dev",
            "ghe.com",
        ]
        .into_iter()
        .any(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_issuers_are_known_in_any_spelling() {
        for public in [
            "https://token.actions.githubusercontent.com",
            "https://token.actions.githubusercontent.com/my-enterprise",
            "https://TOKEN.actions.githubusercontent.com:443/",
            "https://accounts.google.com",
            "https://github.com/login/oauth",
            "https://oauth2.sigstore.dev/auth",
            "https://token.actions.octo.ghe.com",
        ] {
            assert!(is_public_issuer(public), "{public}");
        }
        for own in [
            "http://localhost:8080",
            "http://oidc:8080/github-actions",
            "https://sso.example.com/token.actions.githubusercontent.com",
            "https://gitlab.example.com",
        ] {
            assert!(!is_public_issuer(own), "{own}");
        }
    }
}
