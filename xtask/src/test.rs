//! All tests, in the order of their duration; stops at the first step that fails.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use crate::guests::{self, Way};
use crate::newproject;
use crate::process::{self, say};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Runs them all, with guests built in `ways`; the last line on stdout counts the tests.
pub(crate) fn run(workspace: &Workspace, ways: &[Way]) -> Result<()> {
    say("fmt: every file is formatted");
    process::run(cargo(workspace, "fmt").args(["--all", "--check"]))?;

    say("clippy: no warning in any target");
    process::run(cargo(workspace, "clippy").args(["--workspace", "--all-targets", "--", "--deny", "warnings"]))?;
    // `--workspace` turns the feature `testing` on; without it, other code may be unused.
    process::run(cargo(workspace, "clippy").args(["--package", "amends", "--", "--deny", "warnings"]))?;

    say("doc: every link resolves");
    process::run(cargo(workspace, "doc").args(["--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings"))?;

    say("guests: the example modules, which the scenarios run on");
    guests::build(workspace, &guests::choose(workspace, None)?, ways)?;

    say("build: the user's binary, without failpoints");
    build_user_binary(workspace)?;

    let mut tally = Tally::default();
    let tested = run_tests(workspace, &mut tally);
    println!("{tally}");
    tested
}

/// Scenarios that end the same however often a message comes. Trips, orders and the like have a variant of their own for that.
const SENT_TWICE: [&str; 6] = [
    "aggregates::claims::",
    "aggregates::credit::",
    "aggregates::modules::",
    "aggregates::rules::",
    "aggregates::versions::",
    "messages::",
];

fn run_tests(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    let mut screen = std::io::stdout();
    say("test: units, examples, scenarios, crashes, hostile guests");
    tally.run(cargo(workspace, "test").args(["--workspace", "--all-targets", "--no-fail-fast"]), &mut screen)?;
    say("test: the engine once more, over a store that answers each read by itself and later");
    let mut engine = cargo(workspace, "test");
    engine.args(["--workspace", "--lib", "--no-fail-fast", "engine::"]).env("AMENDS_TEST_FETCHES", "one-by-one");
    tally.run(&mut engine, &mut screen)?;
    say("test: the engine once more, with every saga at home");
    let mut engine = cargo(workspace, "test");
    engine.args(["--workspace", "--lib", "--no-fail-fast", "engine::"]).env("AMENDS_TEST_AWAY", "never");
    tally.run(&mut engine, &mut screen)?;
    say("test: aggregates and what steps send, with every message twice");
    let mut twice = cargo(workspace, "test");
    twice.args(["--workspace", "--test", "all", "--no-fail-fast", "--"]).args(SENT_TWICE);
    tally.run(twice.env("AMENDS_TEST_TRAFFIC", "twice"), &mut screen)?;
    say("test: what the documentation shows");
    tally.run(cargo(workspace, "test").args(["--workspace", "--doc", "--no-fail-fast"]), &mut screen)?;
    say("test: a new module, as a user makes it");
    newproject::test(workspace, tally, &mut screen)
}

fn build_user_binary(workspace: &Workspace) -> Result<()> {
    process::run(cargo(workspace, "build").args(["--package", "amends"]))?;
    let built = workspace.target().join("debug/amends");
    let kept = workspace.user_binary();
    let folder = kept.parent().unwrap_or(&kept);
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(&built, &kept))
        .map(drop)
        .with_context(|| format!("cannot copy {} to {}", built.display(), kept.display()))
}

/// One profile and one target folder for every step, so that dependencies are compiled once.
fn cargo(workspace: &Workspace, verb: &str) -> Command {
    let mut command = process::cargo(workspace.root());
    command.arg(verb).env("CARGO_TARGET_DIR", workspace.target());
    command
}
