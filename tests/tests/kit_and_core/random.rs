//! Random definitions that the host would take and that the SDK can say, and what happens to their sagas.

use std::sync::Arc;

use amends_core::{
    Definition,
    definition::{
        Body, CommandData, CommandStep, CommandUndo, Each, EachMode, Kind, Member, OnExhausted, OnLocked, OnUnknown, Retry,
        Stage, Step, Undo, UndoPolicy,
    },
};

use crate::case::Move;

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

/// The children of every case: compensatable, with a grandchild; compensatable, with outputs of its parent; retriable.
const CHILDREN: [(&str, Kind); 4] =
    [("kid", Kind::Compensatable), ("kin", Kind::Compensatable), ("kit", Kind::Retriable), ("toc", Kind::Compensatable)];

pub(crate) fn any_saga(random: &mut Random) -> (Arc<Definition>, Vec<Arc<Definition>>) {
    let mut module: Vec<Definition> = CHILDREN.iter().map(|(name, kind)| any_child(random, name, *kind)).collect();
    if random.percent(40) {
        stand_for(&mut module[0].stages[0].steps[0], "toc");
    }
    let mut own = any_definition(random);
    let names: Vec<(usize, String)> = own.steps().map(|(stage, step)| (stage, step.name.clone())).collect();
    for (stage, of) in own.stages.iter_mut().enumerate() {
        let before: Vec<&String> = names.iter().filter(|(at, _)| *at < stage).map(|(_, name)| name).collect();
        for step in of.steps.iter_mut() {
            let needs = !before.is_empty() && random.percent(40);
            if step.kind != Kind::Pivot && random.percent(25) {
                let child = match step.kind {
                    Kind::Retriable => "kit",
                    Kind::Compensatable | Kind::Pivot => {
                        if needs {
                            "kin"
                        } else {
                            "kid"
                        }
                    }
                };
                stand_for(step, child);
            }
            if needs && !matches!(&step.body, Body::Child(name) if name != "kin") {
                step.needs = vec![(*random.pick(&before)).clone()];
            } else if matches!(&step.body, Body::Child(name) if name == "kin") {
                stand_for(step, "kid");
            }
            if step.kind != Kind::Pivot && random.percent(30) {
                step.each = Some(any_each(random, &before, step.body == Body::Code));
            }
            if step.body == Body::Code && random.percent(20) {
                send(random, step, &before);
            }
        }
    }
    // Inside a child only lists that can be used: the order in which several unusable ones are found says nothing.
    for step in module
        .iter_mut()
        .filter(|child| child.name != "kin")
        .flat_map(|child| &mut child.stages)
        .flat_map(|stage| &mut stage.steps)
    {
        if random.percent(20) {
            step.each = Some(Each { items: "/input/l".into(), ..any_each(random, &[], step.body == Body::Code) });
        }
        if step.body == Body::Code && random.percent(20) {
            send(random, step, &[]);
        }
    }
    (Arc::new(own), module.into_iter().map(Arc::new).collect())
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
    let mut stages: Vec<Stage> = Vec::new();
    let kinds = [(before, Kind::Compensatable), (u64::from(pivot), Kind::Pivot), (after, Kind::Retriable)];
    for kind in kinds.into_iter().flat_map(|(count, kind)| (0..count).map(move |_| kind)) {
        let width = if kind == Kind::Pivot { 1 } else { *random.pick(&[1, 1, 2, 2, 3]) };
        let steps = names.by_ref().take(width).map(|name| any_step(random, name, kind)).collect();
        let savepoint = (kind == Kind::Compensatable && random.percent(40)).then(|| format!("s{}", stages.len()));
        stages.push(Stage { steps, savepoint_after: savepoint });
    }
    if let Some(last) = stages.last_mut() {
        last.savepoint_after = None;
    }
    let deadline_ms = random.percent(25).then(|| *random.pick(&[500, 2_000, 10_000]));
    Definition { stages, deadline_ms, rounds: *random.pick(&[0, 1, 2, 3]), ..definition("s") }
}

fn definition(name: &str) -> Definition {
    Definition {
        name: name.into(),
        version: 1,
        stages: Vec::new(),
        output: None,
        deadline_ms: None,
        locks: Vec::new(),
        on_locked: OnLocked::Queue,
        rounds: 0,
        schema: None,
    }
}

fn any_child(random: &mut Random, name: &str, kind: Kind) -> Definition {
    let mut names = ["k", "l", "m", "n"].into_iter();
    let stages = (0..1 + random.below(2)).map(|_| {
        let width = *random.pick(&[1, 1, 2]);
        let steps = names.by_ref().take(width).map(|name| any_step(random, name, kind)).collect();
        Stage { steps, savepoint_after: None }
    });
    Definition { stages: stages.collect(), ..definition(name) }
}

/// A step that is a child has no policies of its own.
fn stand_for(step: &mut Step, child: &str) {
    let Step { name, kind, .. } = step.clone();
    *step = Step { body: Body::Child(child.into()), undo: Undo::None, ..plain(&name, kind) };
}

