//! Sagas, moves and events as text: what a test reads and writes. Knows the core's public words, and no rule.

use std::{fmt, sync::Arc};

use amends_core::{
    Definition, Event, Failure, Instant, Payload, Plan, Room,
    definition::{
        Body, CommandData, CommandStep, CommandUndo, Each, EachMode, Kind, LockKey, Member, OnExhausted, OnLocked, OnUnknown,
        Retry, Stage, Step, Undo, UndoPolicy,
    },
    denial::{Denial, DenialReason},
    event::{Answer, Cancel, Charge, Reason, Resolution, Started, Topic, Wait, Why},
    id::{Direction, Incarnation, Leg, StepPath},
    locks::keys_of,
    outcome::{Left, Outcome},
    verbs::{Legs, Verb},
};

use crate::edit::Edit;

/// The moment at which every saga of a test starts.
pub(crate) const T0: Instant = Instant(1_000_000_000_000);

/// What an attempt sends: so many commands, and events behind them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sends {
    pub(crate) commands: u32,
    pub(crate) events: u32,
}

/// What a test does to a saga, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// `reserve-car refused no_car answered`, `undo reserve-car #2 done`, `check charge not-done`, `order waits for answer 0 sends 2`,
    /// `order done sends 1 alone`.
    Report { leg: Leg, number: Option<u32>, outcome: Said, left: Left, sends: Sends },
    /// `answer LEG 0 accepted`, `answer LEG 0 refused`: to a command that the leg has sent.
    Answer { leg: Leg, number: u32, accepted: bool },
    /// `+30s`: time passes, and the saga is woken.
    Pass(u64),
    /// `clock +30s`, `clock -30s`: the clock moves, and nobody tells the saga.
    Clock(i64),
    /// `event approval/42 id 7`.
    Event { topic: Topic, id: String },
    /// `cancel`, `retry [STEP]`, `skip STEP`, `abandon`, `resolve STEP done JSON|not-done|undone`.
    Verb(Verb),
    /// `host stops`, `host stops in undo reserve-car, charge`: in those the guest was executing.
    HostStops(Vec<Leg>),
    /// `locks taken`, `locks queued KEY…`: what the engine says of its lock keys.
    Locks(Option<Vec<String>>),
    /// `grants change`.
    GrantsChange,
    /// `code comes for order`.
    CodeComes(String),
    /// `move …`: to the next version, as [`Edit`] says.
    Edit(Edit),
    /// `reach on`, `reach off`: whether later attempts can reach outside.
    Reach(bool),
    /// `journal full`, `journal spent`, `journal has room`.
    Journal(Room),
    /// `show`: the view.
    Show,
    /// `unwanted`: the open attempts that nothing needs any more, unless their guests have begun.
    Unwanted,
    /// `call LEG`: what the guest of the open attempt is told.
    Call(Leg),
}

/// An outcome whose waits are relative to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Outcome(Outcome),
    Wait { event: Option<Topic>, for_ms: Option<u64>, answer: Option<u32> },
}

impl Said {
    pub(crate) fn at(&self, now: Instant) -> Outcome {
        match self {
            Self::Outcome(outcome) => outcome.clone(),
            Self::Wait { event, for_ms, answer } => {
                Outcome::Wait(Wait { event: event.clone(), until: for_ms.map(|ms| now.plus(ms)), answer: *answer })
            }
        }
    }
}

pub(crate) fn failure(code: &str) -> Failure {
    Failure::new(code, "")
}

