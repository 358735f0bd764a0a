//! `siglab lab check`: grades from what the webhook or the cluster does.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::Context as _;
use labs::{Check, Exercise, Observation, What};
use serde_json::{Value, json};

use super::{
    arguments, open,
    place::{Place, in_force},
    workspace::{Grade, Workspace},
};
use crate::{arguments::Common, output, output::Advise as _};

/// One check, graded.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    task: usize,
    id: String,
    title: String,
    of: u32,
    passed: bool,
    observed: String,
    hint: Option<String>,
    /// The check that has to pass before this one counts.
    waits_for: Option<String>,
}

impl Row {
    const fn points(&self) -> u32 {
        if self.passed { self.of } else { 0 }
    }

    fn fields(&self) -> Value {
        json!({
            "task": self.task, "check": self.id, "title": self.title, "passed": self.passed,
            "points": self.points(), "of": self.of, "observed": self.observed, "hint": self.hint,
            "waitsFor": self.waits_for,
        })
    }
}

pub(crate) async fn run(common: &Common, options: &arguments::Check) -> anyhow::Result<ExitCode> {
    let (mut workspace, place) = open(common, &options.work).await?;
    let mut rows = grade(&mut workspace, &place).await?;
    let number = workspace.exercise.number;
    if let Some(task) = options.task {
        rows.retain(|row| row.task == task);
        let last = workspace.exercise.tasks.len();
        (1..=last).contains(&task).then_some(()).advise(
            format!("exercise {number} has no task {task}, only 1 to {last}"),
            format!("siglab lab check {number}"),
        )?;
    }
    if let Some(id) = &options.check {
        let names: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
        rows.retain(|row| row.id == *id);
        (!rows.is_empty()).then_some(()).advise(
            format!(
                "exercise {number} has no check {id}, only {}",
                names.join(", ")
            ),
            format!("siglab lab check {number}"),
        )?;
    }
    let passed = rows.iter().all(|row| row.passed);
    let points: u32 = rows.iter().map(Row::points).sum();
    let of: u32 = rows.iter().map(|row| row.of).sum();
    let whole = options.task.is_none() && options.check.is_none();
    if whole {
        workspace.record(Grade { points, of })?;
    }
    if common.json {
        let checks: Vec<Value> = rows.iter().map(Row::fields).collect();
        output::object(
            passed,
            json!({
                "exercise": number, "title": workspace.exercise.title, "points": points, "of": of,
                "checks": checks,
            }),
        );
    } else {
        show(&workspace, &rows);
        output::heading(format!("{points} of {of} points"));
        if passed && whole {
            let values = workspace.values(place.lab())?;
            output::line(format!(
                "\n{}",
                values.fill(workspace.exercise.after)?.trim()
            ));
        }
    }
    Ok(output::code(passed))
}

fn show(workspace: &Workspace, rows: &[Row]) {
    let mut task = 0;
    for row in rows {
        if row.task != task {
            task = row.task;
            let title = &workspace.exercise.tasks[task - 1].title;
            output::heading(format!("Task {task}: {title}"));
        }
        let text = format!("{}/{}  {}", row.points(), row.of, row.title);
        if row.passed {
            output::good("passed", text);
            continue;
        }
        if let Some(first) = &row.waits_for {
            output::detail("waits", format!("{text} (counts when {first})"));
            continue;
        }
        output::bad("not yet", text);
        let mut name = "observed";
        for line in row.observed.lines() {
            output::detail(name, line);
            name = "";
        }
        if let Some(hint) = &row.hint {
            output::detail("hint", hint);
        }
    }
}

/// Grades every check of the exercise, and remembers what is to be remembered.
///
/// # Errors
/// When it cannot be seen what is so.
pub(crate) async fn grade(workspace: &mut Workspace, place: &Place) -> anyhow::Result<Vec<Row>> {
    let unusable = match place.settle().await? {
        Some(reason) => Some(reason),
        None => tampered(&workspace.exercise, &place.settings().await?),
    };
    let values = workspace.values(place.lab())?;
    let exercise = workspace.exercise.clone();
    let mut rows = Vec::new();
    for (task, check) in exercise.checks(place.is_cluster()) {
        let seen = match &unusable {
            Some(reason) if !matches!(check.what, What::Answer(_)) => {
                Observation::Unusable(reason.clone())
            }
            _ => look(workspace, place, check).await?,
        };
        let mut judged = check.judge(&seen);
        if check.remembered && judged.passed {
            workspace.state.remembered.insert(check.id.clone());
            workspace.save()?;
        }
        if workspace.state.remembered.contains(&check.id) && !judged.passed {
            judged.passed = true;
            judged.hint = None;
        }
        let hint = judged.hint.map(|hint| values.fill(&hint)).transpose()?;
        rows.push(Row {
            task,
            id: check.id.clone(),
            title: check.title.clone(),
            of: check.points,
            passed: judged.passed,
            observed: judged.observed,
            hint,
            waits_for: None,
        });
    }
    for (_, check) in exercise.checks(place.is_cluster()) {
        let Some(first) = check.after.as_ref() else {
            continue;
        };
        let unmet = rows.iter().find(|row| row.id == *first && !row.passed);
        let unmet = unmet.map(|row| row.title.clone());
        let row = rows.iter_mut().find(|row| row.id == check.id);
        if let (Some(title), Some(row)) = (unmet, row) {
            row.passed = false;
            row.hint = None;
            row.waits_for = Some(title);
        }
    }
    Ok(rows)
}

/// Which settings of the controller are no longer those of the exercise: it is not about them.
fn tampered(exercise: &Exercise, found: &BTreeMap<String, String>) -> Option<String> {
    let wanted = exercise.settings.entries();
    let (name, value) = wanted
        .iter()
        .find(|(name, value)| found.get(**name) != Some(*value))?;
    let found = found.get(*name).map_or("not set", String::as_str);
    Some(format!(
        "the controller's settings are not this exercise's: {name} is {found}, it must stay {value} \
         (ConfigMap config-policy-controller)"
    ))
}

/// What there is to see for a check.
async fn look(workspace: &Workspace, place: &Place, check: &Check) -> anyhow::Result<Observation> {
    match &check.what {
        What::Pod {
            name, unreachable, ..
        } => {
            let pod = workspace.exercise.pod(name);
            let pod = pod.with_context(|| format!("the exercise has no Pod {name}"))?;
            place.create(&workspace.pod(pod), !unreachable).await
        }
        What::Policies(_) => Ok(Observation::Policies(in_force(place.lab()).await?)),
        What::Answer(rule) => {
            let path = workspace.folder().join(&rule.file);
            let bytes = runtime::files::read_optional(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            Ok(Observation::Answer(text))
        }
        What::Resources(arguments) => Ok(Observation::Resources(place.count(arguments).await?)),
    }
}
