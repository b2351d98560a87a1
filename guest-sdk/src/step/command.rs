//! Commands: what an aggregate decides, in place of a step's function.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::Deserialize;
use serde_json::Value;

use super::{Erased, Step, kind, spec};
use crate::bindings::saga::exports::amends::module::saga as wit;
use crate::{Aggregate, Commands, Events, Retry};

/// Which aggregate a step's command is sent to: its name, and where its id is.
///
/// [`Aggregate::at`] makes one of an aggregate that the crate has; this is for one of another module.
///
/// ```
/// use amends_sdk::At;
///
/// let customer = At::new("customer", "/input/customer");
/// let invoice = At::new("invoice", "/outputs/bill/data/invoice");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it says nothing until a step has it"]
pub struct At {
    aggregate: String,
    id: String,
    /// The names of its commands, if they are known here.
    commands: Option<Vec<&'static str>>,
}

impl At {
    /// The aggregate of this name whose id is at this JSON pointer: `/input/customer`, or `/outputs/bill/data/invoice` for the
    /// output of the step `bill`, which is of an earlier stage. The id is a text or a number.
    pub fn new(aggregate: impl Into<String>, id: impl Into<String>) -> At {
        At { aggregate: aggregate.into(), id: id.into(), commands: None }
    }
}

impl<S, C: Commands, E: Events> Aggregate<S, C, E> {
    /// Where a step's command is sent: to the one of these aggregates whose id is at this JSON pointer. See [`Step::command`].
    pub fn at(&self, id: impl Into<String>) -> At {
        let commands = C::COMMANDS.iter().map(|command| command.name).collect();
        At { commands: Some(commands), ..At::new(self.name(), id) }
    }
}

/// What a step's command says: the value at a JSON pointer, or an object that is made of such values.
///
/// `"/input/credit"` and `[("order", "/input/order"), ("cents", "/outputs/quote/cents")]` are such data; the input is that of the
/// saga, or the element of [`each`](Step::each), and the steps of outputs are of earlier stages. See [`Step::data`] and
/// [`Step::undo_with`].
///
/// Where a pointer finds nothing, the step is refused with `no_data`; where the data has more bytes than a payload may have, 1 MiB by
/// default, with `payload_too_large`.
#[derive(Clone, Debug)]
#[must_use = "it says nothing until a step has it"]
pub struct CommandData(wit::CommandData);

impl From<&str> for CommandData {
    fn from(pointer: &str) -> CommandData {
        CommandData::from(pointer.to_owned())
    }
}

impl From<String> for CommandData {
    fn from(pointer: String) -> CommandData {
        CommandData(wit::CommandData::At(pointer))
    }
}

impl<N: Into<String>, P: Into<String>, const MEMBERS: usize> From<[(N, P); MEMBERS]> for CommandData {
    fn from(members: [(N, P); MEMBERS]) -> CommandData {
        CommandData::from(Vec::from(members))
    }
}

impl<N: Into<String>, P: Into<String>> From<Vec<(N, P)>> for CommandData {
    fn from(members: Vec<(N, P)>) -> CommandData {
        let member = |(name, at): (N, P)| wit::Member { name: name.into(), at: at.into() };
        CommandData(wit::CommandData::Object(members.into_iter().map(member).collect()))
    }
}

/// The output of a step that is a command: what its aggregate recorded, and answered.
///
/// A later step reads it with [`Call::output`](crate::Call::output), and a later command by a pointer: `/outputs/bill/data/invoice`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Answered<T = Value> {
    /// The aggregate's revision afterwards.
    pub revision: u64,
    /// The answer; `null` if there was none.
    pub data: T,
    /// What was recorded, in order.
    pub events: Vec<AnsweredEvent>,
}

/// An event that a step's command recorded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct AnsweredEvent {
    /// As `customer.credit-reserved`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// The form of its data.
    pub version: u32,
    /// Its number in the aggregate's stream.
    pub revision: u64,
    /// What it says.
    pub data: Value,
}

