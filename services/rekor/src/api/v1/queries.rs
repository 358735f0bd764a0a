//! Bodies of Rekor v1's POST requests, checked as upstream's framework checks them.

use bytes::Bytes;
use entry::{
    Verifier,
    v1::{Proposal, ProposalError, Rule, RuleKind},
};
use serde_json::{Map, Value};

use crate::{
    Error,
    service::{IndexQuery, LogQuery},
};

/// Things of one kind in one look-up.
const QUERIES_MAX: usize = 10;

const ENTRY_UUID: &str = "^([0-9a-fA-F]{64}|[0-9a-fA-F]{80})$";

const HASH: &str =
    "^(sha512:)?[0-9a-fA-F]{128}$|^(sha256:)?[0-9a-fA-F]{64}$|^(sha1:)?[0-9a-fA-F]{40}$";

const KEY_FORMATS: &[&str] = &["pgp", "x509", "minisign", "ssh", "tuf"];

/// The JSON of a body; `name` is what the framework calls the body when it is empty.
pub(super) fn value(body: &Bytes, name: &str) -> Result<Value, Error> {
    if body.is_empty() {
        return Err(Error::Rule(Rule::required(name)));
    }
    if !entry::json_is_bounded(body) {
        return Err(Error::JsonBounds);
    }
    serde_json::from_slice(body).map_err(|error| json_error(body, &error))
}

/// What Go's decoder says of JSON that does not parse.
fn json_error(body: &[u8], error: &serde_json::Error) -> Error {
    if error.is_eof() {
        return Error::JsonEnd;
    }
    let line = error.line().saturating_sub(1);
    let start: usize = body
        .split_inclusive(|byte| *byte == b'\n')
        .take(line)
        .map(<[u8]>::len)
        .sum();
    let at = (start + error.column().saturating_sub(1)).min(body.len());
    let rest = String::from_utf8_lossy(&body[at..body.len().min(at + 4)]);
    Error::JsonCharacter(rest.chars().next().unwrap_or('\u{fffd}'))
}

fn parse(what: &'static str, reason: Error) -> Error {
    Error::Parse {
        what,
        reason: Box::new(reason),
    }
}

fn rule(name: &str, kind: RuleKind) -> Error {
    Error::Rule(Rule::body(name, kind))
}

/// An object, with `null` as an empty one.
fn object(value: Value, what: &'static str) -> Result<Map<String, Value>, Error> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Map::new()),
        other => Err(member_type(&other, "", "object", what)),
    }
}

fn member_type(
    found: &Value,
    member: &'static str,
    want: &'static str,
    what: &'static str,
) -> Error {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    parse(
        what,
        Error::MemberType {
            found,
            member,
            want,
        },
    )
}

/// A list with one to ten items; absent is empty.
fn list(
    object: &mut Map<String, Value>,
    name: &'static str,
    want: &'static str,
) -> Result<Vec<Value>, Error> {
    match object.remove(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) if items.is_empty() => Err(rule(name, RuleKind::MinItems(1))),
        Some(Value::Array(items)) if items.len() > QUERIES_MAX => {
            Err(rule(name, RuleKind::MaxItems(QUERIES_MAX)))
        }
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(member_type(&other, name, want, "entry")),
    }
}

/// Refuses what is not 64 or 80 hex digits.
pub(super) fn check_uuid(text: &str, name: &str, place: &'static str) -> Result<(), Error> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex && matches!(text.len(), 64 | 80) {
        return Ok(());
    }
    let kind = RuleKind::Pattern(ENTRY_UUID);
    Err(Error::Rule(Rule {
        name: name.to_owned(),
        place,
        kind,
    }))
}

/// searchLogQuery's body.
pub(super) fn log_query(body: &Bytes) -> Result<LogQuery, Error> {
    let value = value(body, "entry").map_err(|error| match error {
        Error::Rule(_) => error,
        other => parse("entry", other),
    })?;
    let mut object = object(value, "entry")?;
    // Proposals are looked at while the JSON is decoded, before any list is counted.
    if let Some(Value::Array(entries)) = object.get("entries") {
        for entry in entries {
            match Proposal::from_json(entry) {
                Err(ProposalError::Rule(rule)) if rule.name != "kind" => {}
                Err(error) => return Err(parse("entry", Error::Proposal(error))),
                Ok(_) => {}
            }
        }
    }
    let query = LogQuery {
        entries: list(&mut object, "entries", "[]models.ProposedEntry")?,
        entry_uuids: list(&mut object, "entryUUIDs", "[]string")?
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                other => Err(member_type(&other, "entryUUIDs", "string", "entry")),
            })
            .collect::<Result<_, _>>()?,
        log_indexes: indexes(list(&mut object, "logIndexes", "[]int64")?)?,
    };
    for (number, entry) in query.entries.iter().enumerate() {
        if let Err(ProposalError::Rule(broken)) = Proposal::from_json(entry) {
            return Err(rule(
                &format!("entries.{number}.{}", broken.name),
                broken.kind,
            ));
        }
    }
    for (number, text) in query.entry_uuids.iter().enumerate() {
        check_uuid(text, &format!("entryUUIDs.{number}"), "body")?;
    }
    let total = query.entries.len() + query.entry_uuids.len() + query.log_indexes.len();
    if total > QUERIES_MAX {
        Err(Error::TooManyQueries)
    } else {
        Ok(query)
    }
}

