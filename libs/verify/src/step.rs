//! The record of a verification: what was looked at, what was wanted, what was there.

use serde::{Deserialize, Serialize};

/// How a step came out.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it must be.
    Passed,
    /// Not as it must be: the verification ends here.
    Failed,
    /// Not asked for.
    Skipped,
}

/// One step of a verification.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Step {
    /// What was looked at: `certificate chain`, `identity`, …
    pub what: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What had to be there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What was there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub observed: String,
    /// What to look at next, when it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// All steps that were taken, in order. The last is the one that failed, if any did.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Report {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Report {
    /// Notes a step that came out right.
    pub fn pass(&mut self, what: &str, observed: impl Into<String>) {
        self.push(what, Outcome::Passed, "", observed.into(), "");
    }

    /// Notes a step that was not asked for, and why.
    pub fn skip(&mut self, what: &str, why: &str) {
        self.push(what, Outcome::Skipped, "", why.to_owned(), "");
    }

    /// Notes a step that came out wrong.
    pub fn fail(
        &mut self,
        what: &str,
        expected: impl AsRef<str>,
        observed: impl Into<String>,
        hint: &str,
    ) {
        self.push(
            what,
            Outcome::Failed,
            expected.as_ref(),
            observed.into(),
            hint,
        );
    }

    fn push(&mut self, what: &str, outcome: Outcome, expected: &str, observed: String, hint: &str) {
        self.steps.push(Step {
            what: what.to_owned(),
            outcome,
            expected: expected.to_owned(),
            observed,
            hint: hint.to_owned(),
        });
    }

    /// The step that failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Step> {
        self.steps
            .iter()
            .rev()
            .find(|step| step.outcome == Outcome::Failed)
    }
}
