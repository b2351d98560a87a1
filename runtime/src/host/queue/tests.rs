//! Who gets the next place, by hand: what begins and what waits, as text.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;
use crate::journal::StreamKind;

const NOW: Duration = Duration::ZERO;

fn party(text: &str) -> Party {
    let (way, text) = text.strip_prefix("undo ").map_or((Way::Forward, text), |rest| (Way::Back, rest));
    let [namespace, module, saga] = text.split('/').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let of = StreamId { namespace: Namespace::new(namespace).unwrap(), kind: StreamKind::Saga, id: saga.to_owned() };
    Party { way, of, module: module.to_owned() }
}

/// A line is `3 a/m/1`, so many attempts of a namespace, a module and a saga that begin to wait; `begin`, as many as may; `host`, all
/// that have begun wait for the host; `end a/m`, one of a module ends; or `withdraw a/m/1`, one of a saga is not to begin. What begins
/// is told, in order, and what is withdrawn.
fn check(places: Places, script: &str, expect: Expect) {
    let mut queue = Queue::<&str>::new(places);
    let (mut begun, mut running, mut told) = (Vec::<(&str, Place)>::new(), Vec::new(), String::new());
    let mut put = NOW;
    for line in script.lines().map(str::trim) {
        match line.split_once(' ') {
            None if line == "begin" => {
                let mut names = Vec::new();
                while let Some((name, place)) = queue.next(NOW, None) {
                    names.push(name);
                    running.push(Arc::clone(place.group()));
                    begun.push((name, place));
                }
                let mut runs = names.chunk_by(|a, b| a == b).map(|run| format!("{} {}", run.len(), run[0])).collect::<Vec<_>>();
                runs.push(format!("{} forward and {} back wait", queue.waiting(Way::Forward), queue.waiting(Way::Back)));
                writeln!(told, "{}", runs.join(", ")).unwrap();
            }
            None => running.drain(..).for_each(|group| group.waits()),
            Some(("end", name)) => {
                let at = begun.iter().position(|(begun, _)| begun.starts_with(name)).unwrap();
                queue.give_back(begun.remove(at).1);
            }
            Some(("withdraw", name)) => {
                let withdrawn = queue.withdraw(&party(name).of, |waits| *waits == name);
                writeln!(told, "{name} {}", withdrawn.map_or("has begun", |_| "is withdrawn")).unwrap();
            }
            Some((count, name)) => (0..count.parse().unwrap()).for_each(|_| {
                put += Duration::from_millis(1);
                queue.put(party(name), name, put);
            }),
        }
    }
    expect.assert_eq(&told);
}

const PLACES: Places = Places { begun: 64, running: 32 };

#[test]
fn sagas_take_turns_and_each_goes_in_its_order() {
    check(
        Places { begun: 1_000, running: 1_000 },
        "3 a/m/1
        1 a/m/2
        1 a/m/3
        begin",
        expect![[r#"
            1 a/m/1, 1 a/m/2, 1 a/m/3, 2 a/m/1, 0 forward and 0 back wait
        "#]],
    );
}

/// All places were one line, first come, first served: a module whose participant did not answer took all of them, and no attempt
/// of another module ran, rollbacks included. The kind: a bound that everybody shares and one can use up.
#[test]
fn c2_30_whoever_takes_all_it_gets_leaves_something_for_the_next_saga_module_and_namespace() {
    let hang = |name: &str| format!("99 {name}\nbegin\nhost\n");
    check(
        PLACES,
        &["a/m/1", "a/m/2", "a/n/1", "a/o/1", "b/m/1", "c/m/1", "d/m/1"].map(hang).concat(),
        expect![[r#"
        8 a/m/1, 91 forward and 0 back wait
        4 a/m/2, 186 forward and 0 back wait
        5 a/n/1, 280 forward and 0 back wait
        4 a/o/1, 375 forward and 0 back wait
        5 b/m/1, 469 forward and 0 back wait
        5 c/m/1, 563 forward and 0 back wait
        4 d/m/1, 658 forward and 0 back wait
    "#]],
    );
}

#[test]
fn what_leads_back_has_places_of_its_own() {
    check(
        Places { begun: 8, running: 8 },
        "9 a/m/1
        9 b/m/1
        9 c/m/1
        9 d/m/1
        9 e/m/1
        9 f/m/1
        begin
        1 undo a/m/1
        1 undo a/m/2
        begin",
        expect![[r#"
            1 a/m/1, 1 b/m/1, 1 c/m/1, 1 d/m/1, 1 e/m/1, 1 f/m/1, 48 forward and 0 back wait
            1 undo a/m/1, 48 forward and 1 back wait
        "#]],
    );
}

#[test]
fn what_waits_for_the_host_does_not_count_as_what_runs() {
    check(
        Places { begun: 1_000, running: 8 },
        "9 a/m/1
        begin
        host
        begin
        host
        begin
        host",
        expect![[r#"
            2 a/m/1, 7 forward and 0 back wait
            2 a/m/1, 5 forward and 0 back wait
            2 a/m/1, 3 forward and 0 back wait
        "#]],
    );
}

#[test]
fn a_place_that_is_given_back_is_the_next_ones() {
    check(
        Places { begun: 1, running: 1 },
        "2 a/m/1
        1 b/m/1
        begin
        end a/m/1
        begin
        end a/m/1
        begin",
        expect![[r#"
            1 a/m/1, 2 forward and 0 back wait
            1 a/m/1, 1 forward and 0 back wait
            1 b/m/1, 0 forward and 0 back wait
        "#]],
    );
}

/// What was cancelled kept its turn until it had its place, and its saga was rolled back only then.
#[test]
fn what_is_withdrawn_has_no_turn_any_more_and_what_has_begun_goes_on() {
    check(
        Places { begun: 1, running: 1 },
        "1 a/m/1
        begin
        2 a/m/1
        1 a/m/2
        1 undo a/m/2
        1 b/m/2
        withdraw a/m/2
        withdraw a/m/2
        withdraw a/m/1
        begin
        withdraw undo a/m/2
        end undo a/m/2
        end a/m/1
        begin
        1 a/m/2
        end a/m/1
        begin
        end b/m/2
        begin",
        expect![[r#"
            1 a/m/1, 0 forward and 0 back wait
            a/m/2 is withdrawn
            a/m/2 has begun
            a/m/1 is withdrawn
            1 undo a/m/2, 2 forward and 0 back wait
            undo a/m/2 has begun
            1 a/m/1, 1 forward and 0 back wait
            1 b/m/2, 1 forward and 0 back wait
            1 a/m/2, 0 forward and 0 back wait
        "#]],
    );
}

#[test]
fn what_has_waited_too_long_is_given_up_and_who_has_nothing_is_forgotten() {
    let mut queue = Queue::new(Places { begun: 1, running: 1 });
    let at = Duration::from_secs;
    queue.put(party("b/m/1"), "begins", at(0));
    let (_, place) = queue.next(at(0), None).unwrap();
    for (name, put) in [("a/m/1", 0), ("a/m/1", 40), ("a/m/2", 20), ("b/m/1", 90)] {
        queue.put(party(name), name, at(put));
    }
    let mut given_up = queue.give_up(at(35), at(95));
    given_up.sort_unstable();
    assert_eq!((given_up, queue.waiting(Way::Forward)), (vec!["a/m/1", "a/m/2"], 2));
    queue.give_back(place);
    assert_eq!(queue.withdraw(&party("b/m/1").of, |_| true), Some("b/m/1"));
    queue.give_up(at(95), at(95));
    assert!(queue.spaces.is_empty() && queue.waiting == [0; 2]);
}
