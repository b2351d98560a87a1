//! Aggregates: event-sourced entities, each the fold of its own events by the code of a module.
//!
//! The core knows what does not need that code: what a module declares, the facts of an aggregate's stream, how many events there are,
//! which keys it holds, and whether a command may be decided now.

mod definition;

mod facts;

mod standing;

pub use self::{
    definition::{CommandDefinition, Definition, EventDefinition, Presence, Shape, problems},
    facts::{AggregateEvent, Claim, Command, Sender},
    standing::{Admission, Misfit, Standing},
};

/// The longest id of an aggregate: it is a part of its stream's name.
pub const ID_BYTES_MAX: usize = 128;

/// The longest tag of an event and key of a claim: they are, or will be, parts of row keys.
pub const TEXT_BYTES_MAX: usize = 255;

/// The most tags of an event.
pub const TAGS_MAX: usize = 8;

/// The largest data of an event: a stream is folded again and again.
pub const EVENT_BYTES_MAX: usize = 256 << 10;

/// Whether it may be the tag of an event or the key of a claim.
pub fn is_text(text: &str) -> bool {
    (1..=TEXT_BYTES_MAX).contains(&text.len()) && crate::plain::is_printable(text)
}

/// Whether an aggregate may have this id: 1 to 128 printable bytes without `/`, which stands between an aggregate's name and its id.
/// Neither `.` nor `..`: in a URL, clients take them for folders.
pub fn is_id(text: &str) -> bool {
    let is_folder = matches!(text, "." | "..");
    (1..=ID_BYTES_MAX).contains(&text.len()) && crate::plain::is_printable(text) && !text.contains('/') && !is_folder
}
