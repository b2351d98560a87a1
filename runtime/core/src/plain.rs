//! Text that shows as what it is. What guests and clients say is read on terminals: a character may neither move the cursor nor
//! change a colour nor turn the direction of what follows, and none may hide.

/// A control character, a line or paragraph separator, a mark of direction, or one without width at the beginning of a text.
pub fn is_hostile(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Nothing in it is hostile.
pub fn is_printable(text: &str) -> bool {
    !text.contains(is_hostile)
}

/// A text as far as it is worth reading: it comes from a guest or a client, and may be of any length.
pub fn shown(text: &str) -> &str {
    text.char_indices().nth(80).map_or(text, |(end, _)| &text[..end])
}
