//! Response messages of v2: unset scalars are written, members that are not chosen are not.

use serde::Serialize;

use crate::{
    issuers::{Issuer, IssuerType, Issuers},
    service::Issued,
};

#[derive(Serialize)]
struct Chain<'a> {
    certificates: &'a [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum SigningCertificate<'a> {
    SignedCertificateDetachedSct(Detached<'a>),
    SignedCertificateEmbeddedSct(Embedded<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detached<'a> {
    chain: Chain<'a>,
    signed_certificate_timestamp: &'a str,
}

#[derive(Serialize)]
struct Embedded<'a> {
    chain: Chain<'a>,
}

#[derive(Serialize)]
struct TrustBundle<'a> {
    chains: [Chain<'a>; 1],
}

#[derive(Serialize)]
struct Configuration<'a> {
    issuers: Vec<OidcIssuer<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OidcIssuer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wildcard_issuer_url: Option<&'a str>,
    audience: &'a str,
    challenge_claim: &'a str,
    spiffe_trust_domain: &'a str,
    issuer_type: IssuerType,
    subject_domain: &'a str,
    skip_email_verification: bool,
}

fn text(message: &impl Serialize) -> String {
    serde_json::to_string(message).expect("messages are texts, lists and truths")
}

pub(super) fn signing_certificate(issued: &Issued) -> String {
    let chain = Chain {
        certificates: &issued.chain,
    };
    text(&if issued.embedded_sct {
        SigningCertificate::SignedCertificateEmbeddedSct(Embedded { chain })
    } else {
        let signed_certificate_timestamp = "";
        let detached = Detached {
            chain,
            signed_certificate_timestamp,
        };
        SigningCertificate::SignedCertificateDetachedSct(detached)
    })
}

pub(super) fn trust_bundle(certificates: &[String]) -> String {
    text(&TrustBundle {
        chains: [Chain { certificates }],
    })
}

pub(super) fn configuration(issuers: &Issuers) -> String {
    let exact = issuers.exact().map(|issuer| OidcIssuer::new(issuer, false));
    let patterns = issuers
        .patterns()
        .map(|issuer| OidcIssuer::new(issuer, true));
    text(&Configuration {
        issuers: exact.chain(patterns).collect(),
    })
}

impl<'a> OidcIssuer<'a> {
    fn new(issuer: &'a Issuer, wildcard: bool) -> Self {
        let url = Some(issuer.url.as_str());
        let (issuer_url, wildcard_issuer_url) = if wildcard { (None, url) } else { (url, None) };
        Self {
            issuer_url,
            wildcard_issuer_url,
            audience: &issuer.client_id,
            challenge_claim: &issuer.challenge_claim,
            spiffe_trust_domain: &issuer.spiffe_trust_domain,
            issuer_type: issuer.kind,
            subject_domain: &issuer.subject_domain,
            skip_email_verification: issuer.skip_email_verification,
        }
    }
}
