//! What a signature on an image says: cosign's simple signing payload, or an in-toto statement.

use bundle::DsseEnvelope;
use serde::Deserialize;
use serde_json::Value;

use crate::error::ClaimError;

/// Predicate type of cosign's image signatures in bundles.
pub const SIGN_PREDICATE: &str = "https://sigstore.dev/cosign/sign/v1";

const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The predicate type that a short name of cosign's stands for; anything else is one itself.
#[must_use]
pub fn predicate_type(name: &str) -> &str {
    match name {
        "custom" => "https://cosign.sigstore.dev/attestation/v1",
        "cyclonedx" => "https://cyclonedx.org/bom",
        "link" => "https://in-toto.io/Link/v1",
        "openvex" => "https://openvex.dev/ns",
        "slsaprovenance" | "slsaprovenance02" => "https://slsa.dev/provenance/v0.2",
        "slsaprovenance1" => "https://slsa.dev/provenance/v1",
        "spdx" | "spdxjson" => "https://spdx.dev/Document",
        "vuln" => "https://cosign.sigstore.dev/attestation/vuln/v1",
        other => other,
    }
}

/// An in-toto statement about an image.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Its predicate type.
    pub predicate_type: String,
    /// The whole.
    pub json: Value,
}

impl Statement {
    /// Reads the payload of an envelope.
    ///
    /// # Errors
    /// [`ClaimError::PayloadType`], [`ClaimError::Json`].
    pub fn read(envelope: &DsseEnvelope) -> Result<Self, ClaimError> {
        if envelope.payload_type != IN_TOTO {
            return Err(ClaimError::PayloadType {
                got: envelope.payload_type.clone(),
            });
        }
        let json: Value = serde_json::from_slice(&envelope.payload).map_err(ClaimError::Json)?;
        let predicate_type = json.get("predicateType").and_then(Value::as_str);
        Ok(Self {
            predicate_type: predicate_type.unwrap_or_default().to_owned(),
            json,
        })
    }

    /// Checks that one subject has the digest `algorithm:hex`.
    ///
    /// # Errors
    /// [`ClaimError::Digest`].
    pub fn about(&self, digest: &str) -> Result<(), ClaimError> {
        let (algorithm, hex) = digest.split_once(':').unwrap_or(("", digest));
        let subjects = self.json.get("subject").and_then(Value::as_array);
        let digests = subjects
            .into_iter()
            .flatten()
            .filter_map(|subject| subject.get("digest")?.get(algorithm)?.as_str());
        let digests: Vec<&str> = digests.collect();
        if digests.contains(&hex) {
            Ok(())
        } else {
            Err(ClaimError::Digest {
                got: digests.join(", "),
            })
        }
    }
}

/// Simple signing, as far as it is read.
#[derive(Deserialize)]
struct SimpleSigning {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    #[serde(rename = "type", default)]
    kind: String,
}

#[derive(Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest", default)]
    digest: String,
}

/// Checks that a simple signing payload is about the image with `digest`.
///
/// # Errors
/// [`ClaimError`].
pub(crate) fn check_simple_signing(payload: &[u8], digest: &str) -> Result<(), ClaimError> {
    let claim: SimpleSigning = serde_json::from_slice(payload).map_err(ClaimError::Json)?;
    let kind = claim.critical.kind;
    if !matches!(
        kind.as_str(),
        "cosign container image signature" | "atomic container signature"
    ) {
        return Err(ClaimError::Type { got: kind });
    }
    if claim.critical.image.digest == digest {
        Ok(())
    } else {
        Err(ClaimError::Digest {
            got: claim.critical.image.digest,
        })
    }
}
