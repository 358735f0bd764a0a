//! `siglab sign`: a keyless signature as cosign 3 makes it, every step over HTTP.

use anyhow::Context as _;
use bundle::{Bundle, Content, DsseEnvelope, DsseSignature, SigningMaterial, VerificationMaterial};
use oci::{Descriptor, ImageReference};
use serde_json::json;

use crate::{
    arguments,
    client::{Issued, Lab, Pushed},
    output, token,
};

/// Predicate type of a plain image signature.
pub(crate) const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

/// A signed image: what was obtained on the way, and the referrer that carries it.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) issued: Issued,
    pub(crate) bundle: Bundle,
    pub(crate) referrer: Pushed,
}

impl Signed {
    /// Who signed: the certificate's first alternative name.
    ///
    /// # Errors
    /// When the certificate's names do not parse.
    pub(crate) fn identity(&self) -> anyhow::Result<String> {
        let names = self.issued.certificate.sans()?;
        Ok(names.iter().find_map(x509::San::text).unwrap_or_default())
    }
}

pub(crate) async fn run(admin: &str, options: &arguments::Sign) -> anyhow::Result<()> {
    let image: ImageReference = options
        .image
        .parse()
        .with_context(|| format!("{} is not an image", options.image))?;
    let lab = Lab::find(admin).await?;
    let token = match &options.identity_token {
        Some(token) => token.trim().to_owned(),
        None => {
            lab.token(&token::parameters(&options.preset, &options.claims)?)
                .await?
        }
    };
    let subject = lab.resolve(&image).await?;
    let signed = image_by(&lab, &image, &subject, &token).await?;
    output::line(format!("signed {}@{}", image.context(), subject.digest));
    show(&signed)?;
    Ok(())
}

/// Signs the manifest `subject` of `image` with the identity of `token`: certificate, statement,
/// timestamp, log entry, referrer.
///
/// # Errors
/// What a service refused.
pub(crate) async fn image_by(
    lab: &Lab,
    image: &ImageReference,
    subject: &Descriptor,
    token: &str,
) -> anyhow::Result<Signed> {
    let issued = lab.certificate(token).await?;
    let envelope = envelope(&issued, &statement(image, subject))?;
    let signature = envelope.signatures[0].sig.clone();
    let timestamp = lab.timestamp(&signature).await?;
    let digest = crypto::sha256(&envelope.pae());
    let entry = lab.log(&digest, &signature, &issued.certificate).await?;
    let material = VerificationMaterial {
        signer: SigningMaterial::Certificate(issued.certificate.der().to_vec()),
        tlog_entries: vec![entry],
        rfc3161_timestamps: vec![timestamp],
    };
    let bundle = Bundle::new(material, Content::DsseEnvelope(envelope));
    let created = issued.certificate.not_before().to_string();
    let referrer = lab
        .push_bundle(image, subject, &bundle, PREDICATE_TYPE, &created)
        .await?;
    Ok(Signed {
        issued,
        bundle,
        referrer,
    })
}

/// The in-toto statement that names the manifest.
fn statement(image: &ImageReference, subject: &Descriptor) -> serde_json::Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": image.context(),
            "digest": { subject.digest.algorithm().name(): subject.digest.hex() },
        }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {},
    })
}

fn envelope(issued: &Issued, statement: &serde_json::Value) -> anyhow::Result<DsseEnvelope> {
    let mut envelope = DsseEnvelope {
        payload: serde_json::to_vec(statement)?,
        payload_type: "application/vnd.in-toto+json".to_owned(),
        signatures: Vec::new(),
    };
    let sig = issued.key.sign(&envelope.pae())?;
    envelope.signatures.push(DsseSignature {
        sig,
        keyid: String::new(),
    });
    Ok(envelope)
}

/// Prints what was obtained.
///
/// # Errors
/// When the certificate says something that does not parse.
pub(crate) fn show(signed: &Signed) -> anyhow::Result<()> {
    let certificate = &signed.issued.certificate;
    output::detail("identity", signed.identity()?);
    output::detail("issuer", certificate.fulcio_issuer()?.unwrap_or_default());
    for entry in &signed.bundle.verification_material.tlog_entries {
        output::detail("log index", entry.log_index);
    }
    output::detail("referrer", &signed.referrer.descriptor.digest);
    Ok(())
}
