//! The core's rules as readable histories: a definition, a script, and the events that were decided.
//!
//! `UPDATE_EXPECT=1 cargo test -p amends-core --test text` rewrites the histories; read every line of what it wrote.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod script;

mod play;

mod edit;

#[allow(dead_code, reason = "shared with the laws, which print whole sagas")]
mod written;

mod check;

mod booking;

mod outcomes;

mod retries;

mod unknown;

mod host;

mod waits;

mod messages;

mod alternates;

mod savepoints;

mod locks;

mod moving;

mod preview;

mod lint;

mod children;

mod commands;

mod fan_out;

mod rollback;

mod pivot;

mod deadlines;

mod verbs;

mod resolve;

mod views;

mod validation;
