//! Entries as Rekor v1 takes them: proposed, or in their canonical form (for look-ups).

mod dsse;
mod hashedrekord;
mod intoto;
mod rekord;
mod schema;
mod statement;

use crypto::{HashAlgorithm, PublicKeyKind};
use serde_json::Value;

pub use schema::{Rule, RuleKind, failure_list};

use crate::{Body, Error, Kind};

/// Kinds of upstream that siglab knows by name only.
const OTHER_KINDS: [&str; 7] = ["alpine", "cose", "helm", "jar", "rfc3161", "rpm", "tuf"];

/// What is wrong with the outermost level of a proposed entry: upstream answers before it looks inside.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProposalError {
    /// A member is absent or has a wrong value.
    #[error("{0}")]
    Rule(Rule),
    /// The `kind` is none of upstream's.
    #[error("invalid kind value: {0:?}")]
    UnknownKind(String),
    /// The JSON is no object.
    #[error("json: cannot unmarshal {0} into Go value of type models.targetedProposedEntry")]
    NotAnObject(&'static str),
    /// `kind` or `apiVersion` is no string.
    #[error(
        "json: cannot unmarshal {found} into Go struct field targetedProposedEntry.{member} of type string"
    )]
    NotAString {
        /// JSON type found.
        found: &'static str,
        /// The member.
        member: &'static str,
    },
}

/// A proposed entry whose outermost level is right.
#[derive(Clone, Debug)]
pub struct Proposal<'a> {
    kind: &'a str,
    version: &'a str,
    spec: &'a Value,
}

impl<'a> Proposal<'a> {
    /// Reads `kind`, `apiVersion` and `spec`; other members are ignored.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn from_json(value: &'a Value) -> Result<Self, ProposalError> {
        let object = match value {
            Value::Object(object) => object,
            Value::Null => return Err(ProposalError::Rule(Rule::required("kind"))),
            other => return Err(ProposalError::NotAnObject(crate::go::json_type(other))),
        };
        let text = |member: &'static str| match object.get(member) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(other) => Err(ProposalError::NotAString {
                found: crate::go::json_type(other),
                member,
            }),
        };
        let required = |name: &str| ProposalError::Rule(Rule::required(name));
        let kind = text("kind")?
            .filter(|kind| !kind.is_empty())
            .ok_or_else(|| required("kind"))?;
        let known = ["dsse", "hashedrekord", "intoto", "rekord"];
        if !known.contains(&kind) && !OTHER_KINDS.contains(&kind) {
            return Err(ProposalError::UnknownKind(kind.to_owned()));
        }
        let version = text("apiVersion")?.ok_or_else(|| required("apiVersion"))?;
        if !schema::is_semver(version) {
            return Err(ProposalError::Rule(Rule::semver("apiVersion")));
        }
        let spec = match object.get("spec") {
            None | Some(Value::Null) => return Err(required("spec")),
            Some(spec) => spec,
        };
        Ok(Self {
            kind,
            version,
            spec,
        })
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> &str {
        self.kind
    }
}

/// Bytes that may be kept beside the log for an intoto entry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attestation {
    /// The key it is stored under: `sha256:` and the payload's hash.
    pub key: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The size that upstream compares with its limit: of the base64 text, padding counted as bytes.
    pub counted_bytes: usize,
}

/// An entry whose signatures are verified.
#[derive(Clone, Debug)]
pub struct Entry {
    kind: Kind,
    body: Result<Body, Error>,
    insertable: Result<(), Error>,
    index_keys: Vec<String>,
    attestation: Option<Attestation>,
    algorithm: Option<(PublicKeyKind, HashAlgorithm)>,
}

