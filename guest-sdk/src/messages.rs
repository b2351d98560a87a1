//! What code of a step sends inside the host: commands to aggregates, and events.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::bindings::imports::amends::module::types as wit;
use crate::bindings::imports::amends::module::types;
use crate::stop::{Failure, Result, Stop, Wait, refused};
use crate::{Aggregate, Answered, AnsweredEvent, Arrival, Call, Commands, Events, host, payload};

/// To which aggregate a command is sent: its name and its id.
///
/// [`Aggregate::to`] makes one of an aggregate that the crate has, and knows its commands; this is for one of another module.
///
/// ```
/// use amends_sdk::To;
///
/// let customer = To::new("customer", "C1");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it sends nothing"]
pub struct To {
    pub(crate) aggregate: String,
    pub(crate) id: String,
    commands: Option<Vec<&'static str>>,
}

impl To {
    /// The aggregate of this name and id.
    pub fn new(aggregate: impl Into<String>, id: impl Into<String>) -> To {
        To { aggregate: aggregate.into(), id: id.into(), commands: None }
    }

    /// Refuses a command that the aggregate does not have, as far as this is known.
    pub(crate) fn knows(&self, command: &str) -> Result {
        match self.commands.as_ref().filter(|known| !known.contains(&command)) {
            None => Ok(()),
            Some(known) => {
                let message = format_args!("{} has no command {command}; it has {}", self.aggregate, known.join(", "));
                Err(refused("no_command", message))
            }
        }
    }
}

impl<S, C: Commands, E: Events> Aggregate<S, C, E> {
    /// To which of these aggregates a command is sent. See [`Call::send`] and [`Call::ask`].
    pub fn to(&self, id: impl Into<String>) -> To {
        let commands = C::COMMANDS.iter().map(|command| command.name).collect();
        To { commands: Some(commands), ..To::new(self.name(), id) }
    }
}

/// What an aggregate decided about a command that a step has sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// It is done.
    Accepted(Answered),
    /// It is not, and nothing was recorded.
    Refused(Failure),
}

impl Call {
    /// Sends a command to an aggregate, and gives its id.
    ///
    /// It leaves with the outcome of this attempt, in its commit, if the step is done or waits; with every other outcome nothing
    /// leaves. It is decided once, however often the host stops. What the aggregate decides concerns the step only if it waits for
    /// it: [`ask`](Self::ask) does both.
    ///
    /// The id is the same in every attempt that is repeated before its outcome was recorded. After a wait a step runs from its
    /// beginning, and what it sends then is another command; so it sends behind its wait, or as its last operation. A step that has
    /// sent something and fails later may have happened, and is undone.
    ///
    /// A command that the aggregate does not have is `refused` with `no_command`, if the aggregate is one of this crate. Names are of
    /// the form `[a-z][a-z0-9-]{0,62}`, and an id has 1 to 128 printable bytes without `/` and is neither `.` nor `..`. One attempt
    /// sends at most 64 messages, commands and events, with 1 MiB of data together. What breaks these rules ends the attempt, as a
    /// panic does.
    ///
    /// ```
    /// use amends_sdk::{Call, Result, To};
    /// use serde_json::json;
    /// # use serde::Deserialize;
    /// # #[derive(Deserialize)] struct Order { id: String, customer: String }
    ///
    /// fn remind(order: Order, call: &Call) -> Result {
    ///     call.send(To::new("customer", &order.customer), "note", &json!({"order": order.id}))?;
    ///     call.publish("order.reminded", &order.id, &json!(null))
    /// }
    /// ```
    pub fn send(&self, to: To, command: &str, data: &impl Serialize) -> Result<String> {
        self.send_at(to, command, data, None)
    }

    /// The same, only if the aggregate has exactly so many events then: else it is refused with `revision_changed`.
    pub fn send_at(&self, to: To, command: &str, data: &impl Serialize, revision: impl Into<Option<u64>>) -> Result<String> {
        to.knows(command)?;
        let To { aggregate, id, .. } = to;
        let (name, data, expect_revision) = (command.to_owned(), payload::encode(data)?, revision.into());
        Ok(host::send_command(&wit::OutgoingCommand { aggregate, id, name, data, expect_revision }))
    }

