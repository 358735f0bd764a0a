//! `siglab verify`: the signatures of an image, checked here, every step shown.

use std::process::ExitCode;

use anyhow::Context as _;
use bundle::{Bundle, Content, TrustedRoot};
use crypto::HashAlgorithm;
use oci::{Algorithm, Descriptor};
use serde_json::{Value, json};
use verify::{
    Artifact, Identity, Pattern, Report, Requirements, SIGN_PREDICATE, Signer, Statement, Trust,
    verify_bundle,
};

use crate::{
    arguments::{self, Common},
    client::Lab,
    explain, output,
    output::Advice,
};

pub(crate) async fn run(common: &Common, options: &arguments::Verify) -> anyhow::Result<ExitCode> {
    if let Some(policy) = &options.policy {
        return explain::image(common, &options.image, policy).await;
    }
    let image = arguments::image(&options.image)?;
    let identity = identity(options)?;
    let lab = Lab::open(common).await?;
    let root = match &options.trusted_root {
        Some(path) => {
            let bytes =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            TrustedRoot::from_json(&bytes)?
        }
        None => lab.trusted_root().await?,
    };
    let subject = lab.resolve(&image).await?;
    let mut found = Vec::new();
    for bundle in lab.bundles(&image, &subject.digest).await? {
        let kind = kind(&bundle);
        let (report, good) = check(&bundle, &subject, &identity, &root)?;
        if !common.json {
            output::heading(&kind);
            output::report(&report);
        }
        found.push((kind, report, good));
    }
    let signatures = found.iter().filter(|(kind, ..)| kind == SIGNATURE);
    let (total, verified) = signatures.fold((0, 0), |(total, verified), (.., good)| {
        (total + 1, verified + usize::from(*good))
    });
    let name = format!("{}@{}", image.context(), subject.digest);
    if common.json {
        let list: Vec<Value> = found
            .iter()
            .map(|(kind, report, good)| json!({ "kind": kind, "verified": good, "steps": report }))
            .collect();
        output::object(verified > 0, json!({ "image": name, "found": list }));
        return Ok(output::code(verified > 0));
    }
    if verified == 0 {
        return Err(Advice::error(
            format!("none of {total} signatures on {name} verified"),
            next(&options.image, total),
        ));
    }
    output::heading(format!("{verified} of {total} signatures verified"));
    Ok(ExitCode::SUCCESS)
}

/// What is not an attestation.
const SIGNATURE: &str = "signature";

/// What a bundle claims to be.
fn kind(bundle: &Bundle) -> String {
    let Content::DsseEnvelope(envelope) = &bundle.content else {
        return SIGNATURE.to_owned();
    };
    match Statement::read(envelope) {
        Ok(statement) if statement.predicate_type != SIGN_PREDICATE => {
            format!("attestation {}", statement.predicate_type)
        }
        _ => SIGNATURE.to_owned(),
    }
}

fn next(image: &str, signatures: usize) -> String {
    if signatures == 0 {
        format!("siglab sign {image}")
    } else {
        format!("siglab sign {image}    (or name who did sign: --certificate-identity)")
    }
}

fn identity(options: &arguments::Verify) -> anyhow::Result<Identity> {
    let subject = Pattern::new(
        options.certificate_identity.as_deref(),
        options.certificate_identity_regexp.as_deref(),
    )?;
    let issuer = Pattern::new(
        options.certificate_oidc_issuer.as_deref(),
        options.certificate_oidc_issuer_regexp.as_deref(),
    )?;
    Ok(Identity {
        issuer: issuer.context("--certificate-oidc-issuer is empty")?,
        subject: subject.context("--certificate-identity is empty")?,
    })
}

/// Checks one bundle against the manifest it should be about.
///
/// # Errors
/// When the trusted root itself cannot be used.
pub(crate) fn check(
    bundle: &Bundle,
    subject: &Descriptor,
    identity: &Identity,
    root: &TrustedRoot,
) -> anyhow::Result<(Report, bool)> {
    let trust = Trust::new(root)?;
    let mut report = Report::default();
    let hash = match subject.digest.algorithm() {
        Algorithm::Sha256 => HashAlgorithm::Sha256,
        Algorithm::Sha512 => HashAlgorithm::Sha512,
    };
    let digest = hex::decode(subject.digest.hex())?;
    let requirements = Requirements {
        signer: Signer::Keyless {
            identities: std::slice::from_ref(identity),
            authority_url: None,
        },
        sct: true,
        log: true,
        timestamp: false,
    };
    if let Content::DsseEnvelope(envelope) = &bundle.content {
        let about = Statement::read(envelope)
            .and_then(|statement| statement.about(&subject.digest.to_string()));
        match about {
            Ok(()) => report.pass("statement", format!("about {}", subject.digest)),
            Err(error) => {
                report.fail(
                    "statement",
                    subject.digest.to_string(),
                    error.to_string(),
                    "",
                );
                return Ok((report, false));
            }
        }
    }
    let artifact = Artifact::Digest(hash, &digest);
    let good = verify_bundle(bundle, artifact, &requirements, &trust, &mut report).is_ok();
    Ok((report, good))
}
