//! Text with what is hostile in it spelled out, for logs, terminals and JSON.

use std::fmt::Write as _;

use amends_core::plain::is_hostile;

/// The text with what is hostile spelled out, but for tabs.
pub fn escape(text: &str) -> String {
    spelled(text, |c| c != '\t' && is_hostile(c), |c, safe| _ = write!(safe, "{}", c.escape_default()))
}

/// JSON with what is hostile in its strings spelled as JSON does: it means the same. The text comes from a serializer, which
/// leaves such characters nowhere else.
pub fn escape_json(text: &str) -> String {
    spelled(text, is_hostile, |c, safe| _ = write!(safe, "\\u{:04x}", u32::from(c)))
}

/// A whole number in its one spelling: without a sign, and without zeros before it.
pub fn whole(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|number| number.to_string() == text)
}

fn spelled(text: &str, is_meant: impl Fn(char) -> bool, spell: impl Fn(char, &mut String)) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_meant(c) { spell(c, &mut safe) } else { safe.push(c) }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_has_one_spelling() {
        let numbers = ["0", "7", "18446744073709551615"].map(whole);
        assert_eq!(numbers, [Some(0), Some(7), Some(u64::MAX)]);
        for other in ["", "+2", "-2", "02", "00", "2 ", "2.0", "2e0", "18446744073709551616", "٢"] {
            assert_eq!(whole(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_hostile_is_spelled_out() {
        assert_eq!(escape("plain\ttext é"), "plain\ttext é");
        assert_eq!(escape("a\x1b[31mb\u{202e}c\r"), "a\\u{1b}[31mb\\u{202e}c\\r");
        assert_eq!(escape("\u{feff}a\u{61c}b\u{2028}"), "\\u{feff}a\\u{61c}b\\u{2028}");
    }

    /// A serializer escapes only what is below a blank: terminals also obey some of what is above `~`.
    #[test]
    fn json_means_the_same_and_moves_no_cursor() {
        let said = serde_json::json!({ "note": "\u{9b}2J\u{61c}é" });
        let text = escape_json(&said.to_string());
        assert_eq!(text, r#"{"note":"\u009b2J\u061cé"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).ok(), Some(said));
    }
}
