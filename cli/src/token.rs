//! `siglab token`: an identity token for anybody.

use anyhow::Context as _;

use crate::{arguments, client::Lab, output};

pub(crate) async fn run(admin: &str, options: &arguments::Token) -> anyhow::Result<()> {
    let lab = Lab::find(admin).await?;
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
    // Without a line's end: some clients put it into a header as it is.
    output::raw(&lab.token(&parameters).await?);
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
