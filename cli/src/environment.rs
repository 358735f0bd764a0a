//! `siglab env`: variables for cosign, sigstore-python and scripts, named as in sigstore/scaffolding.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use serde_json::{Map, Value};

use crate::{
    arguments::{self, Common, Format},
    client::Lab,
    output, trust,
};

/// How long to wait before a lab that is not up yet is asked again.
const PAUSE: Duration = Duration::from_millis(20);

type Variable = (&'static str, String);

pub(crate) async fn run(common: &Common, options: &arguments::Env) -> anyhow::Result<()> {
    let lab = open(common, Duration::from_secs(options.wait)).await?;
    let dir = match &options.dir {
        Some(dir) => dir.clone(),
        None => cache_dir()?.join("siglab").join(&lab.status.instance),
    };
    // Clients read the files from wherever they run.
    let dir = std::path::absolute(dir)?;
    trust::write(&lab, &dir).await?;
    let token = lab
        .token(&[("audience".to_owned(), "sigstore".to_owned())])
        .await?;
    let url = |service: &str, listener: &str| lab.url(service, listener);
    let mut variables = stack::environment::write(&dir, &lab.admin, &token, url)?;
    variables.extend(ways(&lab, &dir));
    for (name, value) in &mut variables {
        // For its default mirror, which has no slash at its end, cosign takes no root but its own.
        if *name == "TUF_MIRROR" && lab.status.public_names {
            value.push('/');
        }
    }
    if common.json {
        output::object(true, Value::Object(object(&variables)));
    } else {
        output::line(render(options.format, &variables)?);
    }
    Ok(())
}

/// The lab, once everything in it is ready, or after `wait` in whatever state it is.
async fn open(common: &Common, wait: Duration) -> anyhow::Result<Lab> {
    let started = Instant::now();
    loop {
        let lab = Lab::open(common).await;
        let is_ready = |lab: &Lab| lab.status.services.iter().all(|row| row.ready);
        if lab.as_ref().is_ok_and(is_ready) || started.elapsed() >= wait {
            return lab;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// How clients reach services that are not of this machine, and trust them.
fn ways(lab: &Lab, dir: &std::path::Path) -> Vec<Variable> {
    let mut variables = Vec::new();
    if lab.status.proxy {
        // curl does not read the first one.
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY"] {
            variables.push((name, lab.admin.clone()));
        }
    }
    if lab.ca_pem.is_some() {
        variables.push(("SSL_CERT_FILE", dir.join("ca.pem").display().to_string()));
    }
    variables
}

fn render(format: Format, variables: &[Variable]) -> anyhow::Result<String> {
    let lines = |line: fn(&Variable) -> String| {
        let lines: Vec<_> = variables.iter().map(line).collect();
        lines.join("\n")
    };
    Ok(match format {
        Format::Shell => {
            lines(|(name, value)| format!("export {name}='{}'", value.replace('\'', r"'\''")))
        }
        Format::Dotenv => lines(|(name, value)| format!("{name}={}", dotenv(value))),
        Format::Github => lines(github),
        Format::Json => serde_json::to_string_pretty(&object(variables))?,
    })
}

fn object(variables: &[Variable]) -> Map<String, Value> {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.as_str().into()))
        .collect()
}

/// As it is, for readers that know no quotes, unless a reader would take it for something else.
fn dotenv(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if value.chars().all(plain) {
        return value.to_owned();
    }
    let mut quoted = String::from('"');
    for c in value.chars() {
        match c {
            '"' | '\\' | '$' | '`' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

/// A line of `$GITHUB_ENV`; a value of several lines stands between two delimiters.
fn github((name, value): &Variable) -> String {
    if value.contains('\n') {
        format!("{name}<<SIGLAB_END\n{value}\nSIGLAB_END")
    } else {
        format!("{name}={value}")
    }
}

fn cache_dir() -> anyhow::Result<PathBuf> {
    let environment = runtime::settings::environment();
    let value = |name: &str| {
        let found = environment
            .iter()
            .find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    };
    value("XDG_CACHE_HOME")
        .filter(|dir| dir.is_absolute())
        .or_else(|| value("HOME").map(|home| home.join(".cache")))
        .context("no HOME to keep files under, give --dir DIR")
}

#[cfg(test)]
mod tests {
    use super::{Format, Variable, render};

    fn odd() -> Vec<Variable> {
        vec![
            ("PLAIN", "http://localhost:1/a_b".to_owned()),
            ("ODD", "it's $HOME \"here\"".to_owned()),
            ("LINES", "one\ntwo".to_owned()),
        ]
    }

    #[test]
    fn a_shell_reads_back_what_was_written() {
        let script = render(Format::Shell, &odd()).unwrap()
            + "\nprintf '%s|%s|%s' \"$PLAIN\" \"$ODD\" \"$LINES\"";
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "http://localhost:1/a_b|it's $HOME \"here\"|one\ntwo"
        );
    }

    #[test]
    fn dotenv_quotes_only_what_needs_it() {
        assert_eq!(
            render(Format::Dotenv, &odd()).unwrap(),
            "PLAIN=http://localhost:1/a_b\nODD=\"it's \\$HOME \\\"here\\\"\"\nLINES=\"one\\ntwo\""
        );
    }

    #[test]
    fn github_gets_lines_between_delimiters() {
        let text = render(Format::Github, &odd()).unwrap();
        assert!(text.starts_with("PLAIN=http://localhost:1/a_b\nODD=it's $HOME \"here\"\n"));
        assert!(text.ends_with("LINES<<SIGLAB_END\none\ntwo\nSIGLAB_END"));
    }

    #[test]
    fn json_is_one_object() {
        let text = render(Format::Json, &odd()).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["LINES"], "one\ntwo");
        assert_eq!(read.as_object().unwrap().len(), 3);
    }
}
