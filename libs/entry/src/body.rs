//! Canonical bodies: what is in the log, as values that can be compared with what was signed.

use crypto::{HashAlgorithm, Sha256Digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Error, Verifier, canonicalize, leaf_hash, v2::KeyDetails};

/// A kind of entry together with its version.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Kind {
    /// `dsse` 0.0.1 of Rekor v1.
    DsseV001,
    /// `dsse` 0.0.2 of Rekor v2.
    DsseV002,
    /// `hashedrekord` 0.0.1 of Rekor v1.
    HashedRekordV001,
    /// `hashedrekord` 0.0.2 of Rekor v2.
    HashedRekordV002,
    /// `intoto` 0.0.1 of Rekor v1.
    IntotoV001,
    /// `intoto` 0.0.2 of Rekor v1.
    IntotoV002,
    /// `rekord` 0.0.1 of Rekor v1.
    RekordV001,
}

impl Kind {
    /// The `kind` member.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DsseV001 | Self::DsseV002 => "dsse",
            Self::HashedRekordV001 | Self::HashedRekordV002 => "hashedrekord",
            Self::IntotoV001 | Self::IntotoV002 => "intoto",
            Self::RekordV001 => "rekord",
        }
    }

    /// The `apiVersion` member.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::DsseV001 | Self::HashedRekordV001 | Self::IntotoV001 | Self::RekordV001 => {
                "0.0.1"
            }
            Self::DsseV002 | Self::HashedRekordV002 | Self::IntotoV002 => "0.0.2",
        }
    }
}

/// A canonical body. Bytes are decoded; [`Self::to_canonical`] gives the logged form back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Body {
    /// `dsse` 0.0.1.
    DsseV001(DsseV001),
    /// `dsse` 0.0.2.
    DsseV002(DsseV002),
    /// `hashedrekord` 0.0.1.
    HashedRekordV001(HashedRekordV001),
    /// `hashedrekord` 0.0.2.
    HashedRekordV002(HashedRekordV002),
    /// `intoto` 0.0.1.
    IntotoV001(IntotoV001),
    /// `intoto` 0.0.2.
    IntotoV002(IntotoV002),
    /// `rekord` 0.0.1.
    RekordV001(RekordV001),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<S> {
    api_version: String,
    kind: String,
    spec: S,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    api_version: String,
    kind: String,
}

impl Body {
    /// Reads a canonical body. Members that siglab does not write are ignored, so that
    /// [`Self::to_canonical`] of the result differs from `bytes` when there were any.
    ///
    /// # Errors
    /// [`Error::Body`] for anything but a known kind in its canonical form.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, Error> {
        let head: Head = serde_json::from_slice(bytes).map_err(|_| Error::Body)?;
        match (head.kind.as_str(), head.api_version.as_str()) {
            ("dsse", "0.0.1") => spec(bytes).map(Self::DsseV001),
            ("dsse", "0.0.2") => {
                spec(bytes).map(|wrapped: DsseSpec| Self::DsseV002(wrapped.dsse_v002))
            }
            ("hashedrekord", "0.0.1") => {
                spec(bytes).map(|wire: HashedRekordWire| Self::HashedRekordV001(wire.into()))
            }
            ("hashedrekord", "0.0.2") => spec(bytes).map(|wrapped: HashedRekordSpec| {
                Self::HashedRekordV002(wrapped.hashed_rekord_v002)
            }),
            ("intoto", "0.0.1") => spec(bytes).map(Self::IntotoV001),
            ("intoto", "0.0.2") => spec(bytes).map(Self::IntotoV002),
            ("rekord", "0.0.1") => spec(bytes).map(Self::RekordV001),
            _ => Err(Error::Body),
        }
    }

    /// Its kind and version.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::DsseV001(_) => Kind::DsseV001,
            Self::DsseV002(_) => Kind::DsseV002,
            Self::HashedRekordV001(_) => Kind::HashedRekordV001,
            Self::HashedRekordV002(_) => Kind::HashedRekordV002,
            Self::IntotoV001(_) => Kind::IntotoV001,
            Self::IntotoV002(_) => Kind::IntotoV002,
            Self::RekordV001(_) => Kind::RekordV001,
        }
    }

    /// The bytes that are logged.
    #[must_use]
    pub fn to_canonical(&self) -> Vec<u8> {
        match self {
            Self::DsseV001(spec) => self.write(spec),
            Self::DsseV002(spec) => self.write(&DsseSpec {
                dsse_v002: spec.clone(),
            }),
            Self::HashedRekordV001(spec) => self.write(&HashedRekordWire::from(spec.clone())),
            Self::HashedRekordV002(spec) => self.write(&HashedRekordSpec {
                hashed_rekord_v002: spec.clone(),
            }),
            Self::IntotoV001(spec) => self.write(spec),
            Self::IntotoV002(spec) => self.write(spec),
            Self::RekordV001(spec) => self.write(spec),
        }
    }

    /// Leaf hash of [`Self::to_canonical`].
    #[must_use]
    pub fn leaf_hash(&self) -> Sha256Digest {
        leaf_hash(&self.to_canonical())
    }

    fn write<S: Serialize>(&self, spec: &S) -> Vec<u8> {
        canonicalize(&Entry {
            api_version: self.kind().version().to_owned(),
            kind: self.kind().name().to_owned(),
            spec,
        })
    }
}