// `Answered` does not serialize, so that no step of code has it as its output: a step with it is a command.
impl<I> Step<kind::WithoutUndo, I, Answered> {
    /// A command to an aggregate in place of a function, undone by another command: [`undo`](Self::undo), or
    /// [`undo_with`](Self::undo_with) data of its own; or [`undo_nothing`](Self::undo_nothing).
    ///
    /// What the aggregate decides is the step's outcome: what it refuses is refused, with the same failure, and all else is done.
    /// Nothing else runs: the step is data, and needs neither code nor the disk. Its command is the same in every attempt, so it
    /// is decided once. While no active module has the aggregate, the step waits and uses up no attempts.
    ///
    /// The command's data is the saga's input, if [`data`](Self::data) does not say otherwise. Input and outputs are
    /// [`Answered`].
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Aggregate, Command, Decision, Event, Saga, Step, accept, nothing, refuse};
    /// use serde::{Deserialize, Serialize};
    /// use serde_json::json;
    ///
    /// #[derive(Command, Deserialize)]
    /// enum Do { Take { seats: u32 }, GiveBack { seats: u32 } }
    ///
    /// #[derive(Event, Serialize, Deserialize)]
    /// enum Did { Taken { seats: u32 }, GivenBack { seats: u32 } }
    ///
    /// /// A flight of ten seats; the state is how many of them are taken.
    /// fn flight() -> Aggregate<u32, Do, Did> {
    ///     let decide = |taken: &u32, command: Do| match command {
    ///         Do::Take { seats } if taken + seats > 10 => refuse("full", format_args!("{taken} seats are taken")),
    ///         Do::Take { seats } => accept(Did::Taken { seats }),
    ///         Do::GiveBack { seats } => accept(Did::GivenBack { seats }),
    ///     };
    ///     let evolve = |taken: &mut u32, event: Did| match event {
    ///         Did::Taken { seats } => *taken += seats,
    ///         Did::GivenBack { seats } => *taken -= seats,
    ///     };
    ///     Aggregate::new("flight", decide, evolve)
    /// }
    ///
    /// # #[derive(Deserialize)] struct Trip;
    /// fn trip() -> Saga<Trip> {
    ///     Saga::new("trip")
    ///         .step(Step::command("outbound", flight().at("/input/out"), "take").undo("give-back"))
    ///         .step(Step::command("inbound", flight().at("/input/back"), "take").undo("give-back"))
    /// }
    ///
    /// let run = given(trip())
    ///     .with(given(flight()).id("F2").events([Did::Taken { seats: 9 }]))
    ///     .when(json!({"out": "F1", "back": "F2", "seats": 2}))
    ///     .then(
    ///         "outbound done
    ///          inbound refused full
    ///          undo outbound done
    ///          compensated full",
    ///     );
    /// assert_eq!(run.state(flight(), "F1"), 0);
    /// ```
    ///
    /// ```compile_fail
    /// # use amends_sdk::{At, Saga, Step};
    /// let forgotten = Step::command("reserve", At::new("flight", "/input/flight"), "take");
    /// Saga::<()>::new("trip").step(forgotten); // this compensatable step does not say how it is undone
    /// ```
    pub fn command(name: impl Into<Cow<'static, str>>, at: At, command: impl Into<String>) -> Self {
        Step::sends(name.into(), wit::Kind::Compensatable, at, command.into())
    }

    /// The command that undoes the step, to the same aggregate and with the same data.
    ///
    /// It must not refuse when there is nothing to undo. A refusal of it is tried again 20 times by default, then the saga is
    /// stuck: see [`undo_retry`](Step::undo_retry).
    pub fn undo(self, command: impl Into<String>) -> Step<kind::Compensatable, I, Answered> {
        self.undone_by(wit::CommandUndo { command: command.into(), data: None })
    }

    /// The command that undoes the step, to the same aggregate, and what it says. Otherwise as [`undo`](Self::undo).
    ///
    /// Its pointers may also lead to the output of the step, `/output`, and to why it is undone, `/cause`:
    ///
    /// | pointer | |
    /// |---|---|
    /// | `/cause/kind` | `refused`, `exhausted`, `unknown`, `cancelled`, `deadline`, or `alternate_refused`: see [`RollbackCause`](crate::RollbackCause) |
    /// | `/cause/code` | the code of the failure that the saga rolls back for; or `cancelled`, `deadline` |
    /// | `/cause/message`, `/cause/data` | the rest of that failure |
    /// | `/cause/step` | the path of the step that failed |
    ///
    /// What the output or the cause does not have is `null`. The command is the same in every attempt, also if the saga is cancelled
    /// meanwhile. Where a pointer into the input or an earlier output finds nothing, or the data would be too large, it is not sent; the
    /// saga is stuck in the end.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{At, Saga, Step, refused};
    /// use serde_json::{Value, json};
    ///
    /// let order = || At::new("order", "/input/order");
    /// let why = [("reason", "/cause/code"), ("left", "/cause/data/left")];
    /// let place: Saga<Value> = Saga::new("place")
    ///     .step(Step::command("create", order(), "create").undo_with("reject", why))
    ///     .step(Step::pivot_command("reserve", At::new("customer", "/input/customer"), "reserve"));
    /// given(place)
    ///     .commands("order", |command| {
    ///         if command.name() == "reject" {
    ///             assert_eq!(*command.data(), json!({"reason": "no_credit", "left": 266}));
    ///         }
    ///         Ok(json!(null))
    ///     })
    ///     .commands("customer", |_| Err(refused("no_credit", "266 cents are left").with(json!({"left": 266}))))
    ///     .when(json!({"order": "O1", "customer": "C1"}))
    ///     .then(
    ///         "create done
    ///          reserve refused no_credit
    ///          undo create done
    ///          compensated no_credit",
    ///     );
    /// ```
    pub fn undo_with(self, command: impl Into<String>, data: impl Into<CommandData>) -> Step<kind::Compensatable, I, Answered> {
        self.undone_by(wit::CommandUndo { command: command.into(), data: Some(data.into().0) })
    }

    fn undone_by(mut self, undo: wit::CommandUndo) -> Step<kind::Compensatable, I, Answered> {
        let policy = wit::UndoPolicy { retry: Retry::until_stuck().0, deadline_ms: 30_000, alternates: 0, effect_free: true };
        self.erased.spec.undo = wit::Undo::Code(policy);
        if let wit::Body::Command(step) = &mut self.erased.spec.body {
            step.undo = Some(undo);
        }
        Step { erased: self.erased, types: PhantomData }
    }

    /// Declares that what the command records stays, whatever happens later.
    pub fn undo_nothing(mut self) -> Step<kind::NothingToUndo, I, Answered> {
        self.erased.spec.undo = wit::Undo::Nothing;
        Step { erased: self.erased, types: PhantomData }
    }
}

