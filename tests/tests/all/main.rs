//! The host as users run it: the real binary, real HTTP, real kills. The names of tests have the ids of the scenarios.

#![expect(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod harness;

mod variants;

mod travel;

mod journeys;

mod check_outs;

mod composed;
mod transfers;

mod kills;

mod survivors;

mod bad_modules;

mod bad_names;

mod bad_json;

mod bad_requests;

mod arrows;

mod bad_commands;

mod bad_places;

mod host_process;

mod disks;

mod hostile;

mod correspondence;

mod triggers;

mod inbox;

mod trace;

mod messages;

mod promptness;

mod operators;

mod bulk;

mod locks;

mod turns;

mod moves;

mod deadly;
mod schedules;

mod aggregates;

mod views;

mod lints;

mod imports;

mod crowds;

mod clients;

mod credit;

mod floods;

mod command_line;

mod secrets;

mod format;

mod binaries;

mod guards;

mod transcripts;
