//! `siglab lab export`: the exercises for other environments.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use labs::{Exercise, Exported};
use serde_json::json;

use super::{
    arguments::{Export, Form},
    workspace::write,
};
use crate::{arguments::Common, output, output::Advise as _};

pub(crate) fn run(common: &Common, options: &Export) -> anyhow::Result<ExitCode> {
    let exercises: Vec<Exercise> = if options.numbers.is_empty() {
        labs::exercises()?
    } else {
        let found = options.numbers.iter().map(|number| labs::find(*number));
        found
            .collect::<Result<_, _>>()
            .advise("no such exercise", "siglab lab list")?
    };
    let mut written = Vec::new();
    match options.format {
        Form::Killercoda => {
            for exercise in &exercises {
                let folder = options.output.join(format!("siglab-{}", exercise.slug));
                let files = labs::killercoda(exercise, options.program.is_some())?;
                write_all(&folder, &files)?;
                if let Some(program) = &options.program {
                    copy(program, &folder.join("assets/siglab"))?;
                }
                written.push(folder);
            }
        }
        Form::CkX => {
            write_all(&options.output, &labs::ck_x(&exercises)?)?;
            written.push(options.output.clone());
        }
    }
    if common.json {
        let folders: Vec<String> = written
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        output::object(true, json!({ "folders": folders }));
    } else {
        for folder in &written {
            output::line(folder.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_all(folder: &Path, files: &[Exported]) -> anyhow::Result<()> {
    for file in files {
        let path = folder.join(&file.path);
        write(&path, &file.text)?;
        if file.executable {
            make_program(&path)?;
        }
    }
    Ok(())
}

fn copy(program: &Path, to: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot copy {}", program.display());
    fs::create_dir_all(to.parent().with_context(cannot)?).with_context(cannot)?;
    fs::copy(program, to).with_context(cannot)?;
    make_program(to)
}

fn make_program(path: &Path) -> anyhow::Result<()> {
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, mode).with_context(|| format!("cannot mark {}", path.display()))
}
