//! A Killercoda scenario: `index.json`, a text and a `verify.sh` for each task.

use serde_json::{Value, json};

use super::{Exported, Result, check_script, json as shown, setup_script, values};
use crate::exercise::Exercise;

/// Where the scenario's lab is.
const DIR: &str = "/root/siglab-lab";

/// What is seen while the lab starts.
const WAIT: &str = r#"#!/bin/bash
# Waits until the exercise is set up.
dir="${SIGLAB_LAB_DIR:-/root/siglab-lab}"
until grep --quiet --no-messages 'is set up\|^error' "$dir/setup.log"; do sleep 0.2; done
cat "$dir/setup.log"
"#;

/// The files of one exercise. `with_program` says that the program is put into `assets/siglab`.
///
/// # Errors
/// That a text names something unknown.
pub fn killercoda(exercise: &Exercise, with_program: bool) -> Result<Vec<Exported>> {
    let values = values(exercise, DIR);
    let mut steps = Vec::new();
    let mut files = vec![
        Exported::text("intro.md", values.fill(exercise.text)?),
        Exported::text("finish.md", values.fill(exercise.after)?),
        Exported::script("setup.sh", setup_script(exercise, DIR, "")),
        Exported::script("wait.sh", WAIT.to_owned()),
    ];
    for (index, task) in exercise.tasks.iter().enumerate() {
        let number = index + 1;
        let (text, verify) = (
            format!("step{number}/text.md"),
            format!("step{number}/verify.sh"),
        );
        steps.push(json!({"title": task.title, "text": text, "verify": verify}));
        let body = format!("# {}\n\n{}", task.title, values.fill(&task.text)?);
        files.push(Exported::text(text, body));
        let part = format!("--task {number}");
        files.push(Exported::script(
            verify,
            check_script(exercise, DIR, &task.title, &part),
        ));
    }
    let mut details = json!({
        "intro": {
            "title": exercise.title, "text": "intro.md", "background": "setup.sh",
            "foreground": "wait.sh",
        },
        "steps": steps,
        "finish": {"title": "Why it is so", "text": "finish.md"},
    });
    if with_program {
        let program: Value = json!({"file": "siglab", "target": "/usr/local/bin", "chmod": "+x"});
        details["assets"] = json!({"host01": [program]});
    }
    let index = json!({
        "title": exercise.title,
        "description": format!("{} ({} minutes)", exercise.summary, exercise.minutes),
        "details": details,
        "backend": {"imageid": "ubuntu"},
    });
    files.push(Exported::text("index.json", shown(&index)));
    Ok(files)
}
