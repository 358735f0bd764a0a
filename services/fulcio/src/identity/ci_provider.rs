//! Identities of the `ci-provider` type: claims and defaults through the provider's templates.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Map, Value};
use x509::{FulcioExtensions, San};

use crate::{
    error::Error,
    issuers::{ClaimSource, Provider},
};

pub(super) fn embed(
    provider: &Provider,
    claims: &Map<String, Value>,
    issuer: &str,
) -> Result<(San, FulcioExtensions), Error> {
    let mut data = provider.defaults.clone();
    data.extend(
        claims
            .iter()
            .map(|(name, value)| (name.clone(), as_text(value))),
    );
    let san = provider
        .san
        .as_ref()
        .ok_or_else(|| Error::EmptySanTemplate {
            issuer: issuer.to_owned(),
        })?;
    let san = super::uri_san(&value(san, &data, None, issuer)?)?;
    let mut extensions = FulcioExtensions::new();
    for (field, source) in &provider.extensions {
        extensions.set(*field, value(source, &data, Some(field.name()), issuer)?);
    }
    Ok((san, extensions))
}

fn value(
    source: &ClaimSource,
    data: &BTreeMap<String, String>,
    extension: Option<&str>,
    issuer: &str,
) -> Result<String, Error> {
    match source {
        ClaimSource::Template(template) => Ok(template.render(data)?),
        ClaimSource::Claim(claim) => data.get(claim).cloned().ok_or_else(|| {
            let mut fields = BTreeMap::from([("Issuer", issuer)]);
            fields.extend(extension.map(|name| ("ExtensionName", name)));
            Error::ClaimMissing {
                claim: claim.clone(),
                metadata: indented(&fields),
            }
        }),
    }
}

/// A JSON object as Go indents it with a tab.
fn indented(fields: &BTreeMap<&str, &str>) -> String {
    let lines: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("\t{}: {}", Value::from(*name), Value::from(*value)))
        .collect();
    format!("{{\n{}\n}}", lines.join(",\n"))
}

/// A claim as Go prints it: `null` is `<nil>`, and numbers, which are all floating, have no exponent.
fn as_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(as_text).collect::<Vec<_>>().join(" ")
            )
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            let mut out = "map[".to_owned();
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                let gap = if index == 0 { "" } else { " " };
                let _ = write!(out, "{gap}{name}:{}", as_text(value));
            }
            out.push(']');
            out
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_printed_as_go_prints_them() {
        let cases = [
            ("null", "<nil>"),
            ("true", "true"),
            ("1000000", "1000000"),
            ("1e6", "1000000"),
            ("1.5", "1.5"),
            ("0.0000001", "0.0000001"),
            ("12345678901234567890", "12345678901234567000"),
            ("\"x\"", "x"),
            ("[1,\"a\",null]", "[1 a <nil>]"),
            ("{\"b\":1,\"a\":\"x\"}", "map[a:x b:1]"),
        ];
        for (json, want) in cases {
            assert_eq!(as_text(&serde_json::from_str(json).unwrap()), want);
        }
    }
}