fn indexes(items: Vec<Value>) -> Result<Vec<u64>, Error> {
    let mut out = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let index = item
            .as_i64()
            .ok_or_else(|| member_type(item, "logIndexes", "int64", "entry"))?;
        out.push(
            u64::try_from(index)
                .map_err(|_| rule(&format!("logIndexes.{number}"), RuleKind::Minimum(0)))?,
        );
    }
    Ok(out)
}

/// searchIndex's body.
pub(super) fn index_query(body: &Bytes) -> Result<IndexQuery, Error> {
    let value = value(body, "query").map_err(|error| match error {
        Error::Rule(_) => error,
        other => parse("query", other),
    })?;
    let object = object(value, "query")?;
    let member = |name: &'static str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
        Some(other) => Err(member_type(other, name, "string", "query")),
    };
    let email = member("email")?;
    let hash = member("hash")?;
    let operator = member("operator")?;
    let subject = member("subject")?;
    let public_key = match object.get("publicKey") {
        None | Some(Value::Null) => None,
        Some(Value::Object(key)) => Some(key),
        Some(other) => return Err(member_type(other, "publicKey", "object", "query")),
    };
    if let Some(email) = email.filter(|email| !is_email(email)) {
        return Err(rule("email", RuleKind::Type("email", email.to_owned())));
    }
    if hash.is_some_and(|hash| hash_key(hash).is_none()) {
        return Err(rule("hash", RuleKind::Pattern(HASH)));
    }
    if operator.is_some_and(|operator| operator != "and" && operator != "or") {
        return Err(rule("operator", RuleKind::OneOf(&["and", "or"])));
    }
    let public_key = public_key.map(key_digests).transpose()?;
    if subject.is_some_and(|subject| subject.chars().count() > 512) {
        return Err(rule("subject", RuleKind::MaxLength(512)));
    }
    let groups = [
        hash.and_then(hash_key).map(|key| vec![key]),
        public_key,
        email.map(|email| vec![email.to_owned()]),
        subject.map(|subject| vec![subject.to_owned()]),
    ];
    Ok(IndexQuery {
        groups: groups.into_iter().flatten().collect(),
        all: operator == Some("and"),
    })
}

fn is_email(text: &str) -> bool {
    let named = text
        .rsplit_once('@')
        .filter(|(local, host)| !local.is_empty() && !host.is_empty());
    named.is_some_and(|(local, host)| {
        let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"()<>,;:\"[]".contains(c);
        local
            .chars()
            .chain(host.chars())
            .all(|c| plain(c) && c != '@')
            && !local.starts_with('.')
            && !local.ends_with('.')
    })
}

/// The digest with its algorithm, as the index has it.
fn hash_key(text: &str) -> Option<String> {
    let (algorithm, digits) = match text.split_once(':') {
        Some((algorithm, digits)) => (Some(algorithm), digits),
        None => (None, text),
    };
    let by_length = match digits.len() {
        40 => "sha1",
        64 => "sha256",
        128 => "sha512",
        _ => return None,
    };
    let matches = algorithm.is_none_or(|algorithm| algorithm == by_length);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    (matches && is_hex).then(|| format!("{by_length}:{digits}"))
}

/// Keys of the index that a public key is found by.
fn key_digests(key: &Map<String, Value>) -> Result<Vec<String>, Error> {
    let format = match key.get("format") {
        Some(Value::String(format)) => format.as_str(),
        _ => return Err(rule("publicKey.publicKey.format", RuleKind::Required)),
    };
    if !KEY_FORMATS.contains(&format) {
        return Err(rule(
            "publicKey.publicKey.format",
            RuleKind::OneOf(KEY_FORMATS),
        ));
    }
    if format != "x509" {
        return Err(Error::KeyFormat);
    }
    let content = key
        .get("content")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let content = entry::decode_base64(content).map_err(|_| Error::PublicKey)?;
    let verifier = Verifier::from_pem(&content).map_err(|_| Error::PublicKey)?;
    let digest = hex::encode(crypto::sha256(verifier.canonical_pem().as_bytes()));
    // Divergence: upstream looks for the bare digest only, and so never finds dsse and intoto entries.
    let named = format!("sha256:{digest}");
    Ok(vec![digest, named])
}