fn spec<'a, S: Deserialize<'a>>(bytes: &'a [u8]) -> Result<S, Error> {
    serde_json::from_slice::<Entry<S>>(bytes)
        .map(|entry| entry.spec)
        .map_err(|_| Error::Body)
}

/// `hashedrekord` 0.0.1: a signature over a digest.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HashedRekordV001 {
    /// `sha256`, `sha384` or `sha512`.
    pub algorithm: HashAlgorithm,
    /// The digest in hex, in the case it was sent in.
    pub value: String,
    /// The signature.
    pub signature: Vec<u8>,
    /// The verifier in PEM.
    pub public_key: Vec<u8>,
}

impl HashedRekordV001 {
    /// The key or certificate that verifies it.
    ///
    /// # Errors
    /// Those of [`Verifier::from_pem`].
    pub fn verifier(&self) -> Result<Verifier, Error> {
        Verifier::from_pem(&self.public_key)
    }

    /// The digest's bytes.
    ///
    /// # Errors
    /// [`Error::Hex`], [`Error::HashLength`].
    pub fn digest(&self) -> Result<Vec<u8>, Error> {
        crate::go::decode_hex(&self.value)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedRekordWire {
    data: HashedRekordData,
    signature: HashedRekordSignature,
}

#[derive(Serialize, Deserialize)]
struct HashedRekordData {
    hash: NamedHash,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedRekordSignature {
    content: Base64,
    public_key: Content,
}

#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
struct Content {
    content: Base64,
}

#[derive(Serialize, Deserialize)]
struct NamedHash {
    #[serde(serialize_with = "write_name", deserialize_with = "read_name")]
    algorithm: HashAlgorithm,
    value: String,
}

fn write_name<S: Serializer>(hash: &HashAlgorithm, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(hash.name())
}

fn read_name<'a, D: Deserializer<'a>>(deserializer: D) -> Result<HashAlgorithm, D::Error> {
    HashAlgorithm::from_name(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

impl From<HashedRekordWire> for HashedRekordV001 {
    fn from(wire: HashedRekordWire) -> Self {
        Self {
            algorithm: wire.data.hash.algorithm,
            value: wire.data.hash.value,
            signature: wire.signature.content.0,
            public_key: wire.signature.public_key.content.0,
        }
    }
}

impl From<HashedRekordV001> for HashedRekordWire {
    fn from(spec: HashedRekordV001) -> Self {
        let hash = NamedHash {
            algorithm: spec.algorithm,
            value: spec.value,
        };
        let public_key = Content {
            content: Base64(spec.public_key),
        };
        Self {
            data: HashedRekordData { hash },
            signature: HashedRekordSignature {
                content: Base64(spec.signature),
                public_key,
            },
        }
    }
}

/// A digest by name, always `sha256` in what siglab writes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HashV001 {
    /// The algorithm's name.
    pub algorithm: String,
    /// Hex.
    pub value: String,
}

impl HashV001 {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub(crate) fn sha256(bytes: &[u8]) -> Self {
        Self {
            algorithm: "sha256".to_owned(),
            value: crate::envelope::sha256_hex(bytes),
        }
    }
}

/// `dsse` 0.0.1: who signed which envelope, without the payload.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DsseV001 {
    /// Over the text of the envelope exactly as it was sent.
    pub envelope_hash: HashV001,
    /// Over the decoded payload.
    pub payload_hash: HashV001,
    /// Sorted by the signature's text.
    pub signatures: Vec<DsseSignatureV001>,
}

/// One signature of a [`DsseV001`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct DsseSignatureV001 {
    /// The signature's base64 exactly as it is in the envelope.
    pub signature: String,
    /// The verifier in PEM.
    #[serde(with = "base64_text")]
    pub verifier: Vec<u8>,
}

/// `intoto` 0.0.1: an envelope of one signature, by its digests.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntotoV001 {
    /// Digests of envelope and payload.
    pub content: IntotoContentV001,
    /// The verifier in PEM.
    #[serde(with = "base64_text")]
    pub public_key: Vec<u8>,
}

/// Digests in an [`IntotoV001`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntotoContentV001 {
    /// Over the text of the envelope.
    pub hash: HashV001,
    /// Over the decoded payload; absent in old entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_hash: Option<HashV001>,
}

/// `intoto` 0.0.2: an envelope without its payload.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct IntotoV002 {
    /// Envelope and digests.
    pub content: IntotoContentV002,
}

/// The content of an [`IntotoV002`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntotoContentV002 {
    /// The envelope.
    pub envelope: IntotoEnvelopeV002,
    /// A digest that the client chose; nobody verifies it.
    pub hash: HashV001,
    /// Over the decoded payload.
    pub payload_hash: HashV001,
}

