//! The verdict on what was observed. What is true of the cluster is found out elsewhere.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use crate::exercise::{AnswerRule, Check, Expected, PolicyRule, What};

/// Most characters of an observation that are shown.
const RESULT_MAX: usize = 2000;

/// Fewest characters of an answer that is more than a blank form.
const ANSWER_MIN: usize = 3;

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// A Pod was created, or would have been.
    Admitted,
    /// A Pod was refused, with this message.
    Denied(String),
    /// The policies in force: objects with `name` and `spec`.
    Policies(Vec<Value>),
    /// The answer, if there is one.
    Answer(Option<String>),
    /// How many objects were found.
    Resources(usize),
    /// The student's files cannot be used, and why.
    Unusable(String),
}

/// A check's outcome.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judged {
    /// Whether it is as it must be.
    pub passed: bool,
    /// What was seen, in a line or two.
    pub observed: String,
    /// Help, when it is not.
    pub hint: Option<String>,
}

impl Check {
    /// Compares what was seen with what must be.
    #[must_use]
    pub fn judge(&self, seen: &Observation) -> Judged {
        let (passed, observed) = match (&self.what, seen) {
            (_, Observation::Unusable(reason)) => (false, reason.clone()),
            (What::Pod { expect, .. }, Observation::Admitted) => {
                (*expect == Expected::Admitted, "admitted".to_owned())
            }
            (What::Pod { expect, .. }, Observation::Denied(message)) => {
                (*expect == Expected::Denied, format!("denied: {message}"))
            }
            (What::Policies(rule), Observation::Policies(policies)) => {
                judge_policies(rule, policies)
            }
            (What::Answer(rule), Observation::Answer(answer)) => {
                judge_answer(rule, answer.as_deref())
            }
            (What::Resources(_), Observation::Resources(count)) => {
                (*count > 0, format!("{count} found"))
            }
            _ => (false, "something else was looked at".to_owned()),
        };
        let hint = match (passed, seen) {
            (true, _) => None,
            (false, Observation::Unusable(_)) => {
                Some("put that right first, then check again".to_owned())
            }
            (false, _) => self.hint(&observed),
        };
        Judged {
            passed,
            observed: shortened(&observed),
            hint,
        }
    }

    /// The first hint that fits.
    fn hint(&self, observed: &str) -> Option<String> {
        let fits = |when: &Option<String>| match when {
            Some(pattern) => matches(pattern, observed),
            None => true,
        };
        let hint = self.hints.iter().find(|hint| fits(&hint.when));
        hint.map(|hint| hint.text.clone())
    }
}

fn judge_policies(rule: &PolicyRule, policies: &[Value]) -> (bool, String) {
    let name = |policy: &Value| policy["name"].as_str().unwrap_or_default().to_owned();
    let names: Vec<String> = policies.iter().map(name).collect();
    let mut observed = match names.len() {
        0 => "no policy is in force".to_owned(),
        count => format!("{count} in force: {}", names.join(", ")),
    };
    let counted = rule.count.is_none_or(|count| count == names.len());
    let named = match &rule.named {
        None => true,
        Some(wanted) => {
            let found = policies.iter().find(|policy| policy["name"] == **wanted);
            let warns = found.is_some_and(|policy| policy["spec"]["mode"] == "warn");
            if warns {
                observed = format!("{wanted} only warns");
            }
            found.is_some() && !warns
        }
    };
    (counted && named, observed)
}

fn judge_answer(rule: &AnswerRule, answer: Option<&str>) -> (bool, String) {
    let written = answer.map(without_form).unwrap_or_default();
    if written.len() < ANSWER_MIN {
        return (false, format!("{} has no answer yet", rule.file));
    }
    let words = written.split_whitespace().count();
    if let Some((fewest, most)) = rule.words
        && !(fewest..=most).contains(&words)
    {
        return (
            false,
            format!("{words} words, {fewest} to {most} are wanted"),
        );
    }
    let found = |patterns: &[String]| {
        let mut all = patterns.iter();
        all.find_map(|pattern| {
            compiled(pattern)?
                .find(&written)
                .map(|found| found.as_str())
        })
        .map(one_line)
    };
    if let Some(claim) = found(&rule.never) {
        return (false, format!("it says “{claim}”"));
    }
    if rule.any.is_empty() {
        return (true, format!("{words} words"));
    }
    match found(&rule.any) {
        Some(said) => (true, format!("it says “{said}”")),
        None => (false, "it does not say so".to_owned()),
    }
}