impl<I> Step<kind::Pivot, I, Answered> {
    /// A command that is the point of no return: refused, the saga rolls back; accepted, it goes forward to its end. Otherwise as
    /// [`command`](Step::command).
    pub fn pivot_command(name: impl Into<Cow<'static, str>>, at: At, command: impl Into<String>) -> Self {
        Step::sends(name.into(), wit::Kind::Pivot, at, command.into())
    }
}

impl<I> Step<kind::Retriable, I, Answered> {
    /// A command after the point of no return. A refusal leaves the saga stuck. Otherwise as [`command`](Step::command).
    pub fn retriable_command(name: impl Into<Cow<'static, str>>, at: At, command: impl Into<String>) -> Self {
        Step::sends(name.into(), wit::Kind::Retriable, at, command.into())
    }
}

impl<K, I> Step<K, I, Answered> {
    fn sends(name: Cow<'static, str>, kind: wit::Kind, at: At, command: String) -> Self {
        let At { aggregate, id, commands } = at;
        let step = wit::CommandStep { aggregate, id, command, data: CommandData::from("/input").0, undo: None };
        let mut spec = spec(name.into_owned(), kind, wit::Body::Command(step));
        spec.effect_free = true;
        let (execute, compensate) = (Vec::new(), Vec::new());
        let erased = Erased { spec, execute, compensate, check: None, child: None, commands };
        Step { erased, types: PhantomData }
    }

    /// What the command says: what is at a JSON pointer as `/input/credit`, or `/outputs/quote` for the output of the step `quote`,
    /// which is of an earlier stage; or an object of that, as `[("order", "/input/order"), ("price", "/outputs/quote/price")]`. By
    /// default it is the whole input, or the element of [`each`](Step::each).
    ///
    /// A command whose variant holds nothing takes any object, and one with fields takes those that it has.
    pub fn data(mut self, data: impl Into<CommandData>) -> Self {
        if let wit::Body::Command(step) = &mut self.erased.spec.body {
            step.data = data.into().0;
        }
        self
    }
}

impl<I> Step<kind::Compensatable, I, Answered> {
    /// How often and how long the command that undoes the step is tried before the saga is stuck.
    pub fn undo_retry(mut self, retry: Retry) -> Self {
        if let wit::Undo::Code(policy) = &mut self.erased.spec.undo {
            policy.retry = retry.0;
        }
        self
    }
}
