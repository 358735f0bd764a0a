//! Identities of the `ci-provider` type: claims and defaults through the provider's templates.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use x509::{FulcioExtensions, San};

use super::claim::as_text;
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
