//! Random definitions and moves from a seed. Knows what can be said to a saga, and nothing of what it means.

use std::sync::Arc;

use amends_core::{
    Definition, Event, Payload, Room,
    definition::{Body, Each, EachMode, Kind, LockKey, OnExhausted, OnUnknown, Retry, Stage, Step, Undo, UndoPolicy},
    denial::{Denial, DenialReason},
    effects::Effects,
    event::{Resolution, Topic},
    id::{Direction, Leg, StepPath},
    outcome::{Left, Outcome},
    verbs::{Legs, Verb},
};

use crate::{
    edit::{Change, Edit},
    play::Play,
    script::{self, Given, Move, Said, Sends, definition, failure, step},
};

/// SplitMix64: small, seeded, the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap();
        &from[at]
    }
}

/// One to four stages that keep the rule of kinds, small budgets, every policy that is legal for its kind.
pub(crate) fn any_saga(random: &mut Random) -> Given {
    let mut own = any_definition(random);
    let kinds = [("kid", Kind::Compensatable), ("kit", Kind::Retriable)];
    let mut module: Vec<Definition> = kinds.iter().map(|(name, kind)| any_child(random, name, *kind)).collect();
    let grandchildren = [("toc", Kind::Compensatable), ("tor", Kind::Retriable)];
    if random.percent(30) {
        for ((name, kind), child) in grandchildren.iter().zip(&mut module) {
            stands_for(&mut child.stages[0].steps[0], name, *kind);
        }
    }
    module.extend(grandchildren.iter().map(|(name, kind)| any_child(random, name, *kind)));
    if random.percent(40) {
        for step in own.stages.iter_mut().flat_map(|stage| &mut stage.steps).filter(|step| step.kind != Kind::Pivot) {
            if random.percent(40) {
                stands_for(step, if step.kind == Kind::Retriable { "kit" } else { "kid" }, step.kind);
            }
        }
    }
    if random.percent(15) {
        own.locks =
            vec![LockKey { name: "order".into(), pointer: "/id".into() }, LockKey { name: "seat".into(), pointer: "/id".into() }];
    }
    let fan_out = random.percent(40);
    for it in std::iter::once(&mut own).chain(&mut module) {
        let names: Vec<(usize, String)> = it.steps().map(|(stage, step)| (stage, step.name.clone())).collect();
        for (stage, steps) in it.stages.iter_mut().enumerate() {
            for step in steps.steps.iter_mut().filter(|step| step.kind != Kind::Pivot) {
                let own = names.iter().all(|(_, name)| !name.starts_with('k'));
                if fan_out && random.percent(if own { 35 } else { 20 }) {
                    let before: Vec<&String> = names.iter().filter(|(at, _)| *at < stage).map(|(_, name)| name).collect();
                    step.each = Some(any_each(random, &before, step.body == Body::Code));
                }
            }
        }
    }
    let items = (0..random.below(5)).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    Given {
        definition: Arc::new(own),
        module: module.into_iter().map(Arc::new).collect(),
        input: format!("{{\"l\":[{items}],\"id\":7}}"),
    }
}

/// A step that is a child has no policies of its own.
fn stands_for(step: &mut Step, child: &str, kind: Kind) {
    let mark = if kind == Kind::Retriable { ">" } else { "" };
    *step = script::step(&format!("{}{mark}(child {child})", step.name));
}

fn any_child(random: &mut Random, name: &str, kind: Kind) -> Definition {
    let mut names = ["k", "l", "m", "n"].into_iter();
    let stages = (0..1 + random.below(2)).map(|_| {
        let width = *random.pick(&[1, 1, 2]);
        let steps = names.by_ref().take(width).map(|name| any_step(random, name, kind)).collect();
        Stage { steps, savepoint_after: None }
    });
    Definition { stages: stages.collect(), name: name.into(), ..definition("a") }
}

/// A list that is there more often than not.
fn any_each(random: &mut Random, before: &[&String], code: bool) -> Each {
    let items = match random.below(10) {
        0..=6 => "/input/l".into(),
        7..=8 if !before.is_empty() => format!("/outputs/{}", random.pick(before)),
        _ => "/input/none".into(),
    };
    let mode = if code && random.percent(40) { EachMode::Collect } else { EachMode::FailFast };
    Each { items, key: None, mode, concurrency: *random.pick(&[1, 2, 3, 9]) }
}

