//! What the engine knows, in the words of the wire. Pure functions; nothing here asks or decides anything.

pub mod value;

pub mod saga;

pub mod schedule;

pub mod lock;

pub mod preview;

pub mod denial;

pub mod help;

pub mod remedy;

pub mod stuck;

pub mod job;

pub mod journal;

pub mod module;

pub mod definition;