/// The envelope of an [`IntotoV002`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntotoEnvelopeV002 {
    /// What the payload is.
    pub payload_type: String,
    /// In the order they were sent.
    pub signatures: Vec<IntotoSignatureV002>,
}

/// One signature of an [`IntotoEnvelopeV002`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntotoSignatureV002 {
    /// Left out when empty.
    #[serde(default, rename = "keyid", skip_serializing_if = "String::is_empty")]
    pub key_id: String,
    /// The verifier exactly as it was sent.
    #[serde(with = "base64_text")]
    pub public_key: Vec<u8>,
    /// The envelope's base64 text of the signature, as bytes.
    #[serde(with = "base64_text")]
    pub sig: Vec<u8>,
}

/// `rekord` 0.0.1: a signature over an artefact, by its digest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RekordV001 {
    /// Digest of the artefact.
    pub data: RekordDataV001,
    /// The signature.
    pub signature: RekordSignatureV001,
}

/// The artefact of a [`RekordV001`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RekordDataV001 {
    /// SHA-256.
    pub hash: HashV001,
}

/// The signature of a [`RekordV001`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RekordSignatureV001 {
    /// The signature's bytes.
    #[serde(with = "base64_text")]
    pub content: Vec<u8>,
    /// `x509`.
    pub format: String,
    /// The verifier.
    pub public_key: RekordPublicKeyV001,
}

/// The verifier of a [`RekordV001`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct RekordPublicKeyV001 {
    /// PEM.
    #[serde(with = "base64_text")]
    pub content: Vec<u8>,
}

/// `hashedrekord` 0.0.2: a signature over a digest.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HashedRekordV002 {
    /// The digest.
    pub data: HashOutputV002,
    /// The signature.
    pub signature: SignatureV002,
}

/// A digest in a Rekor v2 body.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct HashOutputV002 {
    /// Its algorithm, under its protobuf name.
    #[serde(
        serialize_with = "write_proto_hash",
        deserialize_with = "read_proto_hash"
    )]
    pub algorithm: HashAlgorithm,
    /// Its bytes.
    #[serde(with = "base64_text")]
    pub digest: Vec<u8>,
}

/// `dsse` 0.0.2: who signed which payload.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DsseV002 {
    /// Over the decoded payload.
    pub payload_hash: HashOutputV002,
    /// Sorted by the signatures' bytes.
    pub signatures: Vec<SignatureV002>,
}

/// A signature with its verifier, in a Rekor v2 body.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SignatureV002 {
    /// The signature's bytes.
    #[serde(with = "base64_text")]
    pub content: Vec<u8>,
    /// Who made it.
    pub verifier: VerifierV002,
}

/// A verifier in a Rekor v2 body: a public key or a certificate.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifierV002 {
    /// What the client said of the key.
    pub key_details: KeyDetails,
    /// DER SubjectPublicKeyInfo.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<RawBytes>,
    /// DER certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x509_certificate: Option<RawBytes>,
}

impl VerifierV002 {
    /// The key or certificate.
    ///
    /// # Errors
    /// [`Error::MissingPublicKey`] when there is neither, else those of [`Verifier`].
    pub fn verifier(&self) -> Result<Verifier, Error> {
        match (&self.public_key, &self.x509_certificate) {
            (Some(key), _) => Verifier::from_spki_der(&key.raw_bytes),
            (None, Some(certificate)) => Verifier::from_certificate_der(&certificate.raw_bytes),
            (None, None) => Err(Error::MissingPublicKey),
        }
    }
}

/// Bytes in a message of their own.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RawBytes {
    /// DER.
    #[serde(with = "base64_text")]
    pub raw_bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct HashedRekordSpec {
    #[serde(rename = "hashedRekordV002")]
    hashed_rekord_v002: HashedRekordV002,
}

#[derive(Serialize, Deserialize)]
struct DsseSpec {
    #[serde(rename = "dsseV002")]
    dsse_v002: DsseV002,
}

fn write_proto_hash<S: Serializer>(hash: &HashAlgorithm, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match hash {
        HashAlgorithm::Sha256 => "SHA2_256",
        HashAlgorithm::Sha384 => "SHA2_384",
        HashAlgorithm::Sha512 => "SHA2_512",
    })
}

fn read_proto_hash<'a, D: Deserializer<'a>>(deserializer: D) -> Result<HashAlgorithm, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "SHA2_256" => Ok(HashAlgorithm::Sha256),
        "SHA2_384" => Ok(HashAlgorithm::Sha384),
        "SHA2_512" => Ok(HashAlgorithm::Sha512),
        _ => Err(D::Error::custom(Error::Body)),
    }
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Base64(Vec<u8>);

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        base64_text::serialize(&self.0, serializer)
    }
}

impl<'a> Deserialize<'a> for Base64 {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        base64_text::deserialize(deserializer).map(Self)
    }
}

/// Bytes as standard base64 text.
mod base64_text {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::{Error, go::decode_base64};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        decode_base64(&String::deserialize(deserializer)?)
            .map_err(|_| D::Error::custom(Error::Body))
    }
}
