//! The core's laws over random sagas: definitions, outcomes, faults, time and operators from a seed.
//!
//! `AMENDS_SEQUENCES` says how many (100,000 by default), `AMENDS_SEED` where to begin. A broken law is printed with its seed
//! and the shortest script that breaks it, in the words of the text tests.

#![allow(clippy::unwrap_used, reason = "a test fails where it is surprised")]

#[path = "../text/script.rs"]
#[allow(dead_code, reason = "shared with the text tests, which use the rest")]
mod script;

#[path = "../text/play.rs"]
mod play;

#[path = "../text/written.rs"]
mod written;

#[path = "../text/edit.rs"]
mod edit;

mod random;

mod model;

mod quiet;

mod moving;

mod course;

mod shrink;

mod corrupt;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crate::{
    course::{MUST_BE_SEEN, Script, Seen, random_course},
    random::{Random, any_saga},
    shrink::shrunk,
    written::given_text,
};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

#[test]
fn every_saga_keeps_the_laws_and_comes_to_an_end() {
    let (first, sequences) = (number("AMENDS_SEED", 0), number("AMENDS_SEQUENCES", 100_000));
    let threads = thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let failed = AtomicBool::new(false);
    let work = |thread: u64| -> Result<Seen, (u64, Script, String)> {
        let mut seen = Seen::new();
        for seed in (first + thread..first + sequences).step_by(usize::try_from(threads).unwrap()) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            random_course(seed, &mut seen).map_err(|(script, problem)| {
                failed.store(true, Ordering::Relaxed);
                (seed, script, problem)
            })?;
        }
        Ok(seen)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|n| scope.spawn(move || work(n))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let mut all = Seen::new();
    for result in results {
        match result {
            Ok(seen) => seen.into_iter().for_each(|(what, times)| *all.entry(what).or_default() += times),
            Err((seed, script, problem)) => panic!("seed {seed}: {problem}\n{}", shrunk(script)),
        }
    }
    if sequences >= 10_000 {
        let unseen: Vec<_> = MUST_BE_SEEN.iter().filter(|what| !all.contains_key(**what)).collect();
        assert!(unseen.is_empty(), "{sequences} sequences never met {unseen:?}");
    }
    println!("{sequences} sequences: {all:?}");
}

#[test]
fn a_move_reads_back_as_it_is_written() {
    for seed in 0..500 {
        let mut random = Random(seed);
        let given = any_saga(&mut random);
        let text = given_text(&given);
        let read = script::Given::new(&text);
        assert_eq!((&read.definition, &read.module, given_text(&read)), (&given.definition, &given.module, text));
        let play = play::Play::start(&given);
        for _ in 0..20 {
            let step = random::any_move(&mut random, &play);
            assert_eq!(script::moves(&step.to_string()), [step]);
        }
    }
}