/// `reserve-flight | a ‖ b | charge*(check) | issue> ; deadline 60s`.
///
/// `a !s | b` has the savepoint `s` between `a` and `b`; `; rounds 2` allows two more rounds.
/// `child NAME`, `command AGGREGATE COMMAND`, then `says /input` or `says a=/input/x b=/input/y` and `undone by COMMAND [/cause/code]`,
/// `each /input/list [by /id]`, then `collect` and `at once N`.
/// `*` is a pivot, `>` retriable, `~` effect-free. In brackets: `check` `once-rollback` `once-stop` · `stuck` `rollback` ·
/// `tries N` `any tries` `first 1s` `jitter 20` `box 10s` `no box` `deadline 30s` · `undo` `undo nothing` `no undo` `undo tries N` · `needs STEP` ·
/// `alternates N` `undo alternates N` `undo effect-free` (after `undo`).
pub(crate) fn definition(text: &str) -> Definition {
    named("test", text)
}

fn named(name: &str, text: &str) -> Definition {
    let (stages, options) = text.split_once(" ; ").unwrap_or((text, ""));
    let mut definition = Definition {
        name: name.into(),
        version: 1,
        stages: stages.split(" | ").map(stage).collect(),
        output: None,
        deadline_ms: None,
        locks: Vec::new(),
        on_locked: OnLocked::Queue,
        rounds: 1,
        schema: None,
    };
    for option in options.split(", ").filter(|option| !option.is_empty()) {
        match words(option).as_slice() {
            ["deadline", length] => definition.deadline_ms = Some(ms(length)),
            ["input", _] => {}
            ["lock", name, pointer] => definition.locks.push(LockKey { name: (*name).into(), pointer: (*pointer).into() }),
            ["rounds", n] => definition.rounds = number(n),
            ["output", step] => definition.output = Some((*step).into()),
            _ => panic!("no saga option: {option}"),
        }
    }
    definition
}

fn stage(text: &str) -> Stage {
    let (steps, savepoint) = text.split_once(" !").map_or((text, None), |(steps, name)| (steps, Some(name.into())));
    Stage { steps: steps.split(" ‖ ").map(step).collect(), savepoint_after: savepoint }
}

