//! The exercises in the forms of other practice environments, from the same source.

mod ck_x;
mod killercoda;

pub use ck_x::ck_x;
pub use killercoda::killercoda;

use crate::{
    exercise::{Exercise, Image},
    template::{UnknownName, Values},
};

/// A file that is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exported {
    /// Below the folder that was asked for.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Whether it is a program.
    pub executable: bool,
}

impl Exported {
    fn text(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            executable: false,
        }
    }

    fn script(path: impl Into<String>, text: String) -> Self {
        Self {
            path: path.into(),
            text,
            executable: true,
        }
    }
}

/// What the names in an exercise's texts stand for where nothing runs yet.
fn values(exercise: &Exercise, dir: &str) -> Values {
    let mut values = Values::of_default_lab();
    values.set("dir", format!("{dir}/{}", exercise.slug));
    values.set("policies", format!("{dir}/policies"));
    for image in &exercise.images {
        let Image {
            repository, tag, ..
        } = image;
        let reference = format!("localhost:5000/{repository}:{tag}");
        values.set(&format!("image:{}", image.name), reference.clone());
        values.set(&format!("tag:{}", image.name), reference);
    }
    values
}

/// Starts a lab in `dir` and sets the exercise up in it. What to type for it later is in `$dir/env`.
fn setup_script(exercise: &Exercise, dir: &str, flags: &str) -> String {
    format!(
        r#"#!/bin/bash
# Starts a lab of its own and sets up exercise {number} in it. What happened is in $dir/setup.log.
set -euo pipefail
dir="${{SIGLAB_LAB_DIR:-{dir}}}"
mkdir -p "$dir/policies"
exec > "$dir/setup.log" 2>&1
if ! command -v siglab > /dev/null; then
    echo "siglab is not on the PATH: put the program into /usr/local/bin"
    exit 1
fi
# A second time begins anew.
export SIGLAB_LAB_DIR="$dir"
if [ -s "$dir/process" ] && kill "$(cat "$dir/process")" 2> /dev/null; then
    while kill -0 "$(cat "$dir/process")" 2> /dev/null; do sleep 0.1; done
fi
rm --force "$dir/ready.json" "$dir/env"
siglab lab reset {number} > /dev/null 2>&1 || true
nohup siglab up --data-dir "$dir/data" --set "admission.policies=$dir/policies" \
    --ready-file "$dir/ready.json" ${{SIGLAB_UP_FLAGS:-{flags}}} > "$dir/siglab.log" 2>&1 &
lab=$!
until [ -s "$dir/ready.json" ]; do
    kill -0 "$lab" || {{ cat "$dir/siglab.log"; exit 1; }}
    sleep 0.1
done
echo "$lab" > "$dir/process"
admin="$(sed --quiet 's/.*"admin_url": *"\([^"]*\)".*/\1/p' "$dir/ready.json")"
printf 'export SIGLAB_ADMIN=%q SIGLAB_LAB_DIR=%q\n' "$admin" "$dir" > "$dir/env"
. "$dir/env"
env --unset KUBECONFIG siglab lab start {number}
"#,
        number = exercise.number,
    )
}

/// Grades a part of the exercise: exit code 0 when it is done.
fn check_script(exercise: &Exercise, dir: &str, what: &str, part: &str) -> String {
    format!(
        r#"#!/bin/bash
# Exit code 0: {what}.
set -euo pipefail
. "${{SIGLAB_LAB_DIR:-{dir}}}/env"
exec siglab lab check {number} {part}
"#,
        what = what.replace('\n', " "),
        number = exercise.number,
    )
}

fn json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// Exports of a whole exercise can fail only where one of our texts names something unknown.
type Result<T> = std::result::Result<T, UnknownName>;

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{Exported, ck_x, killercoda};
    use crate::exercise::exercises;

    fn file<'a>(files: &'a [Exported], path: &str) -> &'a str {
        let found = files.iter().find(|file| file.path == path);
        &found.unwrap_or_else(|| panic!("no {path}")).text
    }

    fn read(files: &[Exported], path: &str) -> Value {
        serde_json::from_str(file(files, path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn a_killercoda_scenario_has_every_file_that_its_index_names() {
        for exercise in exercises().expect("they are as they must be") {
            let files = killercoda(&exercise, true).expect("known names");
            let index = read(&files, "index.json");
            assert_eq!(index["title"], exercise.title);
            let details = &index["details"];
            let steps = details["steps"].as_array().expect("steps");
            assert_eq!(steps.len(), exercise.tasks.len());
            let parts = steps.iter().chain([&details["intro"], &details["finish"]]);
            for part in parts {
                for name in ["text", "verify", "background", "foreground"] {
                    if let Some(path) = part[name].as_str() {
                        assert!(!file(&files, path).is_empty(), "{path}");
                    }
                }
            }
            assert_eq!(details["assets"]["host01"][0]["file"], "siglab");
            let without = killercoda(&exercise, false).expect("known names");
            let index = read(&without, "index.json");
            assert!(index["details"]["assets"].is_null());
        }
    }

    #[test]
    fn a_ck_x_assessment_has_every_script_that_it_names_and_its_marks_add_up() {
        let all = exercises().expect("they are as they must be");
        let files = ck_x(&all).expect("known names");
        let config = read(&files, "config.json");
        let assessment = read(&files, "assessment.json");
        let questions = assessment["questions"].as_array().expect("questions");
        assert_eq!(questions.len(), all.len());
        let mut marks = 0;
        for question in questions {
            let id = question["id"].as_str().expect("an id");
            assert!(!file(&files, &format!("scripts/setup/q{id}_setup.sh")).is_empty());
            for step in question["verification"].as_array().expect("steps") {
                let script = step["verificationScriptFile"].as_str().expect("a script");
                assert!(
                    file(&files, &format!("scripts/validation/{script}")).contains("lab check")
                );
                assert_eq!(step["expectedOutput"], "0");
                marks += step["weightage"].as_u64().expect("a number");
            }
        }
        assert_eq!(config["totalMarks"], marks);
        assert!(!file(&files, "answers.md").is_empty());
    }
}
