//! Which colour says what.

use std::fmt;

use amends_wire::saga::Status;
use anstyle::{AnsiColor, Style};

/// What stands still or is less important.
pub(crate) const DIM: Style = Style::new().dimmed();

/// What a reader looks for first.
pub(crate) const BOLD: Style = Style::new().bold();

/// Went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();

/// Went backward, in order.
pub(crate) const BACK: Style = AnsiColor::Yellow.on_default();

/// Needs somebody.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Under way.
pub(crate) const LIVE: Style = AnsiColor::Cyan.on_default();

/// Text in a style.
pub(crate) fn paint(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Text as it is where nobody sees colours.
#[cfg(test)]
pub(crate) fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// A saga's status in its colour.
pub(crate) fn status(status: Status) -> String {
    let style = match status {
        Status::Completed => GOOD,
        Status::Compensated | Status::Compensating => BACK,
        Status::Stuck | Status::Abandoned => BAD,
        Status::Waiting | Status::Running => LIVE,
    };
    paint(style, status.as_str())
}