/// A step as [`definition`] reads it.
pub(crate) fn step(text: &str) -> Step {
    let (head, options) = text.trim().split_once('(').unwrap_or((text.trim(), ""));
    let name = head.trim_end_matches(['*', '>', '~']);
    let kind = match head {
        _ if head.contains('*') => Kind::Pivot,
        _ if head.contains('>') => Kind::Retriable,
        _ => Kind::Compensatable,
    };
    let tries = Retry { first_ms: 1_000, jitter_percent: 0, ..Retry::forward() };
    let undo = UndoPolicy {
        retry: Retry { attempts_max: Some(20), time_box_ms: None, ..tries.clone() },
        deadline_ms: 30_000,
        alternates: 0,
        effect_free: false,
    };
    let mut step = Step {
        name: name.into(),
        kind,
        body: Body::Code,
        effect_free: head.contains('~'),
        needs: Vec::new(),
        retry: if kind == Kind::Retriable { undo.retry.clone() } else { tries },
        deadline_ms: 30_000,
        on_unknown: OnUnknown::Retry,
        on_exhausted: if kind == Kind::Retriable { OnExhausted::Stuck } else { OnExhausted::Rollback },
        alternates: 0,
        undo: if kind == Kind::Compensatable { Undo::Code(undo.clone()) } else { Undo::None },
        each: None,
    };
    for option in options.trim_end_matches(')').split(", ").filter(|option| !option.is_empty()) {
        match words(option).as_slice() {
            ["check"] => step.on_unknown = OnUnknown::Check,
            ["once-rollback"] => step.on_unknown = OnUnknown::OnceThenRollback,
            ["once-stop"] => step.on_unknown = OnUnknown::OnceThenStop,
            ["stuck"] => step.on_exhausted = OnExhausted::Stuck,
            ["rollback"] => step.on_exhausted = OnExhausted::Rollback,
            ["tries", n] => step.retry.attempts_max = Some(number(n)),
            ["first", length] => step.retry.first_ms = ms(length),
            ["jitter", percent] => step.retry.jitter_percent = percent.parse().unwrap(),
            ["no", "box"] => step.retry.time_box_ms = None,
            ["any", "tries"] => step.retry.attempts_max = None,
            ["box", length] => step.retry.time_box_ms = Some(ms(length)),
            ["deadline", length] => step.deadline_ms = ms(length),
            ["needs", need] => step.needs.push((*need).into()),
            ["command", aggregate, command] => {
                let [aggregate, command] = [aggregate, command].map(ToString::to_string);
                let (id, data) = ("/input/id".into(), CommandData::At("/input".into()));
                step.body = Body::Command(CommandStep { aggregate, id, command, data, undo: None });
            }
            ["says", said @ ..] => match &mut step.body {
                Body::Command(command) => command.data = said_at(said),
                _ => panic!("no command to say something"),
            },
            ["undone", "by", name, said @ ..] => {
                let Body::Command(command) = &mut step.body else { panic!("no command to be undone by one") };
                command.undo = Some(CommandUndo { command: (*name).into(), data: (!said.is_empty()).then(|| said_at(said)) });
                match &mut step.undo {
                    Undo::Code(policy) => policy.effect_free = true,
                    _ => step.undo = Undo::Code(UndoPolicy { effect_free: true, ..undo.clone() }),
                }
            }
            ["child", name] => (step.body, step.undo) = (Body::Child((*name).into()), Undo::None),
            ["each", items] => step.each = Some(each(items, None)),
            ["each", items, "by", key] => step.each = Some(each(items, Some((*key).into()))),
            ["collect"] => step.each.as_mut().unwrap().mode = EachMode::Collect,
            ["at", "once", n] => step.each.as_mut().unwrap().concurrency = number(n),
            ["alternates", n] => step.alternates = number(n),
            ["undo", "alternates", n] => match &mut step.undo {
                Undo::Code(policy) => policy.alternates = number(n),
                _ => panic!("no compensation to have alternates"),
            },
            ["undo", "effect-free"] => match &mut step.undo {
                Undo::Code(policy) => policy.effect_free = true,
                _ => step.undo = Undo::Code(UndoPolicy { effect_free: true, ..undo.clone() }),
            },
            ["undo"] => step.undo = Undo::Code(undo.clone()),
            ["undo", "any", "tries"] => match &mut step.undo {
                Undo::Code(policy) => policy.retry.attempts_max = None,
                _ => panic!("no compensation to be tried"),
            },
            ["undo", "nothing"] => step.undo = Undo::Nothing,
            ["no", "undo"] => step.undo = Undo::None,
            ["undo", "tries", n] => {
                let retry = Retry { attempts_max: Some(number(n)), ..undo.retry.clone() };
                step.undo = Undo::Code(UndoPolicy { retry, ..undo.clone() });
            }
            _ => panic!("no step option: {option}"),
        }
    }
    step
}

/// `/input`, or `reason=/cause/code cents=/input/cents` for an object.
fn said_at(words: &[&str]) -> CommandData {
    match words {
        [at] if at.starts_with('/') => CommandData::At((*at).into()),
        members => CommandData::Object(
            members
                .iter()
                .map(|member| member.split_once('=').unwrap())
                .map(|(name, at)| Member { name: name.into(), at: at.into() })
                .collect(),
        ),
    }
}

fn each(items: &str, key: Option<String>) -> Each {
    Each { items: items.into(), key, mode: EachMode::FailFast, concurrency: 100 }
}

/// A definition, what came with it, and what it is started with.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) definition: Arc<Definition>,
    pub(crate) module: Vec<Arc<Definition>>,
    pub(crate) input: String,
}

impl Given {
    /// `a | b(child leg) ; input {"x":1} where leg = c | d and other = …`.
    pub(crate) fn new(text: &str) -> Self {
        let (own, children) = text.split_once(" where ").map_or((text, ""), |(own, children)| (own, children));
        let input = own.split_once(" input ").map_or("{}", |(_, input)| input.split(", ").next().unwrap_or("{}"));
        let children = children.split(" and ").filter_map(|child| child.split_once(" = "));
        let module = children.map(|(name, text)| Arc::new(named(name, text))).collect();
        Self { definition: Arc::new(definition(own)), module, input: input.into() }
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        Arc::new(Plan::new(Arc::clone(&self.definition), &self.module).unwrap())
    }

