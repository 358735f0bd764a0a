//! What a person sees: steps, tables, errors with the next command to type.

use std::{fmt::Display, process::ExitCode};

use anstyle::{AnsiColor, Style};

const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();
const BOLD: Style = Style::new().bold();

/// A line as it is, for scripts.
pub(crate) fn line(text: impl Display) {
    anstream::println!("{text}");
}

/// Text without a line's end, for tokens.
pub(crate) fn raw(text: &str) {
    anstream::print!("{text}");
}

/// A heading.
pub(crate) fn heading(text: impl Display) {
    anstream::println!("{BOLD}{text}{BOLD:#}");
}

/// A step that is done: its number, its name, and what came of it.
pub(crate) fn step(number: usize, name: &str, text: impl Display) {
    anstream::println!("{DIM}{number:>2}{DIM:#} {BOLD}{name:<12}{BOLD:#} {text}");
}

/// More about the last step.
pub(crate) fn detail(name: &str, text: impl Display) {
    anstream::println!("   {DIM}{name:<12}{DIM:#} {text}");
}

/// Something that came out as it should.
pub(crate) fn good(mark: &str, text: impl Display) {
    anstream::println!("   {GOOD}{mark:<12}{GOOD:#} {text}");
}

/// Something that did not.
pub(crate) fn bad(mark: &str, text: impl Display) {
    anstream::println!("   {BAD}{mark:<12}{BAD:#} {text}");
}

/// A denial as kubectl words it, on standard error.
pub(crate) fn denial(text: impl Display) {
    anstream::eprintln!("{text}");
}

/// The one line of an error (its hints on lines of their own), and the exit code for it.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    anstream::eprintln!("{BAD}error:{BAD:#} {error:#}");
    ExitCode::FAILURE
}
