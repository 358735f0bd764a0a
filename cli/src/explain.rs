//! `siglab explain`: every step of a decision, under the policies in force or under any others.

use std::{path::Path, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    arguments::{self, Common},
    client::{Decision, Door, Lab, PolicyDecision},
    documents, output,
};

pub(crate) async fn run(common: &Common, options: &arguments::Explain) -> anyhow::Result<ExitCode> {
    let objects = documents::objects(&options.filename)?;
    let policies = read(options.policy.as_deref())?;
    let lab = Lab::open(common).await?;
    let mut all_allowed = true;
    let mut decisions = Vec::new();
    for object in objects {
        if Door::of(&object) != Some(Door::Workloads) {
            if !common.json {
                let name = documents::name(&object);
                output::line(format!("{name}: the policies are not asked about it"));
            }
            continue;
        }
        let decision = lab.explain(&object, policies.as_deref()).await?;
        all_allowed &= decision.allowed;
        if !common.json {
            show(&decision);
        }
        decisions.push(decision);
    }
    if common.json {
        output::object(all_allowed, json!({ "decisions": decisions }));
    }
    Ok(output::code(all_allowed))
}

/// `siglab verify --policy`: an image alone, as the only container of a Pod.
pub(crate) async fn image(common: &Common, image: &str, policy: &Path) -> anyhow::Result<ExitCode> {
    let policies = read(Some(policy))?;
    let lab = Lab::open(common).await?;
    let decision = lab.explain(&pod(image), policies.as_deref()).await?;
    if common.json {
        output::object(decision.allowed, json!({ "decision": decision }));
    } else {
        show(&decision);
    }
    Ok(output::code(decision.allowed))
}

fn read(policy: Option<&Path>) -> anyhow::Result<Option<String>> {
    policy.map(documents::text).transpose()
}

fn pod(image: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "image", "namespace": "default" },
        "spec": { "containers": [{ "name": "image", "image": image }] },
    })
}

fn show(decision: &Decision) {
    let verdict = if decision.allowed {
        "allowed"
    } else {
        "denied"
    };
    output::heading(format!(
        "{} {}/{}: {verdict}",
        decision.kind, decision.namespace, decision.name
    ));
    for image in &decision.images {
        output::detail("image", &image.image);
        output::detail("used at", image.paths.join(", "));
        if !image.note.is_empty() {
            output::bad("refused", &image.note);
        }
        image.policies.iter().for_each(show_policy);
    }
    for warning in &decision.warnings {
        output::denial(format!("Warning: {warning}"));
    }
    if !decision.message.is_empty() {
        output::line(&decision.message);
    }
}

fn show_policy(policy: &PolicyDecision) {
    let mode = if policy.mode == "warn" {
        ", which only warns"
    } else {
        ""
    };
    let name = format!("{}{mode}", policy.policy);
    mark(policy.passed, "policy", &name);
    if !policy.error.is_empty() {
        output::detail("error", &policy.error);
    }
    for authority in &policy.authorities {
        mark(authority.passed, "authority", &authority.authority);
        for attempt in &authority.attempts {
            output::detail("found", &attempt.source);
            output::report(&attempt.steps);
        }
        if !authority.error.is_empty() && authority.attempts.is_empty() {
            output::detail("error", &authority.error);
        }
    }
}

fn mark(passed: bool, what: &str, name: &str) {
    if passed {
        output::good(what, format!("{name} passed"));
    } else {
        output::bad(what, format!("{name} failed"));
    }
}
