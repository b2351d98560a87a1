//! The harness of the scenarios: hosts, their API, participants, and the laws that every saga must keep.

pub(crate) mod api;

pub(crate) mod guests;

pub(crate) mod folder;

pub(crate) mod host;

pub(crate) mod process;

pub(crate) mod duplicator;

pub(crate) mod laws;

pub(crate) mod desk;

pub(crate) mod probe;

pub(crate) mod ledger;

pub(crate) mod viewer;

use std::thread;

use api::Api;

/// Calls `act` for each number below `count`, in four threads.
pub(crate) fn each(api: &Api, count: usize, act: impl Fn(&Api, usize) + Clone + Send + 'static) {
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (api, act) = (api.clone(), act.clone());
            thread::spawn(move || (thread..count).step_by(4).for_each(|number| act(&api, number)))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The answers as text, each below its request.
pub(crate) fn answers_text<const N: usize>(answers: [(&str, String); N]) -> String {
    answers.map(|(what, error)| format!("{what}\n  {error}")).concat()
}

/// Replaces a moment by `…`.
pub(crate) fn without_time(text: String) -> String {
    let Some((before, after)) = text.split_once(" at 2") else { return text };
    let after = after.split_once("Z ").map_or("", |(_, after)| after);
    format!("{before} at … {after}")
}
