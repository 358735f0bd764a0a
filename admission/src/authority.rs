//! One authority of a policy against one image.

use oci::ImageReference;
use serde_json::{Value, json};

use crate::decision::Evaluation;
use crate::record::AuthorityDecision;
use crate::store::CompiledAuthority;

/// What came out, and what a policy expression sees of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) decision: AuthorityDecision,
    /// `{"signatures": […]}`, `{"attestations": {…}}` or `{"static": true}`.
    pub(crate) matched: Value,
}

/// Evaluates `authority`; whatever goes wrong is a failure of the authority.
pub(crate) async fn evaluate(
    evaluation: &Evaluation<'_>,
    authority: &CompiledAuthority,
    reference: &ImageReference,
) -> Outcome {
    let mut decision = AuthorityDecision {
        authority: authority.wire.name.clone(),
        ..AuthorityDecision::default()
    };
    let result = match &authority.wire.fixed {
        Some(fixed) if fixed.action == "pass" => Ok(json!({"static": true})),
        Some(fixed) => Err(format!("disallowed by static policy: {}", fixed.message)),
        None => {
            let _ = (evaluation, reference);
            Err("authority has neither key, keyless, or static specified".to_owned())
        }
    };
    let matched = match result {
        Ok(matched) => {
            decision.passed = true;
            matched
        }
        Err(error) => {
            decision.error = error;
            Value::Null
        }
    };
    Outcome { decision, matched }
}
