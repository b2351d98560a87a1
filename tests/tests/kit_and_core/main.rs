//! Compares the test kit of the SDK with the core: the same random definitions and answers must give the same trace.
//!
//! The kit runs sagas in unit tests of modules, and implements the rules a second time. A mistake in it would let a test pass
//! whose module fails, so every run compares thousands of sagas. `AMENDS_SEQUENCES` says how many, `AMENDS_SEED` where to begin.
//! A difference is printed with its seed and with the smallest case that still shows it.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

mod case;
mod core;
mod kit;
mod policies;
mod random;
mod shrink;

use std::collections::BTreeMap;

use crate::{case::Case, random::Random};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// What the two make of a case, if it is not the same: the kit's text and the core's.
fn difference(case: &Case) -> Option<(String, String)> {
    let (kit, core) = (kit::played(case), core::played(case).to_string());
    (kit != core).then_some((kit, core))
}

#[test]
fn the_kit_and_the_core_give_the_same_trace() {
    let (first, sequences) = (number("AMENDS_SEED", 0), number("AMENDS_SEQUENCES", 6_000));
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in first..first + sequences {
        let case = Case::new(&mut Random(seed));
        if let Some((kit, core)) = difference(&case) {
            println!("seed {seed}: the kit\n{kit}\nand the core\n{core}");
            panic!("seed {seed}: the kit and the core differ\n{}", shrink::shrunk(case));
        }
        for word in core::played(&case).words() {
            *seen.entry(word).or_default() += 1;
        }
    }
    println!("{sequences} sequences: {seen:?}");
    if sequences >= 5_000 {
        let unseen: Vec<_> = MUST_BE_SEEN.iter().filter(|what| !seen.contains_key(**what)).collect();
        assert!(unseen.is_empty(), "{sequences} sequences never met {unseen:?}");
    }
}

/// What a run has to meet, or it has not compared what it is for.
const MUST_BE_SEEN: &[&str] = &[
    "done",
    "refused",
    "transient",
    "unknown",
    "waits",
    "check done",
    "check not done",
    "check unknown",
    "undone",
    "undo transient",
    "undo unknown",
    "undo waits",
    "an alternate",
    "an undo by an alternate",
    "an element",
    "a step of a child",
    "a step of a child of an element",
    "a round",
    "a third round",
    "a refused list",
    "an element is undone before its refusal is a result",
    "a command",
    "a command that undoes one",
    "a command without an id",
    "a command without data",
    "stuck",
    "stuck in an undo",
    "cancelled",
    "not cancelled",
    "past its deadline",
    "completed",
    "compensated",
    "exhausted",
    "waiting at the end",
    "stuck at the end",
];
