//! `dev.sigstore.bundle.v1.Bundle`: a signature with everything that is needed to check it offline.

use serde::{Deserialize, Serialize};

use crate::encoding::{bytes, from_json, list, text};
use crate::{Error, HashAlgorithm, TransparencyLogEntry};

/// The version of a bundle, from its media type.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// `application/vnd.dev.sigstore.bundle+json;version=0.1`.
    V0_1,
    /// `application/vnd.dev.sigstore.bundle+json;version=0.2`.
    V0_2,
    /// `application/vnd.dev.sigstore.bundle.v0.3+json`, what is written today.
    V0_3,
}

/// A bundle whose shape is that of its version.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "wire::Bundle", into = "wire::Bundle")]
pub struct Bundle {
    /// Says the version.
    pub media_type: String,
    /// Certificate or key, log entries, timestamps.
    pub verification_material: VerificationMaterial,
    /// What was signed, or its digest, with the signature.
    pub content: Content,
}

/// What a signature is checked against.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerificationMaterial {
    /// Certificate or key.
    pub signer: SigningMaterial,
    /// Entries of transparency logs, at most [`Bundle::TLOG_ENTRIES_MAX`].
    pub tlog_entries: Vec<TransparencyLogEntry>,
    /// DER `TimeStampResp` (RFC 3161), at most [`Bundle::TIMESTAMPS_MAX`].
    pub rfc3161_timestamps: Vec<Vec<u8>>,
}

/// Who signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SigningMaterial {
    /// The signing certificate alone, DER (v0.3).
    Certificate(Vec<u8>),
    /// The signing certificate and what is above it, DER, leaf first (before v0.3).
    CertificateChain(Vec<Vec<u8>>),
    /// A key that the verifier has to know; the hint may help to find it.
    PublicKey {
        /// Anything, also nothing.
        hint: String,
    },
}

impl SigningMaterial {
    /// DER of the signing certificate, if there is one.
    #[must_use]
    pub fn leaf(&self) -> Option<&[u8]> {
        match self {
            Self::Certificate(der) => Some(der),
            Self::CertificateChain(chain) => chain.first().map(Vec::as_slice),
            Self::PublicKey { .. } => None,
        }
    }
}

/// What was signed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Content {
    /// A DSSE envelope, payload included.
    DsseEnvelope(DsseEnvelope),
    /// A signature over bytes that are not in the bundle.
    MessageSignature(MessageSignature),
}

/// A digest and its algorithm.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HashOutput {
    /// Which hash.
    #[serde(default)]
    pub algorithm: HashAlgorithm,
    /// Its value.
    #[serde(with = "bytes", default)]
    pub digest: Vec<u8>,
}

/// A signature over bytes that are not in the bundle.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageSignature {
    /// Digest of those bytes: a hint for finding them, never proof of anything.
    #[serde(
        alias = "message_digest",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub message_digest: Option<HashOutput>,
    /// The signature.
    #[serde(with = "bytes", default)]
    pub signature: Vec<u8>,
}

/// `io.intoto.Envelope` (DSSE).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DsseEnvelope {
    /// The signed bytes.
    #[serde(with = "bytes", default)]
    pub payload: Vec<u8>,
    /// Media type of the payload.
    #[serde(alias = "payload_type", deserialize_with = "text", default)]
    pub payload_type: String,
    /// Signatures over the pre-authentication encoding of type and payload.
    #[serde(deserialize_with = "list", default)]
    pub signatures: Vec<DsseSignature>,
}

/// One signature of a DSSE envelope.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DsseSignature {
    /// The signature.
    #[serde(with = "bytes", default)]
    pub sig: Vec<u8>,
    /// A hint which key signed; not authenticated.
    #[serde(
        deserialize_with = "text",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub keyid: String,
}

impl DsseEnvelope {
    /// Pre-authentication encoding: the bytes that are signed (DSSE v1 protocol).
    #[must_use]
    pub fn pae(&self) -> Vec<u8> {
        let kind = &self.payload_type;
        let mut pae = format!("DSSEv1 {} {kind} {} ", kind.len(), self.payload.len()).into_bytes();
        pae.extend_from_slice(&self.payload);
        pae
    }
}