    pub(crate) fn started(&self) -> Started {
        let input = Payload::json(self.input.clone());
        let lock_keys = keys_of(&self.definition, &input).unwrap();
        Started { input, lock_keys, ..started(&self.definition) }
    }
}

pub(crate) fn started(definition: &Definition) -> Started {
    Started {
        module: "test".into(),
        version: 1,
        digest: [1; 32],
        definition: definition.name.clone(),
        definition_hash: [2; 32],
        incarnation: Incarnation([3; 16]),
        input: Payload::json("{}"),
        input_hash: [4; 32],
        deadline_at: definition.deadline_ms.map(|ms| T0.plus(ms)),
        trace_context: None,
        lock_keys: Vec::new(),
    }
}

/// A script's lines; `·` and line ends separate them.
pub(crate) fn moves(text: &str) -> Vec<Move> {
    text.split(['·', '\n']).map(str::trim).filter(|line| !line.is_empty()).map(parse).collect()
}

fn parse(line: &str) -> Move {
    if let Some(rest) = line.strip_prefix('+') {
        return Move::Pass(ms(rest));
    }
    if let Some(edit) = line.strip_prefix("move ") {
        return Move::Edit(Edit::new(edit));
    }
    let path = |name: &&str| StepPath::new(name);
    match words(line).as_slice() {
        ["clock", length] => match length.strip_prefix('-') {
            Some(back) => Move::Clock(-i64::try_from(ms(back)).unwrap()),
            None => Move::Clock(i64::try_from(ms(length.trim_start_matches('+'))).unwrap()),
        },
        ["event", on] => Move::Event { topic: topic(on), id: (*on).into() },
        ["event", on, "id", id] => Move::Event { topic: topic(on), id: (*id).into() },
        ["cancel"] => Move::Verb(Verb::Cancel),
        ["abandon"] => Move::Verb(Verb::Abandon),
        ["retry"] => Move::Verb(Verb::Retry(Legs::All)),
        ["retry", step] => Move::Verb(Verb::Retry(Legs::Of(path(step)))),
        ["retry", "only", ..] => {
            let legs = line.trim_start_matches("retry only ");
            Move::Verb(Verb::Retry(Legs::These(legs.split(", ").map(|leg| leg_of(&words(leg)).0).collect())))
        }
        ["skip", step] => Move::Verb(Verb::Skip(Legs::Of(path(step)))),
        ["resolve", step, "done", json] => {
            Move::Verb(Verb::Resolve(Legs::Of(path(step)), Resolution::Output(Payload::json((*json).to_owned()))))
        }
        ["resolve", step, "done"] => Move::Verb(Verb::Resolve(Legs::Of(path(step)), Resolution::Output(Payload::null()))),
        ["resolve", step, "not-done"] => Move::Verb(Verb::Resolve(Legs::Of(path(step)), Resolution::NotDone)),
        ["resolve", step, "undone"] => Move::Verb(Verb::Resolve(Legs::Of(path(step)), Resolution::Undone)),
        ["host", "stops"] => Move::HostStops(Vec::new()),
        ["host", "stops", "in", ..] => {
            let legs = line.trim_start_matches("host stops in ");
            Move::HostStops(legs.split(", ").map(|leg| leg_of(&words(leg)).0).collect())
        }
        ["locks", "taken"] => Move::Locks(None),
        ["locks", "queued", keys @ ..] => Move::Locks(Some(keys.iter().map(ToString::to_string).collect())),
        ["unlock", key] => Move::Verb(Verb::Unlock((*key).into())),
        ["grants", "change"] => Move::GrantsChange,
        ["code", "comes", "for", aggregate] => Move::CodeComes((*aggregate).into()),
        ["reach", switch] => Move::Reach(*switch == "on"),
        ["journal", "full"] => Move::Journal(Room::Full),
        ["journal", "spent"] => Move::Journal(Room::Spent),
        ["journal", "has", "room"] => Move::Journal(Room::Free),
        ["show"] => Move::Show,
        ["unwanted"] => Move::Unwanted,
        ["call", leg @ ..] => Move::Call(leg_of(leg).0),
        ["answer", leg @ .., command, said] => {
            Move::Answer { leg: leg_of(leg).0, number: number(command), accepted: *said == "accepted" }
        }
        words => report(words),
    }
}

