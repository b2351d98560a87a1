//! What sagas and aggregates say to each other: a step's command, and the answer that is its outcome.
//!
//! Both are streams of this shard, so nothing leaves it: the saga goes on as soon as the command is decided. Its intent gets its place
//! before the command is sent, and what the answer means behind the command's events. So after a crash there may be the intent alone,
//! or the intent and the events. Then the outcome is unknown: the attempt that follows is the same command, by its leg's key, and gets
//! the first answer; and if none follows, the step counts as one that may have run, and is undone.

use amends_core::{
    aggregate::Sender,
    id::Direction,
    outcome::{Left, Outcome, Report},
    value::{Failure, Payload},
};
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::{Lane, Shard, Undecided, Work};
use crate::{
    engine::{
        aggregate::{AggregateKey, Asked, Asker, Insider, Told},
        port::{Answered, CommandAnswer, Origin, RecordedEvent, RefusalCode, SendCommand},
        refusal::Refusal,
        saga::{Order, SagaKey},
    },
    journal::Actor,
};

/// Commands for one aggregate keep their order, those of requests among them.
pub(super) fn lane(order: &Order) -> Option<Lane> {
    let command = order.command.as_ref().ok()?;
    Some(Lane::Of(AggregateKey::new(&order.saga.namespace, &command.aggregate, &command.id).stream()))
}

impl Shard {
    /// A step's command comes to its aggregate.
    pub(super) fn order(&mut self, order: Box<Order>) -> Result<(), Undecided> {
        let command = match &order.command {
            Ok(command) => command,
            Err(failure) => {
                let outcome =
                    if is_undo(&order) { Outcome::Transient(failure.clone()) } else { Outcome::Refused(failure.clone()) };
                let report = Report { attempt: order.attempt, outcome, left: Left::Nothing, messages: Vec::new() };
                self.take(Work::Report(order.saga, report));
                return Ok(());
            }
        };
        let key = order.key.to_string();
        let sent = SendCommand {
            aggregate: command.aggregate.clone(),
            id: command.id.clone(),
            name: command.name.clone(),
            data: command.data.clone(),
            data_hash: Sha256::digest(&command.data.bytes).into(),
            command: key.clone(),
            expect_revision: None,
            trace_context: order.trace_context.clone(),
            sender: Some(Sender::Saga { id: order.saga.id.as_str().to_owned(), leg: order.attempt.leg.clone() }),
            correlation: Some(self.sagas.root_of(&order.saga)),
            depth: self.sagas.depth_of(&order.saga) + 1,
            cause: None,
        };
        let origin = Origin { namespace: order.saga.namespace.clone(), actor: Actor::Host, idempotency_key: Some(key) };
        match self.aggregates.ask(self.kernel.reads(), &self.modules, &origin, &sent) {
            Ok(Asked::Said(said)) => {
                self.told(Told { to: Insider::Attempt(order.saga.stream(), order.attempt), said: said.said });
            }
            Ok(Asked::Waits) => {
                let asker = Asker::Insider(Insider::Attempt(order.saga.stream(), order.attempt));
                self.aggregates.put_in_line(&mut self.kernel.commit(), &self.modules, origin, Box::new(sent), asker);
            }
            Err(unready) => return Err(Undecided::new(unready, Work::Order(order))),
        }
        Ok(())
    }

    /// A command of a saga has its answer.
    pub(super) fn told(&mut self, told: Told) {
        match told.to {
            Insider::Attempt(of, attempt) => {
                let Some(key) = SagaKey::of(&of) else { return };
                let outcome = outcome(attempt.leg.direction, told.said);
                self.take(Work::Report(key, Report { attempt, outcome, left: Left::Nothing, messages: Vec::new() }));
            }
            Insider::Message(message) => self.was_decided(message, told.said),
        }
    }
}

fn is_undo(order: &Order) -> bool {
    matches!(order.attempt.leg.direction, Direction::Undo(_))
}

/// What an answer means for the step. A compensation cannot be refused: it is tried again, as its policy says, and is stuck then.
fn outcome(direction: Direction, said: Result<CommandAnswer, Refusal>) -> Outcome {
    let refused = |failure: Failure| match direction {
        Direction::Forward | Direction::Check => Outcome::Refused(failure),
        Direction::Undo(_) => Outcome::Transient(failure),
    };
    let refusal = match said {
        Ok(CommandAnswer { decision: Answered::Refused(failure), .. }) => return refused(failure),
        Ok(CommandAnswer { decision: Answered::Accepted { events, data }, revision, .. }) => {
            return match direction {
                Direction::Forward | Direction::Check => Outcome::Done(output(revision, &events, data.as_ref())),
                Direction::Undo(_) => Outcome::Done(Payload::null()),
            };
        }
        Err(refusal) => refusal,
    };
    let failure = Failure::new(refusal.code.as_str(), refusal.message);
    match refusal.code {
        // The command that it undoes may not have happened, and there is nothing to undo then.
        RefusalCode::NoSuchAggregate if matches!(direction, Direction::Undo(_)) => Outcome::Done(Payload::null()),
        RefusalCode::NoSuchAggregate | RefusalCode::Exists | RefusalCode::InputDoesNotFit => refused(failure),
        // Nobody can decide it now, and that is not the step's fault.
        RefusalCode::NoHandler
        | RefusalCode::Quarantined
        | RefusalCode::Overloaded
        | RefusalCode::LowSpace
        | RefusalCode::Stopping
        | RefusalCode::StorageFailed => Outcome::HostFault(failure),
        _ => Outcome::Transient(failure),
    }
}

/// Events of a command may be larger together than what goes from step to step: their data is left out then.
pub(super) const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// The output of a step that is a command.
#[derive(Serialize)]
struct Output<'a> {
    revision: u64,
    data: Option<&'a RawValue>,
    events: Vec<OutputEvent<'a>>,
}

/// An event that the command recorded.
#[derive(Serialize)]
struct OutputEvent<'a> {
    #[serde(rename = "type")]
    event_type: &'a str,
    version: u32,
    revision: u64,
    data: Option<&'a RawValue>,
}

fn output(revision: u64, events: &[RecordedEvent], data: Option<&Payload>) -> Payload {
    let bytes = |payload: &Payload| payload.bytes.len();
    let is_large = events.iter().filter_map(|event| event.data.as_ref()).map(bytes).sum::<usize>() > OUTPUT_BYTES_MAX;
    let events = events.iter().map(|event| OutputEvent {
        event_type: &event.event_type,
        version: event.version,
        revision: event.revision,
        data: as_spelled(event.data.as_ref().filter(|_| !is_large)),
    });
    let output = Output { revision, data: as_spelled(data), events: events.collect() };
    match serde_json::to_vec(&output) {
        Ok(text) => Payload::json(text),
        Err(error) => unreachable!("texts, numbers and JSON are JSON: {error}"),
    }
}

/// JSON as it was spelled; what is not JSON is left out.
fn as_spelled(payload: Option<&Payload>) -> Option<&RawValue> {
    payload.and_then(|payload| serde_json::from_slice(&payload.bytes).ok())
}
