//! From wire types to text for people. Pure: the time and the time zone are arguments; colours are always written, and
//! stripped by the stream where nobody sees them.

pub(crate) mod journal;

pub(crate) mod job;

pub(crate) mod stuck;

mod locks;

pub(crate) mod preview;

pub(crate) mod schedule;

pub(crate) mod style;

pub(crate) mod text;

pub(crate) mod time;

pub(crate) mod trace;

pub(crate) mod tree;

#[cfg(test)]
pub(crate) mod samples;