    /// Sends a command and waits for its answer, without a time limit. What the aggregate refuses is refused, with the same failure.
    ///
    /// In the first attempt this sends the command and returns a [`Stop::Wait`], which `?` passes to the host. When the answer has
    /// come, the host calls the step again from its beginning, and this returns the answer and sends nothing. A step waits once, so
    /// it asks once; where nothing is to be computed, a [command step](crate::Step::command) is simpler.
    ///
    /// A compensation cannot be refused, and asks again: if the attempt that is told of the refusal fails, the next one sends the
    /// command anew and waits, also the one after an operator's `retry`. So it goes on when the aggregate decides otherwise.
    ///
    /// ```
    /// use amends_sdk::testing::given;
    /// use amends_sdk::{Call, Result, Saga, Step, To};
    /// use serde::Deserialize;
    /// use serde_json::{Value, json};
    ///
    /// #[derive(Deserialize)]
    /// struct Order { customer: String, nights: u64 }
    ///
    /// fn price(order: Order, call: &Call) -> Result<u64> {
    ///     let cents = order.nights * 9_900;
    ///     let answer = call.ask::<u64>(To::new("customer", &order.customer), "quote", &json!({"cents": cents}))?;
    ///     Ok(answer.data)
    /// }
    ///
    /// let saga = Saga::new("stay").step(Step::compensatable("price", price).undo_nothing());
    /// given(saga)
    ///     .commands("customer", |sent| Ok(json!(sent.data()["cents"].as_u64().unwrap_or(0) * 9 / 10)))
    ///     .when(json!({"customer": "C1", "nights": 2}))
    ///     .then(
    ///         "price sends quote to customer/C1
    ///          price waits for the answer
    ///          price done
    ///          completed",
    ///     );
    /// ```
    pub fn ask<T: DeserializeOwned>(&self, to: To, command: &str, data: &impl Serialize) -> Result<Answered<T>> {
        self.waits_once()?;
        match self.arrived() {
            None => Err(Wait::answer(self.send(to, command, data)?).into()),
            Some(Arrival::Answer(Decided::Refused(failure))) => Err(Stop::Refused(failure)),
            Some(Arrival::Answer(Decided::Accepted(Answered { revision, data, events }))) => {
                let data = T::deserialize(data).map_err(|error| refused("bad_answer", error))?;
                Ok(Answered { revision, data, events })
            }
            Some(other) => Err(other.unexpected()),
        }
    }

    /// Publishes an event, which ends the waits of sagas and starts sagas, as one that comes from outside. It leaves as a command
    /// does: see [`send`](Self::send).
    ///
    /// The type has 1 to 255 printable bytes, and the key at most 1,024 without control characters; others end the attempt, as a
    /// panic does. The types of an aggregate's events, as `customer.opened`, are that aggregate's own: such an event is not
    /// published, the step ends as it would, and the host logs an error. The [test kit](crate::testing) panics.
    pub fn publish(&self, event_type: &str, key: &str, data: &impl Serialize) -> Result {
        let data = payload::encode(data)?;
        host::publish(&wit::OutgoingEvent { event_type: event_type.to_owned(), key: key.to_owned(), data });
        Ok(())
    }
}

impl From<&types::Answer> for Decided {
    fn from(answer: &types::Answer) -> Decided {
        let value =
            |data: &Option<types::Payload>| data.as_ref().and_then(|data| payload::decode(data).ok()).unwrap_or(Value::Null);
        match answer {
            types::Answer::Refused(failure) => Decided::Refused(Failure::from(failure)),
            types::Answer::Accepted(types::Accepted { revision, events, data }) => {
                let event = |event: &types::RecordedEvent| AnsweredEvent {
                    event_type: event.event_type.clone(),
                    version: event.version,
                    revision: event.revision,
                    data: value(&event.data),
                };
                Decided::Accepted(Answered { revision: *revision, data: value(data), events: events.iter().map(event).collect() })
            }
        }
    }
}
