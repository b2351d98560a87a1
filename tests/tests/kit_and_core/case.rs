//! A case: a definition, an input, the answers of its steps, and events, times and cancels.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use amends_core::{Definition, Plan};
use serde_json::{Value, json};

use crate::random::{self, Random};

/// The kit's clock stands here at the start: 2026-01-01T00:00:00Z.
pub(crate) const START_MS: u64 = 1_767_225_600_000;

/// A saga and everything that happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The seed of the answers of its steps.
    pub(crate) answers: u64,
    pub(crate) definition: Arc<Definition>,
    /// Its children and theirs.
    pub(crate) module: Vec<Arc<Definition>>,
    pub(crate) input: Value,
    pub(crate) moves: Vec<Move>,
}

/// What happens to a saga while it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// The event comes that the step of this path may wait for.
    Event(String),
    /// So many milliseconds pass.
    Pass(u64),
    Cancel,
}

/// Which call of a step is answered.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub(crate) enum Asked {
    Forward,
    Undo,
    Check,
}

/// One call, by what its answer depends on.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Attempt<'a> {
    pub(crate) asked: Asked,
    pub(crate) path: &'a str,
    pub(crate) alternate: u32,
    pub(crate) undo_alternate: u32,
    pub(crate) round: u32,
    pub(crate) number: u32,
}

/// What a step answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    Done(Value),
    NotDone,
    Refused(&'static str),
    Transient(&'static str),
    Unknown(&'static str),
    /// For the event of its path, for so many milliseconds from now, or for whichever comes first.
    Wait {
        event: bool,
        for_ms: Option<u64>,
    },
}

impl Case {
    pub(crate) fn new(random: &mut Random) -> Self {
        let (definition, module) = random::any_saga(random);
        let elements = (0..random.below(4)).map(|n| json!({"id": random.pick(&IDS)(n), "l": [n, n + 1]}));
        let input = json!({"l": elements.collect::<Vec<_>>(), "m": [], "id": 7});
        let moves = (0..random.below(9)).map(|_| random::any_move(random, &definition, &module)).collect();
        Self { answers: random.next(), definition, module, input, moves }
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::new(Plan::new(Arc::clone(&self.definition), &self.module).unwrap())
    }

    pub(crate) fn child(&self, name: &str) -> &Definition {
        self.module.iter().find(|child| child.name == name).unwrap()
    }

    /// What the aggregate of another module says to the command of this number.
    pub(crate) fn answer_to_command(&self, number: u64) -> Answer {
        let mut hasher = DefaultHasher::new();
        (self.answers, "command", number).hash(&mut hasher);
        let mut random = Random(hasher.finish());
        match random.below(100) {
            0..=69 => Answer::Done(random.pick(&[json!(1), json!({"id": 8}), Value::Null]).clone()),
            70..=89 => Answer::Refused(random.pick::<&str>(&["no", "full"])),
            _ => Answer::Transient("busy"),
        }
    }

    /// Done more often than not, so that sagas come far.
    pub(crate) fn answer(&self, attempt: &Attempt<'_>) -> Answer {
        let mut hasher = DefaultHasher::new();
        (self.answers, attempt).hash(&mut hasher);
        let mut random = Random(hasher.finish());
        let number = random.below(100);
        match attempt.asked {
            Asked::Forward => match number {
                0..=54 => {
                    Answer::Done(random.pick(&[json!(1), json!([1, 2]), json!([]), json!({"l": [3]}), Value::Null]).clone())
                }
                55..=66 => Answer::Refused(random.pick::<&str>(&["no", "full"])),
                67..=77 => Answer::Transient(random.pick::<&str>(&["busy", "down"])),
                78..=91 => Answer::Unknown("lost"),
                _ => any_wait(&mut random),
            },
            Asked::Undo => match number {
                0..=64 => Answer::Done(Value::Null),
                65..=78 => Answer::Transient("offline"),
                79..=90 => Answer::Unknown("lost"),
                _ => any_wait(&mut random),
            },
            Asked::Check => match number {
                0..=29 => Answer::Done(json!("found")),
                30..=69 => Answer::NotDone,
                _ => Answer::Unknown("unclear"),
            },
        }
    }
}

/// Two spellings of a number, keys that mean something in a path, and keys that clash.
const IDS: [fn(u64) -> Value; 4] = [|n| json!(n), |n| json!(n as f64), |n| json!(format!("x/{n}]")), |n| json!(format!("{n}"))];

fn any_wait(random: &mut Random) -> Answer {
    let for_ms = *random.pick(&[0, 1, 1_000, 5_000, 3_600_000]);
    match random.below(3) {
        0 => Answer::Wait { event: true, for_ms: None },
        1 => Answer::Wait { event: false, for_ms: Some(for_ms) },
        _ => Answer::Wait { event: true, for_ms: Some(for_ms) },
    }
}

/// The result of a case: the calls, the trace, and the end.
#[derive(Default)]
pub(crate) struct Played {
    /// The trace as the kit writes it.
    pub(crate) trace: Vec<String>,
    /// Each call with its arguments.
    pub(crate) calls: Vec<String>,
    pub(crate) end: String,
    /// An element was undone so that its refusal could be a result.
    pub(crate) undid_a_result: bool,
}

impl fmt::Display for Played {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, calls, end, .. } = self;
        write!(f, "{}\n\n{}\n\n{end}\n", trace.join("\n"), calls.join("\n"))
    }
}

