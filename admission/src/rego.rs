//! Policy expressions in Rego, evaluated as upstream evaluates them.

use std::time::Duration;

use regorus::Engine;
use serde_json::Value;

const QUERY: &str = "data.sigstore.isCompliant";
/// Longest evaluation.
const EVALUATION_MAX: Duration = Duration::from_secs(2);

/// A compiled module.
#[derive(Debug)]
pub(crate) struct Rego {
    name: String,
    engine: Engine,
    source: String,
}

impl Rego {
    /// Compiles `source`, version 0 of the language.
    ///
    /// # Errors
    /// Where it does not compile.
    pub(crate) fn compile(name: &str, source: &str) -> Result<Self, String> {
        let mut engine = Engine::new();
        engine.set_rego_v0(true);
        engine.set_execution_timer_config(regorus::utils::limits::ExecutionTimerConfig {
            limit: EVALUATION_MAX,
            check_interval: std::num::NonZeroU32::MIN.saturating_add(1023),
        });
        engine
            .add_policy(format!("{name}.rego"), source.to_owned())
            .map_err(|error| format!("failed to compile the rego policy of {name}: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            engine,
            source: source.to_owned(),
        })
    }

    /// What was compiled.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates with `input`. `Ok` carries a warning that the policy wants to be shown.
    ///
    /// # Errors
    /// Upstream's text for a policy that is not met.
    pub(crate) fn evaluate(&self, input: &Value) -> Result<(), String> {
        let failed = |text: &str| {
            format!(
                "failed evaluating rego policy for type {}: {text}",
                self.name
            )
        };
        let mut engine = self.engine.clone();
        engine.set_input(regorus::Value::from(input.clone()));
        let result = engine
            .eval_rule(QUERY.to_owned())
            .map_err(|error| failed(&error.to_string()))?;
        let result = serde_json::to_value(&result).unwrap_or_default();
        verdict(&result).map_err(|text| failed(&text))
    }
}

fn verdict(result: &Value) -> Result<(), String> {
    let not_compliant = format!("policy is not compliant for query 'isCompliant = {QUERY}'");
    match result {
        Value::Bool(true) => Ok(()),
        Value::Array(list) if list.is_empty() => Err(format!(
            "policy is not compliant for query \"isCompliant = {QUERY}\""
        )),
        Value::Array(list) => {
            let field = |entry: &Value, name: &str| {
                entry
                    .get(name)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let passed = |entry: &&Value| entry.get("result") == Some(&Value::Bool(true));
            match list.iter().find(passed) {
                Some(entry) => match field(entry, "warning") {
                    warning if warning.is_empty() => Ok(()),
                    warning => Err(format!("warning: {warning}")),
                },
                None => {
                    let error = list
                        .last()
                        .map(|entry| field(entry, "error"))
                        .unwrap_or_default();
                    Err(format!("{not_compliant} with errors: {error}"))
                }
            }
        }
        _ => Err(not_compliant),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Rego;

    fn run(body: &str, input: &serde_json::Value) -> Result<(), String> {
        Rego::compile("att", &format!("package sigstore\n{body}"))?.evaluate(input)
    }

    const NOT: &str =
        "failed evaluating rego policy for type att: policy is not compliant for query";

    #[test]
    fn a_boolean_rule_decides() {
        let rule = "default isCompliant = false\nisCompliant { input.user == \"root\" }";
        assert_eq!(run(rule, &json!({"user": "root"})), Ok(()));
        assert_eq!(
            run(rule, &json!({})),
            Err(format!("{NOT} 'isCompliant = data.sigstore.isCompliant'"))
        );
    }

    #[test]
    fn a_set_of_results_decides_by_its_first_true() {
        let rule = |object: &str| format!("isCompliant[response] {{ response := {object} }}");
        assert_eq!(run(&rule(r#"{"result": true}"#), &json!({})), Ok(()));
        assert_eq!(
            run(&rule(r#"{"result": true, "warning": "W"}"#), &json!({})),
            Err("failed evaluating rego policy for type att: warning: W".to_owned())
        );
        assert_eq!(
            run(
                &rule(r#"{"result": false, "error": "bad thing"}"#),
                &json!({})
            ),
            Err(format!(
                "{NOT} 'isCompliant = data.sigstore.isCompliant' with errors: bad thing"
            ))
        );
        assert_eq!(
            run(
                "isCompliant[r] { input.never; r := {\"result\": true} }",
                &json!({})
            ),
            Err(format!("{NOT} \"isCompliant = data.sigstore.isCompliant\""))
        );
    }

    #[test]
    fn a_policy_without_the_rule_or_that_does_not_compile_never_passes() {
        assert!(run("x = 1", &json!({})).is_err());
        assert!(Rego::compile("att", "package sigstore\nisCompliant {").is_err());
        assert!(
            Rego::compile("att", "package other\nisCompliant = true")
                .and_then(|rego| rego.evaluate(&json!({})))
                .is_err()
        );
    }
}