fn report(words: &[&str]) -> Move {
    let (leg, mut rest) = leg_of(words);
    let mut attempt = None;
    if let [first, more @ ..] = rest
        && let Some(n) = first.strip_prefix('#')
    {
        (attempt, rest) = (Some(number(n)), more);
    }
    let mut sends = Sends::default();
    if let [more @ .., "sends", count, "alone"] = rest {
        (sends, rest) = (Sends { commands: number(count), events: 0 }, more);
    }
    if let [more @ .., "sends", count] = rest {
        (sends, rest) = (Sends { commands: number(count), events: 1 }, more);
    }
    let left = match rest {
        [more @ .., "unanswered"] => {
            rest = more;
            Left::Unanswered
        }
        [more @ .., "answered"] => {
            rest = more;
            Left::Answered
        }
        _ => Left::Nothing,
    };
    let said = |outcome| Said::Outcome(outcome);
    let outcome = match rest {
        ["done"] => said(Outcome::Done(Payload::null())),
        ["done", json] => said(Outcome::Done(Payload::json((*json).to_owned()))),
        ["refused", code] => said(Outcome::Refused(failure(code))),
        ["transient", code] => said(Outcome::Transient(failure(code))),
        ["unknown", code] => said(Outcome::Unknown(failure(code))),
        ["traps"] => said(Outcome::Trapped(failure("trap"))),
        ["traps", code] => said(Outcome::Trapped(failure(code))),
        ["host-fails", code] => said(Outcome::HostFault(failure(code))),
        ["not-done"] => said(Outcome::NotDone),
        ["denied", "effect_free", origin] => said(Outcome::Denied(Denial::new(*origin, DenialReason::EffectFree))),
        ["denied", origin] => said(Outcome::Denied(Denial::new(*origin, DenialReason::NotGranted))),
        ["waits", "for", "nothing"] => Said::Wait { event: None, for_ms: None, answer: None },
        ["waits", "for", parts @ ..] => {
            let (mut event, mut for_ms, mut answer) = (None, None, None);
            for part in parts.split(|word| *word == "or") {
                match part {
                    ["answer", command] => answer = Some(number(command)),
                    [on] if on.contains('/') => event = Some(topic(on)),
                    [length] => for_ms = Some(ms(length)),
                    _ => panic!("no wait: {}", words.join(" ")),
                }
            }
            Said::Wait { event, for_ms, answer }
        }
        _ => panic!("no move: {}", words.join(" ")),
    };
    Move::Report { leg, number: attempt, outcome, left, sends }
}

fn leg_of<'a, 'b>(words: &'a [&'b str]) -> (Leg, &'a [&'b str]) {
    let (direction, words) = match words {
        ["undo", rest @ ..] => (Direction::Undo(0), rest),
        ["check", rest @ ..] => (Direction::Check, rest),
        [first, rest @ ..] if first.starts_with("undo#") => (Direction::Undo(number(&first[5..])), rest),
        rest => (Direction::Forward, rest),
    };
    let [step, rest @ ..] = words else { panic!("no step in {words:?}") };
    let (alternate, rest) = counted("alternate", rest);
    let (round, rest) = counted("round", rest);
    (Leg { path: StepPath::new(step), alternate, round, direction }, rest)
}

