//! `dev.sigstore.rekor.v2.CreateEntryRequest`, and how it is read from protobuf's JSON.

use super::{
    EnvelopeMessage, KeyDetails,
    json::{JsonError, Node, Value},
};

/// A request to log something.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Request {
    /// A signature over a digest.
    HashedRekord(HashedRekordRequest),
    /// A DSSE envelope.
    Dsse(DsseRequest),
    /// Neither.
    #[default]
    Unset,
}

/// `HashedRekordRequestV002`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HashedRekordRequest {
    /// The digest that is signed.
    pub digest: Vec<u8>,
    /// The signature.
    pub signature: Option<Signature>,
}

/// `Signature`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Signature {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Who made it.
    pub verifier: Option<VerifierMessage>,
}

/// `Verifier`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct VerifierMessage {
    /// The key or certificate.
    pub verifier: Option<VerifierChoice>,
    /// What the client says of the key.
    pub key_details: KeyDetails,
}

/// The bytes of a verifier.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum VerifierChoice {
    /// DER SubjectPublicKeyInfo.
    PublicKey(Vec<u8>),
    /// DER certificate.
    X509Certificate(Vec<u8>),
}

/// `DSSERequestV002`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DsseRequest {
    /// The envelope.
    pub envelope: Option<EnvelopeMessage>,
    /// Keys that verify its signatures.
    pub verifiers: Vec<VerifierMessage>,
}

impl Request {
    /// Reads protobuf's JSON: lowerCamelCase or snake_case names, bytes in either base64 with or without
    /// padding, enumerations by name or number, `null` for absent. Unknown names are refused. An empty
    /// text is an empty request.
    ///
    /// # Errors
    /// [`JsonError`], in the words of Go's decoders.
    pub fn from_json(text: &[u8]) -> Result<Self, JsonError> {
        let Some(root) = Node::parse(text)? else {
            return Ok(Self::Unset);
        };
        let mut request = Self::Unset;
        let mut members = root.message(text)?;
        while let Some((name, value)) = members.next()? {
            let read = match name.text() {
                "hashedRekordRequestV002" | "hashed_rekord_request_v002" => value
                    .set()
                    .map(|value| hashed_rekord(text, value))
                    .transpose()?,
                "dsseRequestV002" | "dsse_request_v002" => {
                    value.set().map(|value| dsse(text, value)).transpose()?
                }
                _ => return Err(name.unknown(text)),
            };
            if let Some(read) = read {
                if request != Self::Unset {
                    return Err(name.oneof(text, "spec"));
                }
                request = read;
            }
        }
        Ok(request)
    }
}

fn hashed_rekord(text: &[u8], value: &Value) -> Result<Request, JsonError> {
    let mut request = HashedRekordRequest::default();
    let mut members = value.message(text)?;
    while let Some((name, value)) = members.next()? {
        match name.text() {
            "digest" => request.digest = value.bytes(text, "digest")?,
            "signature" => {
                request.signature = value
                    .set()
                    .map(|value| signature(text, value))
                    .transpose()?;
            }
            _ => return Err(name.unknown(text)),
        }
    }
    Ok(Request::HashedRekord(request))
}

fn signature(text: &[u8], value: &Value) -> Result<Signature, JsonError> {
    let mut signature = Signature::default();
    let mut members = value.message(text)?;
    while let Some((name, value)) = members.next()? {
        match name.text() {
            "content" => signature.content = value.bytes(text, "content")?,
            "verifier" => {
                signature.verifier = value.set().map(|value| verifier(text, value)).transpose()?;
            }
            _ => return Err(name.unknown(text)),
        }
    }
    Ok(signature)
}

fn verifier(text: &[u8], value: &Value) -> Result<VerifierMessage, JsonError> {
    let mut message = VerifierMessage::default();
    let mut members = value.message(text)?;
    while let Some((name, value)) = members.next()? {
        let choice = match name.text() {
            "publicKey" | "public_key" => value
                .set()
                .map(|v| raw_bytes(text, v).map(VerifierChoice::PublicKey)),
            "x509Certificate" | "x509_certificate" => value
                .set()
                .map(|v| raw_bytes(text, v).map(VerifierChoice::X509Certificate)),
            "keyDetails" | "key_details" => {
                message.key_details = key_details(text, value)?;
                None
            }
            _ => return Err(name.unknown(text)),
        };
        if let Some(choice) = choice.transpose()? {
            if message.verifier.is_some() {
                return Err(name.oneof(text, "verifier"));
            }
            message.verifier = Some(choice);
        }
    }
    Ok(message)
}

fn raw_bytes(text: &[u8], value: &Value) -> Result<Vec<u8>, JsonError> {
    let mut bytes = Vec::new();
    let mut members = value.message(text)?;
    while let Some((name, value)) = members.next()? {
        match name.text() {
            "rawBytes" | "raw_bytes" => bytes = value.bytes(text, "rawBytes")?,
            _ => return Err(name.unknown(text)),
        }
    }
    Ok(bytes)
}

fn key_details(text: &[u8], value: &Value) -> Result<KeyDetails, JsonError> {
    let invalid = || value.invalid(text, "enum", "keyDetails");
    match value.node() {
        Node::Null => Ok(KeyDetails::Unspecified),
        Node::Text(name) => KeyDetails::from_name(name).ok_or_else(invalid),
        Node::Number(number) => {
            let number = number.parse().map_err(|_| invalid())?;
            KeyDetails::from_number(number).ok_or_else(invalid)
        }
        _ => Err(invalid()),
    }
}

fn dsse(text: &[u8], value: &Value) -> Result<Request, JsonError> {
    let mut request = DsseRequest::default();
    let mut members = value.message(text)?;
    while let Some((name, value)) = members.next()? {
        match name.text() {
            "envelope" => {
                request.envelope = value.set().map(|value| envelope(text, value)).transpose()?;
            }
            "verifiers" => {
                request.verifiers = value
                    .list(text)?
                    .iter()
                    .map(|value| verifier(text, value))
                    .collect::<Result<_, _>>()?;
            }
            _ => return Err(name.unknown(text)),
        }
    }
    Ok(Request::Dsse(request))
}

fn envelope(text: &[u8], value: &Value) -> Result<EnvelopeMessage, JsonError> {
    let mut message = EnvelopeMessage::default();
    let mut members = value.message(text)?;
    while let Some((name, value)) = members.next()? {
        match name.text() {
            "payload" => message.payload = value.bytes(text, "payload")?,
            "payloadType" | "payload_type" => {
                message.payload_type = value.text(text, "payloadType")?;
            }
            "signatures" => {
                message.signatures = value
                    .list(text)?
                    .iter()
                    .map(|value| envelope_signature(text, value))
                    .collect::<Result<_, _>>()?;
            }
            _ => return Err(name.unknown(text)),
        }
    }
    Ok(message)
}

fn envelope_signature(text: &[u8], value: &Value) -> Result<Vec<u8>, JsonError> {
    let mut bytes = Vec::new();
    let mut members = value.message(text)?;
    while let Some((name, value)) = members.next()? {
        match name.text() {
            "sig" => bytes = value.bytes(text, "sig")?,
            "keyid" => {
                value.text(text, "keyid")?;
            }
            _ => return Err(name.unknown(text)),
        }
    }
    Ok(bytes)
}
