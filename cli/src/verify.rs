//! `siglab verify`: the signatures of an image, checked offline, every step shown.

use std::process::ExitCode;

use anyhow::Context as _;
use bundle::{Bundle, Content, TrustedRoot};
use crypto::HashAlgorithm;
use oci::{Algorithm, Descriptor, ImageReference};
use serde_json::json;
use verify::{
    Artifact, Identity, Outcome, Pattern, Report, Requirements, Signer, Statement, Trust,
    verify_bundle,
};

use crate::{arguments, client::Lab, output};

pub(crate) async fn run(admin: &str, options: &arguments::Verify) -> anyhow::Result<ExitCode> {
    let image: ImageReference = options
        .image
        .parse()
        .with_context(|| format!("{} is not an image", options.image))?;
    let identity = identity(options)?;
    let lab = Lab::find(admin).await?;
    let root = match &options.trusted_root {
        Some(path) => {
            let bytes =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            TrustedRoot::from_json(&bytes)?
        }
        None => lab.trusted_root().await?,
    };
    let subject = lab.resolve(&image).await?;
    let mut verified = 0;
    let bundles = lab.bundles(&image, &subject.digest).await?;
    let found = bundles.len();
    for bundle in &bundles {
        let (report, good) = check(bundle, &subject, &identity, &root)?;
        verified += usize::from(good);
        if options.json {
            output::line(json!({ "verified": good, "steps": report.steps }));
        } else {
            show(&report);
        }
    }
    if verified > 0 {
        if !options.json {
            output::heading(format!("{verified} of {found} signatures verified"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::bail!(
        "none of {found} signatures on {}@{} verified\nsign it: siglab sign {}",
        image.context(),
        subject.digest,
        options.image
    );
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

/// Prints every step of a report.
pub(crate) fn show(report: &Report) {
    for step in &report.steps {
        match step.outcome {
            Outcome::Passed => {
                output::good("verified", format!("{}: {}", step.what, step.observed))
            }
            Outcome::Skipped => {
                output::detail("skipped", format!("{}: {}", step.what, step.observed))
            }
            Outcome::Failed => {
                output::bad("refused", format!("{}: {}", step.what, step.observed));
                if !step.expected.is_empty() {
                    output::detail("expected", &step.expected);
                }
                if !step.hint.is_empty() {
                    output::detail("hint", &step.hint);
                }
            }
        }
    }
}
