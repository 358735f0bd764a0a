//! A bar for long work, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// What a bar counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unit {
    Bytes,
    Items,
}

/// A bar that takes its stage, position and length from outside.
#[derive(Clone, Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar on standard error; nothing is drawn where that is not a terminal.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        set_style(&bar, Unit::Items);
        Self(bar)
    }

    /// Shows where the work is.
    pub(crate) fn show(&self, stage: &str, done: u64, total: u64, unit: Unit) {
        set_style(&self.0, unit);
        self.0.set_message(stage.to_owned());
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn set_style(bar: &ProgressBar, unit: Unit) {
    let template = match unit {
        Unit::Bytes => "{msg:12} {wide_bar} {bytes}/{total_bytes} {eta}",
        Unit::Items => "{msg:12} {wide_bar} {pos}/{len} {eta}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}
