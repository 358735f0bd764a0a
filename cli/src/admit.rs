//! `siglab admit`: what the API server would answer to `kubectl apply`.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{
    arguments::{self, Common},
    client::{Door, Lab},
    documents, output,
};

pub(crate) async fn run(common: &Common, options: &arguments::Admit) -> anyhow::Result<ExitCode> {
    let objects = documents::objects(&options.filename)?;
    let lab = Lab::open(common).await?;
    let mut all_allowed = true;
    let mut reviews = Vec::new();
    for object in objects {
        let review = admit(&lab, &object, options, common.json).await?;
        all_allowed &= review["allowed"] == true;
        reviews.push(review);
    }
    if common.json {
        output::object(all_allowed, json!({ "reviews": reviews }));
    }
    Ok(output::code(all_allowed))
}

/// One object, its tags resolved first as the API server has it done.
async fn admit(
    lab: &Lab,
    object: &Value,
    options: &arguments::Admit,
    as_json: bool,
) -> anyhow::Result<Value> {
    let name = documents::name(object);
    let mut object = object.clone();
    let Some(door) = Door::of(&object) else {
        if !as_json {
            output::line(format!(
                "{name} created (the webhook is not asked about it)"
            ));
        }
        return Ok(json!({ "object": name, "allowed": true, "asked": false }));
    };
    lab.mutate(door, &mut object).await?;
    let review = lab.review_at(door, &object).await?;
    if as_json {
        return Ok(json!({
            "object": name, "allowed": review.allowed, "asked": true,
            "message": review.message(), "warnings": review.warnings,
        }));
    }
    for warning in &review.warnings {
        output::denial(format!("Warning: {warning}"));
    }
    if review.allowed {
        output::line(format!("{name} created (server dry run)"));
    } else {
        output::denial(format!(
            "Error from server (BadRequest): error when creating {:?}: admission webhook \
             \"{}\" denied the request: {}",
            options.filename.display().to_string(),
            door.webhook(),
            review.message()
        ));
    }
    Ok(json!({ "allowed": review.allowed }))
}