fn any_definition(random: &mut Random) -> Definition {
    let (before, pivot, after) = match random.below(6) {
        0 => (1, false, 0),
        1 => (2 + random.below(2), false, 0),
        2 => (random.below(3), true, 0),
        3 => (random.below(3), true, 1),
        4 => (1 + random.below(2), false, 1),
        _ => (random.below(2), true, 1 + random.below(2)),
    };
    let mut names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"].into_iter();
    let mut stages = Vec::new();
    let mut stage = |random: &mut Random, kind: Kind| {
        let width = if kind == Kind::Pivot { 1 } else { *random.pick(&[1, 1, 2, 2, 3]) };
        let steps = names.by_ref().take(width).map(|name| any_step(random, name, kind)).collect();
        let savepoint = (kind == Kind::Compensatable && random.percent(40)).then(|| format!("s{}", stages.len()));
        stages.push(Stage { steps, savepoint_after: savepoint });
    };
    (0..before).for_each(|_| stage(random, Kind::Compensatable));
    (0..u64::from(pivot)).for_each(|_| stage(random, Kind::Pivot));
    (0..after).for_each(|_| stage(random, Kind::Retriable));
    if let Some(last) = stages.last_mut() {
        last.savepoint_after = None;
    }
    let deadline_ms = random.percent(25).then(|| *random.pick(&[2_000, 10_000, 60_000]));
    Definition { stages, deadline_ms, rounds: *random.pick(&[0, 1, 1, 2, 3]), ..definition("a") }
}

fn any_step(random: &mut Random, name: &str, kind: Kind) -> Step {
    let mark = match kind {
        Kind::Compensatable => "",
        Kind::Pivot => "*",
        Kind::Retriable => ">",
    };
    let plain = step(&format!("{name}{mark}"));
    let undo_code = step("x(undo tries 2)").undo;
    let undo = match kind {
        Kind::Compensatable if random.percent(15) => Undo::Nothing,
        Kind::Compensatable if random.percent(60) => undo_code,
        Kind::Pivot if random.percent(40) => undo_code,
        _ => plain.undo.clone(),
    };
    let undo = match undo {
        Undo::Code(policy) => {
            let (alternates, effect_free) = (*random.pick(&[0, 0, 0, 1, 2]), random.percent(12));
            Undo::Code(UndoPolicy { alternates, effect_free, ..policy })
        }
        other => other,
    };
    let way_back = kind == Kind::Compensatable || undo != Undo::None;
    let unknown: &[OnUnknown] = if way_back {
        &[OnUnknown::Retry, OnUnknown::Check, OnUnknown::OnceThenRollback, OnUnknown::OnceThenStop]
    } else {
        &[OnUnknown::Retry, OnUnknown::Check, OnUnknown::OnceThenStop]
    };
    let stuck = kind == Kind::Retriable || random.percent(30);
    Step {
        effect_free: random.percent(12),
        on_unknown: *random.pick(unknown),
        on_exhausted: if stuck { OnExhausted::Stuck } else { OnExhausted::Rollback },
        retry: Retry {
            attempts_max: *random.pick(&[None, Some(1), Some(2), Some(3)]),
            first_ms: *random.pick(&[1_000, 1_000, 6_000]),
            jitter_percent: *random.pick(&[0, 20]),
            time_box_ms: *random.pick(&[None, Some(3_000), Some(20_000), Some(86_400_000)]),
            ..plain.retry.clone()
        },
        alternates: *random.pick(&[0, 0, 0, 1, 2]),
        undo,
        ..plain
    }
}

