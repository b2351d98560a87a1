//! A journal that something has damaged: replay says what is wrong, and never panics.

use amends_core::{
    Context, Event, Input, Instant, Room, Saga,
    event::{Act, Attempt},
    id::{Direction, Leg, StepPath},
    verbs::{Legs, Verb},
};

use crate::{
    course::{Seen, random_course},
    random::{Random, any_saga},
};

type History = Vec<(Instant, Event)>;

#[test]
fn a_damaged_history_is_refused_or_read_and_never_a_panic() {
    let (mut read, mut refused) = (0, 0);
    for seed in 0..3_000 {
        let mut random = Random(seed);
        // Now and then it is not even this saga's definition.
        let mut given = any_saga(&mut random);
        if random.below(5) == 0 {
            given = any_saga(&mut random);
        }
        let Ok(mut history) = random_course(seed, &mut Seen::new()) else { panic!("seed {seed} breaks a law") };
        let Ok(other) = random_course(seed + 1, &mut Seen::new()) else { panic!("seed {} breaks a law", seed + 1) };
        for _ in 0..=random.below(3) {
            damage(&mut random, &mut history, &other);
        }
        // Event by event: one that is refused leaves the saga as it was, and the rest is tried on it all the same.
        let Ok(mut saga) = Saga::replay(given.plan(), history.iter().take(1).cloned()) else { continue };
        for (at, event) in history.iter().skip(1) {
            let before = saga.clone();
            match saga.apply(event, *at) {
                Ok(()) => read += 1,
                Err(error) => {
                    refused += 1;
                    assert_eq!(saga, before, "{error} changed the saga");
                }
            }
            look_at(&saga);
        }
        go_on(&mut random, saga);
    }
    assert!(read > 0 && refused > 0, "{read} events were read and {refused} refused");
}

/// Everything that only reads.
fn look_at(saga: &Saga) {
    let (_, effects) = (saga.view(), saga.effects());
    for intent in &effects.run {
        assert!(saga.call(intent).is_some(), "an attempt that is to run has a call");
    }
}

/// Whatever was read can be decided on.
fn go_on(random: &mut Random, mut saga: Saga) {
    let context = |random: &mut Random| Context {
        now: Instant(random.next() >> random.below(64)),
        jitter: random.next(),
        may_reach_outside: random.below(2) == 0,
        snapshot: 1,
        journal: *random.pick(&[Room::Free, Room::Free, Room::Free, Room::Full, Room::Spent]),
    };
    for _ in 0..6 {
        let input = match random.below(4) {
            0 => Input::Wake,
            1 => Input::GrantsChanged,
            _ => Input::HostStopped { executing: Vec::new() },
        };
        saga.handle(input, context(random));
        let verb = if random.below(2) == 0 { Verb::Retry(Legs::All) } else { Verb::Cancel };
        let _ = saga.act(verb, Act::default(), context(random));
        look_at(&saga);
    }
}

fn damage(random: &mut Random, history: &mut History, other: &History) {
    let pick = |random: &mut Random, n: usize| usize::try_from(random.below(n as u64)).unwrap();
    let at = pick(random, history.len());
    let with = pick(random, history.len());
    match random.below(9) {
        0 => drop(history.remove(at)),
        1 => history.insert(with, history[at].clone()),
        2 => history.swap(at, with),
        3 => history.truncate(at),
        4 => history.insert(at, other[pick(random, other.len())].clone()),
        5 => history.extend(other.iter().cloned()),
        6 => history[at].0 = Instant(random.next() >> random.below(64)),
        _ => {
            let leg = Leg::forward(StepPath::new(["a", "b", "zzz", ""][pick(random, 4)]));
            let direction = [Direction::Forward, Direction::Check, Direction::Undo(0), Direction::Undo(7)][pick(random, 4)];
            let leg = Leg {
                alternate: u32::from(random.below(9) == 0),
                round: u32::from(random.below(9) == 0),
                ..leg.turned(direction)
            };
            let number = u32::try_from(random.next() >> 32).unwrap() >> random.below(32);
            turn(&mut history[at].1, leg, number);
        }
    }
    if history.is_empty() {
        history.push(other[0].clone());
    }
}

/// The same event about another leg.
fn turn(event: &mut Event, other: Leg, number: u32) {
    match event {
        Event::Intent(intent) => intent.attempt = Attempt { leg: other, number },
        Event::Done(attempt, _)
        | Event::Refused(attempt, _)
        | Event::Transient(attempt, ..)
        | Event::Unknown(attempt, ..)
        | Event::NotDone(attempt)
        | Event::Wait(attempt, _)
        | Event::Stale(attempt, _)
        | Event::Sent(attempt, _)
        | Event::Published(attempt, _)
        | Event::Undone(attempt) => attempt.leg = other,
        Event::Answered(leg, _)
        | Event::Arrived(leg, _)
        | Event::TimerFired(leg)
        | Event::Backoff(leg, _)
        | Event::Stuck(leg, _)
        | Event::Unstuck(leg) => *leg = other,
        Event::Resolved(path, ..) | Event::Skipped(path, _) | Event::Listed(path, _) => *path = other.path,
        Event::Retried(legs, _) => legs.push(other),
        Event::Started(_)
        | Event::RollbackBegun(_)
        | Event::RoundBegun(_)
        | Event::LockQueued(_)
        | Event::LockTaken
        | Event::Moved(_)
        | Event::LockBroken(..)
        | Event::CancelRequested(_)
        | Event::Completed
        | Event::Compensated
        | Event::Abandoned(_) => {}
    }
}