/// Adds a line; equal neighbours are one line with a count at the end.
pub(crate) fn counted(lines: &[String]) -> Vec<String> {
    let mut counted: Vec<(&String, u32)> = Vec::new();
    for line in lines {
        match counted.last_mut() {
            Some((last, count)) if *last == line => *count += 1,
            _ => counted.push((line, 1)),
        }
    }
    let text = |(line, count): (&String, u32)| if count == 1 { line.clone() } else { format!("{line} ×{count}") };
    counted.into_iter().map(text).collect()
}

impl Played {
    /// What was met, in the words of the list that every run has to meet.
    pub(crate) fn words(&self) -> Vec<&'static str> {
        let mut words = Vec::new();
        let mut see = |word: &'static str, seen: bool| words.extend(seen.then_some(word));
        for line in &self.trace {
            let (undo, check) = (line.starts_with("undo "), line.starts_with("check "));
            let forward = !undo && !check && !line.starts_with("stuck ") && !line.starts_with("compensated ");
            see("done", forward && line.ends_with(" done"));
            see("refused", forward && line.contains(" refused "));
            see("transient", forward && line.contains(" transient "));
            see("unknown", forward && line.contains(" unknown "));
            see("waits", forward && line.contains(" waits"));
            see("check done", check && line.ends_with(" done") && !line.ends_with("not done"));
            see("check not done", check && line.ends_with(" not done"));
            see("check unknown", check && line.contains(" unknown "));
            see("undone", undo && line.ends_with(" done"));
            see("undo transient", undo && line.contains(" transient "));
            see("undo unknown", undo && line.contains(" unknown "));
            see("undo waits", undo && line.contains(" waits"));
            see("an alternate", forward && line.contains(" alternate "));
            see("an undo by an alternate", line.contains(" by alternate "));
            see("an element", forward && line.contains('[') && !line.contains('/'));
            see("a step of a child", forward && line.contains('/') && !line.contains('['));
            see("a step of a child of an element", forward && line.contains("]/"));
            see("a round", line.starts_with("round "));
            see("a third round", line.starts_with("round 2 "));
            see("a refused list", line.ends_with("no_list") || line.ends_with("clashing_keys"));
            see("stuck", line.starts_with("stuck at ") && !line.starts_with("stuck at undo "));
            see("stuck in an undo", line.starts_with("stuck at undo "));
            see("cancelled", line == "cancelled");
            see("not cancelled", line == "not cancelled");
            see("past its deadline", line == "past its deadline");
            see("completed", line == "completed");
            see("compensated", line.starts_with("compensated "));
            see("exhausted", line == "compensated exhausted");
        }
        let commands = |name: &str| self.calls.iter().any(|call| call.starts_with(name));
        see("a command", commands("act "));
        see("a command that undoes one", commands("undo "));
        see("a command without an id", self.trace.iter().any(|line| line.ends_with(" refused no_id")));
        see("a command without data", self.trace.iter().any(|line| line.ends_with(" refused no_data")));
        see("waiting at the end", self.end.starts_with("Waiting"));
        see("stuck at the end", self.end.starts_with("Stuck"));
        see("an element is undone before its refusal is a result", self.undid_a_result);
        words
    }
}