/// A move that fits the saga's state more often than not.
pub(crate) fn any_move(random: &mut Random, play: &Play) -> Move {
    let effects = play.saga.effects();
    if play.saga.view().locks.is_some() && random.percent(if play.saga.has_its_locks() { 6 } else { 50 }) {
        return match random.below(4) {
            0..=1 => Move::Locks(None),
            2 => Move::Locks(Some(vec!["seat/7".into()])),
            _ => Move::Verb(Verb::Unlock((*random.pick(&["order/7", "seat/7", "seat/8"])).into())),
        };
    }
    if random.percent(if effects.run.is_empty() { 10 } else { 2 })
        && let Some(edit) = any_edit(random, play)
    {
        return Move::Edit(edit);
    }
    match random.below(100) {
        0..=59 if !effects.run.is_empty() => {
            let leg = random.pick(&effects.run).attempt.leg.clone();
            any_report(random, leg, None)
        }
        0..=5 => any_answer(random, play),
        6..=19 => any_event(random, &effects),
        20..=29 => Move::Verb(any_verb(random, play)),
        60..=62 => {
            let leg = any_leg(random, play);
            let number = random.percent(70).then(|| u32::try_from(random.below(4)).unwrap());
            any_report(random, leg, number)
        }
        30..=76 => Move::Pass(any_pause(random, play, &effects)),
        77..=78 => {
            let ms = i64::try_from(any_pause(random, play, &effects)).unwrap();
            Move::Clock(if random.percent(30) { -ms.min(30_000) } else { ms })
        }
        79..=80 => any_answer(random, play),
        81..=82 => any_event(random, &effects),
        83 if random.percent(50) => Move::Verb(Verb::Cancel),
        83..=90 => Move::Verb(any_verb(random, play)),
        91..=95 => {
            let open = effects.run.into_iter().map(|intent| intent.attempt.leg);
            Move::HostStops(open.filter(|_| random.percent(75)).collect())
        }
        96..=97 => Move::GrantsChange,
        98 => Move::Reach(random.percent(60)),
        _ => Move::Journal(*random.pick(&[Room::Free, Room::Free, Room::Free, Room::Full, Room::Spent])),
    }
}

/// One change of the saga's definition or of a child's.
fn any_edit(random: &mut Random, play: &Play) -> Option<Edit> {
    let all: Vec<&Arc<Definition>> = std::iter::once(&play.given.definition).chain(&play.given.module).collect();
    let definition = if random.percent(70) { all[0] } else { *random.pick(&all) };
    let steps: Vec<&Step> = definition.steps().map(|(_, step)| step).collect();
    let step = *random.pick(&steps);
    let stage = usize::try_from(random.below(definition.stages.len() as u64 + 1)).unwrap();
    let is_code = step.body == Body::Code;
    let change = match random.below(10) {
        0..=1 => Change::Without(step.name.clone()),
        2..=3 => {
            let name = *random.pick(&["x", "y", "z"]);
            Change::With(stage, Box::new(any_step(random, name, step.kind)))
        }
        4 => Change::Puts(stage, step.name.clone()),
        5 => Change::Rounds(u32::try_from(random.below(4)).unwrap()),
        6 => Change::As(Box::new(Step { each: None, ..step.clone() })),
        _ if is_code => Change::As(Box::new(Step { each: step.each.clone(), ..any_step(random, &step.name, step.kind) })),
        _ => return None,
    };
    let edit = Edit { saga: definition.name.clone(), change };
    edit.of(&play.given).is_some().then_some(edit)
}

fn any_path(random: &mut Random, play: &Play) -> StepPath {
    let paths: Vec<StepPath> = play.saga.view().steps.into_iter().map(|step| step.path).collect();
    random.pick(&paths).clone()
}

fn any_leg(random: &mut Random, play: &Play) -> Leg {
    let directions = [Direction::Forward, Direction::Forward, Direction::Check, Direction::Undo(0), Direction::Undo(1)];
    let leg = Leg::forward(any_path(random, play)).turned(*random.pick(&directions));
    Leg { alternate: *random.pick(&[0, 0, 1]), round: *random.pick(&[0, 0, 0, 1]), ..leg }
}

