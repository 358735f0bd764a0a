//! An assessment for the CK-X simulator: one question for each exercise, one script for each check.

use std::fmt::Write as _;

use serde_json::json;

use super::{Exported, Result, check_script, json as shown, setup_script, values};
use crate::exercise::{Check, Exercise};

/// Where the simulator keeps the assessment.
const ASSETS: &str = "assets/exams/cks/101";
const NAME: &str = "cks-101";

/// The files of an assessment with these exercises.
///
/// # Errors
/// That a text names something unknown.
pub fn ck_x(exercises: &[Exercise]) -> Result<Vec<Exported>> {
    let mut files = Vec::new();
    let mut questions = Vec::new();
    let mut answers = String::from("# Answers\n");
    let mut marks = 0;
    for exercise in exercises {
        let number = exercise.number;
        let dir = format!("/tmp/exam/siglab-{number:02}");
        let setup = format!("scripts/setup/q{number}_setup.sh");
        files.push(Exported::script(
            setup,
            setup_script(exercise, &dir, "--port 0"),
        ));
        let mut verification = Vec::new();
        for (index, (_, check)) in exercise.checks(false).enumerate() {
            let step = index + 1;
            let script = script_name(number, step, check);
            marks += check.points;
            verification.push(json!({
                "id": step.to_string(), "description": check.title,
                "verificationScriptFile": script, "expectedOutput": "0",
                "weightage": check.points,
            }));
            let part = format!("--check {}", check.id);
            let text = check_script(exercise, &dir, &check.title, &part);
            files.push(Exported::script(
                format!("scripts/validation/{script}"),
                text,
            ));
        }
        questions.push(json!({
            "id": number.to_string(), "namespace": "default", "machineHostname": "ckad9999",
            "question": question(exercise, &dir)?, "concepts": [exercise.domain],
            "verification": verification,
        }));
        answer(exercise, &dir, &mut answers)?;
    }
    let config = json!({
        "lab": NAME, "workerNodes": 1, "answers": format!("{ASSETS}/answers.md"),
        "questions": "assessment.json", "totalMarks": marks,
        "lowScore": 40, "mediumScore": 60, "highScore": 90,
    });
    let minutes: u32 = exercises.iter().map(|exercise| exercise.minutes).sum();
    let entry = json!({"labs": [{
        "id": NAME, "assetPath": ASSETS, "name": "Image signing and admission",
        "category": "CKS", "description": "Sigstore policies, identities and webhooks, in a lab of their own",
        "warmUpTimeInSeconds": 60, "difficulty": "Hard", "examDurationInMinutes": minutes,
    }]});
    files.extend([
        Exported::text("config.json", shown(&config)),
        Exported::text("assessment.json", shown(&json!({"questions": questions}))),
        Exported::text("labs.json", shown(&entry)),
        Exported::text("answers.md", answers),
    ]);
    Ok(files)
}

fn script_name(number: usize, step: usize, check: &Check) -> String {
    format!(
        "q{number}_s{step}_validate_{}.sh",
        check.id.replace('-', "_")
    )
}

fn question(exercise: &Exercise, dir: &str) -> Result<String> {
    let values = values(exercise, dir);
    let mut text = format!(
        "{}\n\nIn your terminal, first: `. {dir}/env`",
        values.fill(exercise.text)?.trim()
    );
    for task in &exercise.tasks {
        let _ = write!(
            text,
            "\n\n{}: {}",
            task.title,
            values.fill(&task.text)?.trim()
        );
    }
    Ok(text)
}

/// The solution's steps and files, and why it is so.
fn answer(exercise: &Exercise, dir: &str, answers: &mut String) -> Result<()> {
    let values = values(exercise, dir);
    let _ = write!(answers, "\n## {}. {}\n", exercise.number, exercise.title);
    for change in &exercise.solution {
        let _ = write!(answers, "\n{}\n", change.title);
        let folder = change.files.as_deref().unwrap_or_default();
        for (name, text) in exercise.files(folder) {
            let text = values.fill(text)?;
            let _ = write!(answers, "\n`{name}`:\n\n```\n{}\n```\n", text.trim_end());
        }
        for patch in &change.patches {
            for (pointer, value) in &patch.set {
                let value = values.fill(&value.to_string())?;
                let _ = write!(answers, "\n`{pointer}`: `{value}`\n");
            }
        }
    }
    let _ = write!(answers, "\n{}\n", values.fill(exercise.after)?.trim());
    Ok(())
}
