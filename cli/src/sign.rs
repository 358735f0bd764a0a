//! `siglab sign`: a keyless signature as cosign 3 makes it, every step over HTTP.

use bundle::{Bundle, Content, DsseEnvelope, DsseSignature, SigningMaterial, VerificationMaterial};
use oci::{Descriptor, ImageReference};
use serde_json::{Value, json};

use crate::{
    arguments::{self, Common},
    client::{Issued, Lab, Pushed},
    output, token,
};

/// A signed image: what was obtained on the way, and the referrer that carries it.
#[derive(Debug)]
pub(crate) struct Signed {
    /// `registry/repository@digest` of the image.
    pub(crate) name: String,
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

    /// Prints what was obtained.
    ///
    /// # Errors
    /// When the certificate says something that does not parse.
    pub(crate) fn show(&self) -> anyhow::Result<()> {
        let certificate = &self.issued.certificate;
        output::detail("identity", self.identity()?);
        output::detail("issuer", certificate.fulcio_issuer()?.unwrap_or_default());
        for entry in &self.bundle.verification_material.tlog_entries {
            output::detail("log index", entry.log_index);
        }
        output::detail("referrer", &self.referrer.descriptor.digest);
        Ok(())
    }

    /// The same as fields of an object.
    ///
    /// # Errors
    /// When the certificate says something that does not parse.
    pub(crate) fn fields(&self) -> anyhow::Result<Value> {
        let entries = &self.bundle.verification_material.tlog_entries;
        let index = entries.first().map(|entry| entry.log_index);
        Ok(json!({
            "image": self.name,
            "identity": self.identity()?,
            "issuer": self.issued.certificate.fulcio_issuer()?.unwrap_or_default(),
            "logIndex": index,
            "referrer": self.referrer.descriptor.digest.to_string(),
        }))
    }
}

/// Who signs: a token, or the preset and claims of one that is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) preset: &'a str,
    pub(crate) claims: &'a [String],
}

impl<'a> From<&'a arguments::Signer> for Who<'a> {
    fn from(signer: &'a arguments::Signer) -> Self {
        Self {
            token: signer.identity_token.as_deref(),
            preset: &signer.preset,
            claims: &signer.claims,
        }
    }
}

/// What is stated about an image.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) predicate_type: String,
    pub(crate) predicate: Value,
}

impl Claim {
    /// A plain image signature.
    pub(crate) fn signature() -> Self {
        Self {
            predicate_type: verify::SIGN_PREDICATE.to_owned(),
            predicate: json!({}),
        }
    }
}

pub(crate) async fn run(common: &Common, options: &arguments::Sign) -> anyhow::Result<()> {
    let lab = Lab::open(common).await?;
    let who = Who::from(&options.signer);
    let signed = attach(&lab, &options.image, &who, &Claim::signature()).await?;
    if common.json {
        output::object(true, signed.fields()?);
    } else {
        output::line(format!("signed {}", signed.name));
        signed.show()?;
    }
    Ok(())
}

/// Makes a claim about the image of that name.
///
/// # Errors
/// What a service refused.
pub(crate) async fn attach(
    lab: &Lab,
    image: &str,
    who: &Who<'_>,
    claim: &Claim,
) -> anyhow::Result<Signed> {
    let image = arguments::image(image)?;
    let token = match who.token {
        Some(token) => token.trim().to_owned(),
        None => {
            lab.token(&token::parameters(who.preset, who.claims)?)
                .await?
        }
    };
    let subject = lab.resolve(&image).await?;
    claim_by(lab, &image, &subject, &token, claim).await
}

/// Signs the manifest `subject` of `image` with the identity of `token`.
///
/// # Errors
/// What a service refused.
pub(crate) async fn image_by(
    lab: &Lab,
    image: &ImageReference,
    subject: &Descriptor,
    token: &str,
) -> anyhow::Result<Signed> {
    claim_by(lab, image, subject, token, &Claim::signature()).await
}

/// Certificate, statement, timestamp, log entry, referrer.
async fn claim_by(
    lab: &Lab,
    image: &ImageReference,
    subject: &Descriptor,
    token: &str,
    claim: &Claim,
) -> anyhow::Result<Signed> {
    let issued = lab.certificate(token).await?;
    let envelope = envelope(&issued, &statement(image, subject, claim))?;
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
        .push_bundle(image, subject, &bundle, &claim.predicate_type, &created)
        .await?;
    Ok(Signed {
        name: format!("{}@{}", image.context(), subject.digest),
        issued,
        bundle,
        referrer,
    })
}

/// The in-toto statement that names the manifest.
fn statement(image: &ImageReference, subject: &Descriptor, claim: &Claim) -> Value {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{
            "name": image.context(),
            "digest": { subject.digest.algorithm().name(): subject.digest.hex() },
        }],
        "predicateType": claim.predicate_type,
        "predicate": claim.predicate,
    })
}

fn envelope(issued: &Issued, statement: &Value) -> anyhow::Result<DsseEnvelope> {
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