fn any_report(random: &mut Random, leg: Leg, number: Option<u32>) -> Move {
    let left = *random.pick(&[Left::Nothing, Left::Nothing, Left::Answered, Left::Unanswered]);
    let check = leg.direction == Direction::Check;
    let said = match random.below(100) {
        0..=41 if !check => Outcome::Done(Payload::json(*random.pick(&["1", "null", "{}", "[1,2]", "[]"]))),
        0..=21 if check => Outcome::Done(Payload::null()),
        22..=49 if check => Outcome::NotDone,
        0..=51 => Outcome::Refused(failure("no")),
        52..=64 => Outcome::Transient(failure("busy")),
        65..=76 => Outcome::Unknown(failure("lost")),
        77..=82 => Outcome::Trapped(failure("trap")),
        83..=85 => Outcome::HostFault(failure("host_busy")),
        86..=93 => return Move::Report { leg, number, outcome: any_wait(random), left, sends: any_sends(random) },
        94..=97 => Outcome::Denied(Denial::new("http://x:80", DenialReason::NotGranted)),
        _ => Outcome::NotDone,
    };
    Move::Report { leg, number, outcome: Said::Outcome(said), left, sends: any_sends(random) }
}

/// What an attempt wants to send: mostly nothing. Commands alone leave no doubt when all of them were refused.
fn any_sends(random: &mut Random) -> Sends {
    match random.percent(15) {
        true => Sends { commands: u32::try_from(1 + random.below(2)).unwrap(), events: u32::from(random.percent(40)) },
        false => Sends::default(),
    }
}

/// An answer to a command that some leg may have sent.
fn any_answer(random: &mut Random, play: &Play) -> Move {
    let sent = play.history.iter().filter_map(|(_, event)| match event {
        Event::Sent(attempt, sent) => Some((attempt.leg.clone(), sent.number)),
        _ => None,
    });
    let sent: Vec<(Leg, u32)> = sent.collect();
    let (leg, number) = match sent.is_empty() || random.percent(5) {
        true => (any_leg(random, play), u32::try_from(random.below(3)).unwrap()),
        false => random.pick(&sent).clone(),
    };
    Move::Answer { leg, number, accepted: random.percent(70) }
}

fn any_wait(random: &mut Random) -> Said {
    let event = random.percent(50).then(|| any_topic(random));
    if random.percent(30) {
        let answer = Some(u32::try_from(random.below(2)).unwrap());
        return Said::Wait { event, for_ms: random.percent(30).then_some(2_000), answer };
    }
    let for_ms = match random.below(10) {
        0..=4 => Some(*random.pick(&[0, 1, 1_000, 5_000, 3_600_000])),
        5 if event.is_none() => None,
        6 => Some(400_000_000_000),
        _ if event.is_some() => None,
        _ => Some(2_000),
    };
    Said::Wait { event, for_ms, answer: None }
}

fn any_topic(random: &mut Random) -> Topic {
    Topic { event_type: "go".into(), key: (*random.pick(&["1", "2"])).into() }
}

fn any_event(random: &mut Random, effects: &Effects) -> Move {
    let topic = match effects.topics.first() {
        Some(topic) if random.percent(80) => topic.clone(),
        _ => any_topic(random),
    };
    Move::Event { topic, id: random.below(6).to_string() }
}

fn any_pause(random: &mut Random, play: &Play, effects: &Effects) -> u64 {
    match effects.wake_at {
        Some(at) if random.percent(70) => at.since(play.now),
        _ => *random.pick(&[0, 1, 500, 1_000, 5_000, 30_000]),
    }
}

fn any_verb(random: &mut Random, play: &Play) -> Verb {
    let stuck = play.saga.view().stuck;
    let path = match stuck.first() {
        Some(first) if random.percent(80) => first.leg.path.clone(),
        _ => any_path(random, play),
    };
    match random.below(20) {
        0..=4 => Verb::Retry(if random.percent(50) { Legs::Of(path) } else { Legs::All }),
        5..=8 => Verb::Skip(Legs::Of(path)),
        9..=11 => Verb::Resolve(Legs::Of(path), Resolution::Output(Payload::json("7"))),
        12..=15 => Verb::Resolve(Legs::Of(path), Resolution::NotDone),
        16..=18 => Verb::Resolve(Legs::Of(path), Resolution::Undone),
        _ if random.percent(30) => Verb::Abandon,
        _ => match stuck.first() {
            Some(first) => Verb::Retry(Legs::These([first.leg.clone()].into())),
            None => Verb::Retry(Legs::All),
        },
    }
}