/// An answer without the lines that the form brought: headings and quotes.
fn without_form(answer: &str) -> String {
    let own = |line: &&str| !line.trim_start().starts_with(['#', '>']);
    let lines: Vec<&str> = answer.lines().filter(own).collect();
    lines.join("\n").trim().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(RESULT_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    compiled(pattern).is_some_and(|pattern| pattern.is_match(text))
}

/// A pattern of ours: that all of them compile is tested.
fn compiled(pattern: &str) -> Option<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder.case_insensitive(true).dot_matches_new_line(true);
    builder.build().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Observation, compiled};
    use crate::exercise::{AnswerRule, Check, Expected, Hint, PolicyRule, What, Where, exercises};

    fn check(what: What, hints: &[(Option<&str>, &str)]) -> Check {
        let hint = |(when, text): &(Option<&str>, &str)| Hint {
            when: when.map(str::to_owned),
            text: (*text).to_owned(),
        };
        Check {
            id: "c".to_owned(),
            title: "t".to_owned(),
            points: 1,
            what,
            after: None,
            remembered: false,
            only: Where::Everywhere,
            hints: hints.iter().map(hint).collect(),
        }
    }

    #[test]
    fn the_first_hint_that_fits_what_was_seen_is_given() {
        let what = What::Pod {
            name: "p".to_owned(),
            expect: Expected::Admitted,
            unreachable: false,
        };
        let check = check(
            what,
            &[
                (Some("no matching policies"), "glob"),
                (Some("none of the expected"), "identity"),
                (None, "else"),
            ],
        );
        let hint = |message: &str| {
            check
                .judge(&Observation::Denied(message.to_owned()))
                .hint
                .expect("denied")
        };
        assert_eq!(hint("no matching policies: spec"), "glob");
        assert_eq!(hint("None of the expected identities"), "identity");
        assert_eq!(hint("what?"), "else");
        assert!(check.judge(&Observation::Admitted).passed);
    }

    #[test]
    fn policies_are_counted_and_those_that_only_warn_do_not_count_as_named() {
        let rule = PolicyRule {
            count: Some(1),
            named: Some("p".to_owned()),
        };
        let check = check(What::Policies(rule), &[]);
        let judge = |policies| check.judge(&Observation::Policies(policies));
        let good = json!({"name": "p", "spec": {"mode": "enforce"}});
        assert!(judge(vec![good.clone()]).passed);
        assert!(!judge(vec![good, json!({"name": "q"})]).passed);
        assert!(!judge(vec![]).passed);
        let warns = judge(vec![json!({"name": "p", "spec": {"mode": "warn"}})]);
        assert_eq!(warns.observed, "p only warns");
    }

    #[test]
    fn an_answer_is_read_without_the_form_and_across_lines() {
        let rule = AnswerRule {
            file: "answer.md".to_owned(),
            any: vec!["ten[ -]minutes?".to_owned()],
            never: vec!["encrypts".to_owned()],
            words: None,
        };
        let check = check(What::Answer(rule), &[(None, "say how long")]);
        let judge = |text: &str| check.judge(&Observation::Answer(Some(text.to_owned())));
        assert!(judge("Valid for TEN minutes only.").passed);
        let form = judge("# ten minutes\n> ten minutes\n");
        assert_eq!(form.observed, "answer.md has no answer yet");
        assert!(!judge("ten minutes, and it encrypts the image").passed);
        let hint = judge("It is short.").hint;
        assert_eq!(hint.as_deref(), Some("say how long"));
        assert!(!check.judge(&Observation::Answer(None)).passed);
    }

    #[test]
    fn every_pattern_of_every_exercise_compiles_and_every_check_has_a_last_hint() {
        for exercise in exercises().expect("they are as they must be") {
            for check in exercise.tasks.iter().flat_map(|task| &task.checks) {
                let mut patterns: Vec<&String> = check
                    .hints
                    .iter()
                    .filter_map(|hint| hint.when.as_ref())
                    .collect();
                if let What::Answer(rule) = &check.what {
                    patterns.extend(rule.any.iter().chain(&rule.never));
                }
                for pattern in patterns {
                    assert!(compiled(pattern).is_some(), "{}: {pattern}", check.id);
                }
                let known = |name: &String| {
                    let all = exercise.tasks.iter().flat_map(|task| &task.checks);
                    all.into_iter().any(|check| check.id == *name)
                };
                assert!(check.after.iter().all(known), "{}", check.id);
                let last = check.hints.last().expect("a hint");
                assert_eq!(last.when, None, "{} of {}", check.id, exercise.slug);
            }
        }
    }
}