impl Entry {
    /// Reads a proposal or a canonical form, and verifies what can be verified: every signature of a
    /// proposal. A canonical `dsse` or `intoto` has nothing to verify against.
    ///
    /// # Errors
    /// Upstream's words for the first thing that is wrong.
    pub fn from_proposal(proposal: &Proposal<'_>) -> Result<Self, Error> {
        let unknown = |kind| Error::UnknownVersion {
            kind,
            version: proposal.version.to_owned(),
        };
        match (proposal.kind, proposal.version) {
            ("dsse", "0.0.1") => dsse::read(object(proposal.spec)?),
            ("hashedrekord", "0.0.1") => hashedrekord::read(object(proposal.spec)?),
            ("intoto", "0.0.1") => intoto::read_v001(object(proposal.spec)?),
            ("intoto", "0.0.2") => intoto::read_v002(object(proposal.spec)?),
            ("rekord", "0.0.1") => rekord::read(object(proposal.spec)?),
            ("dsse", _) => Err(unknown("dsse")),
            ("hashedrekord", _) => Err(unknown("hashedrekord")),
            ("intoto", _) => Err(unknown("intoto")),
            ("rekord", _) => Err(unknown("rekord")),
            (other, _) => Err(Error::KindNotEnabled(other.to_owned())),
        }
    }

    /// Its kind and version.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it is a proposal that may be logged, and not a canonical form.
    ///
    /// # Errors
    /// [`Error::NotInsertable`].
    pub fn insertable(&self) -> Result<(), Error> {
        self.insertable.clone()
    }

    /// What is logged.
    ///
    /// # Errors
    /// What upstream finds out only when it canonicalizes: see [`Error::is_input_validation`].
    pub fn body(&self) -> Result<&Body, Error> {
        self.body.as_ref().map_err(Clone::clone)
    }

    /// Keys of the search index that lead to this entry, in lower case and without repetitions. Some of
    /// them cannot be found again from the canonical body.
    #[must_use]
    pub fn index_keys(&self) -> &[String] {
        &self.index_keys
    }

    /// The payload of an intoto proposal.
    #[must_use]
    pub const fn attestation(&self) -> Option<&Attestation> {
        self.attestation.as_ref()
    }

    /// Key and hash that a policy on algorithms must allow; hashedrekord only.
    #[must_use]
    pub const fn algorithm(&self) -> Option<(PublicKeyKind, HashAlgorithm)> {
        self.algorithm
    }
}

/// Where a canonical intoto entry's attestation is stored, if it has one.
#[must_use]
pub fn attestation_key(body: &Body) -> Option<String> {
    let hash = match body {
        Body::IntotoV001(spec) => spec.content.payload_hash.as_ref()?,
        Body::IntotoV002(spec) => &spec.content.payload_hash,
        _ => return None,
    };
    Some(format!("{}:{}", hash.algorithm, hash.value))
}

type Object = serde_json::Map<String, Value>;

fn object(spec: &Value) -> Result<&Object, Error> {
    match spec {
        Value::Object(object) => Ok(object),
        Value::Array(_) => Err(Error::SpecType("[]interface {}")),
        Value::Number(_) => Err(Error::SpecType("json.Number")),
        other => Err(Error::SpecType(crate::go::json_type(other))),
    }
}

/// A member that is an object; anything else counts as absent, as upstream has it.
fn member<'a>(object: &'a Object, name: &str) -> Option<&'a Object> {
    object.get(name).and_then(Value::as_object)
}

/// A member that is a string; anything else counts as absent.
fn text<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// A member in base64; absent and empty are the same.
fn bytes(object: &Object, name: &str, described: &'static str) -> Result<Option<Vec<u8>>, Error> {
    match text(object, name) {
        None | Some("") => Ok(None),
        Some(text) => decode(text, described).map(Some),
    }
}

fn decode(text: &str, member: &'static str) -> Result<Vec<u8>, Error> {
    crate::go::decode_base64(text).map_err(|at| Error::Base64 { member, at })
}

/// Lower-cases keys and drops repetitions, keeping the order.
fn distinct(keys: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for key in keys {
        let key = key.to_lowercase();
        if !out.contains(&key) {
            out.push(key);
        }
    }
    out
}
