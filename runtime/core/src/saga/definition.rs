//! What a module declares about a saga: ordered stages of steps, as data.
//!
//! A definition is read at deploy, checked by [`crate::validate`], recorded with the version, and never changes.

use serde::{Deserialize, Serialize};

use crate::id::Direction;

/// A saga: stages that run in order, `compensatable* pivot? retriable*`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// `[a-z][a-z0-9-]{0,62}`; belongs to one module of a namespace.
    pub name: String,
    /// The author's number, for people.
    pub version: u32,
    /// In order.
    pub stages: Vec<Stage>,
    /// The step whose output is the saga's.
    pub output: Option<String>,
    /// From the start record.
    pub deadline_ms: Option<u64>,
    /// Taken together with the start record.
    pub locks: Vec<LockKey>,
    /// What happens when a lock key is held.
    pub on_locked: OnLocked,
    /// How many rounds may follow the first.
    pub rounds: u32,
    /// A JSON Schema of the input.
    pub schema: Option<String>,
}

/// Steps that run in parallel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// At least one.
    pub steps: Vec<Step>,
    /// A rollback may stop at the end of this stage.
    pub savepoint_after: Option<String>,
}

/// One step of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Unique in its saga.
    pub name: String,
    /// Where it stands to the point of no return.
    pub kind: Kind,
    /// What runs it.
    pub body: Body,
    /// It declares that it never reaches outside, nor does its check. Its compensation has a declaration of its own.
    pub effect_free: bool,
    /// Earlier steps whose outputs it wants.
    pub needs: Vec<String>,
    /// How often and when to try again.
    pub retry: Retry,
    /// Bounds one attempt.
    pub deadline_ms: u64,
    /// What to do when nobody can tell whether an attempt happened.
    pub on_unknown: OnUnknown,
    /// What to do when the retries are used up.
    pub on_exhausted: OnExhausted,
    /// How many alternates follow the first.
    pub alternates: u32,
    /// How it is undone.
    pub undo: Undo,
    /// Fan-out over a list known only at run time.
    pub each: Option<Each>,
}

/// Where a step stands to the point of no return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Undone if a later step fails.
    Compensatable,
    /// Done means forward to the end.
    Pivot,
    /// After the point of no return: tried until done.
    Retriable,
}

/// What runs a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// The module's code.
    Code,
    /// A saga of the same module, expanded in place.
    Child(String),
    /// A command to an aggregate: its answer is the step's outcome.
    Command(CommandStep),
}

/// A command as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandStep {
    /// The aggregate's name.
    pub aggregate: String,
    /// A JSON pointer: which one.
    pub id: String,
    /// The command's name.
    pub command: String,
    /// What it says.
    pub data: CommandData,
    /// The command that undoes it.
    pub undo: Option<CommandUndo>,
}

/// Where what a command says comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommandData {
    /// A JSON pointer: the value there.
    At(String),
    /// An object of such values.
    Object(Vec<Member>),
}

/// A member of an object that is made for a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Unique in its object.
    pub name: String,
    /// A JSON pointer: its value.
    pub at: String,
}

/// A command that undoes another one, at the same aggregate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandUndo {
    /// The command's name.
    pub command: String,
    /// What it says; none: what the other one says.
    pub data: Option<CommandData>,
}

/// How a step is undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// Not undone: a pivot or a retriable step.
    None,
    /// A compensatable step that leaves nothing to undo.
    Nothing,
    /// By the module's code.
    Code(UndoPolicy),
}

/// How a compensation is tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoPolicy {
    /// How often and when to try again.
    pub retry: Retry,
    /// Bounds one attempt.
    pub deadline_ms: u64,
    /// How many alternates follow the first way of undoing it.
    pub alternates: u32,
    /// The compensation declares that it never reaches outside.
    pub effect_free: bool,
}

/// Exponential backoff with a cap and jitter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// None is no limit.
    pub attempts_max: Option<u32>,
    /// The first delay.
    pub first_ms: u64,
    /// Each delay is this many percent of the one before; at least 100.
    pub factor_percent: u32,
    /// No delay is longer, but for jitter.
    pub cap_ms: u64,
    /// How far a delay may be shifted, either way; at most 100.
    pub jitter_percent: u8,
    /// From the step's first intent. Waits do not count, nor does what the host could not run.
    pub time_box_ms: Option<u64>,
}

/// What to do when nobody can tell whether an attempt happened (law 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    /// Try again with the same key.
    Retry,
    /// Ask the module's `check` first.
    Check,
    /// Never run it again; roll back.
    OnceThenRollback,
    /// Never run it again; stop for an operator.
    OnceThenStop,
}

/// What to do when the retries are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// Roll back with reason `exhausted`.
    Rollback,
    /// Stop for an operator.
    Stuck,
}

/// Fan-out over a list known only at run time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Each {
    /// A JSON pointer to the list.
    pub items: String,
    /// A JSON pointer into an element: its key.
    pub key: Option<String>,
    /// What one refusal means.
    pub mode: EachMode,
    /// How many elements run at once.
    pub concurrency: u32,
}

/// What one refused element means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EachMode {
    /// The step is refused.
    FailFast,
    /// It is a result like any other.
    Collect,
}

/// A key that keeps two sagas off the same business object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockKey {
    /// What is locked.
    pub name: String,
    /// A JSON pointer into the input: which one.
    pub pointer: String,
}

/// What happens when a lock key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLocked {
    /// The start is durable and waits its turn.
    Queue,
    /// The start is refused.
    Refuse,
}

impl Definition {
    /// The step of this name, with the index of its stage.
    pub fn step(&self, name: &str) -> Option<(usize, &Step)> {
        self.steps().find(|(_, step)| step.name == name)
    }

    /// Every step with the index of its stage, in order.
    pub fn steps(&self) -> impl Iterator<Item = (usize, &Step)> {
        self.stages.iter().enumerate().flat_map(|(index, stage)| stage.steps.iter().map(move |step| (index, step)))
    }
}

impl Step {
    /// The declaration that holds for attempts of this direction: that they never reach outside.
    pub fn is_effect_free(&self, direction: Direction) -> bool {
        match (direction, &self.undo) {
            (Direction::Undo(_), Undo::Code(policy)) => policy.effect_free,
            (Direction::Undo(_), Undo::None | Undo::Nothing) => false,
            (Direction::Forward | Direction::Check, _) => self.effect_free,
        }
    }
}

impl Retry {
    /// Before the pivot: no limit on attempts, a time box of 24 hours.
    pub fn forward() -> Self {
        Self {
            attempts_max: None,
            first_ms: 200,
            factor_percent: 200,
            cap_ms: 60_000,
            jitter_percent: 20,
            time_box_ms: Some(86_400_000),
        }
    }

    /// Compensations and retriable steps: 20 attempts, no time box.
    pub fn persistent() -> Self {
        Self { attempts_max: Some(20), time_box_ms: None, ..Self::forward() }
    }
}
