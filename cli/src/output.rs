//! What a person sees: steps, tables, errors with the next command to type.

use std::{
    fmt::{Arguments, Display},
    io::Write as _,
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};

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

/// The one line of an error (its hints on lines of their own), and the exit code for it.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {error:#}");
    ExitCode::FAILURE
}
