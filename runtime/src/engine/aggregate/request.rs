//! What may be asked of an aggregate, and the answers.

use crate::{
    engine::{kernel::request::Answer, messages::Message, recorded::RecordedEvent, refusal::Refusal},
    journal::{RecordId, StreamId},
    store::Position,
};
use amends_core::{
    aggregate::Sender,
    event::Attempt,
    value::{Failure, Payload},
};

/// A command from outside.
#[derive(Clone, Debug)]
pub struct SendCommand {
    /// The aggregate's name.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// The command's name.
    pub name: String,
    /// What it says.
    pub data: Payload,
    /// SHA-256 of the canonical data.
    pub data_hash: [u8; 32],
    /// The client's idempotency key, or an id that was made for it.
    pub command: String,
    /// Only if the aggregate has so many events.
    pub expect_revision: Option<u64>,
    /// W3C `traceparent`.
    pub trace_context: Option<String>,
    /// What sends it; none: a request from outside.
    pub sender: Option<Sender>,
    /// The root of its chain of causes; none: it is itself.
    pub correlation: Option<String>,
    /// Through how many streams that chain has led to it.
    pub depth: u16,
    /// The record of a policy that led to it. What a saga sends is found by the saga.
    pub cause: Option<RecordId>,
}

/// Who waits for the answer to a command.
#[derive(Debug)]
pub(crate) enum Asker {
    /// A client, which is told once that is durable.
    Client(Answer<CommandAnswer>),
    /// Somebody in this shard, who goes on at once: what that does is recorded behind it.
    Insider(Insider),
}

/// Who in this shard waits for the answer to a command.
#[derive(Debug)]
pub(crate) enum Insider {
    /// An attempt of a stream, which is that command.
    Attempt(StreamId, Attempt),
    /// What a step has sent.
    Message(Box<Message>),
}

/// What is told in this shard about a command.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) to: Insider,
    pub(crate) said: Result<CommandAnswer, Refusal>,
}

/// The answer to a command. A repeated one gets what the first one got, but for `duplicate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandAnswer {
    /// It was decided before.
    pub duplicate: bool,
    /// How many events the aggregate had then.
    pub revision: u64,
    /// The module's version that decided.
    pub version: u32,
    /// Where the decision is recorded; where nothing was recorded, what it rests on.
    pub position: Position,
    /// What was decided.
    pub decision: Answered,
}

/// What was decided about a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is done.
    Accepted {
        /// What was recorded, in order.
        events: Vec<RecordedEvent>,
        /// What the aggregate says beside it.
        data: Option<Payload>,
    },
    /// The aggregate refused it.
    Refused(Failure),
}
