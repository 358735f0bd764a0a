//! `siglab lab`: exercises that are set up in a lab, and graded by what it does.

mod arguments;
mod check;
mod cluster;
mod export;
mod folder;
mod place;
mod server;
mod setup;
mod workspace;

pub(crate) use arguments::LabCommand;

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::{arguments::Common, client::Lab, output, output::Advise as _};
use arguments::{Folder, Solve, Work};
use place::Place;
use workspace::{Grade, Workspace};

/// The exit code of a check that could not be made.
const UNKNOWN: u8 = 2;

pub(crate) async fn run(common: &Common, command: &LabCommand) -> anyhow::Result<ExitCode> {
    match command {
        LabCommand::List(folder) => list(common, folder),
        LabCommand::Start(options) => setup::start(common, options).await,
        LabCommand::Check(options) => match check::run(common, options).await {
            Ok(code) => Ok(code),
            Err(error) => {
                output::fail(&error, "siglab help lab check", common.json);
                Ok(ExitCode::from(UNKNOWN))
            }
        },
        LabCommand::Solve(options) => solve(common, options).await,
        LabCommand::Reset(work) => reset(common, work).await,
        LabCommand::Export(options) => export::run(common, options),
    }
}

fn list(common: &Common, folder: &Folder) -> anyhow::Result<ExitCode> {
    let exercises = labs::exercises()?;
    let results = workspace::results(&folder.dir)?;
    if common.json {
        let rows: Vec<Value> = exercises
            .iter()
            .map(|exercise| {
                json!({
                    "number": exercise.number, "name": exercise.slug, "title": exercise.title,
                    "summary": exercise.summary, "minutes": exercise.minutes,
                    "domain": exercise.domain, "best": results.get(&exercise.slug),
                })
            })
            .collect();
        output::object(true, json!({ "exercises": rows }));
        return Ok(ExitCode::SUCCESS);
    }
    for exercise in &exercises {
        let minutes = format!("{} min", exercise.minutes);
        output::step(exercise.number, &minutes, &exercise.title);
        output::detail("", &exercise.summary);
        match results.get(&exercise.slug) {
            Some(Grade { points, of }) if points == of => output::good("passed", ""),
            Some(Grade { points, of }) => {
                output::detail("so far", format!("{points} of {of} points"))
            }
            None => {}
        }
    }
    let next = exercises.iter().find(|exercise| {
        let result = results.get(&exercise.slug);
        result.is_none_or(|grade| grade.points < grade.of)
    });
    if let Some(next) = next {
        output::line(format!("next: siglab lab start {}", next.number));
    }
    Ok(ExitCode::SUCCESS)
}

/// The exercise that is set up in the folder, and the lab that it was set up in.
async fn open(common: &Common, work: &Work) -> anyhow::Result<(Workspace, Place)> {
    let workspace = Workspace::open(work)?;
    let lab = Lab::open(common).await?;
    let number = workspace.exercise.number;
    let (ours, answers) = (&workspace.state.instance, &lab.status.instance);
    if ours != answers {
        return None.advise(
            format!("exercise {number} was set up in LAB-{ours}, and LAB-{answers} answers"),
            format!(
                "siglab lab check {number} --lab URL    (or begin again: siglab lab reset {number})"
            ),
        );
    }
    let place = Place::of(&workspace, lab);
    Ok((workspace, place))
}

async fn solve(common: &Common, options: &Solve) -> anyhow::Result<ExitCode> {
    let (mut workspace, place) = open(common, &options.work).await?;
    let steps = steps(&workspace, options.wrong.as_deref())?;
    let mut shown = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if index > 0 {
            // What the grader has to see on the way.
            let _ = check::grade(&mut workspace, &place).await?;
        }
        let details = setup::change(&workspace, &place, step).await?;
        if !common.json {
            output::step(index + 1, "done", &step.title);
            for detail in &details {
                output::detail("", detail);
            }
        }
        shown.push(json!({ "title": step.title, "details": details }));
    }
    let next = format!("siglab lab check {}", workspace.exercise.number);
    if common.json {
        output::object(true, json!({ "steps": shown, "next": next }));
    } else {
        output::line(format!("grade it: {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The steps of the solution, or of one that is none.
fn steps(workspace: &Workspace, wrong: Option<&str>) -> anyhow::Result<Vec<labs::Change>> {
    let exercise = &workspace.exercise;
    let Some(name) = wrong else {
        return Ok(exercise.solution.clone());
    };
    let found = exercise.wrong.iter().find(|wrong| wrong.name == name);
    let names: Vec<&str> = exercise
        .wrong
        .iter()
        .map(|wrong| wrong.name.as_str())
        .collect();
    let found = found.advise(
        format!("there is no {name}, only {}", names.join(", ")),
        format!("siglab lab solve {}", exercise.number),
    )?;
    Ok(found.changes.clone())
}

async fn reset(common: &Common, work: &Work) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::open(work)?;
    let kept = match &workspace.state.kubeconfig {
        Some(_) => {
            let lab = Lab::open(common).await?;
            let taken_down = Place::of(&workspace, lab).take_down(&workspace).await;
            taken_down.advise(
                "the cluster cannot be put back as it was",
                format!("rm -r {}    (gives up on it)", workspace.folder().display()),
            )?;
            workspace.set_aside()?
        }
        None => {
            let kept = workspace.set_aside()?;
            // A lab that does not run reads the folder when it starts.
            if let Ok(lab) = Lab::open(common).await {
                let _ = folder::reload(&lab).await?;
            }
            kept
        }
    };
    let next = format!("siglab lab start {}", workspace.exercise.number);
    if common.json {
        let kept = kept.display().to_string();
        output::object(true, json!({ "kept": kept, "next": next }));
    } else {
        output::line(format!(
            "exercise {} is reset; its files are in {}",
            workspace.exercise.number,
            kept.display()
        ));
        output::line(format!("begin again: {next}"));
    }
    Ok(ExitCode::SUCCESS)
}
