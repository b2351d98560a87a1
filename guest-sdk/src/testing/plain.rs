//! Texts that the host takes: what is read on terminals shows as what it is, and what is a part of keys is short.

/// The longest id of an aggregate.
const ID_BYTES_MAX: usize = 128;

/// The longest type of an event.
pub(super) const EVENT_TYPE_BYTES_MAX: usize = 255;

/// The longest key of an event.
const EVENT_KEY_BYTES_MAX: usize = 1 << 10;

/// Without control characters, separators of lines, marks that turn the reading direction, and one that hides at the beginning.
pub(super) fn is_printable(text: &str) -> bool {
    let turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !text.contains(|c: char| c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'))
}

/// Whether an aggregate may have this id.
pub(super) fn is_id(text: &str) -> bool {
    let is_folder = matches!(text, "." | "..");
    (1..=ID_BYTES_MAX).contains(&text.len()) && is_printable(text) && !text.contains('/') && !is_folder
}

/// Whether an event of this type can be published.
pub(super) fn is_event_type(text: &str) -> bool {
    (1..=EVENT_TYPE_BYTES_MAX).contains(&text.len()) && is_printable(text)
}

/// Whether an event can have this key.
pub(super) fn is_event_key(text: &str) -> bool {
    text.len() <= EVENT_KEY_BYTES_MAX && !text.contains(char::is_control)
}
