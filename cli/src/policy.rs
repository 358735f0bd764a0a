//! `siglab policy lint`: what is refused in policies, and what does not mean what it seems to. It needs no
//! lab.

use std::process::ExitCode;

use serde_json::json;
use stack::lint::{Severity, lint};

use crate::{
    arguments::{Common, PolicyCommand},
    documents, output,
};

pub(crate) fn run(common: &Common, command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    let PolicyCommand::Lint { files } = command;
    let mut all = Vec::new();
    let mut good = true;
    for path in files {
        let file = path.display().to_string();
        let findings = lint(&documents::text(path)?)
            .map_err(|reason| anyhow::anyhow!("{file} is not YAML: {reason}"))?;
        for finding in findings {
            good &= finding.severity != Severity::Error;
            let place = [&file, &finding.name, &finding.path].map(String::as_str);
            let place: Vec<&str> = place.into_iter().filter(|part| !part.is_empty()).collect();
            let text = format!("{}: {}", place.join(" "), finding.message);
            match finding.severity {
                _ if common.json => {}
                Severity::Error => output::bad("error", text),
                Severity::Warning => output::bad("warning", text),
                Severity::Note => output::detail("note", text),
            }
            all.push(json!({ "file": file, "finding": finding }));
        }
    }
    if common.json {
        output::object(good, json!({ "findings": all }));
    } else if all.is_empty() {
        output::good("good", "nothing is refused, nothing is other than it seems");
    }
    Ok(output::code(good))
}
