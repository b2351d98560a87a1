//! What the scenarios stand on: hosts, their API, participants, and the laws that hold whatever a scenario is about.

pub(crate) mod api;

pub(crate) mod guests;

pub(crate) mod folder;

pub(crate) mod host;

pub(crate) mod process;

pub(crate) mod duplicator;

pub(crate) mod laws;

pub(crate) mod desk;

pub(crate) mod probe;

/// What each of these got, one after the other.
pub(crate) fn said<const N: usize>(answers: [(&str, String); N]) -> String {
    answers.map(|(what, error)| format!("{what}\n  {error}")).concat()
}

/// A moment as `…`.
pub(crate) fn without_time(said: String) -> String {
    let Some((before, after)) = said.split_once(" at 2") else { return said };
    let after = after.split_once("Z ").map_or("", |(_, after)| after);
    format!("{before} at … {after}")
}
