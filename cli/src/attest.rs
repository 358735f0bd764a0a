//! `siglab attest`: a signed in-toto statement about an image, attached to it as cosign attaches it.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    arguments::{self, Common},
    client::Lab,
    documents, output,
    output::Advise as _,
    sign::{self, Claim, Who},
};

/// The kind of statement whose predicate is any text, wrapped.
const CUSTOM: &str = "https://cosign.sigstore.dev/attestation/v1";

pub(crate) async fn run(common: &Common, options: &arguments::Attest) -> anyhow::Result<()> {
    let claim = claim(options)?;
    let lab = Lab::open(common).await?;
    let who = Who::from(&options.signer);
    let made = sign::attach(&lab, &options.image, &who, &claim).await?;
    if common.json {
        let mut fields = made.fields()?;
        fields["predicateType"] = claim.predicate_type.into();
        output::object(true, fields);
    } else {
        output::line(format!(
            "attested {} of {}",
            claim.predicate_type, made.name
        ));
        made.show()?;
    }
    Ok(())
}

fn claim(options: &arguments::Attest) -> anyhow::Result<Claim> {
    let text = documents::text(&options.predicate)?;
    let predicate_type = verify::predicate_type(&options.kind).to_owned();
    if !predicate_type.contains(':') {
        let what = format!("--type {} is neither a known name nor a URL", options.kind);
        return Err(output::Advice::error(what, "siglab help attest"));
    }
    let predicate = if predicate_type == CUSTOM {
        let time = runtime::Clock::system().now();
        let time = jiff::Timestamp::from_second(time.as_second()).context("the time")?;
        json!({ "Data": text, "Timestamp": time.to_string() })
    } else {
        serde_json::from_str::<Value>(&text).advise(
            format!("{} is not JSON", options.predicate.display()),
            "siglab attest … --type custom    (for any text)",
        )?
    };
    Ok(Claim {
        predicate_type,
        predicate,
    })
}