/// Makes a command of a step: data, with no policies but that of its undo.
fn send(random: &mut Random, step: &mut Step, before: &[&String]) {
    let source = |random: &mut Random, known: &[&str]| match random.below(8) {
        0 if !before.is_empty() => format!("/outputs/{}", random.pick(before)),
        1 => "/input/none".to_owned(),
        _ => (*random.pick(known)).to_owned(),
    };
    let said = |random: &mut Random, known: &[&str]| {
        let names: &[&str] = match random.below(4) {
            0 | 1 => return CommandData::At(source(random, known)),
            2 => &["a"],
            _ => &["a", "b"],
        };
        let member = |name: &&str| Member { name: (*name).to_owned(), at: source(random, known) };
        CommandData::Object(names.iter().map(member).collect())
    };
    let id = source(random, &["/input/id", "/input/id", "/input"]);
    let data = said(random, &["/input", "/input/l"]);
    let known_to_undo =
        ["/input", "/cause/kind", "/cause/code", "/cause/step", "/cause/data/x", "/output", "/output/data", "/output/events/0"];
    let undo = match (&step.undo, step.kind) {
        (Undo::Code(policy), Kind::Compensatable) => {
            Undo::Code(UndoPolicy { retry: policy.retry.clone(), deadline_ms: 30_000, alternates: 0, effect_free: true })
        }
        (_, Kind::Compensatable) => Undo::Nothing,
        (_, Kind::Pivot | Kind::Retriable) => Undo::None,
    };
    let undone_by = matches!(undo, Undo::Code(_)).then(|| {
        let data = random.percent(60).then(|| said(random, &known_to_undo));
        CommandUndo { command: "undo".into(), data }
    });
    let command = CommandStep { aggregate: "other".into(), id, command: "act".into(), data, undo: undone_by };
    let each = step.each.clone().map(|each| Each { mode: EachMode::FailFast, ..each });
    *step = Step { body: Body::Command(command), effect_free: true, undo, each, ..plain(&step.name, step.kind) };
}

fn any_each(random: &mut Random, before: &[&String], code: bool) -> Each {
    let items = match random.below(10) {
        0..=7 => "/input/l".into(),
        8 if !before.is_empty() => format!("/outputs/{}", random.pick(before)),
        8 => "/input/m".into(),
        _ => "/input/none".into(),
    };
    let key = (items == "/input/l" && random.percent(40)).then(|| "/id".to_owned());
    let mode = if code && random.percent(50) { EachMode::Collect } else { EachMode::FailFast };
    Each { items, key, mode, concurrency: *random.pick(&[1, 2, 9]) }
}

/// A step with the defaults of the SDK, but without jitter: the kit has none.
fn plain(name: &str, kind: Kind) -> Step {
    let retriable = kind == Kind::Retriable;
    Step {
        name: name.into(),
        kind,
        body: Body::Code,
        effect_free: false,
        needs: Vec::new(),
        retry: Retry { jitter_percent: 0, ..if retriable { Retry::persistent() } else { Retry::forward() } },
        deadline_ms: 30_000,
        on_unknown: OnUnknown::Retry,
        on_exhausted: if retriable { OnExhausted::Stuck } else { OnExhausted::Rollback },
        alternates: 0,
        undo: if kind == Kind::Compensatable { Undo::Nothing } else { Undo::None },
        each: None,
    }
}

fn any_step(random: &mut Random, name: &str, kind: Kind) -> Step {
    let plain = plain(name, kind);
    let undo = match kind {
        Kind::Compensatable if random.percent(80) => true,
        Kind::Pivot => random.percent(40),
        Kind::Compensatable | Kind::Retriable => false,
    };
    let undo = match undo {
        true => {
            let alternates = *random.pick(&[0, 0, 0, 1, 2]);
            Undo::Code(UndoPolicy { retry: any_retry(random), deadline_ms: 30_000, alternates, effect_free: random.percent(12) })
        }
        false => plain.undo.clone(),
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
        retry: any_retry(random),
        alternates: *random.pick(&[0, 0, 0, 1, 2]),
        undo,
        ..plain
    }
}

fn any_retry(random: &mut Random) -> Retry {
    let (attempts_max, time_box_ms) =
        *random.pick(&[(Some(1), None), (Some(2), None), (Some(3), None), (None, Some(3_000)), (Some(4), Some(20_000))]);
    let first_ms = *random.pick(&[0, 200, 1_000, 1_000, 6_000]);
    let (factor_percent, cap_ms) = *random.pick(&[(100, 1_000), (200, 60_000), (250, 4_000)]);
    Retry { attempts_max, first_ms, factor_percent, cap_ms, jitter_percent: 0, time_box_ms }
}

pub(crate) fn any_move(random: &mut Random, definition: &Definition, module: &[Arc<Definition>]) -> Move {
    match random.below(10) {
        0..=3 => Move::Event(any_path(random, definition, module)),
        4..=8 => Move::Pass(*random.pick(&[0, 10, 1_000, 5_000, 10_000, 3_600_000])),
        _ => Move::Cancel,
    }
}

/// The path of a step that may wait, of an element more often than not where there are elements.
fn any_path(random: &mut Random, definition: &Definition, module: &[Arc<Definition>]) -> String {
    let steps: Vec<&Step> = definition.steps().map(|(_, step)| step).collect();
    let step = *random.pick(&steps);
    let element = if step.each.is_some() { format!("[{}]", random.below(3)) } else { String::new() };
    let path = format!("{}{element}", step.name);
    match &step.body {
        Body::Code | Body::Command(_) => path,
        Body::Child(name) => {
            let child = module.iter().find(|child| child.name == *name).unwrap();
            format!("{path}/{}", any_path(random, child, module))
        }
    }
}
