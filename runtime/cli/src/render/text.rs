//! Text that came from guests and clients, made safe and short; columns of it.

use std::borrow::Cow;

use amends_core::plain::is_hostile;
use amends_wire::Json;
use anyhow::{Context, Result};

use super::style::{DIM, paint};

/// Longer messages are cut: one line of a terminal or two.
const MESSAGE_CHARS_MAX: usize = 240;

/// Control characters would move the cursor or change colours, and direction marks would turn what is read.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) && text.len() <= MESSAGE_CHARS_MAX {
        return Cow::Borrowed(text);
    }
    let mut cleaned: String = text.chars().take(MESSAGE_CHARS_MAX).map(|c| if is_hostile(c) { ' ' } else { c }).collect();
    if text.chars().count() > MESSAGE_CHARS_MAX {
        cleaned.push('…');
    }
    Cow::Owned(cleaned)
}

/// What a module says as indented JSON: read as a value, so that it is spelled as JSON and can hide nothing.
pub(crate) fn json(said: &Json) -> Result<String> {
    let value: serde_json::Value = serde_json::from_str(said.as_str()).context("what the module said is no JSON")?;
    let text = serde_json::to_string_pretty(&value).context("cannot write what the module said")?;
    let mut lines = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        match c {
            '\n' => lines.push(c),
            // Inside a string, the only place where it can stand; none of these has more than four digits.
            c if is_hostile(c) => lines.push_str(&format!("\\u{:04x}", c as u32)),
            c => lines.push(c),
        }
    }
    Ok(lines + "\n")
}

/// How wide text is shown, colours not counted. Names are ASCII; a wide character elsewhere only shifts its own line.
pub(crate) fn width(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

/// Text filled up with spaces to a width.
pub(crate) fn pad(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// The names of columns.
pub(crate) fn header<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.iter().map(|name| if name.is_empty() { String::new() } else { paint(DIM, name) }).collect()
}

/// Rows as aligned columns, two spaces apart, nothing trailing.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(wide).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| pad(cell, *width));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// `1 saga`, `2 sagas`.
pub(crate) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The first digits of a digest, the same number wherever people read one.
pub(crate) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_cannot_move_the_cursor_or_turn_the_text() {
        assert_eq!(clean("gone\u{1b}[2J\nup \u{202e}pirt"), "gone [2J up  pirt");
        assert_eq!(clean(&"a".repeat(1_000)).chars().count(), MESSAGE_CHARS_MAX + 1);
        assert_eq!(clean("fine"), "fine");
    }

    #[test]
    fn columns_align_without_counting_colours() {
        let rows = [vec!["a".to_owned(), "b".to_owned()], vec!["\u{1b}[32mlong\u{1b}[0m".to_owned(), String::new()]];
        assert_eq!(columns(&rows), "a     b\n\u{1b}[32mlong\u{1b}[0m\n");
    }
}
