//! What a person sees: steps, tables, errors with the next command to type; or one JSON object.

use std::{
    cell::RefCell,
    fmt::{Arguments, Display},
    io::Write as _,
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value, json};
use verify::{Difference, Outcome, Report};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// Writes to standard output; a reader that has left (`| head`) is no error of ours.
fn print(text: Arguments<'_>, end: &str) {
    let mut out = anstream::stdout();
    let _ = write!(out, "{text}{end}").and_then(|()| out.flush());
}

/// A line as it is, for scripts.
pub(crate) fn line(text: impl Display) {
    print(format_args!("{text}"), "\n");
}

/// Text without a line's end, for tokens.
pub(crate) fn raw(text: &str) {
    print(format_args!("{text}"), "");
}

/// A heading.
pub(crate) fn heading(text: impl Display) {
    print(format_args!("{BOLD}{text}{BOLD:#}"), "\n");
}

/// A step that is done: its number, its name, and what came of it.
pub(crate) fn step(number: usize, name: &str, text: impl Display) {
    print(
        format_args!("{DIM}{number:>2}{DIM:#} {BOLD}{name:<12}{BOLD:#} {text}"),
        "\n",
    );
}

/// More about the last step.
pub(crate) fn detail(name: &str, text: impl Display) {
    print(format_args!("   {DIM}{name:<12}{DIM:#} {text}"), "\n");
}

/// Something that came out as it should.
pub(crate) fn good(mark: &str, text: impl Display) {
    print(format_args!("   {GOOD}{mark:<12}{GOOD:#} {text}"), "\n");
}

/// Something that did not.
pub(crate) fn bad(mark: &str, text: impl Display) {
    print(format_args!("   {BAD}{mark:<12}{BAD:#} {text}"), "\n");
}

/// A denial as kubectl words it, on standard error.
pub(crate) fn denial(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// The one object that a command prints under `--json`, on one line: `ok`, then what the command has to say.
pub(crate) fn object(ok: bool, mut fields: Value) {
    let mut whole = Map::new();
    whole.insert("ok".to_owned(), ok.into());
    if let Some(fields) = fields.as_object_mut() {
        whole.append(fields);
    }
    line(Value::Object(whole));
}

/// Success or failure as an exit code.
pub(crate) fn code(ok: bool) -> ExitCode {
    if ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Prints every step of a verification.
pub(crate) fn report(report: &Report) {
    for step in &report.steps {
        match step.outcome {
            Outcome::Passed => good("verified", format!("{}: {}", step.what, step.observed)),
            Outcome::Skipped => detail("skipped", format!("{}: {}", step.what, step.observed)),
            Outcome::Failed => failed(step),
        }
    }
}

/// A step that failed. Two strings that should have been the same stand below one another, with a mark
/// where they part.
fn failed(step: &verify::Step) {
    let mut hint = step.hint.as_str();
    let parted = matches!(step.what.as_str(), "subject" | "issuer")
        && !step.expected.is_empty()
        && !step.expected.starts_with('/');
    if parted {
        bad("refused", format!("{} is another", step.what));
        let difference = Difference::new(&step.expected, &step.observed);
        for line in difference.to_string().lines() {
            let (name, text) = line.split_at_checked(9).unwrap_or((line, ""));
            detail(name.trim_end(), text);
        }
        hint = hint.strip_prefix(&difference.on_one_line()).unwrap_or(hint);
    } else {
        bad("refused", format!("{}: {}", step.what, step.observed));
        if !step.expected.is_empty() {
            detail("expected", &step.expected);
        }
    }
    for line in hint.lines().filter(|line| !line.is_empty()) {
        detail("hint", line);
    }
}

/// What went wrong, and what to type next.
#[derive(Debug)]
pub(crate) struct Advice {
    what: String,
    next: String,
}

impl Display for Advice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl Advice {
    /// As an error without a cause.
    pub(crate) fn error(what: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
        anyhow::Error::msg(Self {
            what: what.into(),
            next: next.into(),
        })
    }
}

/// Adds to an error what to type next.
pub(crate) trait Advise<T> {
    /// `what` went wrong; `next` is a command.
    fn advise(self, what: impl Into<String>, next: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E> Advise<T> for Result<T, E>
where
    Self: anyhow::Context<T, E>,
{
    fn advise(self, what: impl Into<String>, next: impl Into<String>) -> anyhow::Result<T> {
        anyhow::Context::with_context(self, || Advice {
            what: what.into(),
            next: next.into(),
        })
    }
}

impl<T> Advise<T> for Option<T> {
    fn advise(self, what: impl Into<String>, next: impl Into<String>) -> anyhow::Result<T> {
        self.ok_or_else(|| Advice::error(what, next))
    }
}

/// The line of an error, the next command to type (`otherwise`, when the error names none), and the exit
/// code.
pub(crate) fn fail(error: &anyhow::Error, otherwise: &str, as_json: bool) -> ExitCode {
    let next = error
        .downcast_ref::<Advice>()
        .map_or(otherwise, |advice| &advice.next);
    if as_json {
        let error = format!("{error:#}");
        object(false, json!({ "error": error, "next": next }));
    } else {
        let mut err = anstream::stderr();
        let _ = writeln!(err, "{BAD}error:{BAD:#} {error:#}");
        let _ = writeln!(err, "{BOLD}next:{BOLD:#}  {next}");
    }
    ExitCode::FAILURE
}

/// Steps for a person as they are taken, or kept for one JSON object.
#[derive(Debug)]
pub(crate) struct Transcript {
    as_json: bool,
    steps: RefCell<Vec<Value>>,
}

impl Transcript {
    pub(crate) fn new(as_json: bool) -> Self {
        Self {
            as_json,
            steps: RefCell::default(),
        }
    }

    pub(crate) fn heading(&self, text: impl Display) {
        if !self.as_json {
            heading(text);
        }
    }

    pub(crate) fn step(&self, number: usize, name: &str, text: impl Display) {
        if self.as_json {
            let step = json!({ "step": number, "name": name, "text": text.to_string() });
            self.steps.borrow_mut().push(step);
        } else {
            step(number, name, text);
        }
    }

    pub(crate) fn detail(&self, name: &str, text: impl Display) {
        if self.as_json {
            self.add("details", json!({ "name": name, "text": text.to_string() }));
        } else {
            detail(name, text);
        }
    }

    /// Something that came out right or wrong.
    pub(crate) fn outcome(&self, ok: bool, mark: &str, text: impl Display) {
        if self.as_json {
            let text = text.to_string();
            self.add("outcomes", json!({ "ok": ok, "mark": mark, "text": text }));
        } else if ok {
            good(mark, text);
        } else {
            bad(mark, text);
        }
    }

    pub(crate) fn report(&self, made: &Report) {
        if self.as_json {
            for step in &made.steps {
                self.add("verification", json!(step));
            }
        } else {
            report(made);
        }
    }

    /// Adds to a list of the last step.
    fn add(&self, list: &str, value: Value) {
        let mut steps = self.steps.borrow_mut();
        if let Some(step) = steps.last_mut() {
            match step[list].as_array_mut() {
                Some(values) => values.push(value),
                None => step[list] = json!([value]),
            }
        }
    }

    /// What was kept.
    pub(crate) fn into_steps(self) -> Vec<Value> {
        self.steps.into_inner()
    }
}
