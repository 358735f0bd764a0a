//! `siglab token`: an identity token for anybody.

use anyhow::Context as _;
use serde_json::json;

use crate::{
    arguments::{self, Common},
    client::Lab,
    output,
};

pub(crate) async fn run(common: &Common, options: &arguments::Token) -> anyhow::Result<()> {
    let lab = Lab::open(common).await?;
    let mut parameters = parameters(&options.preset, &options.claims)?;
    let mut add = |name: &str, value: Option<String>| {
        parameters.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("email", options.email.clone());
    add("subject", options.subject.clone());
    add("audience", Some(options.audience.clone()));
    add(
        "lifetime",
        options.lifetime.map(|seconds| seconds.to_string()),
    );
    let token = lab.token(&parameters).await?;
    if common.json {
        output::object(true, json!({ "token": token }));
    } else {
        // Without a line's end: some clients put it into a header as it is.
        output::raw(&token);
    }
    Ok(())
}

/// A preset and `CLAIM=VALUE` arguments as parameters of the issuer's `/token`.
///
/// # Errors
/// When an argument has no `=`.
pub(crate) fn parameters(preset: &str, claims: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let mut parameters = vec![("preset".to_owned(), preset.to_owned())];
    for claim in claims {
        let (name, value) = claim
            .split_once('=')
            .with_context(|| format!("{claim:?} is not CLAIM=VALUE"))?;
        parameters.push((name.to_owned(), value.to_owned()));
    }
    Ok(parameters)
}