fn counted<'a, 'b>(what: &str, words: &'a [&'b str]) -> (u32, &'a [&'b str]) {
    match words {
        [word, n, rest @ ..] if *word == what => (number(n), rest),
        rest => (0, rest),
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

fn topic(text: &str) -> Topic {
    let (event_type, key) = text.split_once('/').unwrap_or_else(|| panic!("no topic: {text}"));
    Topic { event_type: event_type.into(), key: key.into() }
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

fn ms(text: &str) -> u64 {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or_else(|| panic!("no unit in {text}"));
    let unit = units.iter().find(|(name, _)| *name == &text[at..]).unwrap_or_else(|| panic!("no unit in {text}"));
    text[..at].parse::<u64>().unwrap_or_else(|_| panic!("no length: {text}")) * unit.1
}

pub(crate) fn length(ms: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fits = |(_, size): &&(&str, u64)| ms >= 2 * size && ms.is_multiple_of(*size) || ms == *size;
    units.iter().find(fits).map_or_else(|| format!("{ms}ms"), |(name, size)| format!("{}{name}", ms / size))
}

pub(crate) fn moment(at: Instant) -> String {
    if at < T0 { format!("-{}", length(T0.since(at))) } else { format!("+{}", length(at.since(T0))) }
}

pub(crate) fn json(payload: &Payload) -> String {
    String::from_utf8_lossy(&payload.bytes).into_owned()
}

/// The payload behind a blank; nothing for `null`.
fn and_json(payload: &Payload) -> String {
    if *payload == Payload::null() { String::new() } else { format!(" {}", json(payload)) }
}

fn on(topic: &Topic) -> String {
    format!("{}/{}", topic.event_type, topic.key)
}

pub(crate) fn wait_text(wait: &Wait) -> String {
    let answer = wait.answer.map(|number| format!("answer {number}"));
    let parts: Vec<String> = wait.event.iter().map(on).chain(answer).chain(wait.until.map(moment)).collect();
    if parts.is_empty() { "nothing".into() } else { parts.join(" or ") }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer { leg, number, accepted } => {
                write!(f, "answer {leg} {number} {}", if *accepted { "accepted" } else { "refused" })
            }
            Self::Report { leg, number, outcome, left, sends } => {
                write!(f, "{leg}")?;
                number.map_or(Ok(()), |n| write!(f, " #{n}"))?;
                match outcome {
                    Said::Outcome(Outcome::Done(output)) => write!(f, " done{}", and_json(output))?,
                    Said::Outcome(Outcome::Refused(failure)) => write!(f, " refused {}", failure.code)?,
                    Said::Outcome(Outcome::Transient(failure)) => write!(f, " transient {}", failure.code)?,
                    Said::Outcome(Outcome::Unknown(failure)) => write!(f, " unknown {}", failure.code)?,
                    Said::Outcome(Outcome::Trapped(failure)) => write!(f, " traps {}", failure.code)?,
                    Said::Outcome(Outcome::HostFault(failure)) => write!(f, " host-fails {}", failure.code)?,
                    Said::Outcome(Outcome::NotDone) => write!(f, " not-done")?,
                    Said::Outcome(Outcome::Denied(denial)) => write!(f, " denied {}", denial_text(denial))?,
                    Said::Outcome(Outcome::Wait(_)) => panic!("a script's waits are relative"),
                    Said::Wait { event, for_ms, answer } => {
                        let answer = answer.map(|number| format!("answer {number}"));
                        let parts: Vec<String> = event.iter().map(on).chain(answer).chain(for_ms.map(length)).collect();
                        write!(f, " waits for {}", if parts.is_empty() { "nothing".into() } else { parts.join(" or ") })?;
                    }
                }
                match left {
                    Left::Nothing => {}
                    Left::Answered => write!(f, " answered")?,
                    Left::Unanswered => write!(f, " unanswered")?,
                }
                match sends {
                    Sends { commands: 0, .. } => Ok(()),
                    Sends { commands, events: 0 } => write!(f, " sends {commands} alone"),
                    Sends { commands, .. } => write!(f, " sends {commands}"),
                }
            }
            Self::Pass(ms) => write!(f, "+{}", length(*ms)),
            Self::Clock(ms) if *ms < 0 => write!(f, "clock -{}", length(ms.unsigned_abs())),
            Self::Clock(ms) => write!(f, "clock +{}", length(ms.unsigned_abs())),
            Self::Event { topic, id } if *id == on(topic) => write!(f, "event {}", on(topic)),
            Self::Event { topic, id } => write!(f, "event {} id {id}", on(topic)),
            Self::Verb(Verb::Cancel) => write!(f, "cancel"),
            Self::Verb(Verb::Abandon) => write!(f, "abandon"),
            Self::Verb(Verb::Retry(legs)) => write!(f, "retry{}", legs_text(legs)),
            Self::Verb(Verb::Skip(legs)) => write!(f, "skip{}", legs_text(legs)),
            Self::Verb(Verb::Resolve(legs, resolution)) => {
                write!(f, "resolve{} {}", legs_text(legs), resolution_text(resolution))
            }
            Self::Verb(Verb::Move(offered)) => write!(f, "move to v{}", offered.code.version),
            Self::HostStops(legs) if legs.is_empty() => write!(f, "host stops"),
            Self::HostStops(legs) => {
                write!(f, "host stops in {}", legs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Locks(None) => write!(f, "locks taken"),
            Self::Locks(Some(keys)) => write!(f, "locks queued {}", keys.join(" ")),
            Self::Verb(Verb::Unlock(key)) => write!(f, "unlock {key}"),
            Self::GrantsChange => write!(f, "grants change"),
            Self::CodeComes(aggregate) => write!(f, "code comes for {aggregate}"),
            Self::Edit(edit) => write!(f, "move {edit}"),
            Self::Reach(on) => write!(f, "reach {}", if *on { "on" } else { "off" }),
            Self::Journal(Room::Full) => f.write_str("journal full"),
            Self::Journal(Room::Spent) => f.write_str("journal spent"),
            Self::Journal(Room::Free) => f.write_str("journal has room"),
            Self::Show => write!(f, "show"),
            Self::Unwanted => write!(f, "unwanted"),
            Self::Call(leg) => write!(f, "call {leg}"),
        }
    }
}

fn legs_text(legs: &Legs) -> String {
    let list = |names: Vec<String>| names.join(", ");
    match legs {
        Legs::All => String::new(),
        Legs::Of(path) => format!(" {path}"),
        Legs::OfEach(paths) => format!(" each {}", list(paths.iter().map(ToString::to_string).collect())),
        Legs::These(legs) => format!(" only {}", list(legs.iter().map(ToString::to_string).collect())),
    }
}

fn resolution_text(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Output(output) => format!("done{}", and_json(output)),
        Resolution::NotDone => "not-done".into(),
        Resolution::Undone => "undone".into(),
    }
}

fn charge_text(charge: Charge) -> &'static str {
    match charge {
        Charge::Leg => "",
        Charge::HostStop { executing: true } => " (executing)",
        Charge::HostFault | Charge::HostStop { executing: false } => " (not charged)",
    }
}

pub(crate) fn reason_text(reason: &Reason) -> String {
    match reason {
        Reason::Refused(path, failure) => format!("{path} refused {}", failure.code),
        Reason::Exhausted(path, failure) => format!("{path} exhausted {}", failure.code),
        Reason::Unknown(path, failure) => format!("{path} unknown {}", failure.code),
        Reason::Cancelled => "cancelled".into(),
        Reason::Deadline => "deadline".into(),
    }
}

/// A missing grant is the usual reason and is left out.
fn denial_text(denial: &Denial) -> String {
    match &denial.reason {
        DenialReason::NotGranted => denial.origin.clone(),
        reason => format!("{} {}", reason.name(), denial.origin),
    }
}

pub(crate) fn why_text(why: &Why) -> String {
    match why {
        Why::Exhausted(failure) => format!("exhausted {}", failure.code),
        Why::Refused(failure) => format!("refused {}", failure.code),
        Why::Unknown(failure) => format!("unknown {}", failure.code),
        Why::PivotInDoubt(failure) => format!("pivot in doubt {}", failure.code),
        Why::Denied(denial) => format!("denied {}", denial_text(denial)),
        Why::HostDied => "host died".into(),
        Why::JournalFull => "journal full".into(),
    }
}

/// An event as one line: its name, its leg and attempt, what matters of the rest.
pub(crate) fn event_text(event: &Event) -> String {
    let rest = match event {
        Event::Moved(moved) => format!("to version {}", moved.code.version),
        Event::LockQueued(behind) => behind.join(" "),
        Event::LockBroken(key, _) => key.clone(),
        Event::Started(_) | Event::LockTaken | Event::Completed | Event::Compensated | Event::Abandoned(_) => String::new(),
        Event::Intent(intent) => {
            let reach = if intent.reaches_outside { "" } else { " (effect-free)" };
            let solo = if intent.solo { " (alone)" } else { "" };
            format!("{} #{}{reach}{solo}", intent.attempt.leg, intent.attempt.number)
        }
        Event::Listed(path, elements) => {
            let keys: Vec<&str> = elements.iter().map(|element| element.key.as_str()).collect();
            format!("{path}: {}", keys.join(", "))
        }
        Event::Done(attempt, output) => format!("{} #{}{}", attempt.leg, attempt.number, and_json(output)),
        Event::Refused(attempt, failure) => format!("{} #{} {}", attempt.leg, attempt.number, failure.code),
        Event::Transient(attempt, failure, charge) | Event::Unknown(attempt, failure, charge) => {
            format!("{} #{} {}{}", attempt.leg, attempt.number, failure.code, charge_text(*charge))
        }
        Event::NotDone(attempt) | Event::Undone(attempt) => format!("{} #{}", attempt.leg, attempt.number),
        Event::Wait(attempt, wait) => format!("{} #{} for {}", attempt.leg, attempt.number, wait_text(wait)),
        Event::Arrived(leg, arrival) => format!("{leg} {}", on(&arrival.topic)),
        Event::TimerFired(leg) | Event::Unstuck(leg) => leg.to_string(),
        Event::Sent(attempt, sent) => {
            format!("{} #{} {} to {}/{}{}", attempt.leg, attempt.number, sent.name, sent.aggregate, sent.to, and_json(&sent.data))
        }
        Event::Published(attempt, published) => format!("{} #{} {}", attempt.leg, attempt.number, on(&published.topic)),
        Event::Answered(leg, answered) => {
            let said = match &answered.answer {
                Answer::Accepted { revision, .. } => format!("accepted, revision {revision}"),
                Answer::Refused(failure) => format!("refused {}", failure.code),
            };
            format!("{leg} command {} by {}/{}: {said}", answered.number, answered.aggregate, answered.from)
        }
        Event::Stale(attempt, outcome) => format!("{} #{} {}", attempt.leg, attempt.number, outcome.name()),
        Event::Backoff(leg, until) => format!("{leg} until {}", moment(*until)),
        Event::RollbackBegun(reason) => reason_text(reason),
        Event::RoundBegun(round) => format!("{} from {}", round.number, round.savepoint),
        Event::Resolved(path, resolution, _) => format!("{path} {}", resolution_text(resolution)),
        Event::Skipped(path, _) => path.to_string(),
        Event::Retried(legs, _) => legs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Event::CancelRequested(Cancel::Asked(_)) => "asked".into(),
        Event::CancelRequested(Cancel::Deadline) => "deadline".into(),
        Event::Stuck(leg, why) => format!("{leg}: {}", why_text(why)),
    };
    format!("{} {rest}", event.name()).trim_end().to_owned()
}