impl Bundle {
    /// The media type that is written.
    pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    /// Every bundle's media type starts so.
    pub const MEDIA_TYPE_PREFIX: &str = "application/vnd.dev.sigstore.bundle";
    /// Largest document that is read, in bytes. An attestation may carry a bill of materials.
    pub const BYTES_MAX: usize = 16 << 20;
    /// sigstore-go's limit.
    pub const TLOG_ENTRIES_MAX: usize = 32;
    /// sigstore-go's limit.
    pub const TIMESTAMPS_MAX: usize = 32;

    /// A bundle of the version that is written today.
    #[must_use]
    pub fn new(verification_material: VerificationMaterial, content: Content) -> Self {
        Self {
            media_type: Self::MEDIA_TYPE.to_owned(),
            verification_material,
            content,
        }
    }

    /// Reads a bundle and checks that its shape is that of its version.
    ///
    /// # Errors
    /// Any [`Error`] but those of other documents.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let bundle: Self = from_json("bundle", json, Self::BYTES_MAX)?;
        let version = bundle.version()?;
        let material = &bundle.verification_material;
        let entries = &material.tlog_entries;
        for (what, got, max) in [
            ("tlog entries", entries.len(), Self::TLOG_ENTRIES_MAX),
            (
                "timestamps",
                material.rfc3161_timestamps.len(),
                Self::TIMESTAMPS_MAX,
            ),
        ] {
            if got > max {
                return Err(Error::TooMany { what, got, max });
            }
        }
        if version == Version::V0_1 {
            if entries
                .iter()
                .any(|entry| entry.inclusion_promise.is_none())
            {
                return Err(Error::InclusionPromiseMissing);
            }
        } else if entries.iter().any(|entry| entry.inclusion_proof.is_none()) {
            return Err(Error::InclusionProofMissing);
        }
        if version == Version::V0_3
            && matches!(material.signer, SigningMaterial::CertificateChain(_))
        {
            return Err(Error::CertificateChain);
        }
        Ok(bundle)
    }

    /// Compact JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("the model has string keys only")
    }

    /// The version that the media type names.
    ///
    /// # Errors
    /// [`Error::MediaType`], [`Error::BundleVersion`].
    pub fn version(&self) -> Result<Version, Error> {
        let rest = self
            .media_type
            .strip_prefix(Self::MEDIA_TYPE_PREFIX)
            .ok_or_else(|| Error::MediaType {
                got: self.media_type.clone(),
            })?;
        match rest {
            "+json;version=0.1" | ".v0.1+json" => Ok(Version::V0_1),
            "+json;version=0.2" | ".v0.2+json" => Ok(Version::V0_2),
            "+json;version=0.3" | ".v0.3+json" => Ok(Version::V0_3),
            _ => match rest
                .strip_prefix('.')
                .and_then(|rest| rest.strip_suffix("+json"))
            {
                Some(version) => Err(Error::BundleVersion {
                    got: version.to_owned(),
                }),
                None => Err(Error::MediaType {
                    got: self.media_type.clone(),
                }),
            },
        }
    }
}

/// The message as protobuf spells it, with its oneofs as options.
mod wire {
    use serde::{Deserialize, Serialize};

    use super::{Content, DsseEnvelope, MessageSignature, SigningMaterial};
    use crate::TransparencyLogEntry;
    use crate::encoding::{bytes, list, text};

