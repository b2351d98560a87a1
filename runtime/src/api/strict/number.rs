//! Numbers that a 64-bit float would change. It looks at their text, where nothing is lost yet.

use super::BadJson;

/// Looks at every number of a text that is known to be well formed.
pub(super) fn all_survive(text: &[u8]) -> Result<(), BadJson> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => at = string_end(text, at + 1),
            b'-' | b'0'..=b'9' => {
                let rest = &text[at..];
                let length = rest.iter().position(|byte| !b"+-.eE0123456789".contains(byte)).unwrap_or(rest.len());
                let token = str::from_utf8(&rest[..length]).unwrap_or_default();
                if !survives(token) {
                    let (line, column) = line_and_column(text, at);
                    return Err(BadJson(format!(
                        "number {token} does not survive a 64-bit float; send it as a string, at line {line} column {column}"
                    )));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    Ok(())
}

fn string_end(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && text[at] != b'"' {
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

fn line_and_column(text: &[u8], at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, at - line_start + 1)
}

/// The shortest text of the float names the same value as `token`.
fn survives(token: &str) -> bool {
    // Fifteen significant digits always survive, and most numbers have no more.
    if token.len() <= 15 && !token.contains(['e', 'E']) {
        return true;
    }
    let Ok(float) = token.parse::<f64>() else { return false };
    float.is_finite() && decimal(token) == decimal(&format!("{float:e}"))
}

/// A number's significant digits and the power of ten of the last of them; zero is `("", 0)`.
fn decimal(token: &str) -> (String, i64) {
    let token = token.trim_start_matches('-');
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let dropped = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return (String::new(), 0);
    }
    // An exponent that i64 cannot hold never belongs to a finite float other than zero.
    let exponent = exponent.trim_start_matches('+').parse::<i64>().unwrap_or(i64::MAX);
    let shift = dropped as i64 - fraction.len() as i64;
    (significant.to_owned(), exponent.saturating_add(shift))
}