    #[derive(Clone, Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(super) struct Bundle {
        #[serde(alias = "media_type", deserialize_with = "text", default)]
        media_type: String,
        #[serde(alias = "verification_material", default)]
        verification_material: Option<Material>,
        #[serde(
            alias = "message_signature",
            default,
            skip_serializing_if = "Option::is_none"
        )]
        message_signature: Option<MessageSignature>,
        #[serde(
            alias = "dsse_envelope",
            default,
            skip_serializing_if = "Option::is_none"
        )]
        dsse_envelope: Option<DsseEnvelope>,
    }

    #[derive(Clone, Default, Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Material {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<Certificate>,
        #[serde(
            alias = "x509_certificate_chain",
            default,
            skip_serializing_if = "Option::is_none"
        )]
        x509_certificate_chain: Option<Chain>,
        #[serde(alias = "public_key", default, skip_serializing_if = "Option::is_none")]
        public_key: Option<Hint>,
        #[serde(alias = "tlog_entries", deserialize_with = "list", default)]
        tlog_entries: Vec<TransparencyLogEntry>,
        #[serde(
            alias = "timestamp_verification_data",
            default,
            skip_serializing_if = "Option::is_none"
        )]
        timestamp_verification_data: Option<Timestamps>,
    }

    #[derive(Clone, Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    pub(crate) struct Certificate {
        #[serde(with = "bytes", alias = "raw_bytes", default)]
        raw_bytes: Vec<u8>,
    }

    #[derive(Clone, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Chain {
        #[serde(deserialize_with = "list", default)]
        certificates: Vec<Certificate>,
    }

    #[derive(Clone, Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Hint {
        #[serde(deserialize_with = "text", default)]
        hint: String,
    }

    #[derive(Clone, Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Timestamps {
        #[serde(alias = "rfc3161_timestamps", deserialize_with = "list", default)]
        rfc3161_timestamps: Vec<Timestamp>,
    }

    #[derive(Clone, Deserialize, Serialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Timestamp {
        #[serde(with = "bytes", alias = "signed_timestamp", default)]
        signed_timestamp: Vec<u8>,
    }

    impl TryFrom<Bundle> for super::Bundle {
        type Error = &'static str;

        fn try_from(wire: Bundle) -> Result<Self, Self::Error> {
            let material = wire
                .verification_material
                .ok_or("missing verification material")?;
            let signer = match (
                material.certificate,
                material.x509_certificate_chain,
                material.public_key,
            ) {
                (Some(certificate), None, None) => {
                    SigningMaterial::Certificate(certificate.raw_bytes)
                }
                (None, Some(chain), None) => SigningMaterial::CertificateChain(
                    chain
                        .certificates
                        .into_iter()
                        .map(|der| der.raw_bytes)
                        .collect(),
                ),
                (None, None, Some(key)) => SigningMaterial::PublicKey { hint: key.hint },
                (None, None, None) => return Err("missing verification material"),
                _ => return Err("oneof verification material content is already set"),
            };
            let content = match (wire.message_signature, wire.dsse_envelope) {
                (Some(signature), None) => Content::MessageSignature(signature),
                (None, Some(envelope)) => Content::DsseEnvelope(envelope),
                (None, None) => return Err("missing bundle content"),
                (Some(_), Some(_)) => return Err("oneof bundle content is already set"),
            };
            let timestamps = material.timestamp_verification_data;
            Ok(Self {
                media_type: wire.media_type,
                verification_material: super::VerificationMaterial {
                    signer,
                    tlog_entries: material.tlog_entries,
                    rfc3161_timestamps: timestamps
                        .map(|data| data.rfc3161_timestamps)
                        .unwrap_or_default()
                        .into_iter()
                        .map(|timestamp| timestamp.signed_timestamp)
                        .collect(),
                },
                content,
            })
        }
    }

    impl From<super::Bundle> for Bundle {
        fn from(bundle: super::Bundle) -> Self {
            let source = bundle.verification_material;
            let mut material = Material {
                tlog_entries: source.tlog_entries,
                ..Material::default()
            };
            match source.signer {
                SigningMaterial::Certificate(raw_bytes) => {
                    material.certificate = Some(Certificate { raw_bytes });
                }
                SigningMaterial::CertificateChain(chain) => {
                    let certificates = chain
                        .into_iter()
                        .map(|raw_bytes| Certificate { raw_bytes })
                        .collect();
                    material.x509_certificate_chain = Some(Chain { certificates });
                }
                SigningMaterial::PublicKey { hint } => material.public_key = Some(Hint { hint }),
            }
            if !source.rfc3161_timestamps.is_empty() {
                let rfc3161_timestamps = source
                    .rfc3161_timestamps
                    .into_iter()
                    .map(|signed_timestamp| Timestamp { signed_timestamp })
                    .collect();
                material.timestamp_verification_data = Some(Timestamps { rfc3161_timestamps });
            }
            let (message_signature, dsse_envelope) = match bundle.content {
                Content::MessageSignature(signature) => (Some(signature), None),
                Content::DsseEnvelope(envelope) => (None, Some(envelope)),
            };
            Self {
                media_type: bundle.media_type,
                verification_material: Some(material),
                message_signature,
                dsse_envelope,
            }
        }
    }
}
